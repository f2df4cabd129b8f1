/* A commit's tree by path, and who wrote which file of it.
 *
 * The origins are read when the first one is asked for: the commit's provenance names the list of
 * keys it is the union of, each key a result, each result the tree of its files.  Only results that
 * left lineage count, so that own commands cost one small file each.  Lineage trees are read when
 * they are placed. */
#include "pipelines/runner/snapshot.h"

#include <stdlib.h>
#include <string.h>

struct origin {
	char *path; /* in the tree */
	size_t result;
};

struct vt_origins {
	struct vt_result *result;
	struct vt_tree **lineage; /* of each result, once it was read */
	size_t n_results;
	struct origin *v; /* sorted by path */
	size_t n, cap;
};

int vt_snapshot_of(struct vt_snapshot **out, struct vt_store *store, const char *commit,
	struct vt_err *err)
{
	struct vt_snapshot *seen = vt_xcalloc(1, sizeof(*seen));
	struct vt_digest tree;
	int rc = vt_commit_read(store, &seen->commit, commit, err);

	if (!rc && !vt_digest_parse(&tree, seen->commit.tree))
		rc = vt_err_set(err, VT_EINTEGRITY, "commit %s names no tree", commit);
	if (!rc && vt_store_get_tree(store, &seen->tree, &tree, err)) {
		rc = err->code = VT_EINTEGRITY;
		vt_err_prefix(err, "commit %s", commit);
	}
	if (rc) {
		vt_snapshot_close(seen);
		return rc;
	}
	vt_tree_paths_of(&seen->paths, seen->tree);
	*out = seen;
	return 0;
}

int vt_snapshot_open(struct vt_snapshot **out, struct vt_store *store, const char *repo,
	const char *branch, struct vt_err *err)
{
	struct vt_commit head = { .id = "" };
	char *what = vt_asprintf("%s@heads/%s", repo, branch);
	int rc = vt_repo_resolve(store, &head, what, err);

	if (!rc)
		rc = vt_snapshot_of(out, store, head.id, err);
	vt_commit_release(&head);
	free(what);
	return rc;
}

struct vt_snapshot *vt_snapshot_of_tree(struct vt_tree *tree)
{
	struct vt_snapshot *seen = vt_xcalloc(1, sizeof(*seen));

	seen->tree = tree;
	seen->commit.provenance = vt_xstrdup("");
	vt_tree_paths_of(&seen->paths, tree);
	return seen;
}

struct vt_snapshot *vt_snapshot_share(struct vt_snapshot *seen)
{
	seen->shared++;
	return seen;
}

static void origins_free(struct vt_origins *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n_results; i++)
		vt_tree_free(o->lineage[i]);
	for (size_t i = 0; i < o->n; i++)
		free(o->v[i].path);
	free(o->v);
	free(o->lineage);
	free(o->result);
	free(o);
}

void vt_snapshot_close(struct vt_snapshot *seen)
{
	if (!seen || seen->shared) {
		if (seen)
			seen->shared--;
		return;
	}
	origins_free(seen->origins);
	vt_tree_paths_release(&seen->paths);
	vt_tree_free(seen->tree);
	vt_commit_release(&seen->commit);
	free(seen);
}

/* --- origins ------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct origin *)a)->path, ((const struct origin *)b)->path);
}

static int add_files(struct vt_origins *o, struct vt_store *s, size_t result, struct vt_err *err)
{
	struct vt_tree *t = NULL;

	if (vt_store_get_tree(s, &t, &o->result[result].tree, err))
		return err->code;
	if (o->n + t->n_files > o->cap) {
		o->cap = 2 * (o->n + t->n_files);
		o->v = vt_xrealloc(o->v, o->cap * sizeof(*o->v));
	}
	for (size_t i = 0; i < t->n_files; i++)
		o->v[o->n++] = (struct origin){ vt_xstrdup(t->file[i].path), result };
	vt_tree_free(t);
	return 0;
}

static int read_origins(struct vt_origins **out, struct vt_store *s, const char *provenance,
	struct vt_err *err)
{
	struct vt_origins *o = vt_xcalloc(1, sizeof(*o));
	struct vt_digest *key = NULL;
	size_t n = 0;
	struct vt_err why = VT_ERR_INIT;
	int rc = vt_result_list_get(s, provenance, &key, &n, &why);

	/* a commit that was pulled without its results */
	if (rc == VT_ENOINPUT)
		rc = 0;
	else if (rc)
		*err = why;
	o->result = vt_xcalloc(n + 1, sizeof(*o->result));
	o->lineage = vt_xcalloc(n + 1, sizeof(*o->lineage));
	for (size_t i = 0; !rc && i < n; i++) {
		struct vt_err none = VT_ERR_INIT;

		if (vt_result_get(s, &o->result[o->n_results], &key[i], &none) ||
			!o->result[o->n_results].has_lineage)
			continue;
		rc = add_files(o, s, o->n_results++, err);
	}
	if (o->n > 1)
		qsort(o->v, o->n, sizeof(*o->v), by_path);
	free(key);
	if (rc)
		origins_free(o);
	else
		*out = o;
	return rc;
}

int vt_snapshot_lineage(struct vt_snapshot *seen, struct vt_store *store,
	const struct vt_tree_file *file, const struct vt_tree **out, struct vt_err *err)
{
	const struct origin wanted = { .path = file->path }, *found;
	size_t at;

	*out = NULL;
	if (!*seen->commit.provenance)
		return 0;
	if (!seen->origins && read_origins(&seen->origins, store, seen->commit.provenance, err))
		return err->code;
	found = seen->origins->n
		? bsearch(&wanted, seen->origins->v, seen->origins->n, sizeof(wanted), by_path)
		: NULL;
	if (!found)
		return 0;
	at = found->result;
	if (!seen->origins->lineage[at] &&
		vt_store_get_tree(store, &seen->origins->lineage[at],
			&seen->origins->result[at].lineage, err))
		return err->code;
	*out = seen->origins->lineage[at];
	return 0;
}

static bool holds(struct vt_store *s, const struct vt_digest *tree, const char *path)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *t = NULL;
	bool found;

	if (vt_store_get_tree(s, &t, tree, &none))
		return false;
	found = vt_tree_find(t, path) != NULL;
	vt_tree_free(t);
	return found;
}

bool vt_snapshot_origin(const struct vt_snapshot *seen, struct vt_store *store, const char *path,
	struct vt_result *out)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_digest *key = NULL;
	size_t n = 0;
	bool found = false;

	if (!*seen->commit.provenance ||
		vt_result_list_get(store, seen->commit.provenance, &key, &n, &none))
		return false;
	for (size_t i = 0; i < n && !found; i++)
		found = !vt_result_get(store, out, &key[i], &none) &&
			holds(store, &out->tree, path);
	free(key);
	return found;
}
