/* Are commits and refs what they say, and is what they name there? */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/repo_internal.h"

struct check {
	struct vt_store *s;
	void (*found)(void *ctx, const char *sentence);
	void *ctx;
	size_t n, bad;
};

static void report(struct check *check, char *sentence)
{
	check->bad++;
	check->found(check->ctx, sentence);
	free(sentence);
}

static bool is_there(const struct vt_store *store, const char *kind, const char *id)
{
	struct vt_digest d;
	char *path;
	bool there;

	if (!vt_digest_parse(&d, id))
		return false;
	path = vt_store_path(store, kind, &d);
	there = vt_fs_exists(path);
	free(path);
	return there;
}

static int check_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct check *c = ctx;
	struct vt_commit k = { .id = "" };
	struct vt_err why = VT_ERR_INIT;
	char *id;

	(void)err;
	if (type != 'f')
		return 0;
	c->n++;
	id = strlen(rel) == VT_HEX ? vt_asprintf("%.2s%s", rel, rel + 3) : vt_xstrdup(rel);
	if (vt_commit_read(c->s, &k, id, &why)) {
		report(c, vt_asprintf("commits/%s: %s", rel, why.text));
	} else {
		if (!is_there(c->s, "trees", k.tree))
			report(c,
				vt_asprintf("commits/%s: its tree %s is missing from trees/", rel,
					k.tree));
		for (size_t i = 0; i < k.parents.n; i++)
			if (!is_there(c->s, "commits", k.parents.v[i]))
				report(c,
					vt_asprintf("commits/%s: its parent %s is missing from "
						    "commits/",
						rel, k.parents.v[i]));
	}
	vt_commit_release(&k);
	free(id);
	return 0;
}

static void check_ref(struct check *check, const char *repo, const char *kind, const char *name)
{
	struct vt_err why = VT_ERR_INIT;
	char *full = vt_asprintf("%s/%s", kind, name), id[VT_HEX];
	int rc = vt_ref_name_is_good(name) && vt_repo_name_is_good(repo)
		? vt_ref_read(check->s, id, repo, full, &why)
		: -1;

	check->n++;
	if (rc == -1)
		report(check, vt_asprintf("refs/%s/%s: no ref can have this name", repo, full));
	else if (rc && rc != VT_ENOINPUT)
		report(check, vt_xstrdup(why.text));
	else if (!rc && !is_there(check->s, "commits", id))
		report(check,
			vt_asprintf("refs/%s/%s names commit %s, which is missing", repo, full,
				id));
	free(full);
}

static int check_ref_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct check *c = ctx;
	const char *kind = strchr(rel, '/'), *name = kind ? strchr(kind + 1, '/') : NULL;
	char *repo, *middle;

	(void)err;
	if (type == 'd')
		return 0;
	if (!name) {
		c->n++;
		report(c, vt_asprintf("refs/%s: not a ref", rel));
		return 0;
	}
	repo = vt_xstrndup(rel, (size_t)(kind - rel));
	middle = vt_xstrndup(kind + 1, (size_t)(name - kind - 1));
	check_ref(c, repo, middle, name + 1);
	free(middle);
	free(repo);
	return 0;
}

int vt_repo_check(struct vt_store *store, void (*found)(void *ctx, const char *sentence), void *ctx,
	size_t *n, size_t *bad, struct vt_err *err)
{
	struct check c = { store, found, ctx, 0, 0 };
	char *commits = vt_path_join(store->dir, "commits"),
	     *refs = vt_path_join(store->dir, "refs");
	int rc = vt_fs_is_dir(commits) ? vt_fs_walk(commits, check_file, &c, err) : 0;

	if (!rc && vt_fs_is_dir(refs))
		rc = vt_fs_walk(refs, check_ref_file, &c, err);
	*n += c.n;
	*bad += c.bad;
	free(refs);
	free(commits);
	return rc;
}
