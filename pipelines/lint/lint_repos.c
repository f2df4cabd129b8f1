/* What only the data can tell: repos that nobody fills, globs that match nothing. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "pipelines/runner/snapshot.h"
#include "pipelines/spec/glob.h"
#include "pipelines/lint/lint.h"

struct looking {
	const struct vt_spec *s;
	const struct vt_pipeline *p;
	const struct vt_strs *binds;
	struct vt_store *store; /* NULL: none given */
	struct vt_findings *f;
	const struct vt_input *leaf;
	bool found;
	/* the first path that run refuses, and the first that Pachyderm does */
	char *bad, *odd;
};

static void test_path(struct looking *looking, const char *path)
{
	char *clean = vt_glob_clean(path);
	looking->found |= vt_glob_match(NULL, looking->leaf->glob, clean);
	if (!looking->bad && clean[1] && !vt_path_is_portable(clean + 1))
		looking->bad = vt_xstrdup(clean);
	if (!looking->odd && strpbrk(clean, "!()@+^"))
		looking->odd = vt_xstrdup(clean);
	free(clean);
}

static int test_entry(void *ctx, const char *relative, char type, struct vt_err *err)
{
	(void)type;
	(void)err;
	test_path(ctx, relative);
	return 0;
}

static const char *bound(const struct looking *looking, const char *repo)
{
	size_t n = strlen(repo);
	for (size_t i = 0; i < looking->binds->n; i++)
		if (!strncmp(looking->binds->v[i], repo, n) && looking->binds->v[i][n] == '=')
			return looking->binds->v[i] + n + 1;
	return NULL;
}

static void add(const struct looking *looking, enum vt_finding_level level, const char *rest,
	const char *text)
{
	char *at = vt_asprintf("%s%s", looking->leaf->pointer, rest);
	vt_findings_add(looking->f, level, at, "%s", text);
	free(at);
}

static void judge_names(struct looking *looking)
{
	char *text = looking->bad
		? vt_asprintf("holds %s: printable ASCII without \\ * ? [ ] { } only; rename it",
			  looking->bad)
		: vt_asprintf("holds %s: Pachyderm takes no ! ( ) @ + ^ in a path; rename it to "
			      "run there",
			  looking->odd ? looking->odd : "");
	if (looking->bad || looking->odd)
		add(looking, looking->bad ? VT_FINDING_ERROR : VT_FINDING_WARNING, "/pfs/repo",
			text);
	free(text);
	free(looking->bad);
	free(looking->odd);
	looking->bad = looking->odd = NULL;
}

static void look_leaf(void *ctx, const struct vt_input *leaf)
{
	struct looking *l = ctx;
	struct vt_snapshot *head = NULL;
	struct vt_err why = VT_ERR_INIT;
	char *key = vt_asprintf("voxtrail/repo.%s", leaf->repo), *other = NULL;
	const char *dir = bound(l, leaf->repo), *otherwise = vt_pipeline_annotation(l->p, key);
	free(key);
	if (leaf->kind != VT_INPUT_PFS || vt_spec_find(l->s, leaf->repo))
		return;
	l->leaf = leaf;
	l->found = !strcmp(leaf->glob, "/");
	if (l->store)
		vt_snapshot_open(&head, l->store, leaf->repo, leaf->branch, &why);
	/* as a run chooses, see run_repos.c */
	if (!dir && otherwise && (!head || vt_commit_by_default(&head->commit)))
		dir = other = vt_path_join(l->s->dir, otherwise);
	if (dir && vt_fs_is_dir(dir))
		vt_fs_walk(dir, test_entry, l, &why);
	else if (dir && vt_fs_exists(dir))
		test_path(l, "/manifest.json");
	else if (dir)
		add(l, VT_FINDING_ERROR, "/pfs/repo",
			"its directory does not exist; correct --repo or the annotation");
	else if (!head)
		add(l, VT_FINDING_ERROR, "/pfs/repo",
			"is no pipeline of this file, and no repo that has a commit; "
			"correct the name, or commit it");
	for (size_t i = 0; !dir && head && i < head->paths.n; i++)
		test_path(l, head->paths.v[i].path);
	if (!l->found && ((dir && vt_fs_exists(dir)) || (head && head->paths.n)))
		add(l, VT_FINDING_WARNING, "/pfs/glob",
			"matches nothing that is there now, so there is no datum; "
			"correct the glob, or add the data");
	judge_names(l);
	vt_snapshot_close(head);
	free(other);
}

int vt_lint_repos(const struct vt_spec *spec, const struct vt_strs *binds, const char *store,
	struct vt_findings *findings, struct vt_err *err)
{
	struct looking l = { .s = spec, .binds = binds, .f = findings };
	if (store && vt_store_open(&l.store, store, VT_STORE_READ, err))
		return err->code;
	for (size_t i = 0; i < spec->n; i++) {
		l.p = &spec->pipeline[i];
		vt_input_leaves(l.p->input, look_leaf, &l);
	}
	vt_store_close(l.store);
	return 0;
}
