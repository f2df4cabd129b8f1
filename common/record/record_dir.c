/* All records of a directory, and of those in it, in one list sorted by id, so that parents are
 * found by halves; own records come first among equals, so that dropping repeats keeps them.  `own`
 * records lie beside the data, at one or more places, and must agree with it file by file at each;
 * the others are ancestors, and each must be reached from an own one: nothing comes along that
 * nobody refers to.  The list owns records, texts and origins. */
#include "common/record/record_dir.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/content/fileset.h"
#include "common/record/record.h"

enum { MAX_DEPTH = 8 };

/* at: where an own record lies; NULL: an ancestor. */
static int add(struct vt_record_dir *dir, const char *text, size_t n, const char *origin,
	const char *at, struct vt_err *err)
{
	struct vt_digest d = vt_digest_bytes(text, n);
	struct vt_record_dir_record *r;
	struct vt_json *j = NULL;
	int rc = vt_record_parse(&j, text, n, origin, err);

	if (rc)
		return rc;
	if (dir->n == dir->cap) {
		dir->cap = dir->cap ? 2 * dir->cap : 16;
		dir->v = vt_xrealloc(dir->v, dir->cap * sizeof(*dir->v));
	}
	r = &dir->v[dir->n++];
	*r = (struct vt_record_dir_record){ .record = j,
		.text = vt_xstrndup(text, n),
		.len = n,
		.origin = vt_xstrdup(origin),
		.own = at != NULL,
		.at = VT_STRS_INIT };
	if (at)
		vt_strs_add(&r->at, at);
	vt_digest_hex(r->id, &d);
	return 0;
}

static int add_lines(struct vt_record_dir *dir, const char *path, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, 1u << 30, err);
	unsigned number = 1;

	for (char *line = text.data; !rc && line < text.data + text.len; number++) {
		size_t n = strcspn(line, "\n");
		char *origin = vt_asprintf("%s:%u", path, number);

		if (n)
			rc = add(dir, line, n, origin, NULL, err);
		line += n + 1;
		free(origin);
	}
	vt_buf_release(&text);
	return rc;
}

/* Nobody may be at the other end of a fifo. */
static int check_regular(const char *path, struct vt_err *err)
{
	struct stat st;

	return !stat(path, &st) && !S_ISREG(st.st_mode)
		? vt_err_set(err, VT_EDATA, "%s: not a regular file", path)
		: 0;
}

static int read_one(struct vt_record_dir *c, const char *dir, const char *at, struct vt_err *err)
{
	char *own = vt_path_join(dir, "record.json"), *parents = vt_path_join(dir, "parents.jsonl");
	struct vt_buf text = VT_BUF_INIT;
	int rc = 0;

	assert(at);
	/* record.json is written last: without it the rest is a killed stage's */
	if (vt_fs_exists(own)) {
		rc = check_regular(own, err);
		if (!rc && vt_fs_exists(parents))
			rc = check_regular(parents, err);
		if (!rc)
			rc = vt_fs_read(&text, own, 1u << 30, err);
		if (!rc)
			rc = add(c, text.data, text.len, own, at, err);
		if (!rc && vt_fs_exists(parents))
			rc = add_lines(c, parents, err);
	}
	vt_buf_release(&text);
	free(parents);
	free(own);
	return rc;
}

/* Own records first among equals, so that dropping repeats keeps them. */
static int by_id(const void *a, const void *b)
{
	const struct vt_record_dir_record *x = a, *y = b;
	int c = strcmp(x->id, y->id);

	return c ? c : (int)y->own - (int)x->own;
}

static void release_record(struct vt_record_dir_record *record)
{
	assert(record->record && record->text);
	vt_json_free(record->record);
	vt_strs_release(&record->at);
	free(record->text);
	free(record->origin);
}

static void drop_repeats(struct vt_record_dir *dir)
{
	size_t n = 0;

	if (dir->n > 1)
		qsort(dir->v, dir->n, sizeof(*dir->v), by_id);
	for (size_t i = 0; i < dir->n; i++)
		if (n && !strcmp(dir->v[n - 1].id, dir->v[i].id)) {
			for (size_t k = 0; k < dir->v[i].at.n; k++)
				vt_strs_add(&dir->v[n - 1].at, dir->v[i].at.v[k]);
			release_record(&dir->v[i]);
		} else {
			dir->v[n++] = dir->v[i];
		}
	dir->n = n;
	for (size_t i = 0; i < n; i++)
		vt_strs_unique(&dir->v[i].at);
}

static char *below(const char *at, const char *path)
{
	return *at ? vt_path_join(at, path) : vt_xstrdup(path);
}

static bool is_real_dir(int dir_fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return !fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

/* The directories in d, but no links to some, which may lead anywhere. */
static int list_dirs(struct vt_strs *out, bool *carries, DIR *d)
{
	struct dirent *e;
	struct stat st;

	while (errno = 0, (e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".lineage"))
			*carries = !fstatat(dirfd(d), e->d_name, &st, 0) && S_ISDIR(st.st_mode);
		else if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
			is_real_dir(dirfd(d), e))
			vt_strs_add(out, e->d_name);
	}
	return errno ? -1 : 0;
}

struct search {
	const char *root;
	struct vt_strs *carriers;
};

/* name: of `at` in its parent.  Of a store in a directory nothing is the directory's
 * (fileset.h). */
static int find_carriers(const struct search *search, int parent_fd, const char *name,
	const char *at, int depth, struct vt_err *err)
{
	int fd = openat(parent_fd, name,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | (*at ? O_NOFOLLOW : 0));
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct vt_strs names = VT_STRS_INIT;
	bool carries = false;
	int rc = 0;

	if (!d || list_dirs(&names, &carries, d))
		rc = vt_err_errno(err, errno == EIO ? VT_EIO : VT_ENOINPUT, "%s%s%s: cannot list",
			search->root, *at ? "/" : "", at);
	if (!rc && carries)
		vt_strs_add(search->carriers, at);
	vt_strs_sort(&names);
	for (size_t i = 0; !rc && depth && i < names.n; i++) {
		char *next = below(at, names.v[i]);

		if (!vt_fileset_is_store(fd, names.v[i]))
			rc = find_carriers(search, fd, names.v[i], next, depth - 1, err);
		free(next);
	}
	vt_strs_release(&names);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return rc;
}

int vt_record_dir_carriers(struct vt_strs *out, const char *dir, struct vt_err *err)
{
	struct search s = { dir, out };
	int rc = vt_fs_is_dir(dir) ? find_carriers(&s, AT_FDCWD, dir, "", MAX_DEPTH, err) : 0;

	vt_strs_unique(out);
	return rc;
}

static int read_at(struct vt_record_dir *c, const char *dir, const char *at, struct vt_err *err)
{
	char *place = *at ? vt_path_join(dir, at) : vt_xstrdup(dir),
	     *base = vt_path_join(place, ".lineage");
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(base) ? vt_fs_list(&names, base, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(base, names.v[i]);

		rc = read_one(c, path, at, err);
		free(path);
	}
	vt_strs_release(&names);
	free(base);
	free(place);
	return rc;
}

static int settle(struct vt_record_dir *dir, int rc)
{
	drop_repeats(dir);
	if (rc)
		vt_record_dir_release(dir);
	return rc;
}

int vt_record_dir_read_top(struct vt_record_dir *out, const char *dir, struct vt_err *err)
{
	*out = (struct vt_record_dir){ NULL, 0, 0 };
	return settle(out, read_at(out, dir, "", err));
}

int vt_record_dir_read(struct vt_record_dir *out, const char *dir, struct vt_err *err)
{
	struct vt_strs carriers = VT_STRS_INIT;
	int rc = vt_record_dir_carriers(&carriers, dir, err);

	*out = (struct vt_record_dir){ NULL, 0, 0 };
	for (size_t i = 0; !rc && i < carriers.n; i++)
		rc = read_at(out, dir, carriers.v[i], err);
	vt_strs_release(&carriers);
	return settle(out, rc);
}

void vt_record_dir_release(struct vt_record_dir *dir)
{
	for (size_t i = 0; i < dir->n; i++)
		release_record(&dir->v[i]);
	free(dir->v);
	*dir = (struct vt_record_dir){ NULL, 0, 0 };
}

static size_t index_of(const struct vt_record_dir *dir, const char *id)
{
	size_t lo = 0, hi = dir->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(dir->v[mid].id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < dir->n && !strcmp(dir->v[lo].id, id) ? lo : dir->n;
}

const struct vt_record_dir_record *vt_record_dir_find(const struct vt_record_dir *dir,
	const char *id)
{
	size_t i = index_of(dir, id);

	return i < dir->n ? &dir->v[i] : NULL;
}

/* --- do they tell the truth? --------------------------------------------- */
static size_t file_index(const struct vt_tree *tree, const char *path)
{
	const struct vt_tree_file *f = vt_tree_find(tree, path);

	return f ? (size_t)(f - tree->file) : tree->n_files;
}

struct checking {
	const struct vt_tree *t;
	const char *dir;
	enum vt_record_dir_extent extent;
	bool *vouched; /* of t's files */
	struct vt_strs *absent;
};

/* path: of the file, from the directory on. */
static int check_file(const struct checking *checking, const struct vt_record_dir_record *record,
	const char *path, const struct vt_json *file, struct vt_err *err)
{
	const char *stated = vt_json_text(vt_json_get(file, "sha256"), "");
	size_t i = file_index(checking->t, path);
	char hex[VT_HEX];

	assert(checking->vouched && record->own);
	if (i == checking->t->n_files && checking->extent == VT_RECORD_DIR_PART) {
		if (checking->absent)
			vt_strs_add(checking->absent, path);
		return 0;
	}
	if (i == checking->t->n_files)
		return vt_err_set(err, VT_EINTEGRITY,
			"%s/%s: missing, but the record %.16s beside it (%s) lists it as "
			"an output with digest %s",
			checking->dir, path, record->id, record->origin, stated);
	vt_digest_hex(hex, &checking->t->file[i].digest);
	if (strcmp(hex, stated))
		return vt_err_set(err, VT_EINTEGRITY,
			"%s/%s: its digest is %s, but the record %.16s beside it (%s) says %s",
			checking->dir, path, hex, record->id, record->origin, stated);
	checking->vouched[i] = true;
	return 0;
}

static int check_outputs(const struct checking *checking, const struct vt_record_dir_record *record,
	const char *at, struct vt_err *err)
{
	const struct vt_json *outputs = vt_json_get(record->record, "outputs");
	int rc = 0;

	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *files = vt_json_get(outputs->item[i], "files");

		for (size_t k = 0; !rc && files && k < files->n; k++) {
			char *path =
				below(at, vt_json_text(vt_json_get(files->item[k], "path"), ""));

			rc = check_file(checking, record, path, files->item[k], err);
			free(path);
		}
	}
	return rc;
}

/* Marks what record i names as a parent and, through it, all that can be reached. */
static void reach(const struct vt_record_dir *dir, size_t from, bool *reached, size_t *stack)
{
	size_t n = 0;

	assert(from < dir->n && !reached[from]);
	reached[from] = true;
	stack[n++] = from;
	while (n) {
		const struct vt_json *inputs = vt_json_get(dir->v[stack[--n]].record, "inputs");

		for (size_t i = 0; inputs && i < inputs->n; i++) {
			const struct vt_json *parents = vt_json_get(inputs->item[i], "parents");

			for (size_t k = 0; parents && k < parents->n; k++) {
				size_t p = index_of(dir, vt_json_text(parents->item[k], ""));

				if (p < dir->n && !reached[p]) {
					reached[p] = true;
					stack[n++] = p;
				}
			}
		}
	}
}

static int check_reached(const struct vt_record_dir *dir, struct vt_err *err)
{
	bool *reached = vt_xcalloc(dir->n + 1, sizeof(*reached));
	size_t *stack = vt_xcalloc(dir->n + 1, sizeof(*stack));
	int rc = 0;

	for (size_t i = 0; i < dir->n; i++)
		if (dir->v[i].own && !reached[i])
			reach(dir, i, reached, stack);
	for (size_t i = 0; !rc && i < dir->n; i++)
		if (!reached[i])
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: the record %.16s is no ancestor of any record beside it",
				dir->v[i].origin, dir->v[i].id);
	free(stack);
	free(reached);
	return rc;
}

int vt_record_dir_check(const struct vt_record_dir *records, const struct vt_tree *tree,
	const char *dir, enum vt_record_dir_extent extent, struct vt_strs *unvouched,
	struct vt_strs *absent, struct vt_err *err)
{
	struct checking check = { tree, dir, extent, vt_xcalloc(tree->n_files + 1, sizeof(bool)),
		absent };
	int rc = check_reached(records, err);

	for (size_t i = 0; !rc && i < records->n; i++)
		for (size_t k = 0; !rc && k < records->v[i].at.n; k++)
			rc = check_outputs(&check, &records->v[i], records->v[i].at.v[k], err);
	for (size_t i = 0; !rc && unvouched && i < tree->n_files; i++)
		if (!check.vouched[i])
			vt_strs_add(unvouched, tree->file[i].path);
	free(check.vouched);
	return rc;
}

/* False as soon as an output file is not there as stated. */
static bool each_output(const struct vt_json *record, const struct vt_tree *tree, bool *covered,
	bool mark)
{
	const struct vt_json *outputs = vt_json_get(record, "outputs");

	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *files = vt_json_get(outputs->item[i], "files");

		for (size_t k = 0; files && k < files->n; k++) {
			size_t at = file_index(tree,
				vt_json_text(vt_json_get(files->item[k], "path"), ""));
			char hex[VT_HEX];

			if (at == tree->n_files)
				return false;
			vt_digest_hex(hex, &tree->file[at].digest);
			if (strcmp(hex, vt_json_text(vt_json_get(files->item[k], "sha256"), "")))
				return false;
			if (mark)
				covered[at] = true;
		}
	}
	return true;
}

bool vt_record_dir_fits(const struct vt_json *record, const struct vt_tree *tree, bool *covered)
{
	return each_output(record, tree, covered, false) &&
		each_output(record, tree, covered, true);
}
