/* The only file that calls libgit2.  Two halves: what the work tree around a source file says of
 * itself (commit, whether dirty, digest of the diff), and objects and refs of the bare repository
 * that git_mirror.c writes.  Configuration of the machine and the user is shut out in begin(),
 * which counts: every begin() has its git_libgit2_shutdown().  Each libgit2 object is freed where
 * it was made. */
#include "common/store/git.h"

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"

struct vt_git {
	git_repository *repo;
};

static int fail(const char *what, struct vt_err *err)
{
	const git_error *e = git_error_last();

	return vt_err_set(err, VT_EIO, "git: %s: %s", what, e ? e->message : "no reason given");
}

/* Config of the machine and the user must not change what is written or read; nothing is
 * executed, so the owner is no matter. */
static void begin(void)
{
	git_libgit2_init();
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 5
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
#endif
	for (int level = GIT_CONFIG_LEVEL_PROGRAMDATA; level <= GIT_CONFIG_LEVEL_GLOBAL; level++)
		git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
}

/* --- capture ------------------------------------------------------------- */
static int put_head(struct vt_json *json, git_repository *repo, git_tree **tree, struct vt_err *err)
{
	git_object *head = NULL;
	char oid[VT_GIT_OID];
	int rc = git_revparse_single(&head, repo, "HEAD^{commit}");

	if (rc == GIT_ENOTFOUND) {
		vt_json_put_text(json, "commit", "");
		return 0;
	}
	if (rc || git_commit_tree(tree, (git_commit *)head)) {
		git_object_free(head);
		return fail("HEAD", err);
	}
	git_oid_tostr(oid, sizeof(oid), git_object_id(head));
	vt_json_put_text(json, "commit", oid);
	git_object_free(head);
	return 0;
}

static int put_diff(struct vt_json *json, git_repository *repo, git_tree *tree, struct vt_err *err)
{
	git_diff_options o;
	git_diff *diff = NULL;
	git_buf text = GIT_BUF_INIT;
	int rc = 0;

	git_diff_options_init(&o, GIT_DIFF_OPTIONS_VERSION);
	o.flags = GIT_DIFF_SHOW_BINARY | GIT_DIFF_IGNORE_SUBMODULES;
	o.id_abbrev = 40;
	o.old_prefix = "a";
	o.new_prefix = "b";
	if (git_diff_tree_to_workdir_with_index(&diff, repo, tree, &o))
		return fail("diff against HEAD", err);
	vt_json_put_bool(json, "dirty", git_diff_num_deltas(diff) > 0);
	if (git_diff_num_deltas(diff)) {
		struct vt_digest d;
		char hex[VT_HEX];

		if (git_diff_to_buf(&text, diff, GIT_DIFF_FORMAT_PATCH)) {
			rc = fail("diff against HEAD", err);
		} else {
			d = vt_digest_bytes(text.ptr, text.size);
			vt_digest_hex(hex, &d);
			vt_json_put_text(json, "diff", hex);
		}
	}
	git_buf_dispose(&text);
	git_diff_free(diff);
	return rc;
}

static int put_file(struct vt_json *json, git_repository *repo, git_tree *tree, const char *real,
	struct vt_err *err)
{
	const char *root = git_repository_workdir(repo), *inside;
	git_tree_entry *entry = NULL;
	git_oid now;
	int rc = 0;

	if (!root || strncmp(real, root, strlen(root)) || vt_fs_is_dir(real))
		return 0;
	inside = real + strlen(root);
	vt_json_put_text(json, "path", inside);
	if (!tree || git_tree_entry_bypath(&entry, tree, inside))
		vt_json_put_text(json, "file", "untracked");
	else if (git_repository_hashfile(&now, repo, real, GIT_OBJECT_BLOB, NULL))
		rc = fail(inside, err);
	else
		vt_json_put_text(json, "file",
			git_oid_equal(&now, git_tree_entry_id(entry)) ? "committed" : "modified");
	git_tree_entry_free(entry);
	return rc;
}

/* scheme://user:password@host/... without what stands before the @.  Read from the
 * configuration: looking the remote up would match every entry against patterns, and libgit2 1.5
 * loses 20 KiB for each. */
static void put_remote(struct vt_json *json, git_repository *repo)
{
	git_config *config = NULL;
	const char *url = NULL, *scheme, *at;
	char *clean;

	if (!git_repository_config_snapshot(&config, repo) &&
		!git_config_get_string(&url, config, "remote.origin.url")) {
		scheme = strstr(url, "://");
		at = scheme ? memchr(scheme + 3, '@', strcspn(scheme + 3, "/")) : NULL;
		clean = at ? vt_asprintf("%.*s%s", (int)(scheme + 3 - url), url, at + 1)
			   : vt_xstrdup(url);
		vt_json_put_text(json, "remote", clean);
		free(clean);
	}
	git_config_free(config);
}

/* The value of "git". */
static struct vt_json *capture(const char *path)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	git_repository *repo = NULL;
	git_tree *tree = NULL;
	char *real = vt_fs_realpath(path, &err);
	int rc;

	if (!real)
		return NULL;
	begin();
	rc = git_repository_open_ext(&repo, real, 0, NULL);
	if (!rc && !git_repository_is_bare(repo)) {
		j = vt_json_new(VT_JSON_OBJECT);
		rc = put_head(j, repo, &tree, &err);
		if (!rc)
			rc = put_diff(j, repo, tree, &err);
		if (!rc)
			rc = put_file(j, repo, tree, real, &err);
		if (!rc)
			put_remote(j, repo);
	} else if (rc && rc != GIT_ENOTFOUND) {
		fail("cannot open the repository", &err);
	}
	if (err.code) {
		vt_log(VT_LOG_WARN, "git", "path=\"%s\" note=\"%s; the source is not recorded\"",
			path, err.text);
		vt_json_free(j);
		j = NULL;
	}
	git_tree_free(tree);
	git_repository_free(repo);
	git_libgit2_shutdown();
	free(real);
	return j;
}

struct vt_json *vt_git_source(const char *file)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j, *git;
	struct vt_digest d;
	uint64_t size;
	char hex[VT_HEX];

	if (vt_digest_file(&d, &size, file, &none))
		return NULL;
	j = vt_json_new(VT_JSON_OBJECT);
	git = capture(file);
	if (git)
		vt_json_put(j, "git", git);
	vt_digest_hex(hex, &d);
	vt_json_put_text(j, "sha256", hex);
	return j;
}

/* --- a bare repository --------------------------------------------------- */

int vt_git_open_bare(struct vt_git **out, const char *dir, struct vt_err *err)
{
	git_repository_init_options o;
	struct vt_git *g = vt_xcalloc(1, sizeof(*g));
	int rc;

	begin();
	git_repository_init_options_init(&o, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
	o.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
	o.initial_head = "master";
	rc = git_repository_open_bare(&g->repo, dir);
	if (rc == GIT_ENOTFOUND)
		rc = git_repository_init_ext(&g->repo, dir, &o);
	if (rc) {
		fail(dir, err);
		vt_git_close(g);
		return err->code;
	}
	*out = g;
	return 0;
}

void vt_git_close(struct vt_git *git)
{
	if (!git)
		return;
	git_repository_free(git->repo);
	git_libgit2_shutdown();
	free(git);
}

static int write_object(struct vt_git *git, char out[VT_GIT_OID], const void *bytes, size_t n,
	git_object_t type, struct vt_err *err)
{
	git_odb *odb = NULL;
	git_oid oid;
	int rc = git_repository_odb(&odb, git->repo) || git_odb_write(&oid, odb, bytes, n, type)
		? fail("cannot write an object", err)
		: 0;

	if (!rc)
		git_oid_tostr(out, VT_GIT_OID, &oid);
	git_odb_free(odb);
	return rc;
}

int vt_git_write_blob(struct vt_git *git, char out[VT_GIT_OID], const void *bytes, size_t n,
	struct vt_err *err)
{
	return write_object(git, out, bytes, n, GIT_OBJECT_BLOB, err);
}

int vt_git_write_commit(struct vt_git *git, char out[VT_GIT_OID], const char *text, size_t n,
	struct vt_err *err)
{
	return write_object(git, out, text, n, GIT_OBJECT_COMMIT, err);
}

int vt_git_write_tree(struct vt_git *git, char out[VT_GIT_OID], const struct vt_git_entry *entries,
	size_t n, struct vt_err *err)
{
	git_treebuilder *b = NULL;
	git_oid oid;
	int rc = git_treebuilder_new(&b, git->repo, NULL) ? fail("cannot write a tree", err) : 0;

	for (size_t i = 0; !rc && i < n; i++)
		if (git_oid_fromstr(&oid, entries[i].blob) ||
			git_treebuilder_insert(NULL, b, entries[i].name, &oid, GIT_FILEMODE_BLOB))
			rc = fail(entries[i].name, err);
	if (!rc && git_treebuilder_write(&oid, b))
		rc = fail("cannot write a tree", err);
	if (!rc)
		git_oid_tostr(out, VT_GIT_OID, &oid);
	git_treebuilder_free(b);
	return rc;
}

int vt_git_read_commit(struct vt_git *git, struct vt_buf *out, const char *oid_hex,
	struct vt_err *err)
{
	git_odb *odb = NULL;
	git_odb_object *o = NULL;
	git_oid oid;
	int rc = git_oid_fromstr(&oid, oid_hex) || git_repository_odb(&odb, git->repo) ||
			git_odb_read(&o, odb, &oid)
		? fail(oid_hex, err)
		: 0;

	if (!rc && git_odb_object_type(o) != GIT_OBJECT_COMMIT)
		rc = vt_err_set(err, VT_EDATA, "git: %s is not a commit", oid_hex);
	if (!rc)
		vt_buf_add(out, git_odb_object_data(o), git_odb_object_size(o));
	git_odb_object_free(o);
	git_odb_free(odb);
	return rc;
}

int vt_git_refs(struct vt_git *git, struct vt_strs *names, struct vt_err *err)
{
	git_strarray list = { NULL, 0 };

	if (git_reference_list(&list, git->repo))
		return fail("cannot list refs", err);
	for (size_t i = 0; i < list.count; i++)
		vt_strs_add(names, list.strings[i]);
	vt_strs_sort(names);
	git_strarray_dispose(&list);
	return 0;
}

int vt_git_ref(struct vt_git *git, char out[VT_GIT_OID], const char *name, struct vt_err *err)
{
	git_oid oid;
	int rc = git_reference_name_to_id(&oid, git->repo, name);

	*out = '\0';
	if (rc == GIT_ENOTFOUND)
		return 0;
	if (rc)
		return fail(name, err);
	git_oid_tostr(out, VT_GIT_OID, &oid);
	return 0;
}

int vt_git_set_ref(struct vt_git *git, const char *name, const char *oid_hex, struct vt_err *err)
{
	git_reference *ref = NULL;
	git_oid oid;
	int rc = git_oid_fromstr(&oid, oid_hex) ||
			git_reference_create(&ref, git->repo, name, &oid, 1, NULL)
		? fail(name, err)
		: 0;

	git_reference_free(ref);
	return rc;
}

int vt_git_remove_ref(struct vt_git *git, const char *name, struct vt_err *err)
{
	return git_reference_remove(git->repo, name) ? fail(name, err) : 0;
}
