/* voxtrail table SCANS [LABELS]: subjects and their files, as a manifest finds them in commits.
 *
 * The files of the commits are linked below the store's tmp/ while their names are looked at, so
 * that what is found here is what the stages find.  Where the store may only be read, files of
 * their names and sizes stand for them in a directory for temporary files. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/csv.h"
#include "common/base/fs.h"
#include "common/seg/manifest.h"
#include "common/store/repo.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

/* One commit's files for a while. */
struct view {
	char *dir;
	char id[VT_HEX];
};

static int stand_in(const char *dir, const struct vt_tree_file *file, struct vt_err *err)
{
	char *path = vt_path_join(dir, file->path), *above = vt_xstrdup(path);
	int fd = -1;

	*strrchr(above, '/') = '\0';
	if (!vt_fs_mkdirs(above, err)) {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, (off_t)file->size))
			vt_err_errno(err, VT_ECANTCREAT, "%s", path);
	}
	if (fd >= 0)
		close(fd);
	free(above);
	free(path);
	return err->code;
}

static int fill_view(struct view *view, struct vt_store *store, const struct vt_tree *tree,
	struct vt_err *err)
{
	const char *tmp = getenv("TMPDIR");

	if (!vt_store_is_read_only(store)) {
		view->dir = vt_store_tmp_path(store);
		return vt_store_checkout(store, tree, view->dir, VT_CHECKOUT_LINK, err);
	}
	view->dir = vt_asprintf("%s/voxtrail-table-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(view->dir)) {
		vt_err_errno(err, VT_ECANTCREAT, "%s", view->dir);
		free(view->dir);
		view->dir = NULL;
	}
	for (size_t i = 0; !err->code && i < tree->n_files; i++)
		stand_in(view->dir, &tree->file[i], err);
	return err->code;
}

static int open_view(struct view *view, struct vt_store *store, const char *what,
	struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_tree *t = NULL;
	struct vt_digest id;
	int rc = vt_repo_resolve(store, &c, what, err);

	if (!rc && !vt_digest_parse(&id, c.tree))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s names no tree", what);
	if (!rc)
		rc = vt_store_get_tree(store, &t, &id, err);
	if (!rc) {
		memcpy(view->id, c.id, sizeof(view->id));
		rc = fill_view(view, store, t, err);
	}
	vt_tree_free(t);
	vt_commit_release(&c);
	return rc;
}

static int close_view(struct view *view, struct vt_err *err)
{
	int rc = view->dir ? vt_fs_remove_tree(view->dir, err) : 0;

	free(view->dir);
	return rc;
}

/* text without `root` and the '/' behind it, wherever they stand. */
static void add_without(struct vt_buf *out, const char *text, const char *root)
{
	size_t n = strlen(root);

	for (const char *at = strstr(text, root); at; at = strstr(text, root)) {
		vt_buf_add(out, text, (size_t)(at - text));
		text = at + n + (at[n] == '/');
	}
	vt_buf_str(out, text);
}

/* The path below root, or "" where there is none; what is wrong goes to *problem. */
static char *relative(int rc, char *path, const char *root, const struct vt_err *why,
	struct vt_buf *problem)
{
	char *out = vt_xstrdup(!rc && path ? path + strlen(root) + 1 : "");

	if (rc) {
		vt_buf_str(problem, problem->len ? "; " : "");
		add_without(problem, why->text, root);
	}
	free(path);
	return out;
}

struct table {
	const struct vt_manifest *m;
	const struct view *scans, *labels;
	struct vt_json *rows;
	size_t test; /* rows of test subjects */
};

static void put_path(struct vt_json *row, const char *key, char *path)
{
	vt_json_put_text(row, key, path);
	free(path);
}

static void add_row(struct table *table, const char *subject)
{
	struct vt_json *row = vt_json_new(VT_JSON_OBJECT);
	struct vt_split split;
	struct vt_err unplaced = VT_ERR_INIT;
	struct vt_buf problem = VT_BUF_INIT;
	const char *scans = table->scans->dir, *labels = table->labels->dir;
	char *path = NULL;
	int rc;

	if (vt_manifest_split(&split, table->m, subject, &unplaced))
		vt_buf_str(&problem, unplaced.text);
	vt_json_put_text(row, "subject", subject);
	for (int c = 0; c < table->m->n_channels; c++) {
		struct vt_err why = VT_ERR_INIT;

		path = NULL;
		rc = vt_manifest_channel(&path, table->m, scans, subject, c, &why);
		put_path(row, table->m->channel[c].role, relative(rc, path, scans, &why, &problem));
	}
	if (table->m->mask_files.n) {
		struct vt_err why = VT_ERR_INIT;

		path = NULL;
		rc = vt_manifest_mask(&path, table->m, scans, subject, &why);
		put_path(row, "brain_mask", relative(rc, path, scans, &why, &problem));
	}
	if (table->m->label_files.n) {
		struct vt_err why = VT_ERR_INIT;

		path = NULL;
		rc = vt_manifest_label(&path, table->m, labels, subject, &why);
		put_path(row, "label", relative(rc, path, labels, &why, &problem));
	}
	table->test += split.test;
	vt_json_put_text(row, "split", split.test ? "test" : "train");
	if (split.test)
		vt_json_put(row, "fold", vt_json_new(VT_JSON_NULL));
	else
		vt_json_put_int(row, "fold", split.fold);
	vt_json_put_text(row, "problem", problem.len ? problem.data : "");
	vt_json_push(table->rows, row);
	vt_buf_release(&problem);
}

static void print_csv(const struct vt_json *rows)
{
	struct vt_buf text = VT_BUF_INIT;

	for (size_t i = 0; i < rows->n; i++) {
		const struct vt_json *row = rows->item[i];

		for (size_t k = 0; !i && k < row->n; k++) {
			vt_buf_str(&text, k ? "," : "");
			vt_csv_quote(&text, row->key[k]);
		}
		vt_buf_str(&text, i ? "" : "\n");
		for (size_t k = 0; k < row->n; k++) {
			const struct vt_json *v = row->item[k];

			vt_buf_str(&text, k ? "," : "");
			if (v->type == VT_JSON_INT)
				vt_buf_printf(&text, "%lld", (long long)v->integer);
			else
				vt_csv_quote(&text, vt_json_text(v, ""));
		}
		vt_buf_char(&text, '\n');
	}
	fputs(text.data ? text.data : "", stdout);
	vt_buf_release(&text);
}

static void print_json(const struct table *table)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "manifest", table->m->name);
	vt_json_put_text(j, "scans", table->scans->id);
	vt_json_put_text(j, "labels", table->labels->id);
	vt_json_put(j, "subjects", vt_json_copy(table->rows));
	vt_command_print(j);
}

static void show(struct vt_store *store, const struct vt_strs *what, const char *manifest,
	bool json, struct vt_err *err)
{
	struct view v[2] = { { .dir = NULL }, { .dir = NULL } };
	struct vt_manifest *m = NULL;
	struct vt_strs ids = VT_STRS_INIT;
	struct table t = { .scans = &v[0], .labels = &v[what->n > 1] };
	struct vt_err after = VT_ERR_INIT;
	int rc = vt_manifest_read(&m, manifest, err);

	for (size_t k = 0; !rc && k < what->n; k++)
		rc = open_view(&v[k], store, what->v[k], err);
	if (!rc && (rc = vt_manifest_subjects(&ids, m, v[0].dir, err)))
		*err = (struct vt_err){ rc, "" };
	if (rc && !*err->text)
		vt_err_set(err, rc,
			"%s: no subjects as the manifest %s lays them out; `voxtrail ls %s` "
			"shows what there is",
			what->v[0], m->name, what->v[0]);
	if (!rc) {
		t.m = m;
		t.rows = vt_json_new(VT_JSON_ARRAY);
		for (size_t i = 0; i < ids.n; i++)
			add_row(&t, ids.v[i]);
		if (json)
			print_json(&t);
		else
			print_csv(t.rows);
		fflush(stdout);
		vt_say_split(ids.n, t.test);
		vt_json_free(t.rows);
	}
	for (int k = 0; k < 2; k++)
		if (close_view(&v[k], &after) && !rc)
			*err = after;
	vt_strs_release(&ids);
	vt_manifest_free(m);
}

int vt_cmd_table(int argc, char **argv)
{
	const char *manifest = NULL;
	int json = 0;
	const struct vt_opt opts[] = {
		{ 0, "manifest", VT_OPT_STRING, &manifest, "FILE",
			"what the cohort's files mean (manifests/)" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON, with the commits' ids" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "table SCANS[@REF] [LABELS[@REF]]",
		.about = "Prints one row per subject: its files in the commits according "
			 "to the manifest (one column per channel), the label map (in "
			 "LABELS, otherwise in SCANS), whether it is a test subject, its "
			 "fold, and faults. CSV for pandas and spreadsheets.",
		.least = 1,
		.most = 2,
		.opts = opts,
		.mode = VT_STORE_LOOK,
	};

	if (vt_call_begin(&c, argc, argv)) {
		if (!manifest)
			vt_err_set(&c.err, VT_EUSAGE, "give --manifest FILE");
		else
			show(c.s, &c.args, manifest, json != 0, &c.err);
	}
	return vt_call_end(&c);
}
