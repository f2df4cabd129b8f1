/* voxtrail history: what was done to the store, and whether the log of it is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/attest/anchor.h"
#include "common/store/history.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

struct reading {
	int json;
	bool quiet, found, head_only;
	const char *wanted; /* a head that must be there; NULL: none */
	char head[VT_HEX];
	long long n, at; /* at: the line that has it */
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
	vt_say("%lld  %.16s  %s  %s  %s  %s\n",
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
	if (!r->found && r->wanted && !strcmp(r->wanted, digest)) {
		r->found = true;
		r->at = r->n;
	}
	if (!r->quiet && r->json) {
		vt_json_compact(&text, line);
		vt_buf_char(&text, '\n');
		/* As stored, so that its digest is the next line's "prev"; a screen shows the same
		 * values without what hides or turns text. */
		if (isatty(STDOUT_FILENO))
			vt_json_say(text.data);
		else
			fputs(text.data, stdout);
	} else if (!r->quiet) {
		print(line, digest);
	}
	vt_buf_release(&text);
	return 0;
}

static void write_anchor(struct vt_store *store, const char *path, const char *key,
	struct vt_err *err)
{
	struct vt_key *k = NULL;

	if (!key)
		vt_err_set(err, VT_EUSAGE, "--anchor goes with --key FILE, a private key");
	else if (!vt_key_read(&k, key, err) && !vt_key_is_private(k))
		vt_err_set(err, VT_EUSAGE, "%s: a public key; signing takes the private one", key);
	else if (!err->code)
		vt_anchor_write(store, path, k, err);
	vt_key_free(k);
}

static void history(struct vt_store *store, struct reading *reading, struct vt_err *err)
{
	if (vt_history_read(store, take, reading, err))
		return;
	if (reading->head_only && reading->n)
		puts(reading->head);
	else if (reading->quiet)
		vt_say("%lld events, head %s\n", reading->n, reading->n ? reading->head : "none");
	if (reading->wanted && reading->found && !reading->json && !reading->head_only)
		vt_say("the history holds %.16s, its line %lld of %lld: nothing up to it was "
		       "changed\n",
			reading->wanted, reading->at, reading->n);
	if (reading->wanted && !reading->found)
		vt_err_set(err, VT_EINTEGRITY,
			"no line has the digest %s: events up to that head were changed or "
			"taken out",
			reading->wanted);
}

int vt_cmd_history(int argc, char **argv)
{
	struct reading r = { .head = "" };
	int check = 0, head = 0;
	const char *anchor = NULL, *key = NULL;
	const struct vt_opt opts[] = {
		{ 0, "check", VT_OPT_FLAG, &check, NULL,
			"print only the number of events and the head" },
		{ 0, "head", VT_OPT_FLAG, &head, NULL,
			"print only the head, for example for a time stamp" },
		{ 0, "anchor", VT_OPT_STRING, &anchor, "FILE",
			"write the head, signed with --key; keep the file elsewhere" },
		{ 0, "key", VT_OPT_STRING, &key, "FILE", "a private key, for --anchor" },
		{ 0, "holds", VT_OPT_STRING, &r.wanted, "HEAD",
			"check that this head, noted earlier, is still in the history" },
		{ 0, "json", VT_OPT_FLAG, &r.json, NULL, "print the lines as they are stored" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "history",
		.about = "Prints what was done to the store, and by whom: commits, "
			 "imports, erasures and other events. Every line contains the digest of "
			 "the line before it. If a line was changed or removed, it is named and "
			 "the exit status is 76. Note the head elsewhere: --holds then proves that "
			 "nothing up to it was changed.",
		.opts = opts,
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv)) {
		r.head_only = head != 0;
		r.quiet = check || head;
		if (anchor)
			write_anchor(c.s, anchor, key, &c.err);
		else
			history(c.s, &r, &c.err);
	}
	return vt_call_end(&c);
}
