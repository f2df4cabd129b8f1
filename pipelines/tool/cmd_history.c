/* voxtrail history: what was done to the store, and whether the log of it is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/store/history.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

struct reading {
	int json;
	bool quiet, found;
	const char *wanted; /* a head that must be there; NULL: none */
	char head[VT_HEX];
	long long n;
};

static void print(const struct vt_json *line, const char *digest)
{
	time_t t = (time_t)vt_json_integer(vt_json_get(line, "time"), 0);
	struct vt_buf detail = VT_BUF_INIT;
	char when[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%SZ", &tm);
	vt_json_compact(&detail, vt_json_get(line, "detail"));
	printf("%lld  %.16s  %s  %s  %s  %s\n",
		(long long)vt_json_integer(vt_json_get(line, "n"), 0), digest, when,
		vt_json_text(vt_json_get(line, "by"), ""),
		vt_json_text(vt_json_get(line, "event"), ""), detail.data);
	vt_buf_release(&detail);
}

static int take(void *ctx, const struct vt_json *line, const char *digest)
{
	struct reading *r = ctx;
	struct vt_buf text = VT_BUF_INIT;

	r->n++;
	memcpy(r->head, digest, VT_HEX);
	r->found = r->found || (r->wanted && !strcmp(r->wanted, digest));
	if (!r->quiet && r->json) {
		vt_json_compact(&text, line);
		puts(text.data);
	} else if (!r->quiet) {
		print(line, digest);
	}
	vt_buf_release(&text);
	return 0;
}

static void history(struct vt_store *s, struct reading *r, struct vt_err *err)
{
	if (vt_history_read(s, take, r, err))
		return;
	if (r->quiet)
		printf("%lld events, head %s\n", r->n, r->n ? r->head : "none");
	if (r->wanted && !r->found)
		vt_err_set(err, VT_EINTEGRITY,
			"no line has the digest %s: events up to that head were changed or "
			"taken out",
			r->wanted);
}

int vt_cmd_history(int argc, char **argv)
{
	struct reading r = { .head = "" };
	int check = 0;
	const struct vt_opt opts[] = {
		{ 0, "check", VT_OPT_FLAG, &check, NULL,
			"print only the number of events and the head" },
		{ 0, "holds", VT_OPT_STRING, &r.wanted, "HEAD",
			"a head noted earlier must still be there" },
		{ 0, "json", VT_OPT_FLAG, &r.json, NULL, "the lines as they are" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "history",
		.about = "Prints what was done to the store: commits, imports, erasures, and by "
			 "whom. Every line holds "
			 "the digest of the one before it; a line that was changed, or taken out, "
			 "is named and the exit "
			 "status is 76. Note the head elsewhere to prove later, with --holds, that "
			 "nothing up to it was "
			 "touched.",
		.opts = opts,
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv)) {
		r.quiet = check != 0;
		history(c.s, &r, &c.err);
	}
	return vt_call_end(&c);
}
