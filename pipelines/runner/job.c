#include "pipelines/runner/job_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/fault.h"
#include "pipelines/runner/run_progress.h"
#include "pipelines/runner/content.h"

int vt_run_prepare(struct vt_run *r, struct vt_job *j, struct vt_err *err)
{
	struct vt_content c;
	struct vt_hash name;
	(void)err;
	vt_content_begin(&c);
	vt_content_text(&c, j->pipeline->name);
	vt_content_end(&c, &name);
	clock_gettime(CLOCK_MONOTONIC, &j->began);
	vt_datums_enumerate(&j->datums, j->pipeline, vt_run_listing, r);
	j->n = j->datums.n;
	j->task = vt_xcalloc(j->n + 1, sizeof *j->task);
	for (size_t i = 0; i < j->n; i++) {
		struct vt_task *t = &j->task[i];
		t->datum = &j->datums.v[i];
		vt_datum_key(&t->key, t->datum, &j->transform);
		vt_datum_key(&t->data, t->datum, &name);
		t->state = !j->pipeline->every_job && vt_depot_has_result(r->depot, &t->key)
			? VT_DATUM_SKIPPED
			: VT_DATUM_PENDING;
		if (t->state == VT_DATUM_PENDING && r->opts.accept_stale &&
			vt_depot_find_data(r->depot, &t->data, &t->key)) {
			t->state = VT_DATUM_SKIPPED;
			t->stale = true;
		}
		j->count[t->state]++;
	}
	return 0;
}

double vt_seconds_since(const struct timespec *t)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + 1e-9 * (double)(now.tv_nsec - t->tv_nsec);
}

void vt_job_move(struct vt_job *j, struct vt_task *t, enum vt_datum_state to)
{
	j->count[t->state]--;
	j->count[to]++;
	t->state = to;
}

static int name_conflict(const struct vt_job *j, const struct vt_hash *a, const struct vt_hash *b,
	struct vt_err *err)
{
	char *label[2] = { NULL, NULL };
	const char *id[2] = { "", "" };
	for (size_t i = 0; i < j->n; i++)
		for (int k = 0; k < 2; k++)
			if (!label[k] && !memcmp(&j->task[i].key, k ? b : a, sizeof *a)) {
				label[k] = vt_datum_label(j->task[i].datum);
				id[k] = j->task[i].datum->id;
			}
	vt_err_prefix(err,
		"pipeline %s: datums %.16s (%s) and %.16s (%s) collide; let each write under its "
		"own name",
		j->pipeline->name, id[0], label[0] ? label[0] : "?", id[1],
		label[1] ? label[1] : "?");
	free(label[0]);
	free(label[1]);
	return err->code;
}

static void datums_digest(const struct vt_job *j, struct vt_hash *out)
{
	struct vt_content c;
	vt_content_begin(&c);
	for (size_t i = 0; i < j->n; i++)
		vt_content_add(&c, j->task[i].key.b, 32);
	vt_content_end(&c, out);
}

static char *stale_list(const struct vt_job *j)
{
	struct vt_buf b = VT_BUF_INIT;
	for (size_t i = 0; i < j->n; i++)
		if (j->task[i].stale)
			vt_buf_printf(&b, "%s\"%s\"", b.len ? "," : "[", j->task[i].datum->id);
	if (!b.len)
		return NULL;
	vt_buf_char(&b, ']');
	return vt_buf_detach(&b);
}

/* The output commit: the union of what the present datums wrote, whenever and in whatever order
 * they did. */
static int publish_job(struct vt_run *r, struct vt_job *j, struct vt_err *err)
{
	struct vt_head head = { 0 };
	struct vt_hash first, second;
	const struct vt_head *old = vt_run_head(r, j->pipeline->name);
	datums_digest(j, &head.datums);
	if (old && !memcmp(&old->datums, &head.datums, sizeof head.datums) &&
		j->count[VT_DATUM_SKIPPED] == j->n)
		return 0;
	for (size_t i = 0; i < j->n && !err->code; i++) {
		struct vt_result result;
		if (j->task[i].state == VT_DATUM_RECOVERED ||
			vt_depot_result(r->depot, &j->task[i].key, &result, err))
			continue;
		for (size_t k = 0; k < result.files.n; k++)
			vt_listing_add(&head.files, result.files.v[k].path, &result.files.v[k].hash,
				result.files.v[k].size, &j->task[i].key);
		vt_result_release(&result);
	}
	if (!err->code && vt_listing_finish(&head.files, &first, &second, err))
		name_conflict(j, &first, &second, err);
	head.stale = stale_list(j);
	if (!err->code && !vt_depot_set_head(r->depot, j->pipeline->name, &head, err)) {
		j->changed = !old || memcmp(&old->commit, &head.commit, sizeof head.commit);
		vt_run_hold(r, j->pipeline->name, head);
		vt_fault("head");
		return 0;
	}
	vt_head_release(&head);
	return err->code;
}

void vt_job_finish(struct vt_run *r, struct vt_job *j)
{
	struct vt_err err = VT_ERR_INIT;
	j->state = j->count[VT_DATUM_FAILED] || j->count[VT_DATUM_PENDING] ? VT_JOB_FAILED
									   : VT_JOB_DONE;
	if (j->state == VT_JOB_DONE && publish_job(r, j, &err)) {
		vt_log(VT_LOG_ERROR, "job", "pipeline=%s error=\"%s\"", j->pipeline->name,
			err.text);
		r->conflict |= err.code == VT_EDATA;
		j->state = VT_JOB_FAILED;
	}
	j->seconds = vt_seconds_since(&j->began);
	if (j->state == VT_JOB_FAILED && r->opts.fail_fast)
		r->stop = true;
	vt_run_progress_job(j);
}
