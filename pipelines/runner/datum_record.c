/* The files of the output are split into those that a new record of the program's lists and the
 * rest; the rest get the runner's record.  A record is new when no input carries it. */
#include "pipelines/runner/datum_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"
#include "common/content/fileset.h"
#include "common/record/record.h"
#include "common/record/record_dir.h"
#include "common/stage/build.h"

/* a datum of thousands of subjects: the ids are in the record, the ancestors' texts are a
 * convenience */
static const size_t parents_limit = 64u << 20;
static const char partial[] = ".voxtrail-partial";

/* A directory with its lineage taken apart. */
struct side {
	const char *root;
	struct vt_strs files;    /* paths, without those below a .lineage */
	struct vt_strs carriers; /* directories that have a .lineage, relative; "" is the root */
};

struct sealing {
	const struct vt_done *d;
	struct vt_strs lines;   /* records of the inputs and of their ancestors, as text */
	struct vt_strs parents; /* ids of the records beside any input, sorted */
	struct vt_strs subjects;
	bool *covered; /* of the output's files */
	size_t n_covered, n_sealed;
	bool passed_over; /* a stage said that what it saw is no subject's */
};

bool vt_pipeline_may_be_empty(const struct vt_pipeline *pipeline)
{
	const char *text = vt_pipeline_annotation(pipeline, VT_MAY_BE_EMPTY);

	return text && !strcmp(text, "true");
}

struct readers {
	const char *name;
	bool any;
};

static void note_reader(void *ctx, const struct vt_input *leaf)
{
	struct readers *readers = ctx;

	/* warm: a start for training, not what this pipeline reads of a subject */
	readers->any |=
		leaf->kind == VT_INPUT_PFS && !leaf->warm && !strcmp(leaf->repo, readers->name);
}

bool vt_pipeline_must_leave(const struct vt_spec *spec, const struct vt_pipeline *pipeline)
{
	struct readers readers = { pipeline->name, false };

	for (size_t i = 0; i < spec->n; i++)
		vt_input_leaves(spec->pipeline[i].input, note_reader, &readers);
	return !readers.any && !vt_pipeline_may_be_empty(pipeline);
}

static void side_release(struct side *side)
{
	vt_strs_release(&side->files);
	vt_strs_release(&side->carriers);
}

static int side_entry(void *ctx, const char *relative, char type, struct vt_err *err)
{
	struct side *s = ctx;
	const char *name = vt_tree_lineage_part(relative);

	(void)err;
	if (!name && type != 'd')
		vt_strs_add(&s->files, relative);
	/* the folder .lineage itself, not what lies in it */
	if (name && !name[8] && type == 'd') {
		char *carrier =
			vt_xstrndup(relative, name == relative ? 0 : (size_t)(name - relative) - 1);

		vt_strs_add(&s->carriers, carrier);
		free(carrier);
	}
	return 0;
}

static int side_read(struct side *side, const char *root, struct vt_err *err)
{
	*side = (struct side){ root, VT_STRS_INIT, VT_STRS_INIT };
	int rc = vt_fs_is_dir(root) ? vt_fs_walk(root, side_entry, side, err) : 0;

	/* file_at() searches it */
	vt_strs_sort(&side->files);
	return rc;
}

static char *below(const char *root, const char *relative)
{
	return *relative ? vt_path_join(root, relative) : vt_xstrdup(root);
}

/* Files of a side with their digests; skip: a flag a file that is left out, or NULL. */
static int side_tree(struct vt_tree **out, const struct side *side, const bool *skip,
	struct vt_err *err)
{
	struct vt_tree_file *file = vt_xcalloc(side->files.n + 1, sizeof *file);
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < side->files.n; i++) {
		char *path = vt_path_join(side->root, side->files.v[i]);

		struct stat st;

		if (!skip || !skip[i]) {
			file[n].path = side->files.v[i];
			/* a hole would be hashed as zeros that were never written */
			if (!stat(path, &st) && S_ISREG(st.st_mode))
				rc = vt_fileset_check_holes(side->root, side->files.v[i], &st, err);
			if (!rc)
				rc = vt_digest_file(&file[n].digest, &file[n].size, path, err);
			file[n].executable = !rc && st.st_mode & S_IXUSR;
			n++;
		}
		free(path);
	}
	if (!rc)
		rc = vt_tree_from_files(out, file, n, err);
	free(file);
	return rc;
}

/* --- inputs -------------------------------------------------------------- */

static bool has_file(const struct side *side, const char *carrier, const char *path);

/* Does the record list a file that this input shows?  An engine may lay more records beside it. */
static bool concerns(const struct side *in, const char *carrier, const struct vt_json *record)
{
	const struct vt_json *outputs = vt_json_get(record, "outputs");

	for (size_t o = 0; outputs && o < outputs->n; o++) {
		const struct vt_json *files = vt_json_get(outputs->item[o], "files");

		for (size_t i = 0; files && i < files->n; i++)
			if (has_file(in, carrier,
				    vt_json_text(vt_json_get(files->item[i], "path"), "")))
				return true;
	}
	return false;
}

/* Adds the text of a record and of all it was made from, as far as they are here. */
static void add_lines(struct sealing *sealing, const struct vt_record_dir *c, size_t from,
	bool *taken)
{
	/* Depth first over the records that are here; `taken` keeps each to one line. */
	size_t *stack = vt_xcalloc(c->n + 1, sizeof *stack), n = 0;

	if (!taken[from])
		stack[n++] = from;
	taken[from] = true;
	while (n) {
		const struct vt_record_dir_record *r = &c->v[stack[--n]];
		const struct vt_json *inputs = vt_json_get(r->record, "inputs");

		vt_strs_add(&sealing->lines, r->text);
		for (size_t i = 0; inputs && i < inputs->n; i++) {
			const struct vt_json *parents = vt_json_get(inputs->item[i], "parents");

			for (size_t k = 0; parents && k < parents->n; k++) {
				const struct vt_record_dir_record *up =
					vt_record_dir_find(c, vt_json_text(parents->item[k], ""));

				if (up && !taken[up - c->v]) {
					taken[up - c->v] = true;
					stack[n++] = (size_t)(up - c->v);
				}
			}
		}
	}
	free(stack);
}

static void note_subjects_of(struct sealing *sealing, const struct vt_json *record);

/* The records beside one input: ids of those that made files of it to *own, texts to the lines. */
static int read_parents(struct sealing *sealing, const struct side *in, struct vt_strs *own,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < in->carriers.n; i++) {
		char *dir = below(in->root, in->carriers.v[i]);
		struct vt_record_dir c = { NULL, 0, 0 };

		rc = vt_record_dir_read_top(&c, dir, err);
		bool *taken = vt_xcalloc(c.n + 1, sizeof *taken);

		/* own: of this carrier, not an ancestor's copy beside it */
		for (size_t k = 0; !rc && k < c.n; k++) {
			if (c.v[k].own)
				vt_strs_add(&sealing->parents, c.v[k].id);
			if (!c.v[k].own || !concerns(in, in->carriers.v[i], c.v[k].record))
				continue;
			vt_strs_add(own, c.v[k].id);
			note_subjects_of(sealing, c.v[k].record);
			add_lines(sealing, &c, k, taken);
		}
		free(taken);
		if (!rc)
			vt_record_dir_release(&c);
		free(dir);
	}
	vt_strs_unique(own);
	return rc;
}

/* --- what the program left of records ------------------------------------ */

static size_t file_at(const struct side *out, const char *carrier, const char *path)
{
	char *whole = *carrier ? vt_path_join(carrier, path) : vt_xstrdup(path);
	size_t at = vt_strs_find(&out->files, whole);

	free(whole);
	return at;
}

static bool has_file(const struct side *side, const char *carrier, const char *path)
{
	return file_at(side, carrier, path) != SIZE_MAX;
}

/* Marks the files that a record lists; one that has other bytes was changed behind the stage's
 * back. */
static int cover(struct sealing *sealing, const struct side *out, const char *carrier,
	const struct vt_json *record, struct vt_err *err)
{
	const struct vt_json *outputs = vt_json_get(record, "outputs");
	int rc = 0;

	for (size_t o = 0; outputs && o < outputs->n; o++) {
		const struct vt_json *files = vt_json_get(outputs->item[o], "files");

		for (size_t i = 0; !rc && files && i < files->n; i++) {
			size_t at = file_at(out, carrier,
				vt_json_text(vt_json_get(files->item[i], "path"), ""));
			char *path = at == SIZE_MAX
				? NULL
				: vt_path_join(sealing->d->out, out->files.v[at]),
			     hex[VT_HEX];
			struct vt_digest digest;
			uint64_t size;

			/* listed and gone is no fault: a later program may have removed it */
			if (path && !(rc = vt_digest_file(&digest, &size, path, err))) {
				vt_digest_hex(hex, &digest);
				if (strcmp(hex,
					    vt_json_text(vt_json_get(files->item[i], "sha256"),
						    "")))
					rc = vt_err_set(err, VT_EDATA,
						"%s was changed after the stage %s had sealed it; "
						"write the changed file under another name",
						out->files.v[at],
						vt_json_text(vt_json_get(record, "stage"), "?"));
				assert(at < out->files.n);
				/* two records may list one file */
				sealing->n_covered += !sealing->covered[at];
				sealing->covered[at] = true;
			}
			free(path);
		}
	}
	return rc;
}

/* One directory below .lineage: kept if its record is new, taken away if it was copied from an
 * input. */
static int judge_record(struct sealing *sealing, const struct side *out, const char *carrier,
	const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "record.json"), hex[VT_HEX];
	struct vt_buf text = VT_BUF_INIT;
	struct vt_json *record = NULL;
	int rc = vt_fs_exists(path) ? vt_fs_read(&text, path, 1u << 30, err) : 0;

	if (!rc && text.len) {
		struct vt_digest id = vt_digest_bytes(text.data, text.len);

		vt_digest_hex(hex, &id);
		/* copied from an input with its files: it tells nothing of this program */
		if (vt_strs_hold(&sealing->parents, hex)) {
			rc = vt_fs_remove_tree(dir, err);
		} else if (!(rc = vt_record_parse(&record, text.data, text.len, path, err)) &&
			vt_json_get(record, "result")) {
			/* one without a result is of a stage that failed */
			sealing->n_sealed++;
			sealing->passed_over |=
				vt_json_pointer(record, "/notes/passed_over") != NULL;
			rc = cover(sealing, out, carrier, record, err);
		}
	}
	vt_json_free(record);
	vt_buf_release(&text);
	free(path);
	return rc;
}

static int judge_records(struct sealing *sealing, const struct side *out, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < out->carriers.n; i++) {
		char *dir = below(sealing->d->out, out->carriers.v[i]),
		     *base = vt_path_join(dir, ".lineage");
		struct vt_strs names = VT_STRS_INIT;

		rc = vt_fs_list(&names, base, err);
		for (size_t k = 0; !rc && k < names.n; k++) {
			char *one = vt_path_join(base, names.v[k]);

			rc = judge_record(sealing, out, out->carriers.v[i], one, err);
			free(one);
		}
		vt_strs_release(&names);
		free(base);
		free(dir);
	}
	return rc;
}

/* --- the runner's record ------------------------------------------------- */

static void put_compact(struct vt_json *params, const char *key, const struct vt_json *value)
{
	struct vt_buf text = VT_BUF_INIT;

	if (!value)
		return;
	vt_json_compact(&text, value);
	vt_json_put_text(params, key, text.data);
	vt_buf_release(&text);
}

static struct vt_json *params_of(const struct vt_done *done)
{
	static const char *const counted[][2] = { { "command", "cmd" }, { "stdin", "stdin" },
		{ "environment", "env" }, { "accepted-codes", "acceptReturnCode" } };
	struct vt_json *params = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf programs = VT_BUF_INIT;

	for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
		put_compact(params, counted[i][0],
			vt_json_get(done->pipeline->transform, counted[i][1]));
	vt_json_put_text(params, "image",
		vt_json_text(vt_json_get(done->pipeline->transform, "image"), ""));
	for (size_t i = 0; i < done->used->n; i++) {
		char hex[VT_HEX];

		vt_digest_hex(hex, &done->used->v[i].digest);
		vt_buf_printf(&programs, "%s%s %s", i ? "\n" : "", hex, done->used->v[i].name);
	}
	vt_json_put_text(params, "programs", programs.data ? programs.data : "");
	vt_buf_release(&programs);
	return params;
}

static int write_files(struct sealing *sealing, const struct vt_buf *record,
	const struct vt_digest *result, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char hex[VT_HEX];

	vt_digest_hex(hex, result);
	char *dir = vt_asprintf("%s/.lineage/%s", sealing->d->out, hex),
	     *path = vt_path_join(dir, "record.json"),
	     *parents = vt_path_join(dir, "parents.jsonl");
	int rc = vt_fs_mkdirs(dir, err);

	/* equal records of several inputs once */
	vt_strs_unique(&sealing->lines);
	for (size_t i = 0;
		i < sealing->lines.n && text.len + strlen(sealing->lines.v[i]) < parents_limit; i++)
		vt_buf_printf(&text, "%s\n", sealing->lines.v[i]);
	if (!rc && text.len)
		rc = vt_fs_write_quick(parents, text.data, text.len, 0644, err);
	if (!rc)
		rc = vt_fs_write_quick(path, record->data, record->len, 0644, err);
	vt_buf_release(&text);
	free(parents);
	free(path);
	free(dir);
	return rc;
}

static int write_record(struct sealing *sealing, const struct vt_record_port *in, size_t n,
	const struct vt_tree *tree, struct vt_err *err)
{
	struct vt_json *params = params_of(sealing->d);
	struct vt_json *notes = vt_json_new(VT_JSON_OBJECT), *names = vt_json_new(VT_JSON_ARRAY);
	struct vt_record_port out = { "out", tree, NULL };
	struct vt_record r = { .stage = sealing->d->pipeline->name,
		.version = "command",
		.commit = vt_build_commit(),
		.dirty = vt_build_dirty(),
		.params = params,
		.input = in,
		.n_inputs = n,
		.output = &out,
		.n_outputs = 1 };
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest result, id;

	vt_strs_unique(&sealing->subjects);
	for (size_t i = 0; i < sealing->subjects.n; i++)
		vt_json_push(names, vt_json_new_text(sealing->subjects.v[i]));
	vt_json_put(notes, "subjects", names);
	r.notes = sealing->subjects.n ? notes : NULL;
	/* the first program is the command's own */
	if (sealing->d->used->n)
		r.binary = sealing->d->used->v[0].digest;
	int rc = vt_record_result(&result, &r, err);

	if (!rc)
		rc = vt_record_write(&text, &id, &r, err);
	if (!rc)
		rc = write_files(sealing, &text, &result, err);
	vt_buf_release(&text);
	vt_json_free(params);
	vt_json_free(notes);
	return rc;
}

/* --- one datum ----------------------------------------------------------- */

bool vt_path_in_quarantine(const char *path)
{
	return !strncmp(path, "quarantine/", 11) || strstr(path, "/quarantine/");
}

/* Exit status 65 is that of whoever put a subject into quarantine, and of whoever was given a wrong
 * parameter, which concerns every datum. */
static int check_refusal(const struct sealing *sealing, const struct side *out, struct vt_err *err)
{
	bool named = sealing->passed_over;

	for (size_t i = 0; !named && i < out->files.n; i++)
		named = vt_path_in_quarantine(out->files.v[i]);
	/* a stage of ours leaves a record even of a refusal */
	if (sealing->d->used->stage && !sealing->n_sealed)
		return vt_err_set(err, VT_EDATA,
			"exit status 65, but %s put no subject into quarantine: what it was given "
			"besides is refused",
			sealing->d->used->stage);
	if (!named)
		return vt_err_set(err, VT_EDATA,
			"exit status 65, but nothing is in /pfs/out/quarantine, where it would say "
			"which subject is refused and why");
	return 0;
}

/* What exit status 0 must have left, and 65. */
static int check_output(const struct sealing *sealing, const struct side *out, struct vt_err *err)
{
	const struct vt_done *d = sealing->d;
	char *left = vt_path_join(d->out, partial);
	bool unfinished = vt_fs_exists(left);

	free(left);
	if (unfinished)
		return vt_err_set(err, VT_EFAIL,
			"%s is still in the output: a stage that was killed left it", partial);
	if (d->exit_code == VT_EDATA)
		return check_refusal(sealing, out, err);
	/* another accepted code: what it leaves is its own matter */
	if (d->exit_code)
		return 0;
	if (d->used->stage && !sealing->n_sealed)
		return vt_err_set(err, VT_EFAIL,
			"exit status 0, but %s left no record: what starts it did not run it "
			"to its end",
			d->used->stage);
	if (!out->files.n && !sealing->n_sealed && !vt_pipeline_may_be_empty(d->pipeline))
		return vt_err_set(err, VT_EFAIL,
			"exit status 0, but nothing is in /pfs/out; if that is right, annotate "
			"the pipeline with \"" VT_MAY_BE_EMPTY "\": \"true\"");
	return 0;
}

static const char *path_at(const void *ctx, size_t i)
{
	return ((const struct vt_strs *)ctx)->v[i];
}

/* Whose data it may be: the directories of the inputs, as everywhere (vt_record_subject), and whom
 * the records beside them name. */
static void note_subjects(struct sealing *sealing, const struct side *in)
{
	struct vt_strs results = VT_STRS_INIT;

	vt_record_results(&results, in->files.n, path_at, &in->files);
	for (size_t i = 0; i < in->files.n; i++) {
		char *name = vt_record_subject(NULL, &results, in->files.v[i]);

		/* neighbors are of one subject: most repetitions end here, vt_strs_unique() ends
		 * the rest */
		if (*name &&
			(!sealing->subjects.n ||
				strcmp(sealing->subjects.v[sealing->subjects.n - 1], name)))
			vt_strs_add(&sealing->subjects, name);
		free(name);
	}
	vt_strs_release(&results);
}

static void note_subjects_of(struct sealing *sealing, const struct vt_json *record)
{
	const struct vt_json *names = vt_json_pointer(record, "/notes/subjects");

	/* an object has the subjects for keys */
	for (size_t i = 0; names && i < names->n; i++)
		vt_strs_add(&sealing->subjects,
			names->type == VT_JSON_OBJECT ? names->key[i]
						      : vt_json_text(names->item[i], ""));
}

static int read_input(struct sealing *sealing, const char *name, struct vt_record_port *port,
	struct vt_strs *own, struct vt_tree **tree, struct vt_err *err)
{
	char *root = vt_path_join(sealing->d->in, name);
	struct side in;
	int rc = side_read(&in, root, err);

	if (!rc)
		rc = read_parents(sealing, &in, own, err);
	if (!rc)
		rc = side_tree(tree, &in, NULL, err);
	note_subjects(sealing, &in);
	*port = (struct vt_record_port){ name, *tree, own };
	side_release(&in);
	free(root);
	return rc ? vt_err_prefix(err, "input %s", name) : 0;
}

static int seal_output(struct sealing *sealing, const struct vt_record_port *port, size_t n,
	struct vt_err *err)
{
	struct vt_tree *tree = NULL;
	struct side out;
	int rc = side_read(&out, sealing->d->out, err);

	assert(!sealing->covered);
	sealing->covered = vt_xcalloc(out.files.n + 1, sizeof *sealing->covered);
	if (!rc)
		rc = judge_records(sealing, &out, err);
	if (!rc)
		rc = check_output(sealing, &out, err);
	/* all covered by the stages' own records: the runner has nothing to add */
	if (!rc && (sealing->n_covered < out.files.n || !sealing->n_sealed)) {
		rc = side_tree(&tree, &out, sealing->covered, err);
		if (!rc)
			rc = write_record(sealing, port, n, tree, err);
	}
	vt_tree_free(tree);
	free(sealing->covered);
	side_release(&out);
	return rc;
}

int vt_datum_seal(const struct vt_done *done, struct vt_err *err)
{
	struct sealing s = { .d = done };
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(done->in) ? vt_fs_list(&names, done->in, err) : 0;
	struct vt_record_port *port = vt_xcalloc(names.n + 1, sizeof *port);
	struct vt_strs *own = vt_xcalloc(names.n + 1, sizeof *own);
	struct vt_tree **tree = vt_xcalloc(names.n + 1, sizeof *tree);

	size_t n = 0;

	for (size_t i = 0; !rc && i < names.n; i++)
		/* /pfs/out, and what is hidden */
		if (strcmp(names.v[i], "out") && names.v[i][0] != '.') {
			rc = read_input(&s, names.v[i], &port[n], &own[n], &tree[n], err);
			n++;
		}
	/* judge_record() searches it */
	vt_strs_unique(&s.parents);
	if (!rc)
		rc = seal_output(&s, port, n, err);
	for (size_t i = 0; i < names.n; i++) {
		vt_tree_free(tree[i]);
		vt_strs_release(&own[i]);
	}
	free(tree);
	free(own);
	free(port);
	vt_strs_release(&s.parents);
	vt_strs_release(&s.subjects);
	vt_strs_release(&s.lines);
	vt_strs_release(&names);
	return rc;
}
