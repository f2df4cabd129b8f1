/* A job: one pipeline over the datums of its inputs, from looking up results to committing the
 * union of its outputs.
 *
 * Tasks whose key has a usable result are skipped. When all tasks have ended, their trees are
 * merged; two datums that write one path fail the job. The output's commit is made only if
 * something changed. */
#include "pipelines/runner/job_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/fault.h"
#include "pipelines/runner/datum_record.h"
#include "pipelines/runner/reuse.h"
#include "pipelines/runner/run_progress.h"

/* --- what is done already ------------------------------------------------ */

static int keep_known(void *ctx, const struct vt_result *result, struct vt_err *err)
{
	struct vt_run *r = ctx;
	(void)err;
	/* r->known is sorted afterwards, see read_known() */
	if (r->n_known == r->cap_known) {
		r->cap_known = r->cap_known ? 2 * r->cap_known : 256;
		r->known = vt_xrealloc(r->known, r->cap_known * sizeof *r->known);
	}
	r->known[r->n_known++] = *result;
	return 0;
}

static int by_data(const void *a, const void *b)
{
	const struct vt_result *x = a, *y = b;
	int c = memcmp(x->data.b, y->data.b, sizeof x->data.b);
	/* the newest first */
	return c ? c : (x->written < y->written) - (x->written > y->written);
}

static int read_known(struct vt_run *run, struct vt_err *err)
{
	/* once a run; what the run makes itself is found by its key */
	if (run->known || vt_result_each(vt_run_store(run), keep_known, run, err))
		return err->code;
	if (!run->known)
		run->known = vt_xcalloc(1, sizeof *run->known);
	if (run->n_known > 1)
		qsort(run->known, run->n_known, sizeof *run->known, by_data);
	return 0;
}

/* The newest result of another program over the same data that may be used. */
static int find_stale(struct vt_run *run, struct vt_task *task, struct vt_reuse *reuse,
	struct vt_err *err)
{
	size_t lo = 0, hi;
	if (read_known(run, err))
		return err->code;
	/* the first result of this data */
	for (hi = run->n_known; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (memcmp(run->known[mid].data.b, task->data.b, sizeof task->data.b) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < run->n_known && vt_digest_equal(&run->known[lo].data, &task->data); lo++) {
		bool usable;
		if (vt_result_usable(vt_run_store(run), &run->known[lo], 1, &usable, err))
			return err->code;
		if (!usable || !vt_reuse_may(reuse, &run->known[lo], task->datum))
			continue;
		task->key = run->known[lo].key;
		task->stale = true;
		return 0;
	}
	/* none: the task stays pending */
	return 0;
}

enum { BATCH = 4096 }; /* tasks whose results are in memory at a time */

static int find_done_among(struct vt_run *run, struct vt_task *task, size_t n_tasks,
	struct vt_reuse *reuse, struct vt_err *err)
{
	struct vt_result *found = vt_xcalloc(n_tasks, sizeof *found);
	/* found[k] is the result of task of[k] */
	struct vt_task **of = vt_xcalloc(n_tasks, sizeof(*of));
	bool *usable = vt_xcalloc(n_tasks, sizeof *usable);
	size_t n = 0;
	for (size_t i = 0; i < n_tasks; i++) {
		struct vt_err none = VT_ERR_INIT;
		if (!vt_result_get(vt_run_store(run), &found[n], &task[i].key, &none))
			of[n++] = &task[i];
	}
	vt_result_usable(vt_run_store(run), found, n, usable, err);
	for (size_t i = 0; i < n && !err->code; i++)
		if (usable[i] && vt_reuse_may(reuse, &found[i], of[i]->datum))
			of[i]->state = VT_DATUM_SKIPPED;
	free(found);
	free(of);
	free(usable);
	return err->code;
}

/* Tasks with a result of their key, whose every file is there and sound, and which may be used
 * (reuse.h), are skipped. */
static int find_done(struct vt_run *run, struct vt_job *j, struct vt_reuse *reuse,
	struct vt_err *err)
{
	for (size_t i = 0; i < j->n && !j->pipeline->every_job && !err->code; i += BATCH)
		/* reprocessSpec "every_job" does everything again */
		find_done_among(run, &j->task[i], j->n - i < BATCH ? j->n - i : BATCH, reuse, err);
	return err->code;
}

int vt_run_prepare(struct vt_run *run, struct vt_job *j, struct vt_err *err)
{
	const struct vt_digest name = vt_digest_bytes(j->pipeline->name, strlen(j->pipeline->name));
	struct vt_reuse reuse;
	clock_gettime(CLOCK_MONOTONIC, &j->began);
	vt_datums_enumerate(&j->datums, j->pipeline, vt_run_snapshot, run);
	if (run->fault.code)
		return *err = run->fault, err->code;
	j->n = j->datums.n;
	j->task = vt_xcalloc(j->n + 1, sizeof *j->task);
	for (size_t i = 0; i < j->n; i++) {
		struct vt_task *t = &j->task[i];
		t->datum = &j->datums.v[i];
		/* key: data and program; data: the same with the pipeline's name in the program's
		 * place */
		vt_datum_key(&t->key, t->datum, &j->transform);
		vt_datum_key(&t->data, t->datum, &name);
		t->state = VT_DATUM_PENDING;
	}
	if (!vt_reuse_begin(&reuse, vt_run_store(run), err))
		find_done(run, j, &reuse, err);
	if (reuse.n_claims)
		vt_log(VT_LOG_INFO, "not-reused",
			"pipeline=\"%s\" results=%zu note=\"their records are claims, or were "
			"rejected, or do not tell of these files: the work is done here; `voxtrail "
			"trust` says how records are believed\"",
			j->pipeline->name, reuse.n_claims);
	for (size_t i = 0; i < j->n && !err->code; i++) {
		struct vt_task *t = &j->task[i];
		if (t->state == VT_DATUM_PENDING && run->opts.accept_stale &&
			!find_stale(run, t, &reuse, err) && t->stale)
			t->state = VT_DATUM_SKIPPED;
		j->count[t->state]++;
	}
	return err->code;
}

double vt_seconds_since(const struct timespec *start)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

void vt_job_move(struct vt_job *job, struct vt_task *task, enum vt_datum_state to)
{
	assert(job->count[task->state] > 0);
	job->count[task->state]--;
	job->count[to]++;
	task->state = to;
}

/* --- the output ---------------------------------------------------------- */

static int name_conflict(const struct vt_job *j, size_t first, size_t second, struct vt_err *err)
{
	const struct vt_datum *a = j->task[first].datum, *b = j->task[second].datum;
	char *label[2] = { vt_datum_label(a), vt_datum_label(b) };
	vt_err_prefix(err,
		"pipeline %s: datums %.16s (%s) and %.16s (%s) collide; let each write under its "
		"own name",
		j->pipeline->name, a->id, label[0], b->id, label[1]);
	free(label[0]);
	free(label[1]);
	return err->code;
}

/* The files of all present results, and which task each is of. */
struct gathering {
	struct vt_tree_file *file;
	size_t *task;
	size_t n, cap;
};

static void gather(struct gathering *gathering, const struct vt_tree *tree, size_t task)
{
	/* doubled, for both arrays together */
	if (gathering->n + tree->n_files > gathering->cap) {
		gathering->cap = 2 * (gathering->n + tree->n_files);
		gathering->file =
			vt_xrealloc(gathering->file, gathering->cap * sizeof *gathering->file);
		gathering->task =
			vt_xrealloc(gathering->task, gathering->cap * sizeof *gathering->task);
	}
	for (size_t i = 0; i < tree->n_files; i++) {
		gathering->file[gathering->n] = tree->file[i];
		/* t is freed, so the paths are copied */
		gathering->file[gathering->n].path = vt_xstrdup(tree->file[i].path);
		gathering->task[gathering->n++] = task;
	}
}

/* The union of what the present datums wrote, whenever and in whatever order they did. */
static int output_tree(struct vt_run *run, struct vt_job *j, struct vt_tree **out,
	struct vt_err *err)
{
	struct gathering g = { NULL, NULL, 0, 0 };
	size_t first, second;
	for (size_t i = 0; i < j->n && !err->code; i++) {
		struct vt_result result;
		struct vt_tree *t = NULL;
		/* errCmd saved the job, but there is no output */
		if (j->task[i].state == VT_DATUM_RECOVERED)
			continue;
		if (vt_result_get(vt_run_store(run), &result, &j->task[i].key, err))
			vt_err_set(err, VT_EINTEGRITY, "the result of datum %.16s is gone",
				j->task[i].datum->id);
		else if (!vt_store_get_tree(vt_run_store(run), &t, &result.tree, err))
			gather(&g, t, i);
		vt_tree_free(t);
	}
	/* one path of two datums: neither may win */
	if (!err->code && vt_tree_collision(g.file, g.n, &first, &second, err))
		name_conflict(j, g.task[first], g.task[second], err);
	if (!err->code)
		vt_tree_from_files(out, g.file, g.n, err);
	for (size_t i = 0; i < g.n; i++)
		free(g.file[i].path);
	free(g.file);
	free(g.task);
	return err->code;
}

static struct vt_digest *keys_of(const struct vt_job *j)
{
	struct vt_digest *key = vt_xcalloc(j->n + 1, sizeof *key);
	for (size_t i = 0; i < j->n; i++)
		key[i] = j->task[i].key;
	return key;
}

static struct vt_json *stale_list(const struct vt_job *j)
{
	struct vt_json *list = NULL;
	for (size_t i = 0; i < j->n; i++)
		if (j->task[i].stale) {
			list = list ? list : vt_json_new(VT_JSON_ARRAY);
			vt_json_push(list, vt_json_new_text(j->task[i].datum->id));
		}
	return list;
}

/* What an output commit says of itself: the list of its datums' keys, the job that made it, and
 * datums whose result another program made. */
static char *provenance_of(const struct vt_run *run, const struct vt_job *j,
	const struct vt_digest *datums)
{
	struct vt_json *p = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf text = VT_BUF_INIT;
	char hex[VT_HEX];
	vt_digest_hex(hex, datums);
	vt_json_put_text(p, "datums", hex);
	vt_json_put_text(p, "job", run->id);
	vt_json_put(p, "stale_ok", stale_list(j));
	vt_json_compact(&text, p);
	vt_json_free(p);
	return vt_buf_detach(&text);
}

/* Is the head the union of the same results?  Then there is nothing to commit: neither the job nor
 * which program is the present one is a reason. */
/* only "datums" of the provenance counts */
static bool same_datums(const struct vt_snapshot *old, const struct vt_digest *datums)
{
	const char *had = old->commit.provenance;
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *was = NULL;
	struct vt_digest d;
	bool same = *had && !vt_json_parse(&was, had, strlen(had), "provenance", &none) &&
		vt_digest_parse(&d, vt_json_text(vt_json_get(was, "datums"), "")) &&
		vt_digest_equal(&d, datums);
	vt_json_free(was);
	return same;
}

/* Takes the tree over where it is committed, for those who read it next. */
static int commit_output(struct vt_run *run, struct vt_job *j, struct vt_tree **tree,
	struct vt_err *err)
{
	struct vt_tree *const whole = *tree;
	const struct vt_tree *const output = whole;
	struct vt_commit_note note = { .message = "output of a run", .source = run->source };
	char *provenance = NULL;
	struct vt_digest *key = keys_of(j), list;
	struct vt_commit c = { .id = "" };
	struct vt_snapshot *seen = NULL;
	char *name = vt_asprintf("%s@master", j->pipeline->name);
	if (!vt_store_put_trees(vt_run_store(run), &output, 1, err) &&
		!vt_result_list_put(vt_run_store(run), key, j->n, &list, err) &&
		(note.provenance = provenance = provenance_of(run, j, &list)) &&
		!vt_repo_commit(vt_run_store(run), &c, &j->changed, j->pipeline->name, "master",
			&output->id, &note, err)) {
		/* vt_snapshot_made() takes the tree */
		*tree = NULL;
		if (!vt_snapshot_made(&seen, vt_run_store(run), c.id, whole, err)) {
			vt_run_hold(run, name, seen);
			vt_fault("head");
		}
	}
	vt_commit_release(&c);
	free(provenance);
	free(name);
	free(key);
	return err->code;
}

/* Was every subject refused?  Who reads the output may record that, if it names them. */
static bool nothing_is_left(const struct vt_run *run, const struct vt_job *j,
	const struct vt_tree *tree)
{
	for (size_t i = 0; i < tree->n_files; i++)
		if (!vt_path_in_quarantine(tree->file[i].path))
			return false;
	/* An empty output is right where nobody was there, and wrong where all were refused. */
	if (!tree->n_files)
		return j->count[VT_DATUM_QUARANTINED] && !vt_pipeline_may_be_empty(j->pipeline);
	return vt_pipeline_must_leave(run->spec, j->pipeline);
}

static int publish_job(struct vt_run *run, struct vt_job *j, struct vt_err *err)
{
	const struct vt_snapshot *old = vt_run_head(run, j->pipeline->name, "master");
	struct vt_digest *key = keys_of(j), list = vt_result_list_id(key, j->n);
	bool same = old && same_datums(old, &list);
	struct vt_tree *tree = NULL;
	/* all skipped and the head made of the same results: the output is known without being
	 * made */
	if (!(same && j->count[VT_DATUM_SKIPPED] == j->n))
		output_tree(run, j, &tree, err);
	if (!err->code && nothing_is_left(run, j, tree ? tree : old->tree))
		j->because = "every subject was refused: nothing but quarantine is left";
	/* equal trees of other datums are committed: the commit says who made them */
	else if (!err->code && tree && !(same && vt_digest_equal(&tree->id, &old->tree->id)))
		commit_output(run, j, &tree, err);
	vt_tree_free(tree);
	free(key);
	return err->code;
}

void vt_job_finish(struct vt_run *run, struct vt_job *job)
{
	struct vt_err err = VT_ERR_INIT;
	job->state = job->count[VT_DATUM_FAILED] || job->count[VT_DATUM_PENDING] ? VT_JOB_FAILED
										 : VT_JOB_DONE;
	if (job->state == VT_JOB_DONE && publish_job(run, job, &err)) {
		vt_log(VT_LOG_ERROR, "job", "pipeline=\"%s\" error=\"%s\"", job->pipeline->name,
			err.text);
		run->conflict |= err.code == VT_EDATA;
		job->state = VT_JOB_FAILED;
	}
	if (job->because)
		job->state = VT_JOB_FAILED;
	job->seconds = vt_seconds_since(&job->began);
	/* with --fail-fast nothing new is started */
	if (job->state == VT_JOB_FAILED && run->opts.fail_fast)
		run->stop = true;
	vt_run_progress_job(job);
}
