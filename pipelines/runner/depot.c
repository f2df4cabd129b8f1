#include "pipelines/runner/depot_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/lineage/import.h"
#include "common/store/repo.h"
#include "pipelines/runner/content.h"

void vt_depot_set_source(struct vt_depot *d, const char *source)
{
	d->source = source;
}

const char *vt_depot_path(const struct vt_depot *d)
{
	return d->path;
}

static int take_lock(struct vt_depot *d, struct vt_err *err)
{
	const struct timespec pause = { 0, 50000000 };
	bool busy = false;
	char *path = vt_path_join(d->path, "lock");
	d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (d->lock < 0)
		vt_err_errno(err, VT_ECANTCREAT, "%s", path);
	/* A child that a killed runner had just forked holds the lock until its exec: a second
	 * of patience. */
	for (int i = 0; !err->code && (busy = flock(d->lock, LOCK_EX | LOCK_NB) != 0) && i < 20;
		i++)
		nanosleep(&pause, NULL);
	if (!err->code && busy)
		vt_err_set(err, VT_EDEVICE,
			"%s: another run is using this store; wait for it, or give another --store",
			path);
	free(path);
	return err->code;
}

/* The tries of a runner that was killed.  A process it left behind may still write there: the
 * directory is moved away first, and what cannot be removed now is removed next time. */
static int clear_work(const struct vt_depot *d, struct vt_err *err)
{
	struct vt_err ignored = VT_ERR_INIT;
	char *work = vt_path_join(d->path, "work"), *gone = vt_path_join(d->path, "work.gone"),
	     *last = vt_asprintf("%s/old", gone);
	vt_fs_remove_tree(gone, &ignored);
	if (!vt_fs_mkdirs(gone, err) && vt_fs_is_dir(work)) {
		char *to = vt_asprintf("%s.%ld", last, (long)getpid());
		vt_fs_rename(work, to, err);
		free(to);
	}
	ignored = (struct vt_err)VT_ERR_INIT;
	vt_fs_remove_tree(gone, &ignored);
	if (!err->code)
		vt_fs_mkdirs(work, err);
	free(work);
	free(gone);
	free(last);
	return err->code;
}

int vt_depot_open(struct vt_depot **out, const char *store, enum vt_depot_mode mode,
	struct vt_err *err)
{
	static const char *const parts[] = { "results", "heads", "logs", "data", "triggers" };
	struct vt_depot *d = vt_xcalloc(1, sizeof *d);
	d->path = vt_path_join(store, "runner");
	d->lock = -1;
	if (mode == VT_DEPOT_READ && !vt_fs_is_dir(d->path))
		vt_err_set(err, VT_ENOINPUT, "%s: no runs there; `voxtrail run` makes them",
			d->path);
	else
		vt_store_open(&d->store, store,
			mode == VT_DEPOT_WRITE ? VT_STORE_CREATE : VT_STORE_READ, err);
	for (size_t i = 0; mode == VT_DEPOT_WRITE && !err->code && i < sizeof parts / sizeof *parts;
		i++) {
		char *p = vt_path_join(d->path, parts[i]);
		vt_fs_mkdirs(p, err);
		free(p);
	}
	if (!err->code && mode == VT_DEPOT_WRITE && !vt_store_use(d->store, err) &&
		!take_lock(d, err)) {
		clear_work(d, err);
	}
	if (err->code) {
		vt_depot_close(d);
		return err->code;
	}
	*out = d;
	return 0;
}

void vt_depot_close(struct vt_depot *d)
{
	if (!d)
		return;
	if (d->lock >= 0)
		close(d->lock);
	vt_store_close(d->store);
	free(d->path);
	free(d);
}

static char *object_path(const struct vt_depot *d, const struct vt_hash *h)
{
	struct vt_digest digest;
	memcpy(digest.b, h->b, sizeof digest.b);
	return vt_store_object_path(d->store, &digest);
}

char *vt_depot_object(const struct vt_depot *d, const struct vt_hash *h)
{
	return object_path(d, h);
}

int vt_depot_place(const struct vt_depot *d, const struct vt_hash *h, const char *to,
	struct vt_err *err)
{
	char *from = object_path(d, h);
	if (link(from, to))
		vt_err_errno(err, errno == ENOENT ? VT_EINTEGRITY : VT_EIO, "%s -> %s", from, to);
	free(from);
	return err->code;
}

int vt_depot_list(struct vt_listing *files, struct vt_listing *lineage, const struct vt_tree *t,
	const struct vt_hash *origin, const char *what, struct vt_err *err)
{
	for (size_t i = 0; i < t->n_files; i++) {
		const struct vt_tree_file *f = &t->file[i];
		struct vt_hash h;
		if (!vt_path_is_portable(f->path))
			return vt_err_set(err, VT_EDATA,
				"%s \"%s\": printable ASCII without \\ * ? [ ] { } only; "
				"rename it",
				what, f->path);
		char *absolute = vt_asprintf("/%s", f->path);
		memcpy(h.b, f->digest.b, sizeof h.b);
		vt_listing_add(lineage && vt_path_is_lineage(f->path) ? lineage : files, absolute,
			&h, f->size, origin);
		free(absolute);
	}
	return 0;
}

/* --- result and head files ----------------------------------------------- */

static void write_files(struct vt_buf *b, char letter, const struct vt_listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		char hex[65], origin[65];
		if (l->v[i].dir)
			continue;
		vt_hash_hex(hex, &l->v[i].hash);
		vt_hash_hex(origin, &l->v[i].origin);
		vt_buf_printf(b, "%c %s %s %" PRIu64 " %s\n", letter, hex, origin, l->v[i].size,
			l->v[i].path);
	}
}

/* Calls line() for every line but the last, which must be "end": a file that was cut is never
 * taken for a whole one. */
static int read_lines(const char *path, int (*line)(void *ctx, char *text), void *ctx,
	struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	int rc = vt_fs_read(&b, path, 1u << 30, err);
	if (!rc && (b.len < 4 || memcmp(b.data + b.len - 4, "end\n", 4)))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s is cut short; remove it and run again",
			path);
	for (char *p = b.data; !rc && p < b.data + b.len - 4;) {
		char *end = strchr(p, '\n');
		*end = 0;
		if (line(ctx, p))
			rc = vt_err_set(err, VT_EINTEGRITY, "%s: cannot read the line \"%.80s\"",
				path, p);
		p = end + 1;
	}
	vt_buf_release(&b);
	return rc;
}

static int read_file_line(struct vt_listing *l, char *p)
{
	struct vt_hash h, origin;
	char *end;
	if (strlen(p) < 134 || !vt_hash_parse(&h, p + 2) || !vt_hash_parse(&origin, p + 67))
		return 1;
	uint64_t size = strtoull(p + 132, &end, 10);
	if (*end != ' ' || end[1] != '/')
		return 1;
	vt_listing_add(l, end + 1, &h, size, &origin);
	return 0;
}

static int result_line(void *ctx, char *p)
{
	struct vt_result *r = ctx;
	if (p[0] == 'f' && p[1] == ' ')
		return read_file_line(&r->files, p);
	if (p[0] == 'l' && p[1] == ' ')
		return read_file_line(&r->lineage, p);
	int state;
	if (sscanf(p, "datum %d %d %d %lld %63s %64s", &state, &r->exit_code, &r->tries,
		    &r->wall_ms, r->pipeline, r->datum) != 6)
		return 1;
	r->state = (enum vt_result_state)state;
	return 0;
}

static int head_line(void *ctx, char *p)
{
	struct vt_head *h = ctx;
	if (p[0] == 'f' && p[1] == ' ')
		return read_file_line(&h->files, p);
	return !(strlen(p) == 136 && !strncmp(p, "commit ", 7) &&
		vt_hash_parse(&h->commit, p + 7) && vt_hash_parse(&h->datums, p + 72));
}

/* A quarantined datum is published under another name: its files count, but it does not pass for
 * done. */
static char *result_path(const struct vt_depot *d, const struct vt_hash *key,
	enum vt_result_state state)
{
	char hex[65];
	vt_hash_hex(hex, key);
	return vt_asprintf("%s/results/%s%s", d->path, hex,
		state == VT_RESULT_QUARANTINED ? ".quarantined" : "");
}

/* Objects may have been lost with a disk or by hand; lineage records are only looked for where
 * they are read. */
static bool objects_present(const struct vt_depot *d, const char *path)
{
	struct vt_buf b = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	bool whole = !vt_fs_read(&b, path, 1u << 30, &none) && b.len >= 4 &&
		!memcmp(b.data + b.len - 4, "end\n", 4);
	for (const char *p = whole ? b.data : ""; *p && whole; p = strchr(p, '\n') + 1) {
		struct vt_hash h;
		if (p[0] != 'f' || p[1] != ' ' || !vt_hash_parse(&h, p + 2))
			continue;
		char *object = object_path(d, &h);
		whole = !access(object, F_OK);
		free(object);
	}
	vt_buf_release(&b);
	return whole;
}

bool vt_depot_has_result(const struct vt_depot *d, const struct vt_hash *key)
{
	char *path = result_path(d, key, VT_RESULT_SUCCESS);
	bool there = !access(path, F_OK) && objects_present(d, path);
	free(path);
	return there;
}

int vt_depot_result(const struct vt_depot *d, const struct vt_hash *key, struct vt_result *out,
	struct vt_err *err)
{
	char *path = result_path(d, key, VT_RESULT_SUCCESS);
	*out = (struct vt_result){ 0 };
	if (!vt_fs_exists(path)) {
		free(path);
		path = result_path(d, key, VT_RESULT_QUARANTINED);
	}
	if (read_lines(path, result_line, out, err))
		vt_result_release(out);
	free(path);
	return err->code;
}

void vt_result_release(struct vt_result *r)
{
	vt_listing_release(&r->files);
	vt_listing_release(&r->lineage);
}

static char *hex_file(const struct vt_depot *d, const char *part, const struct vt_hash *h)
{
	char hex[65];
	vt_hash_hex(hex, h);
	return vt_asprintf("%s/%s/%s", d->path, part, hex);
}

bool vt_depot_find_data(const struct vt_depot *d, const struct vt_hash *data, struct vt_hash *key)
{
	char *path = hex_file(d, "data", data);
	struct vt_buf b = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	bool found = !vt_fs_read(&b, path, 128, &none) && b.len == 64 &&
		vt_hash_parse(key, b.data) && vt_depot_has_result(d, key);
	vt_buf_release(&b);
	free(path);
	return found;
}

int vt_depot_note_data(struct vt_depot *d, const struct vt_hash *data, const struct vt_hash *key,
	struct vt_err *err)
{
	char *path = hex_file(d, "data", data), hex[65];
	vt_hash_hex(hex, key);
	vt_fs_write_quick(path, hex, 64, 0644, err);
	free(path);
	return err->code;
}

int vt_depot_trigger(const struct vt_depot *d, const char *name, struct vt_trigger *out,
	struct vt_err *err)
{
	char *head = vt_asprintf("%s/triggers/%s.head", d->path, name),
	     *state = vt_asprintf("%s/triggers/%s", d->path, name);
	struct vt_buf b = VT_BUF_INIT;
	*out = (struct vt_trigger){ 0 };
	if (vt_fs_exists(state) && !vt_fs_read(&b, state, 256, err) &&
		(!vt_hash_parse(&out->seen, b.data) ||
			sscanf(b.data + 64, "%lld %lld", &out->commits, &out->time) != 2))
		vt_err_set(err, VT_EINTEGRITY, "%s: cannot be read; remove it", state);
	if (!err->code && vt_fs_exists(head) && !read_lines(head, head_line, &out->head, err))
		vt_listing_finish(&out->head.files, NULL, NULL, err);
	if (err->code)
		vt_head_release(&out->head);
	vt_buf_release(&b);
	free(head);
	free(state);
	return err->code;
}

/* The head before the state: a runner killed between them looks again and comes to the same. */
int vt_depot_set_trigger(struct vt_depot *d, const char *name, const struct vt_trigger *t,
	const char *repo, struct vt_err *err)
{
	char *head = vt_asprintf("%s/triggers/%s.head", d->path, name),
	     *state = vt_asprintf("%s/triggers/%s", d->path, name), hex[65];
	char *from = repo ? vt_asprintf("%s/heads/%s", d->path, repo) : NULL;
	struct vt_buf b = VT_BUF_INIT;
	if (from && !vt_fs_read(&b, from, 1u << 30, err))
		vt_fs_write(head, b.data, b.len, 0644, err);
	vt_buf_clear(&b);
	vt_hash_hex(hex, &t->seen);
	vt_buf_printf(&b, "%s %lld %lld\n", hex, t->commits, t->time);
	if (!err->code)
		vt_fs_write(state, b.data, b.len, 0644, err);
	vt_buf_release(&b);
	free(head);
	free(state);
	free(from);
	return err->code;
}

int vt_depot_head(const struct vt_depot *d, const char *repo, struct vt_head *out,
	struct vt_err *err)
{
	char *path = vt_asprintf("%s/heads/%s", d->path, repo);
	*out = (struct vt_head){ 0 };
	if (!vt_fs_exists(path))
		vt_err_set(err, VT_ENOINPUT,
			"repo %s has no commit in %s; `voxtrail run` and `voxtrail commit` make "
			"them, `voxtrail log` lists them",
			repo, d->path);
	else if (read_lines(path, head_line, out, err) ||
		vt_listing_finish(&out->files, NULL, NULL, err))
		vt_head_release(out);
	free(path);
	return err->code;
}

/* The same commit for `voxtrail log`, audit and verify: a tree of the store, and a commit of the
 * repo's branch. */
static int store_commit(struct vt_depot *d, const char *repo, const struct vt_head *head,
	struct vt_err *err)
{
	static const struct vt_hash none;
	struct vt_tree_file *file = vt_xcalloc(head->files.n + 1, sizeof *file);
	struct vt_tree *tree = NULL;
	struct vt_commit commit = { .message = NULL };
	size_t n = 0;
	for (size_t i = 0; i < head->files.n; i++) {
		const struct vt_entry *e = &head->files.v[i];
		if (e->dir)
			continue;
		file[n] = (struct vt_tree_file){ .path = e->path + 1, .size = e->size };
		memcpy(file[n++].digest.b, e->hash.b, sizeof e->hash.b);
	}
	bool made = memcmp(&head->datums, &none, sizeof none);
	char hex[65], *provenance;
	vt_hash_hex(hex, &head->datums);
	if (made && head->stale)
		provenance = vt_asprintf("{\"datums\":\"%s\",\"stale_ok\":%s}", hex, head->stale);
	else
		provenance = made ? vt_asprintf("{\"datums\":\"%s\"}", hex) : vt_xstrdup("");
	if (!vt_tree_from_files(&tree, file, n, err) && !vt_store_put_tree(d->store, tree, err) &&
		!vt_repo_commit(d->store, &commit, NULL, repo, "master", &tree->id,
			&(struct vt_commit_note){ .message = made ? "output of a run"
								  : "committed for a run",
				.provenance = provenance,
				.source = made ? d->source : NULL },
			err))
		vt_commit_release(&commit);
	free(provenance);
	vt_tree_free(tree);
	free(file);
	return err->code;
}

int vt_depot_set_head(struct vt_depot *d, const char *repo, struct vt_head *head,
	struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	struct vt_content c;
	char commit[65], datums[65], *path = vt_asprintf("%s/heads/%s", d->path, repo);
	vt_content_begin(&c);
	vt_content_text(&c, repo);
	if (head->files.n)
		vt_content_add(&c, head->files.v[0].hash.b, 32);
	vt_content_add(&c, head->datums.b, 32);
	vt_content_end(&c, &head->commit);
	vt_hash_hex(commit, &head->commit);
	vt_hash_hex(datums, &head->datums);
	vt_buf_printf(&b, "commit %s %s\n", commit, datums);
	write_files(&b, 'f', &head->files);
	vt_buf_str(&b, "end\n");
	/* The store's commit first: it is repeated without harm when the runner is killed
	 * between the two. */
	if (!store_commit(d, repo, head, err)) {
		vt_fault("commit-stored");
		vt_fs_write(path, b.data, b.len, 0644, err);
	}
	vt_buf_release(&b);
	free(path);
	return err->code;
}

void vt_head_release(struct vt_head *h)
{
	vt_listing_release(&h->files);
	free(h->stale);
	h->stale = NULL;
}

static bool nothing(const char *path)
{
	(void)path;
	return false;
}

/* A stage's output is linked in; a link that it made is to something that is not its own, and is
 * copied. */
static int take_output(struct vt_depot *d, const struct vt_hash *key, struct vt_result *r,
	const char *dir, struct vt_err *err)
{
	const struct vt_take how = { .follow = true,
		.finished = true,
		.blobs = true,
		.leave_out = nothing };
	struct vt_tree *t = NULL;
	if (!vt_store_take(d->store, &t, dir, &how, err))
		vt_depot_list(&r->files, &r->lineage, t, key, "output path", err);
	vt_tree_free(t);
	return err->code;
}

/* From every .lineage directory: a datum may write several outputs of stages, each in a
 * directory of its own. */
static int import_records(struct vt_depot *d, const struct vt_result *r, const char *dir,
	struct vt_err *err)
{
	char *last = vt_xstrdup("?");
	for (size_t i = 0; i < r->lineage.n && !err->code; i++) {
		const char *path = r->lineage.v[i].path, *end = strstr(path, "/.lineage/");
		char *root = vt_asprintf("%s%.*s", dir, (int)(end - path), path);
		size_t records;
		if (strcmp(root, last))
			vt_store_import_records(d->store, root, &records, err);
		free(last);
		last = root;
	}
	free(last);
	return err->code;
}

int vt_depot_publish(struct vt_depot *d, const struct vt_hash *key, struct vt_result *r,
	const char *dir, struct vt_err *err)
{
	if (take_output(d, key, r, dir, err))
		return err->code;
	vt_fault("adopted");
	if (import_records(d, r, dir, err))
		return vt_err_prefix(err, "lineage records");
	struct vt_buf b = VT_BUF_INIT;
	char *path = result_path(d, key, r->state);
	vt_buf_printf(&b, "datum %d %d %d %lld %s %s\n", (int)r->state, r->exit_code, r->tries,
		r->wall_ms, r->pipeline, r->datum);
	write_files(&b, 'f', &r->files);
	write_files(&b, 'l', &r->lineage);
	vt_buf_str(&b, "end\n");
	vt_fs_write(path, b.data, b.len, 0644, err);
	vt_buf_release(&b);
	free(path);
	vt_fault("published");
	return err->code;
}
