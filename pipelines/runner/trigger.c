/* Deferred processing: an input with a trigger goes on seeing the commit it saw last until its
 * conditions hold. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "pipelines/spec/cron.h"
#include "pipelines/runner/job_internal.h"

/* Bytes of files that the commit it saw does not have in this form. */
static double new_bytes(const struct vt_tree *now, const struct vt_tree *then)
{
	double total = 0;
	for (size_t i = 0; i < now->n_files; i++) {
		const struct vt_tree_file *f = &now->file[i];
		const struct vt_tree_file *old = then ? vt_tree_find(then, f->path) : NULL;
		if (!old || !vt_digest_equal(&old->digest, &f->digest))
			total += (double)f->size;
	}
	return total;
}

static bool due(const struct vt_json *trigger, const struct vt_trigger *t,
	const struct vt_snapshot *now, const struct vt_snapshot *then, time_t when)
{
	const struct vt_json *commits = vt_json_get(trigger, "commits"),
			     *size = vt_json_get(trigger, "size");
	const struct vt_json *rate = vt_json_get(trigger, "rateLimitSpec"),
			     *cron = vt_json_get(trigger, "cronSpec");
	bool all = vt_json_true(vt_json_get(trigger, "all"), false);
	int given = 0, hold = 0;
	double least = 0;
	if (commits)
		given++, hold += t->commits >= vt_json_integer(commits, 1);
	if (size && vt_spec_quantity(vt_json_text(size, ""), &least))
		given++, hold += new_bytes(now->tree, then ? then->tree : NULL) >= least;
	if (rate)
		given++, hold += vt_cron_due(vt_json_text(rate, ""), (time_t)t->time, when);
	if (cron)
		given++, hold += vt_cron_due(vt_json_text(cron, ""), (time_t)t->time, when);
	return !given || (all ? hold == given : hold > 0);
}

/* The commit it saw last.  One that is gone (its branch was moved away from it and gc has been
 * there) makes the newest one due. */
static struct vt_snapshot *seen_last(struct vt_run *run, const struct vt_trigger *trigger,
	bool *gone, struct vt_err *err)
{
	struct vt_snapshot *seen = NULL;
	struct vt_err why = VT_ERR_INIT;
	*gone = false;
	if (!*trigger->seen || !vt_snapshot_of(&seen, vt_run_store(run), trigger->seen, &why))
		return seen;
	*gone = why.code == VT_ENOINPUT;
	if (!*gone)
		*err = why;
	return NULL;
}

/* Looks once in a run; what it then sees is held under `held`. */
static int look(struct vt_run *run, const struct vt_input *leaf, const char *name, const char *held,
	struct vt_err *err)
{
	struct vt_snapshot *now = vt_run_head(run, leaf->repo, leaf->branch), *then;
	struct vt_trigger t;
	bool gone, moves;
	if (vt_runner_trigger(run->runner, name, &t, err))
		return err->code;
	then = seen_last(run, &t, &gone, err);
	if (err->code)
		return err->code;
	if (now && strcmp(t.newest, now->commit.id)) {
		memcpy(t.newest, now->commit.id, sizeof t.newest);
		t.commits++;
	}
	moves = now && strcmp(t.seen, now->commit.id) &&
		(gone || due(leaf->trigger, &t, now, then, run->began.tv_sec));
	if (moves) {
		memcpy(t.seen, now->commit.id, sizeof t.seen);
		t.commits = 0;
		t.time = run->began.tv_sec;
	}
	if (!run->opts.planning)
		vt_runner_set_trigger(run->runner, name, &t, err);
	else if (moves)
		vt_log(VT_LOG_INFO, "trigger", "pipeline=\"%s\" input=\"%s\" note=\"would move\"",
			leaf->pipeline, leaf->name);
	if (moves) {
		vt_snapshot_close(then);
		then = err->code ? NULL : vt_snapshot_share(now);
	} else if (now && strcmp(t.seen, now->commit.id)) {
		vt_log(VT_LOG_INFO, "trigger",
			"pipeline=\"%s\" input=\"%s\" commits=%lld note=\"waits\"", leaf->pipeline,
			leaf->name, t.commits);
	}
	vt_run_hold(run, held, then);
	return err->code;
}

struct vt_snapshot *vt_run_trigger(struct vt_run *run, const struct vt_input *leaf)
{
	char *name = vt_asprintf("%s.%s", leaf->pipeline, leaf->name),
	     *held = vt_asprintf("@%s", name);
	struct vt_snapshot *seen = NULL;
	struct vt_err why = VT_ERR_INIT;
	if (!vt_run_held(run, held, &seen) && !look(run, leaf, name, held, &why))
		vt_run_held(run, held, &seen);
	if (why.code && !run->fault.code)
		run->fault = why;
	free(name);
	free(held);
	return seen;
}
