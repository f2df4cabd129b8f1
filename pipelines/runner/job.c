#include "pipelines/runner/job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "pipelines/runner/board.h"
#include "pipelines/runner/content.h"

struct held {
	char *repo;
	struct vt_head head;
	struct held *next;
};

struct vt_run {
	const struct vt_spec *spec;
	struct vt_run_opts opts;
	struct vt_depot *depot;
	struct vt_job *job;
	size_t running;
	double memory;
	unsigned long long gpus_taken;
	struct held *heads;       /* newest first: datums of a running job keep pointing into the older ones */
	struct timespec began;
	char id[33], *store, *scratch;
	bool stop;
};

size_t vt_run_jobs(const struct vt_run *r) { return r->spec->n; }
struct vt_job *vt_run_job(struct vt_run *r, size_t i) { return &r->job[i]; }
struct vt_depot *vt_run_depot(const struct vt_run *r) { return r->depot; }
const char *vt_run_id(const struct vt_run *r) { return r->id; }

/* --- opening: repos, heads ------------------------------------------------------------------------------------------ */

static const char *bound(const struct vt_run_opts *o, const char *repo)
{
	size_t n = strlen(repo);
	for (size_t i = 0; o->repos && i < o->repos->n; i++)
		if (!strncmp(o->repos->v[i], repo, n) && o->repos->v[i][n] == '=')
			return o->repos->v[i] + n + 1;
	return NULL;
}

static const struct vt_head *head_of(struct vt_run *r, const char *repo)
{
	struct vt_head head;
	struct vt_err none = VT_ERR_INIT;
	for (struct held *h = r->heads; h; h = h->next)
		if (!strcmp(h->repo, repo))
			return &h->head;
	if (vt_depot_head(r->depot, repo, &head, &none))
		return NULL;
	struct held *h = vt_xcalloc(1, sizeof *h);
	*h = (struct held){ vt_xstrdup(repo), head, r->heads };
	r->heads = h;
	return &h->head;
}

static const struct vt_listing *listing_of(void *ctx, const struct vt_input *leaf)
{
	const struct vt_head *h = head_of(ctx, leaf->repo);
	return h ? &h->files : NULL;
}

struct committing {
	struct vt_run *r;
	const struct vt_pipeline *pipeline;
	struct vt_strs done;
	struct vt_err *err;
};

static void commit_leaf(void *ctx, const struct vt_input *leaf)
{
	struct committing *c = ctx;
	bool changed;
	if (c->err->code || vt_spec_find(c->r->spec, leaf->repo))
		return;
	for (size_t i = 0; i < c->done.n; i++)
		if (!strcmp(c->done.v[i], leaf->repo))
			return;
	char *key = vt_asprintf("voxtrail/repo.%s", leaf->repo);
	const char *from = bound(&c->r->opts, leaf->repo), *otherwise = vt_pipeline_annotation(c->pipeline, key);
	free(key);
	if (!from && !otherwise)
		return;
	char *path = from ? vt_xstrdup(from) : vt_path_join(c->r->spec->dir, otherwise);
	vt_strs_add(&c->done, leaf->repo);
	if (c->r->opts.mode == VT_DEPOT_WRITE && !vt_depot_commit(c->r->depot, leaf->repo, path, &changed, c->err) && changed)
		vt_log(VT_LOG_INFO, "commit", "repo=%s from=\"%s\"", leaf->repo, path);
	free(path);
}

struct demanding {
	struct vt_run *r;
	struct vt_err *err;
};

static void demand_leaf(void *ctx, const struct vt_input *leaf)
{
	struct demanding *d = ctx;
	if (!d->err->code && leaf->kind == VT_INPUT_PFS && !vt_spec_find(d->r->spec, leaf->repo) && !head_of(d->r, leaf->repo))
		vt_err_set(d->err, VT_ENOINPUT, "%s%s: repo %s has no commit and is no pipeline here; give --repo %s=DIR", d->r->spec->path,
			   leaf->pointer, leaf->repo, leaf->repo);
	if (!d->err->code && leaf->kind == VT_INPUT_CRON && !head_of(d->r, leaf->repo))
		vt_log(VT_LOG_WARN, "cron", "repo=%s note=\"no tick yet: no datum; `voxtrail tick` commits one\"", leaf->repo);
}

/* The same spec over the same commits is the same global id, as a version 4 UUID. */
static void name_run(struct vt_run *r)
{
	struct vt_content c;
	struct vt_hash h;
	char hex[65];
	vt_content_begin(&c);
	for (size_t i = 0; i < r->spec->n; i++)
		vt_content_add(&c, r->job[i].transform.b, 32);
	for (struct held *held = r->heads; held; held = held->next) {
		vt_content_text(&c, held->repo);
		vt_content_add(&c, held->head.commit.b, 32);
	}
	vt_content_end(&c, &h);
	h.b[6] = (unsigned char)((h.b[6] & 0x0f) | 0x40);
	h.b[8] = (unsigned char)((h.b[8] & 0x3f) | 0x80);
	vt_hash_hex(hex, &h);
	memcpy(r->id, hex, 32);
	r->id[32] = 0;
}

static int open_store(struct vt_run *r, struct vt_err *err)
{
	if (r->opts.mode == VT_DEPOT_WRITE && vt_fs_mkdirs(r->opts.store, err))
		return err->code;
	if (!(r->store = vt_fs_realpath(r->opts.store, err)) || vt_depot_open(&r->depot, r->store, r->opts.mode, err))
		return err->code;
	r->scratch = vt_path_join(r->store, "scratch");
	return r->opts.mode == VT_DEPOT_WRITE ? vt_fs_mkdirs(r->scratch, err) : 0;
}

int vt_run_open(struct vt_run **out, const struct vt_spec *spec, const struct vt_run_opts *opts, struct vt_err *err)
{
	struct vt_run *r = vt_xcalloc(1, sizeof *r);
	r->spec = spec;
	clock_gettime(CLOCK_REALTIME, &r->began);
	r->opts = *opts;
	r->job = vt_xcalloc(spec->n + 1, sizeof *r->job);
	struct committing c = { r, NULL, VT_STRS_INIT, err };
	struct demanding d = { r, err };
	if (!open_store(r, err)) {
		for (size_t i = 0; i < spec->n && !err->code; i++) {
			c.pipeline = &spec->pipeline[i];
			vt_input_leaves(c.pipeline->input, commit_leaf, &c);
		}
		for (size_t i = 0; i < spec->n && !err->code; i++)
			vt_input_leaves(spec->pipeline[i].input, demand_leaf, &d);
		for (size_t i = 0; i < spec->n && !err->code; i++) {
			r->job[i].pipeline = &spec->pipeline[spec->order[i]];
			r->job[i].state = VT_JOB_WAITING;
			vt_transform_hash(&r->job[i].transform, r->job[i].pipeline, err);
		}
	}
	vt_strs_release(&c.done);
	if (err->code) {
		vt_run_close(r);
		return err->code;
	}
	name_run(r);
	*out = r;
	return 0;
}

void vt_run_close(struct vt_run *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->spec->n; i++) {
		for (size_t t = 0; t < r->job[i].n; t++)
			vt_attempt_remove(&r->job[i].task[t].attempt);
		vt_datums_release(&r->job[i].datums);
		free(r->job[i].task);
	}
	for (struct held *h = r->heads, *next; h; h = next) {
		next = h->next;
		vt_head_release(&h->head);
		free(h->repo);
		free(h);
	}
	vt_depot_close(r->depot);
	free(r->job);
	free(r->store);
	free(r->scratch);
	free(r);
}

/* --- one job -------------------------------------------------------------------------------------------------------- */

int vt_run_prepare(struct vt_run *r, struct vt_job *j, struct vt_err *err)
{
	(void)err;
	clock_gettime(CLOCK_MONOTONIC, &j->began);
	vt_datums_enumerate(&j->datums, j->pipeline, listing_of, r);
	j->n = j->datums.n;
	j->task = vt_xcalloc(j->n + 1, sizeof *j->task);
	for (size_t i = 0; i < j->n; i++) {
		struct vt_task *t = &j->task[i];
		t->datum = &j->datums.v[i];
		t->gpu = -1;
		vt_datum_key(&t->key, t->datum, &j->transform);
		t->state = !j->pipeline->every_job && vt_depot_has_result(r->depot, &t->key) ? VT_DATUM_SKIPPED : VT_DATUM_PENDING;
		j->count[t->state]++;
	}
	return 0;
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + 1e-9 * (double)(now.tv_nsec - t->tv_nsec);
}

static void move(struct vt_job *j, struct vt_task *t, enum vt_datum_state to)
{
	j->count[t->state]--;
	j->count[to]++;
	t->state = to;
}

static int name_conflict(const struct vt_job *j, const struct vt_hash *a, const struct vt_hash *b, struct vt_err *err)
{
	char *label[2] = { NULL, NULL };
	const char *id[2] = { "", "" };
	for (size_t i = 0; i < j->n; i++)
		for (int k = 0; k < 2; k++)
			if (!label[k] && !memcmp(&j->task[i].key, k ? b : a, sizeof *a)) {
				label[k] = vt_datum_label(j->task[i].datum);
				id[k] = j->task[i].datum->id;
			}
	vt_err_prefix(err, "pipeline %s: datums %.16s (%s) and %.16s (%s) collide; let each write under its own name", j->pipeline->name, id[0],
		      label[0] ? label[0] : "?", id[1], label[1] ? label[1] : "?");
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

/* The output commit: the union of what the present datums wrote, whenever and in whatever order they did. */
static int publish_job(struct vt_run *r, struct vt_job *j, struct vt_err *err)
{
	struct vt_head head = { 0 };
	struct vt_hash first, second;
	const struct vt_head *old = head_of(r, j->pipeline->name);
	datums_digest(j, &head.datums);
	if (old && !memcmp(&old->datums, &head.datums, sizeof head.datums) && j->count[VT_DATUM_SKIPPED] == j->n)
		return 0;
	for (size_t i = 0; i < j->n && !err->code; i++) {
		struct vt_result result;
		if (j->task[i].state == VT_DATUM_RECOVERED || vt_depot_result(r->depot, &j->task[i].key, &result, err))
			continue;
		for (size_t k = 0; k < result.files.n; k++)
			vt_listing_add(&head.files, result.files.v[k].path, &result.files.v[k].hash, result.files.v[k].size, &j->task[i].key);
		vt_result_release(&result);
	}
	if (!err->code && vt_listing_finish(&head.files, &first, &second, err))
		name_conflict(j, &first, &second, err);
	if (!err->code && !vt_depot_set_head(r->depot, j->pipeline->name, &head, err)) {
		struct held *h = vt_xcalloc(1, sizeof *h);
		j->changed = !old || memcmp(&old->commit, &head.commit, sizeof head.commit);
		*h = (struct held){ vt_xstrdup(j->pipeline->name), head, r->heads };
		r->heads = h;
		vt_fault_point("head");
		return 0;
	}
	vt_head_release(&head);
	return err->code;
}

static void finish_job(struct vt_run *r, struct vt_job *j)
{
	struct vt_err err = VT_ERR_INIT;
	j->state = j->count[VT_DATUM_FAILED] || j->count[VT_DATUM_PENDING] ? VT_JOB_FAILED : VT_JOB_DONE;
	if (j->state == VT_JOB_DONE && publish_job(r, j, &err)) {
		vt_log(VT_LOG_ERROR, "job", "pipeline=%s error=\"%s\"", j->pipeline->name, err.text);
		j->state = VT_JOB_FAILED;
	}
	j->seconds = seconds_since(&j->began);
	if (j->state == VT_JOB_FAILED && r->opts.fail_fast)
		r->stop = true;
	vt_board_job(j);
}

/* --- one datum ------------------------------------------------------------------------------------------------------ */

struct vt_attempt_of vt_run_attempt(const struct vt_run *r, const struct vt_job *j, const struct vt_task *t)
{
	return (struct vt_attempt_of){ j->pipeline, t->datum, r->depot, r->id, r->scratch, t->gpu };
}

static bool admit(struct vt_run *r, const struct vt_job *j, struct vt_task *t)
{
	if (r->running >= (size_t)r->opts.jobs || j->running >= (size_t)(j->pipeline->parallelism > 0 ? j->pipeline->parallelism : 1))
		return false;
	if (r->opts.memory > 0 && r->running && r->memory + j->pipeline->memory > r->opts.memory)
		return false;
	t->gpu = -1;
	if (j->pipeline->gpus && r->opts.gpus) {
		for (long long g = 0; g < r->opts.gpus && g < 64 && t->gpu < 0; g++)
			if (!(r->gpus_taken >> g & 1))
				t->gpu = g;
		if (t->gpu < 0)
			return false;
		r->gpus_taken |= 1ull << t->gpu;
	}
	return true;
}

static int start_try(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	struct vt_attempt_of of = vt_run_attempt(r, j, t);
	/* No other runner's path, ever: what a killed one left running must not find this try's output by its own path. */
	char *dir = vt_asprintf("%s/work/%s.%.16s.%d.%ld.%lx", vt_depot_path(r->depot), j->pipeline->name, t->datum->id, ++t->tries, (long)getpid(),
				(unsigned long)r->began.tv_nsec);
	clock_gettime(CLOCK_MONOTONIC, &t->began);
	t->in_err_cmd = t->timed_out = false;
	vt_attempt_remove(&t->attempt);
	int rc = vt_attempt_view(&t->attempt, &of, dir, err);
	free(dir);
	vt_fault_point("view");
	if (!rc)
		rc = vt_attempt_start(&t->attempt, &of, VT_ATTEMPT_CMD, err);
	vt_fault_point("started");
	return rc;
}

static int start_task(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	move(j, t, VT_DATUM_RUNNING);
	j->running++;
	r->running++;
	r->memory += j->pipeline->memory;
	return start_try(r, j, t, err);
}

static void end_task(struct vt_run *r, struct vt_job *j, struct vt_task *t, enum vt_datum_state state)
{
	struct vt_err ignored = VT_ERR_INIT;
	char *dir = vt_asprintf("%s/logs/%s", vt_depot_path(r->depot), j->pipeline->name), *log = vt_path_join(dir, t->datum->id);
	if (vt_fs_exists(t->attempt.log) && !vt_fs_mkdirs(dir, &ignored))
		vt_fs_rename(t->attempt.log, log, &ignored);
	free(dir);
	free(log);
	vt_attempt_remove(&t->attempt);
	move(j, t, state);
	j->running--;
	r->running--;
	r->memory -= j->pipeline->memory;
	if (t->gpu >= 0)
		r->gpus_taken &= ~(1ull << t->gpu);
	vt_board_datum(j, t);
}

static bool accepted(const struct vt_pipeline *p, int code)
{
	const struct vt_json *list = vt_json_get(p->transform, "acceptReturnCode");
	for (size_t i = 0; list && i < list->n; i++)
		if (vt_json_integer(list->item[i], -1) == code)
			return true;
	return code == 0;
}

static int publish_task(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	struct vt_attempt_of of = vt_run_attempt(r, j, t);
	struct vt_result result = { .state = t->exit_code == VT_EDATA ? VT_RESULT_QUARANTINED : VT_RESULT_SUCCESS,
				    .exit_code = t->exit_code, .tries = t->tries, .wall_ms = t->wall_ms };
	snprintf(result.pipeline, sizeof result.pipeline, "%s", j->pipeline->name);
	snprintf(result.datum, sizeof result.datum, "%s", t->datum->id);
	if (!vt_attempt_check_inputs(&t->attempt, &of, err))
		vt_depot_publish(r->depot, &t->key, &result, t->attempt.out, err);
	vt_result_release(&result);
	return err->code;
}

/* A process of the datum ended.  Returns non-zero only when the runner itself cannot go on. */
static int task_ended(struct vt_run *r, struct vt_job *j, struct vt_task *t, int status, struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	vt_attempt_kill(&t->attempt);
	t->attempt.pid = 0;
	if (t->in_err_cmd) {
		t->err_cmd_ok = code == 0;
	} else {
		t->exit_code = code;
		t->wall_ms = (long long)(1e3 * seconds_since(&t->began));
		vt_fault_point("ended");
		if (!t->timed_out && WIFEXITED(status) && accepted(j->pipeline, code) && !publish_task(r, j, t, &why)) {
			end_task(r, j, t, code == VT_EDATA ? VT_DATUM_QUARANTINED : VT_DATUM_SUCCESS);
			return 0;
		}
		if (why.code)
			vt_log(VT_LOG_WARN, "try", "pipeline=%s id=%.16s try=%d error=\"%s\"", j->pipeline->name, t->datum->id, t->tries, why.text);
		if (why.code == VT_EIO || why.code == VT_ECANTCREAT)
			return *err = why, why.code;
		t->err_cmd_ok = false;
		if (vt_json_get(j->pipeline->transform, "errCmd")) {
			struct vt_attempt_of of = vt_run_attempt(r, j, t);
			t->in_err_cmd = true;
			return vt_attempt_start(&t->attempt, &of, VT_ATTEMPT_ERR_CMD, err);
		}
	}
	/* Bad input stays bad: exit 65 is not tried again. */
	if (t->tries < j->pipeline->tries && t->exit_code != VT_EDATA && !r->stop)
		return start_try(r, j, t, err);
	end_task(r, j, t, t->err_cmd_ok ? VT_DATUM_RECOVERED : VT_DATUM_FAILED);
	return 0;
}

/* --- the loop ------------------------------------------------------------------------------------------------------- */

struct upstream {
	struct vt_run *r;
	const struct vt_job *self;
	bool waits;
	const char *broken;
};

static void upstream_leaf(void *ctx, const struct vt_input *leaf)
{
	struct upstream *u = ctx;
	for (size_t i = 0; i < u->r->spec->n; i++) {
		const struct vt_job *up = &u->r->job[i];
		if (up == u->self || leaf->kind != VT_INPUT_PFS || strcmp(up->pipeline->name, leaf->repo))
			continue;
		u->waits |= up->state != VT_JOB_DONE;
		if (up->state == VT_JOB_FAILED || up->state == VT_JOB_UNRUNNABLE)
			u->broken = up->pipeline->name;
	}
}

static int advance_job(struct vt_run *r, struct vt_job *j, bool *moved, struct vt_err *err)
{
	if (j->state == VT_JOB_WAITING) {
		struct upstream u = { r, j, false, NULL };
		vt_input_leaves(j->pipeline->input, upstream_leaf, &u);
		if (u.broken) {
			j->state = VT_JOB_UNRUNNABLE;
			j->because = u.broken;
			vt_board_job(j);
			*moved = true;
		}
		if (u.waits)
			return 0;
		if (vt_run_prepare(r, j, err))
			return err->code;
		j->state = VT_JOB_ACTIVE;
		*moved = true;
	}
	if (j->state != VT_JOB_ACTIVE)
		return 0;
	j->seconds = seconds_since(&j->began);
	for (; j->next < j->n && !r->stop; j->next++) {
		if (j->task[j->next].state != VT_DATUM_PENDING)
			continue;
		if (!admit(r, j, &j->task[j->next]))
			break;
		if (start_task(r, j, &j->task[j->next], err))
			return err->code;
	}
	if (!j->running && (j->next == j->n || r->stop)) {
		finish_job(r, j);
		*moved = true;
	}
	return 0;
}

static int reap(struct vt_run *r, bool *moved, struct vt_err *err)
{
	int status;
	pid_t pid;
	while (!err->code && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < r->spec->n; i++)
			for (size_t t = 0; t < r->job[i].n; t++)
				if (r->job[i].task[t].state == VT_DATUM_RUNNING && r->job[i].task[t].attempt.pid == pid) {
					*moved = true;
					task_ended(r, &r->job[i], &r->job[i].task[t], status, err);
					goto next;
				}
next:
	return err->code;
}

static void enforce_timeouts(struct vt_run *r)
{
	for (size_t i = 0; i < r->spec->n; i++) {
		struct vt_job *j = &r->job[i];
		double datum = j->pipeline->datum_timeout, job = j->pipeline->job_timeout;
		if (j->state != VT_JOB_ACTIVE || (datum <= 0 && job <= 0))
			continue;
		bool late = job > 0 && seconds_since(&j->began) > job;
		for (size_t t = 0; t < j->n; t++) {
			struct vt_task *task = &j->task[t];
			if (task->state != VT_DATUM_RUNNING || (!late && (datum <= 0 || seconds_since(&task->began) < datum)))
				continue;
			task->timed_out = true;
			if (late)
				task->tries = (int)j->pipeline->tries;
			vt_attempt_kill(&task->attempt);
		}
		if (late)
			j->next = j->n;
	}
}

int vt_run_execute(struct vt_run *r, struct vt_err *err)
{
	sigset_t child, before;
	bool failed = false;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	while (!err->code) {
		bool moved = false;
		for (size_t i = 0; i < r->spec->n && !err->code; i++)
			advance_job(r, &r->job[i], &moved, err);
		vt_board_draw(r, false);
		if (err->code || (!moved && !r->running))
			break;
		reap(r, &moved, err);
		if (!moved && r->running) {
			const struct timespec tick = { 0, 100000000 };
			sigtimedwait(&child, NULL, &tick);
			enforce_timeouts(r);
			reap(r, &moved, err);
		}
	}
	for (size_t i = 0; i < r->spec->n; i++) {
		failed |= r->job[i].state != VT_JOB_DONE;
		for (size_t t = 0; t < r->job[i].n; t++)
			vt_attempt_kill(&r->job[i].task[t].attempt);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	vt_board_draw(r, true);
	return err->code ? err->code : failed ? VT_EFAIL : 0;
}
