/* Branches and tags: one small file each, refs/<repo>/heads/<name> or tags/<name>, that holds a
 * commit id and is replaced by rename.
 *
 * Reading needs no lock: a reader sees the old id or the new one.  Writing compares and replaces
 * under the store's lock, which the caller of vt_ref_write holds; the history is told before the
 * file changes.  A branch and a tag of one repo never have the same name. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/store/history.h"
#include "common/store/repo_internal.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/* as file and directory names on every system, without dots: they stand in paths and in
 * REPO@NAME */
bool vt_repo_name_is_good(const char *s)
{
	size_t n = strspn(s, letters);

	return n > 0 && n <= 63 && !s[n];
}

/* Dots as git has them, so that the mirror may carry the same name. */
bool vt_ref_name_is_good(const char *s)
{
	size_t n = 0;

	for (; s[n]; n++)
		if (!strchr(letters, s[n]) && (s[n] != '.' || n == 0 || s[n - 1] == '.'))
			return false;
	return n > 0 && n <= 63 && s[n - 1] != '.' && !(n > 5 && !strcmp(s + n - 5, ".lock")) &&
		s[0] != '-';
}

/* "heads/x" or "tags/x" with a good x. */
static const char *short_name(const char *name)
{
	/* the kind is a folder, the rest a file */
	const char *s;

	if (!strncmp(name, "heads/", 6))
		s = name + 6;
	else if (!strncmp(name, "tags/", 5))
		s = name + 5;
	else
		s = NULL;

	return s && vt_ref_name_is_good(s) ? s : NULL;
}

static char *ref_path(const struct vt_store *store, const char *repo, const char *name)
{
	return vt_asprintf("%s/refs/%s/%s", store->dir, repo, name);
}

int vt_ref_read(struct vt_store *store, char out[VT_HEX], const char *repo, const char *name,
	struct vt_err *err)
{
	char *path = ref_path(store, repo, name);
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest d;
	int rc = 0;

	/* ENOTDIR: the repo's folder is a file */
	/* vt_fs_read says VT_ENOINPUT of a folder, too */
	if (access(path, F_OK) && (errno == ENOENT || errno == ENOTDIR))
		rc = VT_ENOINPUT;
	else if ((rc = vt_fs_read(&text, path, 4096, err)) == VT_ENOINPUT) {
		if (vt_fs_exists(path)) /* and no file */
			rc = err->code = VT_EINTEGRITY;
		else /* removed meanwhile */
			*err = (struct vt_err)VT_ERR_INIT;
	} else if (!rc) {
		/* 64 hex digits and a newline, nothing else */
		if (text.len == VT_HEX && text.data[VT_HEX - 1] == '\n')
			text.data[VT_HEX - 1] = '\0';
		if (text.len != VT_HEX || !vt_digest_parse(&d, text.data))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: holds no commit id; put back one of `voxtrail log`, "
				"or pull from a copy",
				path);
		else
			vt_digest_hex(out, &d);
	}
	vt_buf_release(&text);
	free(path);
	return rc;
}

void vt_refs_release(struct vt_refs *refs)
{
	for (size_t i = 0; i < refs->n; i++) {
		free(refs->v[i].repo);
		free(refs->v[i].name);
	}
	free(refs->v);
	*refs = (struct vt_refs){ NULL, 0, 0 };
}

void vt_refs_add(struct vt_refs *refs, const char *repo, const char *name, const char *commit)
{
	if (refs->n == refs->cap) {
		refs->cap = refs->cap ? 2 * refs->cap : 16;
		refs->v = vt_xrealloc(refs->v, refs->cap * sizeof(*refs->v));
	}
	/* vt_refs_release() frees both */
	refs->v[refs->n] = (struct vt_ref){ vt_xstrdup(repo), vt_xstrdup(name), "" };
	memcpy(refs->v[refs->n++].commit, commit, VT_HEX);
}

static int list_kind(struct vt_refs *out, struct vt_store *store, const char *repo,
	const char *kind, struct vt_err *err)
{
	char *dir = ref_path(store, repo, kind);
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *name = vt_asprintf("%s/%s", kind, names.v[i]), id[VT_HEX];

		if (!vt_ref_name_is_good(names.v[i]))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s/%s: no branch or tag can have this name; remove the file", dir,
				names.v[i]);
		else
			rc = vt_ref_read(store, id, repo, name, err);
		if (!rc)
			vt_refs_add(out, repo, name, id);
		if (rc == VT_ENOINPUT) /* removed between the listing and the read */
			rc = 0;
		free(name);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

int vt_refs_list(struct vt_refs *out, struct vt_store *store, const char *repo, struct vt_err *err)
{
	char *dir = vt_path_join(store->dir, "refs");
	struct vt_strs repos = VT_STRS_INIT;
	int rc = 0;

	if (repo)
		vt_strs_add(&repos, repo);
	else if (vt_fs_is_dir(dir))
		rc = vt_fs_list(&repos, dir, err);
	for (size_t i = 0; !rc && i < repos.n; i++) {
		if (!vt_repo_name_is_good(repos.v[i]))
			rc = vt_err_set(err, repo ? VT_EUSAGE : VT_EINTEGRITY,
				"\"%s\": names of repos are 1 to 63 letters, digits, _ and -",
				repos.v[i]);
		if (!rc)
			rc = list_kind(out, store, repos.v[i], "heads", err);
		if (!rc)
			rc = list_kind(out, store, repos.v[i], "tags", err);
	}
	/* All or nothing: half a list would read as refs that are gone. */
	if (rc)
		vt_refs_release(out);
	vt_strs_release(&repos);
	free(dir);
	return rc;
}

const char *vt_refs_find(const struct vt_refs *refs, const char *name)
{
	for (size_t i = 0; i < refs->n; i++)
		if (!strcmp(refs->v[i].name, name))
			return refs->v[i].commit;
	return NULL;
}

const char *vt_refs_at(const struct vt_refs *refs, const char *repo, const char *name)
{
	for (size_t i = 0; i < refs->n; i++)
		if (!strcmp(refs->v[i].name, name) && !strcmp(refs->v[i].repo, repo))
			return refs->v[i].commit;
	return NULL;
}

/* A branch and a tag of one name could not be told apart in REPO@NAME. */
static int check_name(struct vt_store *store, const char *repo, const char *name,
	struct vt_err *err)
{
	const char *word = short_name(name);
	char *other;
	int rc = 0;

	if (!vt_repo_name_is_good(repo))
		return vt_err_set(err, VT_EUSAGE,
			"\"%s\": names of repos are 1 to 63 letters, digits, _ and -", repo);
	/* a branch or tag's own name */
	if (!word)
		return vt_err_set(err, VT_EUSAGE,
			"\"%s@%s\": names of branches and tags are 1 to 63 letters, digits, "
			"_, - and single dots inside",
			repo, strchr(name, '/') ? strchr(name, '/') + 1 : name);
	/* heads/x for tags/x and the other way round */
	other = vt_asprintf("%s/refs/%s/%s/%s", store->dir, repo, *name == 'h' ? "tags" : "heads",
		word);
	if (vt_fs_exists(other))
		rc = vt_err_set(err, VT_EUSAGE, "%s@%s is a %s already; choose another name", repo,
			word, *name == 'h' ? "tag" : "branch");
	free(other);
	return rc;
}

static int remove_ref(const struct vt_store *store, const char *repo, const char *name,
	struct vt_err *err)
{
	char *path = ref_path(store, repo, name),
	     *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	/* The name is gone for good before anybody is told. */
	int rc = unlink(path) ? vt_err_errno(err, VT_EIO, "%s: cannot remove", path)
			      : vt_fs_sync_dir(dir, err);

	free(dir);
	free(path);
	return rc;
}

/* Warns where a new repo's name differs from another's in case alone: a repo's refs are a directory
 * of its name. */
static void say_twin(struct vt_store *store, const char *repo)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_refs refs = { .n = 0 };

	if (!vt_refs_list(&refs, store, NULL, &none))
		for (size_t i = 0; i < refs.n; i++)
			if (strcmp(refs.v[i].repo, repo) && !strcasecmp(refs.v[i].repo, repo)) {
				vt_log(VT_LOG_WARN, "case-twins",
					"one=\"%s\" other=\"%s\" note=\"repos whose names differ "
					"in case alone are one where a file system takes A for a\"",
					refs.v[i].repo, repo);
				break;
			}
	vt_refs_release(&refs);
}

static int write_ref(struct vt_store *store, const char *repo, const char *name, const char *now,
	const char *to, struct vt_err *err)
{
	char *path, *line;
	int rc;

	assert(store->lock_depth > 0);
	/* "" for `to`: the ref is removed */
	if (!*to)
		return remove_ref(store, repo, name, err);
	rc = *now ? 0 : check_name(store, repo, name, err);
	if (rc)
		return rc;
	path = ref_path(store, repo, "");
	if (!*now && !vt_fs_is_dir(path))
		say_twin(store, repo);
	free(path);
	path = ref_path(store, repo, name);
	line = vt_asprintf("%s\n", to);
	rc = vt_store_publish_text(store, path, line, strlen(line), 0644, err);
	if (!rc && !*now) { /* refs/<repo> may be new as well */
		char *top = vt_path_join(store->dir, "refs");

		rc = vt_fs_sync_dir(top, err);
		free(top);
		if (!rc)
			rc = vt_fs_sync_dir(store->dir, err);
	}
	free(line);
	free(path);
	return rc;
}

static int tell(struct vt_store *store, const char *repo, const char *name, const char *from,
	const char *to, struct vt_err *err)
{
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);

	assert(strcmp(from, to));
	vt_json_put_text(detail, "repo", repo);
	vt_json_put_text(detail, "ref", name);
	vt_json_put_text(detail, "from", from);
	vt_json_put_text(detail, "to", to);
	return vt_history_append(store, "ref", detail, err);
}

int vt_ref_write(struct vt_store *store, const char *repo, const char *name, const char *from,
	const char *to, struct vt_err *err)
{
	char now[VT_HEX] = "";
	int rc;

	assert(store->lock_depth > 0);
	rc = vt_ref_read(store, now, repo, name, err);
	if (rc && rc != VT_ENOINPUT)
		return rc;
	/* somebody moved it since the caller looked */
	if (strcmp(now, from))
		return vt_err_set(err, VT_EFAIL,
			"%s@%s is at %.16s by now, not at %.16s; look again", repo, name,
			*now ? now : "nothing", *from ? from : "nothing");
	/* nothing to do, and nothing to tell */
	if (!strcmp(now, to))
		return 0;
	/* a name that cannot be is refused before anything is said of it */
	rc = *to && !*now ? check_name(store, repo, name, err) : 0;
	/* Told first: a kill in between leaves an event without its change, which history_check
	 * accepts of the last line. */
	if (!rc)
		rc = tell(store, repo, name, now, to, err);
	if (!rc)
		rc = write_ref(store, repo, name, now, to, err);
	if (!rc)
		vt_history_settled(store);
	return rc;
}
