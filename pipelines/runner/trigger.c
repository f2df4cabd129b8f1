/* Deferred processing: an input with a trigger goes on seeing the commit it saw last until its
 * conditions hold. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "pipelines/spec/cron.h"
#include "pipelines/runner/job_internal.h"

/* Bytes of files that the trigger's head does not have in this form. */
static double new_bytes(const struct vt_listing *now, const struct vt_listing *then)
{
	double total = 0;
	for (size_t i = 0; i < now->n; i++) {
		const struct vt_entry *e = &now->v[i],
				      *old = e->dir ? e : vt_listing_find(then, e->path);
		if (!e->dir && (!old || memcmp(&old->hash, &e->hash, sizeof e->hash)))
			total += (double)e->size;
	}
	return total;
}

static bool due(const struct vt_json *trigger, const struct vt_trigger *t,
	const struct vt_head *now, time_t when)
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
		given++, hold += new_bytes(&now->files, &t->head.files) >= least;
	if (rate)
		given++, hold += vt_cron_due(vt_json_text(rate, ""), (time_t)t->time, when);
	if (cron)
		given++, hold += vt_cron_due(vt_json_text(cron, ""), (time_t)t->time, when);
	return !given || (all ? hold == given : hold > 0);
}

const struct vt_head *vt_run_trigger(struct vt_run *r, const struct vt_input *leaf)
{
	const struct vt_head *now = vt_run_head(r, leaf->repo);
	char *name = vt_asprintf("%s.%s", leaf->pipeline, leaf->name),
	     *held = vt_asprintf("@%s", name);
	struct vt_trigger t;
	struct vt_err why = VT_ERR_INIT;
	const struct vt_head *seen = vt_run_head(r, held);
	if (!seen && !vt_depot_trigger(vt_run_depot(r), name, &t, &why)) {
		if (now && memcmp(&t.seen, &now->commit, sizeof t.seen)) {
			t.seen = now->commit;
			t.commits++;
		}
		bool moves = now && memcmp(&t.head.commit, &now->commit, sizeof now->commit) &&
			due(leaf->trigger, &t, now, r->began.tv_sec);
		if (moves) {
			t.commits = 0;
			t.time = r->began.tv_sec;
		}
		if (r->opts.mode == VT_DEPOT_WRITE && !r->opts.planning)
			vt_depot_set_trigger(vt_run_depot(r), name, &t, moves ? leaf->repo : NULL,
				&why);
		else if (moves)
			vt_log(VT_LOG_INFO, "trigger", "pipeline=%s input=%s note=\"would move\"",
				leaf->pipeline, leaf->name);
		if (moves && !why.code) {
			vt_head_release(&t.head);
			seen = now;
		} else {
			vt_run_hold(r, held, t.head);
			seen = vt_run_head(r, held);
			if (now && memcmp(&t.head.commit, &now->commit, sizeof now->commit))
				vt_log(VT_LOG_INFO, "trigger",
					"pipeline=%s input=%s commits=%lld note=\"waits\"",
					leaf->pipeline, leaf->name, t.commits);
		}
	}
	if (why.code)
		vt_log(VT_LOG_ERROR, "trigger", "pipeline=%s input=%s error=\"%s\"", leaf->pipeline,
			leaf->name, why.text);
	free(name);
	free(held);
	return seen;
}
