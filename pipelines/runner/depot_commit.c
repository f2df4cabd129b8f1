/* Committing a directory: its files are hashed and taken in, but for those that look as they did at the last commit. */
#include "pipelines/runner/depot_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/fault.h"
#include "common/store/repo.h"
#include "pipelines/runner/content.h"

/* --- what a committed directory looked like: "mtime ctime inode size hash path" a line, in walk order ------------- */

struct seen {
	char *text;
	char **line;
	size_t n;
};

static void seen_read(struct seen *s, const char *path)
{
	struct vt_buf b = VT_BUF_INIT;
	struct vt_err ignored = VT_ERR_INIT;
	*s = (struct seen){ NULL, NULL, 0 };
	if (!vt_fs_exists(path) || vt_fs_read(&b, path, 1u << 30, &ignored)) {
		vt_buf_release(&b);
		return;
	}
	s->text = vt_buf_detach(&b);
	size_t cap = 0;
	for (char *p = s->text; *p;) {
		char *end = p + strcspn(p, "\n");
		if (s->n == cap)
			s->line = vt_xrealloc(s->line, (cap = cap ? 2 * cap : 64) * sizeof *s->line);
		s->line[s->n++] = p;
		p = *end ? end + 1 : end;
		*end = 0;
	}
}

static const char *seen_path(const char *line)
{
	for (int i = 0; i < 5 && line; i++)
		if ((line = strchr(line, ' ')))
			line++;
	return line ? line : "";
}

static const char *seen_find(const struct seen *s, const char *path)
{
	size_t lo = 0, hi = s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(seen_path(s->line[mid]), path);
		if (!c)
			return s->line[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static int sync_all(const struct vt_depot *d, struct vt_err *err)
{
	int fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd))
		vt_err_errno(err, VT_EIO, "%s", d->path);
	if (fd >= 0)
		close(fd);
	return err->code;
}

struct commit {
	struct vt_depot *depot;
	const char *root;
	struct vt_listing *files;
	struct seen seen;
	struct vt_buf now;
};

static int commit_file(struct commit *c, const char *path, const char *relative, struct vt_err *err)
{
	struct stat st;
	struct vt_hash h;
	char stamp[160], hex[65];
	if (stat(path, &st))
		return vt_err_errno(err, VT_ENOINPUT, "%s", path);
	if (!S_ISREG(st.st_mode))
		return vt_err_set(err, VT_EDATA, "%s is no regular file; take it out of the directory", path);
	if (!vt_path_is_portable(relative))
		return vt_err_set(err, VT_EDATA, "%s: a path may hold printable ASCII without * ? [ ] { } ! ( ) @ + ^ "
			"only; rename it", path);
	snprintf(stamp, sizeof stamp, "%lld.%09ld %lld.%09ld %llu %llu ", (long long)st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec,
		 (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec, (unsigned long long)st.st_ino,
		 (unsigned long long)st.st_size);
	const char *line = seen_find(&c->seen, relative);
	if (!line || strncmp(line, stamp, strlen(stamp)) || !vt_hash_parse(&h, line + strlen(stamp)))
		if (vt_content_file(&h, NULL, path, err) || vt_depot_adopt(c->depot, path, &h, VT_ADOPT_COPY, err))
			return err->code;
	vt_hash_hex(hex, &h);
	vt_buf_printf(&c->now, "%s%s %s\n", stamp, hex, relative);
	char *absolute = vt_asprintf("/%s", relative);
	vt_listing_add(c->files, absolute, &h, (uint64_t)st.st_size, NULL);
	free(absolute);
	return 0;
}

static int commit_entry(void *ctx, const char *relative, char type, struct vt_err *err)
{
	struct commit *c = ctx;
	if (type == 'd' || vt_path_is_lineage(relative))
		return 0;
	char *path = vt_path_join(c->root, relative);
	int rc = commit_file(c, path, relative, err);
	free(path);
	return rc;
}

static bool same_files(const struct vt_head *a, const struct vt_head *b)
{
	return a->files.n == b->files.n &&
		(!a->files.n || !memcmp(&a->files.v[0].hash, &b->files.v[0].hash, sizeof(struct vt_hash)));
}

int vt_depot_commit(struct vt_depot *d, const char *repo, const char *from, bool *changed, struct vt_err *err)
{
	struct vt_head old = { 0 }, new = { 0 };
	struct vt_err none = VT_ERR_INIT;
	char *stat_path = vt_asprintf("%s/stat/%s", d->path, repo);
	struct commit c = { d, from, &new.files, { NULL, NULL, 0 }, VT_BUF_INIT };
	*changed = false;
	seen_read(&c.seen, stat_path);
	if (!vt_fs_exists(from))
		vt_err_set(err, VT_ENOINPUT, "repo %s: %s does not exist", repo, from);
	else if (vt_fs_is_dir(from))
		vt_fs_walk(from, commit_entry, &c, err);
	else
		commit_file(&c, from, "manifest.json", err);
	if (!err->code && !vt_listing_finish(&new.files, NULL, NULL, err)) {
		vt_depot_head(d, repo, &old, &none);
		bool equal = !none.code && same_files(&old, &new);
		*changed = !equal;
		if (!equal && !sync_all(d, err) && !vt_depot_set_head(d, repo, &new, err))
			vt_fault("commit");
		if (!err->code && (!equal || c.now.len))
			vt_fs_write_quick(stat_path, c.now.data ? c.now.data : "", c.now.len, 0644, err);
	}
	vt_head_release(&old);
	vt_head_release(&new);
	vt_buf_release(&c.now);
	free(c.seen.text);
	free(c.seen.line);
	free(stat_path);
	return err->code ? vt_err_prefix(err, "commit to %s", repo) : 0;
}

static int tree_files(struct vt_listing *out, const struct vt_depot *d, const char *tree, struct vt_err *err)
{
	struct vt_digest id;
	struct vt_tree *t = NULL;
	if (vt_digest_parse(&id, tree) && !vt_store_get_tree(d->store, &t, &id, err))
		for (size_t i = 0; i < t->n_files; i++) {
			struct vt_hash h;
			char *path = vt_asprintf("/%s", t->file[i].path);
			memcpy(h.b, t->file[i].digest.b, sizeof h.b);
			vt_listing_add(out, path, &h, t->file[i].size, NULL);
			free(path);
		}
	vt_tree_free(t);
	return err->code ? err->code : vt_listing_finish(out, NULL, NULL, err);
}

int vt_depot_follow(struct vt_depot *d, const char *repo, const char *branch, bool *changed, struct vt_err *err)
{
	struct vt_head old = { 0 }, new = { 0 };
	struct vt_err none = VT_ERR_INIT, absent = VT_ERR_INIT;
	struct vt_commit c = { .id = "" };
	char *what = vt_asprintf("%s@%s", repo, branch);
	*changed = false;
	if (!vt_repo_exists(d->store, repo) || vt_repo_resolve(d->store, &c, what, &absent)) {
		free(what);
		return 0;
	}
	if (!tree_files(&new.files, d, c.tree, err)) {
		vt_depot_head(d, repo, &old, &none);
		*changed = none.code || !same_files(&old, &new);
		if (*changed)
			vt_depot_set_head(d, repo, &new, err);
	}
	vt_commit_release(&c);
	vt_head_release(&old);
	vt_head_release(&new);
	free(what);
	return err->code ? vt_err_prefix(err, "repo %s", repo) : 0;
}
