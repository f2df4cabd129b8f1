/* voxtrail gc: says what nothing reaches any more, and with --sweep removes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/gc.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

struct wish {
	struct vt_gc_opts opts;
	struct vt_store *store;
	struct vt_approval approval;
	struct vt_strs goes;
	int list;
	bool asking; /* what goes is gathered to be decided on */
};

/* What killed processes left is nobody's, and others come meanwhile. */
static bool is_somebodys(const char *path)
{
	return strncmp(path, "tmp/", 4) && strncmp(path, "scratch/", 8);
}

static void found(void *ctx, const char *path, uint64_t size)
{
	struct wish *w = ctx;

	if (w->asking && is_somebodys(path))
		vt_strs_add(&w->goes, path);
	else if (!w->asking && w->list)
		vt_say("%s %llu\n", path, (unsigned long long)size);
}

/* What goes is what was signed: commits, trees, files and results by name. */
static bool may_sweep(void *ctx, const struct vt_gc_result *would, struct vt_err *err)
{
	struct wish *w = ctx;
	struct vt_json *decision = vt_decision("sweep", NULL, NULL, NULL);

	w->asking = false;
	vt_strs_sort(&w->goes);
	vt_decision_list(decision, "files", &w->goes);
	vt_json_put_int(decision, "commits", (int64_t)would->commits);
	vt_json_put_bool(decision, "scratch", w->opts.scratch);
	return vt_decide(w->store, "sweep", decision, &w->approval, err);
}

/* A sweep that a second person decides on is asked for under the locks of the sweep itself; to
 * write the request removes nothing. */
static int prepare(struct wish *wish, struct vt_err *err)
{
	struct vt_policy policy;

	wish->opts.found = found;
	wish->opts.ctx = wish;
	if (!wish->opts.sweep || vt_policy_read(&policy, wish->store, err))
		return err->code;
	wish->asking = vt_policy_has(&policy, "approved", "sweep") || wish->approval.ask ||
		wish->approval.approve.n;
	vt_policy_release(&policy);
	if (wish->asking)
		wish->opts.may = may_sweep;
	wish->opts.sweep = !wish->approval.ask;
	return 0;
}

static void report(const struct vt_gc_opts *opts, const struct vt_gc_result *result)
{
	vt_say("%s: %zu commits, %zu trees, %zu blobs, %zu leftovers, %llu bytes\n",
		opts->sweep ? "removed" : "would go with --sweep", result->commits, result->trees,
		result->blobs, result->leftovers, (unsigned long long)result->bytes);
	if (opts->result_days)
		vt_say("%s: %zu results of runs older than %ld days that no head, tag or pin "
		       "lists\n",
			opts->sweep ? "removed" : "would go with --sweep", result->results,
			opts->result_days);
	vt_say("kept: %zu commits, %zu trees, %zu blobs\n", result->kept_commits,
		result->kept_trees, result->kept_blobs);
}

static void gc(struct wish *wish, struct vt_err *err)
{
	struct vt_gc_result r;

	if (!prepare(wish, err) && !vt_store_gc(wish->store, &wish->opts, &r, err) &&
		!wish->approval.asked)
		report(&wish->opts, &r);
}

int vt_cmd_gc(int argc, char **argv)
{
	int sweep = 0, scratch = 0;
	struct wish w = { .list = 0 };
	long long days = 14, seconds = 10, result_days = -1;
	const struct vt_opt opts[] = {
		{ 0, "sweep", VT_OPT_FLAG, &sweep, NULL, "remove it" },
		{ 0, "list", VT_OPT_FLAG, &w.list, NULL,
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
		VT_APPROVAL_OPTS(&w.approval),
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
		else if (!sweep)
			vt_decide_nothing(&w.approval, "--sweep", &c.err);
		w.store = c.s;
		w.opts = (struct vt_gc_opts){ .sweep = sweep != 0,
			.scratch = scratch != 0,
			.keep_days = (long)days,
			.result_days = result_days > 0 ? (long)result_days : 0,
			.wait_seconds = (int)seconds };
		if (!c.err.code)
			gc(&w, &c.err);
	}
	vt_strs_release(&w.goes);
	return vt_call_end(&c);
}
