/* voxtrail gc: says what nothing reaches any more, and with --sweep removes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/gc.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static void found(void *ctx, const char *path, uint64_t size)
{
	(void)ctx;
	vt_say("%s %llu\n", path, (unsigned long long)size);
}

/* What killed processes left is nobody's, and others come meanwhile. */
static void note(void *ctx, const char *path, uint64_t size)
{
	(void)size;
	if (strncmp(path, "tmp/", 4) && strncmp(path, "scratch/", 8))
		vt_strs_add(ctx, path);
}

/* What goes is what was signed: commits, trees, files and results by name. */
static bool may_sweep(struct vt_store *s, const struct vt_gc_opts *opts, struct vt_approval *a,
	struct vt_err *err)
{
	struct vt_strs goes = VT_STRS_INIT;
	struct vt_gc_opts look = *opts;
	struct vt_json *decision;
	struct vt_gc_result r;
	struct vt_policy policy;
	bool may = false, asks;

	if (vt_policy_read(&policy, s, err))
		return false;
	asks = vt_policy_has(&policy, "approved", "sweep");
	vt_policy_release(&policy);
	if (!asks && !a->ask && !a->approve.n)
		return true;
	decision = vt_decision("sweep", NULL, NULL, NULL);
	look.sweep = false;
	look.found = note;
	look.ctx = &goes;
	if (vt_store_gc(s, &look, &r, err)) {
		vt_json_free(decision);
	} else {
		vt_strs_sort(&goes);
		vt_decision_list(decision, "files", &goes);
		vt_json_put_int(decision, "commits", (int64_t)r.commits);
		vt_json_put_bool(decision, "scratch", opts->scratch);
		may = vt_decide(s, "sweep", decision, a, err);
	}
	vt_strs_release(&goes);
	return may;
}

static void gc(struct vt_store *s, const struct vt_gc_opts *opts, struct vt_approval *a,
	struct vt_err *err)
{
	struct vt_gc_result r;

	if (opts->sweep && !may_sweep(s, opts, a, err))
		return;
	if (vt_store_gc(s, opts, &r, err))
		return;
	vt_say("%s: %zu commits, %zu trees, %zu blobs, %zu leftovers, %llu bytes\n",
		opts->sweep ? "removed"
			    : "would "
			      "go with --sweep",
		r.commits, r.trees, r.blobs, r.leftovers, (unsigned long long)r.bytes);
	if (opts->result_days)
		vt_say("%s: %zu results of runs older than %ld days that no head, tag or pin "
		       "lists\n",
			opts->sweep ? "removed" : "would go with --sweep", r.results,
			opts->result_days);
	vt_say("kept: %zu commits, %zu trees, %zu blobs\n", r.kept_commits, r.kept_trees,
		r.kept_blobs);
}

int vt_cmd_gc(int argc, char **argv)
{
	int sweep = 0, scratch = 0, list = 0;
	struct vt_approval approval = { .ask = NULL };
	long long days = 14, seconds = 10, result_days = -1;
	const struct vt_opt opts[] = {
		{ 0, "sweep", VT_OPT_FLAG, &sweep, NULL, "remove it" },
		{ 0, "list", VT_OPT_FLAG, &list, NULL,
			"one line per file: path in the store, bytes" },
		{ 0, "scratch", VT_OPT_FLAG, &scratch, NULL,
			"also the state from which killed stages would resume" },
		{ 0, "keep-days", VT_OPT_INT, &days, "N",
			"keep commits that no branch or tag reaches for N days (default 14)" },
		{ 0, "results-older-than", VT_OPT_INT, &result_days, "DAYS",
			"also results of runs from before that, unless the head of a branch, a tag "
			"or a pinned commit lists them" },
		{ 0, "wait", VT_OPT_INT, &seconds, "SECONDS",
			"how long to wait for processes that publish to the store (default 10)" },
		VT_APPROVAL_OPTS(&approval),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "gc",
		.about = "Finds objects that no branch, tag, record, pin or result of a "
			 "run reaches, and files that killed processes left. With "
			 "--sweep, removes them.",
		.opts = opts,
		.mode = VT_STORE_LOOK,
	};

	if (vt_call_begin(&c, argc, argv)) {
		if (days < 0 || days > 36500 || !result_days || result_days < -1 ||
			result_days > 36500 || seconds < 0 || seconds > 86400)
			vt_err_set(&c.err, VT_EUSAGE,
				"--keep-days is 0 to 36500, --results-older-than 1 to 36500, "
				"--wait 0 to 86400");
		else
			gc(c.s,
				&(struct vt_gc_opts){ .sweep = sweep != 0,
					.scratch = scratch != 0,
					.keep_days = (long)days,
					.result_days = result_days > 0 ? (long)result_days : 0,
					.wait_seconds = (int)seconds,
					.found = list ? found : NULL },
				&approval, &c.err);
	}
	vt_strs_release(&approval.approve);
	return vt_call_end(&c);
}
