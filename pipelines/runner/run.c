/* A run is opened in this order: every input must have a head or something that is bound to it,
 * programs are hashed, what is bound is committed (run_repos.c), consent is asked for all that is
 * to be read, and the run is named by what it reads and executes.  Heads are held in a list from
 * their first use on, so all jobs see one state of the repos whoever commits meanwhile.  The run
 * owns the list, its jobs and the runner; the spec is the caller's and outlives it. */
#include "pipelines/runner/job_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/lineage/consent.h"
#include "common/store/git.h"

size_t vt_run_jobs(const struct vt_run *run)
{
	return run->spec->n;
}
struct vt_job *vt_run_job(struct vt_run *run, size_t i)
{
	return &run->job[i];
}
struct vt_runner *vt_run_runner(const struct vt_run *run)
{
	return run->runner;
}
/* --- opening: repos, heads ----------------------------------------------- */

struct vt_snapshot *vt_run_snapshot(void *ctx, const struct vt_input *leaf)
{
	return leaf->trigger ? vt_run_trigger(ctx, leaf)
			     : vt_run_head(ctx, leaf->repo, leaf->branch);
}

struct demanding {
	struct vt_run *r;
	struct vt_consent consent;
	struct vt_err *err;
};

/* Has the branch a head, or will it have one? */
static bool expected(struct vt_run *run, const struct vt_input *leaf)
{
	struct vt_commit head = { .id = "" };
	struct vt_err none = VT_ERR_INIT;
	char *what = vt_asprintf("%s@heads/%s", leaf->repo, leaf->branch);
	bool is = vt_run_binds(run, leaf->repo, leaf->branch) ||
		vt_repo_resolve(vt_run_store(run), &head, what, &none) != VT_ENOINPUT;

	vt_commit_release(&head);
	free(what);
	return is;
}

/* Before anything is committed. */
static void expect_leaf(void *ctx, const struct vt_input *leaf)
{
	struct demanding *d = ctx;

	if (!d->err->code && leaf->kind == VT_INPUT_PFS && !vt_spec_find(d->r->spec, leaf->repo) &&
		!expected(d->r, leaf))
		vt_err_set(d->err, VT_ENOINPUT,
			"%s: %s: repo %s has no commit and is no pipeline here; give --repo "
			"%s=DIR, or `voxtrail commit %s DIR`",
			d->r->spec->path, leaf->pointer, leaf->repo, leaf->repo, leaf->repo);
}

static void hold_leaf(void *ctx, const struct vt_input *leaf)
{
	struct demanding *d = ctx;

	if (d->err->code)
		return;
	if (leaf->kind == VT_INPUT_PFS && !vt_spec_find(d->r->spec, leaf->repo))
		vt_run_head(d->r, leaf->repo, leaf->branch);
	if (leaf->kind == VT_INPUT_CRON && !vt_run_head(d->r, leaf->repo, leaf->branch))
		vt_log(VT_LOG_WARN, "cron",
			"repo=\"%s\" note=\"no tick yet: no datum; `voxtrail tick` commits one\"",
			leaf->repo);
}

/* A stage refuses the files of a subject who withdrew; a datum that is skipped asks no stage, so
 * the run asks here. */
static void refuse_withdrawn(void *ctx, const struct vt_input *leaf)
{
	struct demanding *d = ctx;
	const struct vt_snapshot *seen =
		d->err->code || leaf->kind != VT_INPUT_PFS || vt_spec_find(d->r->spec, leaf->repo)
		? NULL
		: vt_run_head(d->r, leaf->repo, leaf->branch);
	for (size_t i = 0; seen && i < seen->tree->n_files; i++) {
		const char *path = seen->tree->file[i].path;
		const struct vt_json *who = vt_consent_named(&d->consent, path);
		if (who) {
			vt_err_set(d->err, VT_EDATA,
				"repo %s: %s is of subject %s, who has withdrawn consent (%s); "
				"take the subject's files out and run again",
				leaf->repo, path, vt_json_text(vt_json_get(who, "subject"), ""),
				vt_json_text(vt_json_get(who, "reason"), ""));
			return;
		}
	}
}

static int check_consent(struct vt_run *run, struct demanding *demanding)
{
	if (!vt_consent_read_store(&demanding->consent, run->store, demanding->err) &&
		vt_consent_count(&demanding->consent))
		for (size_t i = 0; i < run->spec->n; i++)
			vt_input_leaves(run->spec->pipeline[i].input, refuse_withdrawn, demanding);
	vt_consent_release(&demanding->consent);
	return demanding->err->code;
}

/* The same spec over the same commits is the same global id, as a version 4 UUID. */
static void name_run(struct vt_run *run)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest h;
	char hex[VT_HEX];
	vt_buf_sized(&text, "job2");
	for (size_t i = 0; i < run->spec->n; i++)
		vt_buf_add(&text, run->job[i].transform.b, sizeof run->job[i].transform.b);
	for (struct held *held = run->heads; held; held = held->next) {
		vt_buf_sized(&text, held->name);
		vt_buf_sized(&text, held->seen ? held->seen->commit.id : "");
	}
	h = vt_digest_bytes(text.data, text.len);
	vt_buf_release(&text);
	h.b[6] = (unsigned char)((h.b[6] & 0x0f) | 0x40);
	h.b[8] = (unsigned char)((h.b[8] & 0x3f) | 0x80);
	vt_digest_hex(hex, &h);
	memcpy(run->id, hex, 32);
	run->id[32] = 0;
}

static int read_secrets(struct vt_run *run, struct vt_err *err)
{
	if (run->opts.secrets && !vt_json_read(&run->secrets, run->opts.secrets, err) &&
		run->secrets->type != VT_JSON_OBJECT)
		vt_err_set(err, VT_EUSAGE, "%s: write {\"<secret>\": {\"<key>\": \"<value>\"}}",
			run->opts.secrets);
	return err->code;
}

/* Where the spec is kept: the work tree's commit, and whether the file is what was committed. */
static void note_source(struct vt_run *run)
{
	struct vt_json *j = vt_git_source(run->spec->path);
	struct vt_buf text = VT_BUF_INIT;
	if (!j)
		return;
	vt_json_compact(&text, j);
	run->source = vt_buf_detach(&text);
	vt_json_free(j);
}

static int open_store(struct vt_run *run, struct vt_err *err)
{
	enum vt_runner_aim aim = VT_RUNNER_RUN;

	if (run->opts.planning)
		aim = run->opts.looking ? VT_RUNNER_LOOK : VT_RUNNER_PLAN;
	if (vt_runner_open(&run->runner, run->opts.store, aim, err))
		return err->code;
	run->store = vt_xstrdup(vt_store_dir(vt_run_store(run)));
	run->scratch = vt_path_join(run->store, "scratch");
	note_source(run);
	return vt_store_is_read_only(vt_run_store(run)) ? 0 : vt_fs_mkdirs(run->scratch, err);
}

static int prepare_jobs(struct vt_run *run, struct vt_err *err)
{
	for (size_t i = 0; i < run->spec->n && !err->code; i++) {
		run->job[i].pipeline = &run->spec->pipeline[run->spec->order[i]];
		run->job[i].state = VT_JOB_WAITING;
		vt_transform_hash(&run->job[i].transform, &run->job[i].used, run->job[i].pipeline,
			err);
	}
	return err->code;
}

static int each_leaf(struct demanding *demanding,
	void (*fn)(void *ctx, const struct vt_input *leaf))
{
	for (size_t i = 0; i < demanding->r->spec->n && !demanding->err->code; i++)
		vt_input_leaves(demanding->r->spec->pipeline[i].input, fn, demanding);
	return demanding->err->code;
}

int vt_run_open(struct vt_run **out, const struct vt_spec *spec, const struct vt_run_opts *opts,
	struct vt_err *err)
{
	struct vt_run *r = vt_xcalloc(1, sizeof *r);
	struct demanding d = { .r = r, .err = err };

	r->spec = spec;
	clock_gettime(CLOCK_REALTIME, &r->began);
	r->opts = *opts;
	r->job = vt_xcalloc(spec->n + 1, sizeof *r->job);
	if (!read_secrets(r, err) && !open_store(r, err) && !vt_run_collect(r, err) &&
		!each_leaf(&d, expect_leaf) && !prepare_jobs(r, err) && !vt_run_bind(r, err))
		each_leaf(&d, hold_leaf);
	if (!err->code && r->fault.code)
		*err = r->fault;
	if (!err->code && !opts->planning)
		check_consent(r, &d);
	if (err->code) {
		vt_run_close(r);
		return err->code;
	}
	name_run(r);
	*out = r;
	return 0;
}

void vt_run_close(struct vt_run *run)
{
	if (!run)
		return;
	for (size_t i = 0; i < run->spec->n; i++) {
		for (size_t t = 0; t < run->job[i].n; t++) {
			vt_attempt_remove(&run->job[i].task[t].attempt);
			free(run->job[i].task[t].why);
		}
		vt_datums_release(&run->job[i].datums);
		vt_programs_release(&run->job[i].used);
		free(run->job[i].task);
	}
	for (struct held *h = run->heads, *next; h; h = next) {
		next = h->next;
		vt_snapshot_close(h->seen);
		free(h->name);
		free(h);
	}
	vt_run_unbind(run);
	vt_runner_close(run->runner);
	free(run->known);
	vt_json_free(run->secrets);
	free(run->job);
	free(run->store);
	free(run->source);
	free(run->scratch);
	free(run);
}
