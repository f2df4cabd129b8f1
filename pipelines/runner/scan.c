/* Datums of directories as they lie, without a store: for plan --items and --views, and for what
 * lint checks.
 *
 * A repo is listed once; digests are computed only where keys or views need them. The scan owns its
 * repos and datums. */
#include "pipelines/runner/scan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/lineage/consent.h"
#include "pipelines/runner/datum_record.h"

struct repo {
	char *name, *dir;
	bool file_only;            /* dir is a file, seen as /manifest.json */
	struct vt_strs carriers;   /* directories with a .lineage: "", or a member of an ensemble */
	struct vt_tree_file *file; /* paths only */
	size_t n, cap;
	struct vt_snapshot *seen; /* of the listed directory; no commit */
};

struct vt_scan {
	const struct vt_pipeline *pipeline;
	struct repo *repo;
	size_t n;
	struct vt_datums datums;
	char (*key)[VT_HEX]; /* a key a datum */
};

const struct vt_datums *vt_scan_datums(const struct vt_scan *scan)
{
	return &scan->datums;
}

static const struct repo *find(const struct vt_scan *scan, const char *name)
{
	for (size_t i = 0; i < scan->n; i++)
		if (!strcmp(scan->repo[i].name, name))
			return &scan->repo[i];
	return NULL;
}

static void note_carrier(struct repo *repo, const char *directory)
{
	static const char name[] = ".lineage";
	size_t n = strlen(directory), k = sizeof name - 1;

	if (n >= k && !strcmp(directory + n - k, name) && (n == k || directory[n - k - 1] == '/')) {
		char *carrier = vt_xstrndup(directory, n == k ? 0 : n - k - 1);

		/* .lineage below .lineage is an ancestor's */
		if (!vt_tree_is_lineage(carrier))
			vt_strs_add(&repo->carriers, carrier);
		free(carrier);
	}
}

static int add_entry(void *ctx, const char *relative, char type, struct vt_err *err)
{
	struct repo *r = ctx;
	(void)err;
	if (type == 'd')
		note_carrier(r, relative);
	if (type == 'd' || vt_tree_is_lineage(relative))
		return 0;
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		r->file = vt_xrealloc(r->file, r->cap * sizeof *r->file);
	}
	r->file[r->n++] = (struct vt_tree_file){ .path = vt_xstrdup(relative) };
	return 0;
}

static int read_content(struct repo *repo, struct vt_err *err)
{
	for (size_t i = 0; i < repo->n && !err->code; i++) {
		struct vt_tree_file *f = &repo->file[i];
		char *path =
			repo->file_only ? vt_xstrdup(repo->dir) : vt_path_join(repo->dir, f->path);
		struct stat st;

		vt_digest_file(&f->digest, &f->size, path, err);
		/* a manifest given as a file has no mode of its own */
		f->executable = !repo->file_only && !stat(path, &st) && st.st_mode & S_IXUSR;
		free(path);
	}
	return err->code;
}

static int list(struct repo *repo, enum vt_scan_depth depth, struct vt_err *err)
{
	struct vt_tree *t = NULL;
	repo->file_only = !vt_fs_is_dir(repo->dir);
	if (repo->file_only && !vt_fs_exists(repo->dir))
		return vt_err_set(err, VT_ENOINPUT, "repo %s: %s does not exist", repo->name,
			repo->dir);
	if (repo->file_only)
		add_entry(repo, "manifest.json", 'f', err);
	else if (vt_fs_walk(repo->dir, add_entry, repo, err))
		return err->code;
	if (depth == VT_SCAN_CONTENT && read_content(repo, err))
		return err->code;
	/* without content the digests are 0: paths alone make the datums */
	if (!vt_tree_from_files(&t, repo->file, repo->n, err))
		repo->seen = vt_snapshot_of_tree(t);
	return err->code;
}

static struct vt_snapshot *snapshot(void *ctx, const struct vt_input *leaf)
{
	const struct repo *r = find(ctx, leaf->repo);
	return r ? r->seen : NULL;
}

struct demand {
	const struct vt_scan *s;
	struct vt_err *err;
};

static void demand_leaf(void *ctx, const struct vt_input *leaf)
{
	struct demand *d = ctx;
	/* warm inputs may have nothing yet */
	if (!d->err->code && leaf->kind == VT_INPUT_PFS && !leaf->warm && !find(d->s, leaf->repo))
		vt_err_set(d->err, VT_ENOINPUT, "%s: give --repo %s=DIR", leaf->pointer,
			leaf->repo);
}

static int name_datums(struct vt_scan *scan, struct vt_err *err)
{
	struct vt_programs used = { .v = NULL };
	struct vt_digest transform, key;

	/* NULL where keys were not asked for */
	scan->key = vt_xcalloc(scan->datums.n + 1, sizeof *scan->key);
	if (!vt_transform_hash(&transform, &used, scan->pipeline, err))
		for (size_t i = 0; i < scan->datums.n; i++) {
			vt_datum_key(&key, &scan->datums.v[i], &transform);
			vt_digest_hex(scan->key[i], &key);
		}
	vt_programs_release(&used);
	return err->code;
}

const char *vt_scan_key(const struct vt_scan *scan, size_t datum)
{
	return scan->key ? scan->key[datum] : "";
}

int vt_scan_consent(const struct vt_scan *scan, const struct vt_consent *consent,
	struct vt_err *err)
{
	for (size_t i = 0; i < scan->n && !err->code; i++)
		for (size_t k = 0; k < scan->repo[i].n && !err->code; k++) {
			const char *path = scan->repo[i].file[k].path;
			const struct vt_json *who = vt_consent_named(consent, path);

			if (who)
				vt_err_set(err, VT_EDATA,
					"repo %s: %s is of subject %s, who has withdrawn consent "
					"(%s); take the subject's files out and run again",
					scan->repo[i].name, path,
					vt_json_text(vt_json_get(who, "subject"), ""),
					vt_json_text(vt_json_get(who, "reason"), ""));
		}
	return err->code;
}

int vt_scan_open(struct vt_scan **out, const struct vt_pipeline *pipeline,
	const struct vt_strs *binds, enum vt_scan_depth depth, struct vt_err *err)
{
	struct vt_scan *s = vt_xcalloc(1, sizeof *s);
	struct demand d = { s, err };
	s->pipeline = pipeline;
	s->repo = vt_xcalloc(binds->n + 1, sizeof *s->repo);
	for (size_t i = 0; i < binds->n && !err->code; i++) {
		const char *eq = strchr(binds->v[i], '=');
		if (!eq) {
			vt_err_set(err, VT_EUSAGE, "--repo %s: write NAME=DIR", binds->v[i]);
			break;
		}
		struct repo *r = &s->repo[s->n++];
		r->name = vt_xstrndup(binds->v[i], (size_t)(eq - binds->v[i]));
		r->dir = vt_xstrdup(eq + 1);
		list(r, depth, err);
	}
	vt_input_leaves(pipeline->input, demand_leaf, &d);
	if (err->code) {
		vt_scan_close(s);
		return err->code;
	}
	assert(s->n == binds->n);
	vt_datums_enumerate(&s->datums, pipeline, snapshot, s);
	if (!s->datums.n && !vt_pipeline_may_be_empty(pipeline) &&
		vt_datums_missing(pipeline, snapshot, s))
		vt_err_set(err, VT_EFAIL, "pipeline %s: %s", pipeline->name, VT_DATUMS_MISSING);
	if (err->code || (depth == VT_SCAN_CONTENT && name_datums(s, err))) {
		vt_scan_close(s);
		return err->code;
	}
	*out = s;
	return 0;
}

void vt_scan_close(struct vt_scan *scan)
{
	if (!scan)
		return;
	vt_datums_release(&scan->datums);
	for (size_t i = 0; i < scan->n; i++) {
		vt_snapshot_close(scan->repo[i].seen);
		for (size_t k = 0; k < scan->repo[i].n; k++)
			free(scan->repo[i].file[k].path);
		free(scan->repo[i].file);
		free(scan->repo[i].name);
		vt_strs_release(&scan->repo[i].carriers);
		free(scan->repo[i].dir);
	}
	free(scan->repo);
	free(scan->key);
	free(scan);
}

/* --- views --------------------------------------------------------------- */

static int place(const char *from, const char *to, struct vt_err *err)
{
	char *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to)),
	     *real = vt_fs_realpath(from, err);
	/* a link serves where both are on one file system; real: the engine may have linked it */
	if (real && !vt_fs_mkdirs(dir, err) && link(real, to))
		vt_fs_copy(real, to, 0444, err);
	free(dir);
	free(real);
	return err->code;
}

static int place_input(const struct repo *repo, const struct vt_datum_file *file, const char *root,
	struct vt_err *err)
{
	if (vt_fs_mkdirs(root, err) || !file->entry)
		return err->code;
	for (size_t i = 0; i < file->entry->n && !err->code; i++) {
		const char *path = file->seen->tree->file[file->entry->first + i].path;
		char *from = repo->file_only ? vt_xstrdup(repo->dir)
					     : vt_path_join(repo->dir, path),
		     *to = vt_path_join(root, path);
		struct stat st;
		/* several datum files may name one path */
		if (lstat(to, &st))
			place(file->in->empty_files ? "/dev/null" : from, to, err);
		free(from);
		free(to);
	}
	return err->code;
}

/* A record vouches for files by their paths: one that names a file of the datum comes along. */
static bool concerns(const struct vt_json *record, const char *carrier,
	const struct vt_datum_file *file)
{
	const struct vt_json *outputs = vt_json_get(record, "outputs");
	const char *below = file->entry->path + 1;
	bool found = false;

	for (size_t o = 0; outputs && o < outputs->n; o++) {
		const struct vt_json *files = vt_json_get(outputs->item[o], "files");

		for (size_t i = 0; files && !found && i < files->n; i++) {
			const char *path = vt_json_text(vt_json_get(files->item[i], "path"), "");
			char *whole = *carrier ? vt_path_join(carrier, path) : vt_xstrdup(path);

			/* entry->path begins with a slash, and ends with one for a folder */
			found = !strncmp(whole, below, strlen(below));
			free(whole);
		}
	}
	return found;
}

static int place_records_of(const struct repo *repo, const char *carrier,
	const struct vt_datum_file *file, const char *root, struct vt_err *err)
{
	const char *slash = *carrier ? "/" : "";
	char *base = vt_asprintf("%s/%s%s.lineage", repo->dir, carrier, slash);
	struct vt_strs names = VT_STRS_INIT;
	if (file->entry && vt_fs_is_dir(base))
		vt_fs_list(&names, base, err);
	for (size_t i = 0; i < names.n && !err->code; i++) {
		char *dir = vt_path_join(base, names.v[i]),
		     *path = vt_path_join(dir, "record.json");
		struct vt_json *record = NULL;
		struct vt_strs files = VT_STRS_INIT;
		if (vt_fs_exists(path) && !vt_json_read(&record, path, err) &&
			concerns(record, carrier, file) && !vt_fs_list(&files, dir, err))
			for (size_t k = 0; k < files.n && !err->code; k++) {
				char *from = vt_path_join(dir, files.v[k]),
				     *to = vt_asprintf("%s/%s%s.lineage/%s/%s", root, carrier,
					     slash, names.v[i], files.v[k]);
				/* of another input of the same repo */
				if (!vt_fs_exists(to))
					place(from, to, err);
				free(from);
				free(to);
			}
		vt_strs_release(&files);
		vt_json_free(record);
		free(dir);
		free(path);
	}
	vt_strs_release(&names);
	free(base);
	return err->code;
}

static int place_records(const struct repo *repo, const struct vt_datum_file *file,
	const char *root, struct vt_err *err)
{
	for (size_t i = 0; i < repo->carriers.n && !err->code; i++)
		place_records_of(repo, repo->carriers.v[i], file, root, err);
	return err->code;
}

static void assign(struct vt_buf *buf, const char *name, const char *suffix, const char *root,
	const char *value)
{
	/* within single quotes a shell knows ' alone */
	vt_buf_printf(buf, "%s%s=%s'", name, suffix, root);
	for (const char *p = value; *p; p++)
		vt_buf_str(buf, *p == '\'' ? "'\\''" : (char[]){ *p, 0 });
	vt_buf_str(buf, "'\n");
}

static int place_variables(const struct vt_datum *datum, const char *root, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	char *to = vt_path_join(root, ".env");
	vt_buf_printf(&b, "PACH_DATUM_ID=%s\n", datum->id);
	for (size_t i = 0; i < datum->n; i++) {
		const struct vt_datum_file *f = &datum->file[i];
		char *path = vt_asprintf("/%s%s", f->in->name, f->entry ? f->entry->path : "/"),
		     *key = vt_asprintf("PACH_DATUM_%s", f->in->name);
		/* as in the environment of a try */
		if (path[strlen(path) - 1] == '/')
			path[strlen(path) - 1] = 0;
		assign(&b, f->in->name, "", "\"$PFS_ROOT\"", path);
		if (f->join_on && *f->join_on)
			assign(&b, key, "_JOIN_ON", "", f->join_on);
		if (f->group_by && *f->group_by)
			assign(&b, key, "_GROUP_BY", "", f->group_by);
		free(path);
		free(key);
	}
	vt_fs_write_quick(to, b.data, b.len, 0644, err);
	vt_buf_release(&b);
	free(to);
	return err->code;
}

int vt_scan_views(const struct vt_scan *scan, const char *dir, struct vt_err *err)
{
	vt_fs_mkdirs(dir, err);
	for (size_t i = 0; i < scan->datums.n && !err->code; i++) {
		const struct vt_datum *d = &scan->datums.v[i];
		char *view = vt_path_join(dir, scan->key ? scan->key[i] : d->id);
		for (size_t k = 0; k < d->n && !err->code; k++) {
			const struct repo *r = find(scan, d->file[k].in->repo);
			char *root = vt_path_join(view, d->file[k].in->name);
			/* no such repo: the input is empty */
			if (!r)
				vt_fs_mkdirs(root, err);
			else if (!place_input(r, &d->file[k], root, err) && !r->file_only)
				place_records(r, &d->file[k], root, err);
			free(root);
		}
		if (!err->code)
			place_variables(d, view, err);
		free(view);
	}
	return err->code;
}
