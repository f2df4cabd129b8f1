/* A bare git repository a repo, <store>/git/<repo>.git, whose commits stand for ours: a tree with
 * a MANIFEST of digests and paths instead of the data, the same parents, author and time, and our
 * id as trailer.  Which commit stands for which is learned from these trailers, from the tips
 * first and from the whole history only when a parent is not among them.  Equal commits of ours
 * give equal git commits, so a mirror that is damaged is removed and made again.
 *
 * <store>/git/lock keeps mirrors of two processes apart.  It is taken without the store's lock:
 * refs may move meanwhile, and the next mirror follows. */
#include "common/store/git_mirror.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/store/git.h"
#include "common/store/store_internal.h"

static const char trailer[] = "\nVoxtrail-Commit: ";

/* Which git commit stands for which of ours. */
struct pair {
	char ours[VT_HEX], git[VT_GIT_OID];
};

struct map {
	/* in the order they were found; few enough to search from the newest */
	struct pair *v;
	size_t n, cap;
};

struct mirror {
	struct vt_store *s;
	struct vt_git *git;
	struct vt_refs refs; /* of the repo */
	struct map map;
	/* the map holds all that is mirrored, not only the tips */
	bool learned;
};

static void map_add(struct map *map, const char *ours, const char *git)
{
	if (map->n == map->cap) {
		map->cap = map->cap ? 2 * map->cap : 64;
		map->v = vt_xrealloc(map->v, map->cap * sizeof(*map->v));
	}
	memcpy(map->v[map->n].ours, ours, VT_HEX);
	memcpy(map->v[map->n++].git, git, VT_GIT_OID);
}

static const char *map_find(const struct map *map, const char *ours)
{
	for (size_t i = map->n; i-- > 0;)
		if (!strcmp(map->v[i].ours, ours))
			return map->v[i].git;
	return NULL;
}

/* The id behind the last trailer of a git commit; false if it has none. */
static bool trailer_of(const struct vt_buf *text, char ours[VT_HEX])
{
	const char *at = NULL;
	struct vt_digest d;

	for (const char *p = text->data; p && (p = strstr(p, trailer)) != NULL; p++)
		at = p + strlen(trailer);
	if (!at || strnlen(at, VT_HEX) < VT_HEX)
		return false;
	memcpy(ours, at, VT_HEX - 1);
	ours[VT_HEX - 1] = '\0';
	return vt_digest_parse(&d, ours);
}

/* Adds what a git commit stands for; its parents go to *next unless that is NULL. */
static int learn_one(struct mirror *mirror, const char *oid, struct vt_strs *next,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char ours[VT_HEX];
	int rc = vt_git_read_commit(mirror->git, &text, oid, err);

	if (!rc && !trailer_of(&text, ours))
		rc = vt_err_set(err, VT_EDATA, "git: commit %s was not made here", oid);
	if (!rc && !map_find(&mirror->map, ours))
		map_add(&mirror->map, ours, oid);
	for (const char *p = rc || !next ? NULL : strchr(text.data, '\n');
		p && !strncmp(p, "\nparent ", 8); p = strchr(p + 1, '\n')) {
		char *parent = vt_xstrndup(p + 8, VT_GIT_OID - 1);

		vt_strs_add(next, parent);
		free(parent);
	}
	vt_buf_release(&text);
	return rc;
}

/* Takes in the tips of the mirrored refs or, where a commit is wanted that is no child of one,
 * all of their history. */
static int learn(struct mirror *mirror, bool whole, struct vt_err *err)
{
	struct vt_strs todo = VT_STRS_INIT;
	int rc = 0;

	for (size_t i = 0; !rc && i < mirror->refs.n; i++) {
		char *name = vt_asprintf("refs/%s", mirror->refs.v[i].name), oid[VT_GIT_OID];

		rc = vt_git_ref(mirror->git, oid, name, err);
		if (!rc && *oid)
			vt_strs_add(&todo, oid);
		free(name);
	}
	for (size_t i = 0; !rc && i < todo.n; i++)
		rc = learn_one(mirror, todo.v[i], whole ? &todo : NULL, err);
	mirror->learned = whole;
	vt_strs_release(&todo);
	return rc;
}

static int write_manifest(struct mirror *mirror, char out[VT_GIT_OID], const char *tree_hex,
	struct vt_err *err)
{
	struct vt_git_entry v[2] = { { "EXECUTABLE", "" }, { "MANIFEST", "" } };
	struct vt_buf manifest = VT_BUF_INIT, executable = VT_BUF_INIT;
	struct vt_tree *t = NULL;
	struct vt_digest d;
	int rc = vt_digest_parse(&d, tree_hex)
		? vt_store_get_tree(mirror->s, &t, &d, err)
		: vt_err_set(err, VT_EDATA, "\"%s\" is not a tree id", tree_hex);

	for (size_t i = 0; !rc && i < t->n_files; i++) {
		char hex[VT_HEX];

		vt_digest_hex(hex, &t->file[i].digest);
		vt_buf_printf(&manifest, "%s  %s\n", hex, t->file[i].path);
		if (t->file[i].executable)
			vt_buf_printf(&executable, "%s\n", t->file[i].path);
	}
	if (!rc)
		rc = vt_git_write_blob(mirror->git, v[1].blob, manifest.data ? manifest.data : "",
			manifest.len, err);
	if (!rc && executable.len)
		rc = vt_git_write_blob(mirror->git, v[0].blob, executable.data, executable.len,
			err);
	if (!rc)
		rc = vt_git_write_tree(mirror->git, out, executable.len ? v : v + 1,
			executable.len ? 2 : 1, err);
	vt_tree_free(t);
	vt_buf_release(&manifest);
	vt_buf_release(&executable);
	return rc;
}

/* "Name <mail>" without what git's format cannot hold. */
static void person(struct vt_buf *out, const char *author)
{
	size_t name = strcspn(author, "<");
	const char *mail = author[name] ? author + name + 1 : "";

	while (name && author[name - 1] == ' ')
		name--;
	for (size_t i = 0; i < name; i++)
		vt_buf_char(out,
			(unsigned char)author[i] < ' ' || author[i] == '>' ? '_' : author[i]);
	vt_buf_str(out, name ? " <" : "voxtrail <");
	for (; *mail && *mail != '>'; mail++)
		vt_buf_char(out, (unsigned char)*mail <= ' ' || *mail == '<' ? '_' : *mail);
	vt_buf_char(out, '>');
}

/* The parents are in the map. */
static int write_commit(struct mirror *mirror, const struct vt_commit *commit, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char tree[VT_GIT_OID], oid[VT_GIT_OID];
	int rc = write_manifest(mirror, tree, commit->tree, err);

	if (rc)
		return rc;
	vt_buf_printf(&text, "tree %s\n", tree);
	for (size_t i = 0; i < commit->parents.n; i++) {
		const char *parent = map_find(&mirror->map, commit->parents.v[i]);

		assert(parent);
		vt_buf_printf(&text, "parent %s\n", parent);
	}
	vt_buf_str(&text, "author ");
	person(&text, commit->author);
	vt_buf_printf(&text, " %lld +0000\ncommitter voxtrail <> %lld +0000\n\n",
		(long long)commit->time, (long long)commit->time);
	if (*commit->message)
		vt_buf_str(&text, commit->message);
	else
		vt_buf_printf(&text, "Tree %.16s", commit->tree);
	vt_buf_printf(&text, "\n\nVoxtrail-Commit: %s\nVoxtrail-Tree: %s\n", commit->id,
		commit->tree);
	rc = vt_git_write_commit(mirror->git, oid, text.data, text.len, err);
	if (!rc)
		map_add(&mirror->map, commit->id, oid);
	vt_buf_release(&text);
	return rc;
}

/* Writes the commit and what of its history is not mirrored yet, oldest first. */
static int ensure(struct mirror *mirror, const char *id, struct vt_err *err)
{
	struct vt_strs stack = VT_STRS_INIT;
	int rc = 0;

	vt_strs_add(&stack, id);
	while (!rc && stack.n) {
		struct vt_commit c = { .id = "" };
		size_t before = stack.n;

		if (!map_find(&mirror->map, stack.v[stack.n - 1])) {
			rc = vt_commit_read(mirror->s, &c, stack.v[stack.n - 1], err);
			if (!rc && c.parents.n && !mirror->learned &&
				!map_find(&mirror->map, c.parents.v[0]))
				rc = learn(mirror, true, err);
			for (size_t i = 0; !rc && i < c.parents.n; i++)
				if (!map_find(&mirror->map, c.parents.v[i]))
					vt_strs_add(&stack, c.parents.v[i]);
			if (!rc && stack.n == before)
				rc = write_commit(mirror, &c, err);
			vt_commit_release(&c);
		}
		if (stack.n == before)
			free(stack.v[--stack.n]);
	}
	vt_strs_release(&stack);
	return rc;
}

static int mirror_ref(struct mirror *mirror, const struct vt_ref *ref, struct vt_err *err)
{
	char *name = vt_asprintf("refs/%s", ref->name), oid[VT_GIT_OID];
	const char *wanted = NULL;
	int rc = vt_git_ref(mirror->git, oid, name, err);

	if (!rc)
		rc = ensure(mirror, ref->commit, err);
	if (!rc)
		wanted = map_find(&mirror->map, ref->commit);
	assert(rc || wanted);
	if (!rc && strcmp(wanted, oid))
		rc = vt_git_set_ref(mirror->git, name, wanted, err);
	free(name);
	return rc;
}

static int drop_others(struct mirror *mirror, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_git_refs(mirror->git, &names, err);

	for (size_t i = 0; !rc && i < names.n; i++)
		if (strncmp(names.v[i], "refs/", 5) || !vt_refs_find(&mirror->refs, names.v[i] + 5))
			rc = vt_git_remove_ref(mirror->git, names.v[i], err);
	vt_strs_release(&names);
	return rc;
}

static int bring_up_to_date(struct vt_store *store, const char *repo, const char *dir,
	struct vt_err *err)
{
	struct mirror m = { .s = store };
	int rc = vt_refs_list(&m.refs, store, repo, err);

	if (!rc)
		rc = vt_git_open_bare(&m.git, dir, err);
	if (!rc)
		rc = learn(&m, false, err);
	for (size_t i = 0; !rc && i < m.refs.n; i++)
		rc = mirror_ref(&m, &m.refs.v[i], err);
	if (!rc)
		rc = drop_others(&m, err);
	vt_refs_release(&m.refs);
	vt_git_close(m.git);
	free(m.map.v);
	return rc;
}

/* libgit2 gives its files what the umask leaves, and a mirror is no wider than the store.  Other
 * threads may see the narrower umask meanwhile, never a wider one. */
static mode_t narrow_umask(const struct vt_store *store)
{
	struct stat st;
	mode_t old = umask(077);

	umask(old | 02 | (fstat(store->dir_fd, &st) ? 077 : 077 & ~st.st_mode));
	return old;
}

/* One that others may write to, whoever made it, is no mirror to be believed. */
static bool is_open_to_others(const struct vt_store *s, const char *dir)
{
	struct stat mirror, store;

	return !lstat(dir, &mirror) && !fstat(s->dir_fd, &store) &&
		(mirror.st_mode & 022 & ~(store.st_mode & 020));
}

int vt_git_mirror(struct vt_store *store, const char *repo, struct vt_err *err)
{
	const mode_t umask_before = narrow_umask(store);
	char *top = vt_path_join(store->dir, "git"), *dir = vt_asprintf("%s/%s.git", top, repo),
	     *lock = vt_path_join(top, "lock");
	struct vt_err first = VT_ERR_INIT;
	int rc = vt_fs_mkdirs(top, err), fd = -1;

	if (!rc &&
		((fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0 || flock(fd, LOCK_EX)))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot lock", lock);
	/* nothing in it is a loss: one that is damaged is made anew */
	if (!rc && is_open_to_others(store, dir))
		rc = vt_fs_remove_tree(dir, err);
	if (!rc && bring_up_to_date(store, repo, dir, &first)) {
		rc = vt_fs_remove_tree(dir, err);
		if (!rc)
			rc = bring_up_to_date(store, repo, dir, err);
	}
	if (fd >= 0)
		close(fd);
	umask(umask_before);
	free(lock);
	free(dir);
	free(top);
	return rc;
}

void vt_git_mirror_try(struct vt_store *store, const char *repo)
{
	const char *wanted = getenv("VOXTRAIL_GIT_MIRROR");
	struct vt_err err = VT_ERR_INIT;

	if (!(wanted && !strcmp(wanted, "0")) && vt_git_mirror(store, repo, &err))
		vt_log(VT_LOG_WARN, "mirror",
			"repo=\"%s\" note=\"%s; the commit holds, `voxtrail mirror` tries again\"",
			repo, err.text);
}
