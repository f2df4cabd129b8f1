/* A commit's tree by path, and who wrote which file of it.
 *
 * The origins are read when the first one is asked for: the commit's provenance names the list of
 * keys it is the union of, each key a result, each result the tree of its files.  Only results that
 * left lineage count, so that own commands cost one small file each.  Lineage trees are read when
 * they are placed.
 *
 * Of a commit that no run here made, the origins are the records that the store knows to have made
 * files of it: each is written as a checkout would write it, taken in, and stands for a result. */
#include "pipelines/runner/snapshot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/lineage/lineage_query.h"
#include "common/record/record_dir.h"
#include "common/store/store_internal.h"

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
		/* The commit says that the tree is here: without it the store is damaged. */
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

int vt_snapshot_made(struct vt_snapshot **out, struct vt_store *store, const char *commit,
	struct vt_tree *tree, struct vt_err *err)
{
	struct vt_snapshot *seen = vt_xcalloc(1, sizeof(*seen));
	int rc = vt_commit_read(store, &seen->commit, commit, err);

	assert(tree);
	seen->tree = tree;
	vt_tree_paths_of(&seen->paths, tree);
	if (rc)
		vt_snapshot_close(seen);
	else
		*out = seen;
	return rc;
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

	assert(tree);
	seen->tree = tree;
	seen->commit.provenance = vt_xstrdup("");
	vt_tree_paths_of(&seen->paths, tree);
	return seen;
}

struct vt_snapshot *vt_snapshot_share(struct vt_snapshot *seen)
{
	/* one holder more; vt_snapshot_close() counts down */
	seen->shared++;
	return seen;
}

static void origins_free(struct vt_origins *origins)
{
	if (!origins)
		return;
	for (size_t i = 0; i < origins->n_results; i++)
		vt_tree_free(origins->lineage[i]);
	for (size_t i = 0; i < origins->n; i++)
		free(origins->v[i].path);
	free(origins->v);
	free(origins->lineage);
	free(origins->result);
	free(origins);
}

void vt_snapshot_close(struct vt_snapshot *seen)
{
	/* shared counts holders beside the first */
	if (!seen || seen->shared) {
		if (seen)
			seen->shared--;
		return;
	}
	assert(!seen->shared);
	origins_free(seen->origins);
	vt_tree_paths_release(&seen->paths);
	vt_tree_free(seen->tree);
	vt_commit_release(&seen->commit);
	free(seen);
}

/* --- origins ------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
	const struct origin *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	/* equal paths in the order of the results */
	return order ? order : (x->result > y->result) - (x->result < y->result);
}

static int same_path(const void *a, const void *b)
{
	return strcmp(((const struct origin *)a)->path, ((const struct origin *)b)->path);
}

static void add_origin(struct vt_origins *origins, char *path, size_t result)
{
	if (origins->n == origins->cap) {
		origins->cap = origins->cap ? 2 * origins->cap : 64;
		origins->v = vt_xrealloc(origins->v, origins->cap * sizeof(*origins->v));
	}
	origins->v[origins->n++] = (struct origin){ path, result };
}

static int add_files(struct vt_origins *origins, struct vt_store *store, size_t result,
	struct vt_err *err)
{
	struct vt_tree *t = NULL;

	/* only the paths are kept of a result's tree */
	if (vt_store_get_tree(store, &t, &origins->result[result].tree, err))
		return err->code;
	for (size_t i = 0; i < t->n_files; i++)
		add_origin(origins, vt_xstrdup(t->file[i].path), result);
	vt_tree_free(t);
	return 0;
}

static bool keep_all(const char *path)
{
	(void)path;
	return false;
}

/* The files of the tree that a record lists, `at` being where its .lineage lies in it. */
static int add_outputs(struct vt_origins *origins, struct vt_store *store,
	const struct vt_tree *tree, const char *at, const struct vt_digest *record,
	struct vt_err *err)
{
	const struct vt_json *files;
	struct vt_json *j = NULL;
	char hex[VT_HEX];

	vt_digest_hex(hex, record);
	if (vt_store_get_record(store, &j, hex, err))
		return err->code;
	files = vt_json_pointer(j, "/outputs/0/files");
	for (size_t i = 0; files && i < files->n; i++) {
		const char *name = vt_json_text(vt_json_get(files->item[i], "path"), "");
		char *path = *at ? vt_path_join(at, name) : vt_xstrdup(name);
		const struct vt_tree_file *file = vt_tree_find(tree, path);
		struct vt_digest d;

		/* a file that was changed since is none of the record's */
		if (file &&
			vt_digest_parse(&d,
				vt_json_text(vt_json_get(files->item[i], "sha256"), "")) &&
			vt_digest_equal(&d, &file->digest))
			add_origin(origins, path, origins->n_results);
		else
			free(path);
	}
	vt_json_free(j);
	return 0;
}

/* One record's files [from, to) of what was written: `<at>/.lineage/<result>/...` */
static int add_record(struct vt_origins *origins, struct vt_store *store,
	const struct vt_tree *tree, const struct vt_tree *written, size_t from, size_t to,
	struct vt_err *err)
{
	const char *path = written->file[from].path, *mark = vt_tree_lineage_part(path);
	size_t n = mark ? (size_t)(mark - path) : 0;
	char *at = vt_xstrndup(path, n ? n - 1 : 0);
	int rc = 0;

	/* at: the folder whose .lineage it is */
	for (size_t i = from; !rc && i < to; i++)
		if (!strcmp(strrchr(written->file[i].path, '/'), "/record.json"))
			rc = add_outputs(origins, store, tree, at, &written->file[i].digest, err);
	if (!rc)
		rc = vt_tree_from_files(&origins->lineage[origins->n_results++],
			written->file + from, to - from, err);
	free(at);
	return rc;
}

/* The records of `written` each. */
static int add_records(struct vt_origins *origins, struct vt_store *store,
	const struct vt_tree *tree, const struct vt_tree *written, struct vt_err *err)
{
	int rc = 0;

	/* one lineage a record, in place of those of results */
	free(origins->lineage);
	assert(!origins->n_results);
	origins->lineage = vt_xcalloc(written->n_files + 1, sizeof(*origins->lineage));
	for (size_t from = 0, to; !rc && from < written->n_files; from = to) {
		const char *path = written->file[from].path;
		size_t n = (size_t)(strrchr(path, '/') - path) + 1;

		/* sorted: the files of a record's folder lie together */
		for (to = from + 1;
			to < written->n_files && !strncmp(written->file[to].path, path, n);)
			to++;
		rc = add_record(origins, store, tree, written, from, to, err);
	}
	return rc;
}

static int find_makers(struct vt_origins *origins, struct vt_store *store,
	const struct vt_tree *tree, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	char *name = NULL, *dir = NULL;
	struct vt_tree *written = NULL;
	struct vt_err none = VT_ERR_INIT;
	int rc = vt_lineage_makers(store, tree, &ids, err);

	if (!rc && ids.n) {
		name = vt_store_tmp_name(store);
		dir = vt_asprintf("%s/tmp/%s", vt_store_dir(store), name);
		rc = vt_fs_mkdirs(dir, err);
		if (!rc)
			rc = vt_record_dir_write(store, &ids, tree, dir, err);
		if (!rc)
			rc = vt_store_ingest(store, &written, dir,
				&(struct vt_ingest_opts){ .copy = true,
					.finished = true,
					.blobs = true,
					.leave_out = keep_all },
				err);
		/* taken in: the folder has served */
		vt_fs_remove_tree(dir, &none);
	}
	if (!rc && written)
		rc = add_records(origins, store, tree, written, err);
	vt_tree_free(written);
	vt_strs_release(&ids);
	free(name);
	free(dir);
	return rc;
}

static int read_origins(struct vt_origins **out, struct vt_store *store,
	const struct vt_snapshot *seen, struct vt_err *err)
{
	const char *provenance = seen->commit.provenance ? seen->commit.provenance : "";
	struct vt_origins *o = vt_xcalloc(1, sizeof(*o));
	struct vt_digest *key = NULL;
	size_t n = 0;
	struct vt_err why = VT_ERR_INIT;
	int rc = vt_result_list_get(store, provenance, &key, &n, &why);

	/* a commit that was pulled without its results */
	if (rc == VT_ENOINPUT)
		rc = 0;
	else if (rc)
		*err = why;
	o->result = vt_xcalloc(n + 1, sizeof(*o->result));
	o->lineage = vt_xcalloc(n + 1, sizeof(*o->lineage));
	for (size_t i = 0; !rc && i < n; i++) {
		struct vt_err none = VT_ERR_INIT;

		/* A result that gc has taken is one origin less. */
		if (vt_result_get(store, &o->result[o->n_results], &key[i], &none) ||
			!o->result[o->n_results].has_lineage)
			continue;
		rc = add_files(o, store, o->n_results++, err);
	}
	/* no run made the commit */
	if (!rc && !n)
		rc = find_makers(o, store, seen->tree, err);
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
	/* a tree without a commit has no history */
	if (!*seen->commit.id)
		return 0;
	if (!seen->origins && read_origins(&seen->origins, store, seen, err))
		return err->code;
	found = seen->origins->n
		? bsearch(&wanted, seen->origins->v, seen->origins->n, sizeof(wanted), same_path)
		: NULL;
	if (!found)
		return 0;
	/* of several results the first one that wrote the path, whichever bsearch met */
	while (found > seen->origins->v && !strcmp(found[-1].path, file->path))
		found--;
	assert(found->result < seen->origins->n_results);
	at = found->result;
	/* read when it is asked for, and kept */
	if (!seen->origins->lineage[at] &&
		vt_store_get_tree(store, &seen->origins->lineage[at],
			&seen->origins->result[at].lineage, err))
		return err->code;
	*out = seen->origins->lineage[at];
	return 0;
}

static bool holds(struct vt_store *store, const struct vt_digest *tree, const char *path)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *t = NULL;
	bool found;

	if (vt_store_get_tree(store, &t, tree, &none))
		return false;
	/* the store's trees are sorted by path */
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
