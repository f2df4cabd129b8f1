/* voxtrail gc: says what nothing reaches any more, and with --sweep removes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/gc.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static void found(void *ctx, const char *path, uint64_t size)
{
	(void)ctx;
	printf("%s %llu\n", path, (unsigned long long)size);
}

static void gc(struct vt_store *s, const struct vt_gc_opts *opts, struct vt_err *err)
{
	struct vt_gc_result r;

	if (vt_store_gc(s, opts, &r, err))
		return;
	printf("%s: %zu commits, %zu trees, %zu blobs, %zu leftovers, %llu bytes\n", opts->sweep ? "removed" : "would "
		"go with --sweep", r.commits, r.trees,
		r.blobs, r.leftovers, (unsigned long long)r.bytes);
	printf("kept: %zu commits, %zu trees, %zu blobs\n", r.kept_commits, r.kept_trees, r.kept_blobs);
}

int vt_cmd_gc(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, sweep = 0, scratch = 0, list = 0;
	long long days = 14, seconds = 10;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "sweep", VT_OPT_FLAG, &sweep, NULL, "remove it" },
		{ 0, "list", VT_OPT_FLAG, &list, NULL, "one line a file: path in the store, bytes" },
		{ 0, "scratch", VT_OPT_FLAG, &scratch, NULL, "also what killed stages would resume from" },
		{ 0, "keep-days", VT_OPT_INT, &days, "N",
			"keep commits that no branch or tag reaches so long (default 14)" },
		{ 0, "wait", VT_OPT_INT, &seconds, "SECONDS", "for others that publish to the store (default 10)" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("gc", "Finds what no branch, tag, record, pin or result of a run reaches, and "
				"what killed processes left; removes it with --sweep.", opts);
		else if (rest.n || days < 0 || days > 36500 || seconds < 0 || seconds > 86400)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail gc [--sweep] [--list] [--scratch] [--keep-days "
				"0..36500] [--wait 0..86400]");
		else if (!vt_store_open(&s, store, VT_STORE_OPEN, &err))
			gc(s, &(struct vt_gc_opts){ .sweep = sweep != 0, .scratch = scratch != 0,
				.keep_days = (long)days, .wait_seconds = (int)seconds,
				.found = list ? found : NULL }, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("gc", &err);
}
