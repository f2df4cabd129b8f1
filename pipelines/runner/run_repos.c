/* run_repos.c - what a run binds to the repos that it reads, before it reads them.
 *
 * --repo NAME=PATH is always bound.  A spec's default (the annotation voxtrail/repo.NAME) is bound
 * only where nobody has committed anything of their own: where the branch has no commit, or its
 * head is one that a default made.  Any other head stays, whatever the default holds.
 *
 * All bindings are looked at before the first of them is committed, so that a run which cannot
 * start moves nothing.  Who only looks commits nothing at all: the directory is hashed, and the
 * run sees a snapshot that is in no store, whose id is its tree's in place of a commit's. */
#include "pipelines/runner/job_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"

static const char *bound(const struct vt_run_opts *opts, const char *repo)
{
	size_t n = strlen(repo);

	for (size_t i = 0; opts->repos && i < opts->repos->n; i++)
		if (!strncmp(opts->repos->v[i], repo, n) && opts->repos->v[i][n] == '=')
			return opts->repos->v[i] + n + 1;
	return NULL;
}

static const char *default_of(const struct vt_pipeline *pipeline, const char *repo)
{
	char *key = vt_asprintf("voxtrail/repo.%s", repo);
	const char *value = vt_pipeline_annotation(pipeline, key);

	free(key);
	return value;
}

bool vt_run_binds(const struct vt_run *run, const char *repo, const char *branch)
{
	for (size_t i = 0; i < run->n_bound; i++)
		if (!strcmp(run->bound[i].repo, repo) && !strcmp(run->bound[i].branch, branch))
			return true;
	return false;
}

struct collecting {
	struct vt_run *r;
	const struct vt_pipeline *pipeline;
};

/* Once a branch. */
static void collect_leaf(void *ctx, const struct vt_input *leaf)
{
	struct collecting *c = ctx;
	struct vt_run *r = c->r;
	const char *from = bound(&r->opts, leaf->repo),
		   *otherwise = default_of(c->pipeline, leaf->repo);

	if ((!from && !otherwise) || vt_spec_find(r->spec, leaf->repo) ||
		vt_run_binds(r, leaf->repo, leaf->branch))
		return;
	r->bound = vt_xrealloc(r->bound, (r->n_bound + 1) * sizeof(*r->bound));
	r->bound[r->n_bound++] = (struct vt_bind){
		.repo = leaf->repo,
		.branch = leaf->branch,
		.from = from ? vt_xstrdup(from) : vt_path_join(r->spec->dir, otherwise),
		.by_default = from ? NULL : otherwise,
	};
}

/* Does a default give way to the branch's head?  Says so where they differ. */
static bool gives_way(struct vt_run *run, const struct vt_bind *to, struct vt_err *err)
{
	struct vt_commit head = { .id = "" };
	struct vt_err none = VT_ERR_INIT;
	char *what = vt_asprintf("%s@heads/%s", to->repo, to->branch), hex[VT_HEX] = "";
	int rc = vt_repo_resolve(vt_run_store(run), &head, what, &none);
	bool stays = !rc && !vt_commit_by_default(&head);
	struct vt_tree *t = NULL;

	if (rc && rc != VT_ENOINPUT)
		*err = none;
	if (stays && vt_fs_exists(to->from) && !vt_runner_hash(run->runner, &t, to->from, &none))
		vt_digest_hex(hex, &t->id);
	if (stays && strcmp(hex, head.tree))
		vt_log(VT_LOG_INFO, "kept",
			"repo=\"%s\" commit=%.16s default=\"%s\" note=\"the repo has a commit of "
			"its own, which stays; --repo %s=PATH binds another\"",
			to->repo, head.id, to->from, to->repo);
	vt_tree_free(t);
	vt_commit_release(&head);
	free(what);
	return stays;
}

int vt_run_collect(struct vt_run *run, struct vt_err *err)
{
	struct collecting c = { .r = run };
	size_t n = 0;

	for (size_t i = 0; i < run->spec->n; i++) {
		c.pipeline = &run->spec->pipeline[i];
		vt_input_leaves(c.pipeline->input, collect_leaf, &c);
	}
	for (size_t i = 0; i < run->n_bound; i++) {
		struct vt_bind b = run->bound[i];

		if (!err->code && b.by_default && gives_way(run, &b, err)) {
			free(b.from);
			continue;
		}
		if (!err->code)
			vt_runner_may_commit(run->runner, &b, err);
		run->bound[n++] = b;
	}
	run->n_bound = n;
	return err->code;
}

/* What the branch would hold, if that is not what it holds. */
static int look(struct vt_run *run, const struct vt_bind *to, struct vt_err *err)
{
	char *name = vt_asprintf("%s@%s", to->repo, to->branch);
	struct vt_snapshot *seen = NULL, *head = NULL;
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *t = NULL;

	if (!vt_runner_hash(run->runner, &t, to->from, err) &&
		(vt_snapshot_open(&head, vt_run_store(run), to->repo, to->branch, &none) ||
			!vt_digest_equal(&head->tree->id, &t->id))) {
		seen = vt_snapshot_of_tree(t);
		vt_digest_hex(seen->commit.id, &t->id);
		vt_run_hold(run, name, seen);
		t = NULL;
	}
	vt_snapshot_close(head);
	vt_tree_free(t);
	free(name);
	return err->code ? vt_err_prefix(err, "repo %s", to->repo) : 0;
}

int vt_run_bind(struct vt_run *run, struct vt_err *err)
{
	bool looking = run->opts.planning && !run->opts.binding;

	for (size_t i = 0; i < run->n_bound && !err->code; i++) {
		const struct vt_bind *to = &run->bound[i];
		bool changed = false;

		if (looking)
			look(run, to, err);
		else if (!vt_runner_commit(run->runner, to, &changed, err) && changed)
			vt_log(VT_LOG_INFO, "commit", "repo=\"%s\" from=\"%s\"", to->repo,
				to->from);
	}
	return err->code;
}

void vt_run_unbind(struct vt_run *run)
{
	for (size_t i = 0; i < run->n_bound; i++)
		free(run->bound[i].from);
	free(run->bound);
	run->bound = NULL;
	run->n_bound = 0;
}
