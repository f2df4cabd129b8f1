/* voxtrail leakage: does an evaluation share a subject, or the bytes of a volume, with what the checkpoint was trained
 * on? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/ancestry.h"
#include "common/store/record.h"
#include "pipelines/commands.h"
#include "pipelines/lineage_command.h"
#include "pipelines/runner/command.h"

/* One side: whose files, and which. */
struct volume {
	char sha256[VT_HEX];
	char *subject, *path;
};

struct side {
	struct vt_strs subjects;         /* sorted, once each */
	struct volume *v;                /* sorted by digest */
	size_t n, cap;
};

static void add_volume(struct side *s, const char *sha256, const char *subject, const char *path)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 64;
		s->v = vt_xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n] = (struct volume){ .subject = vt_xstrdup(subject), .path = vt_xstrdup(path) };
	snprintf(s->v[s->n++].sha256, VT_HEX, "%s", sha256);
}

static int by_digest(const void *a, const void *b)
{
	const struct volume *x = a, *y = b;
	int c = strcmp(x->sha256, y->sha256);

	return c ? c : strcmp(x->path, y->path);
}

static bool has(const struct vt_strs *sorted, const char *name)
{
	for (size_t i = 0; i < sorted->n; i++)
		if (!strcmp(sorted->v[i], name))
			return true;
	return false;
}

static void add_names(struct vt_strs *to, const struct vt_json *names)
{
	for (size_t i = 0; names && i < names->n; i++)
		if (names->item[i]->type == VT_JSON_STRING && !has(to, names->item[i]->string))
			vt_strs_add(to, names->item[i]->string);
}

static void side_release(struct side *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].subject);
		free(s->v[i].path);
	}
	free(s->v);
	vt_strs_release(&s->subjects);
}

/* Two people without a tumour have the same, empty label map. */
static bool is_volume(const struct vt_raw_file *f)
{
	return strcmp(f->port, "labels") && *f->subject;
}

/* The raw volumes of the side's subjects, once each. */
static void take_volumes(struct side *s, const struct vt_ancestry *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->v[i].n_raw; k++)
			if (is_volume(&a->v[i].raw[k]) && has(&s->subjects, a->v[i].raw[k].subject))
				add_volume(s, a->v[i].raw[k].sha256, a->v[i].raw[k].subject, a->v[i].raw[k].path);
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_digest);
	for (size_t i = 0; i < s->n; i++)
		if (n && !by_digest(&s->v[n - 1], &s->v[i])) {
			free(s->v[i].subject);
			free(s->v[i].path);
		} else {
			s->v[n++] = s->v[i];
		}
	s->n = n;
}

/* Trained on: what the trainings among the ancestors note; where none of them notes anything, everybody.  `choosing`:
 * those that chose the weights too. */
static void training_side(struct side *s, const struct vt_ancestry *a, bool choosing)
{
	bool noted = false;

	for (size_t i = 0; i < a->n; i++) {
		const struct vt_json *split = vt_json_pointer(a->v[i].record, "/notes/split");

		noted = noted || split;
		add_names(&s->subjects, vt_json_get(split, "train"));
		if (choosing)
			add_names(&s->subjects, vt_json_get(split, "validation"));
	}
	if (!noted)
		vt_ancestry_subjects(&s->subjects, a);
	vt_strs_sort(&s->subjects);
	take_volumes(s, a);
}

/* Evaluated on: what the executions that made it note, else everybody in its ancestry. */
static void evaluation_side(struct side *s, const struct vt_ancestry *a)
{
	for (size_t i = 0; i < a->n_roots; i++)
		add_names(&s->subjects, vt_json_pointer(a->v[i].record, "/notes/subjects"));
	if (!s->subjects.n)
		vt_ancestry_subjects(&s->subjects, a);
	vt_strs_sort(&s->subjects);
	take_volumes(s, a);
}

/* Files that no execution made: a test set on disk. */
static int directory_side(struct side *s, const char *dir, struct vt_err *err)
{
	struct vt_tree *t = NULL;
	int rc = vt_tree_hash_dir(&t, dir, err);

	for (size_t i = 0; !rc && i < t->n_files; i++) {
		char *subject = vt_record_subject(NULL, t->file[i].path), hex[VT_HEX];

		vt_digest_hex(hex, &t->file[i].digest);
		if (*subject && !has(&s->subjects, subject))
			vt_strs_add(&s->subjects, subject);
		add_volume(s, hex, subject, t->file[i].path);
		free(subject);
	}
	vt_strs_sort(&s->subjects);
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_digest);
	vt_tree_free(t);
	return rc;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

struct leak {
	struct vt_strs subjects;
	struct vt_json *volumes;         /* [{sha256, training, evaluation}...] */
	size_t n_volumes;
};

static void add_shared(struct leak *l, const struct volume *a, const struct volume *b)
{
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(o, "sha256", a->sha256);
	vt_json_put_text(o, "training", a->path);
	vt_json_put_text(o, "evaluation", b->path);
	vt_json_push(l->volumes, o);
	l->n_volumes++;
}

/* A volume of a shared subject says nothing new. */
static void compare(struct leak *l, const struct side *train, const struct side *test)
{
	for (size_t i = 0; i < test->subjects.n; i++)
		if (has(&train->subjects, test->subjects.v[i]))
			vt_strs_add(&l->subjects, test->subjects.v[i]);
	for (size_t i = 0, k = 0; i < train->n && k < test->n;) {
		int c = strcmp(train->v[i].sha256, test->v[k].sha256);

		if (!c && !(has(&l->subjects, train->v[i].subject) && !strcmp(train->v[i].subject, test->v[k].subject)))
			add_shared(l, &train->v[i], &test->v[k]);
		i += c < 0;
		k += c >= 0;
	}
}

static void print_text(const struct leak *l, const struct side *train, const struct side *test)
{
	for (size_t i = 0; i < l->subjects.n; i++)
		printf("shared subject  %s\n", l->subjects.v[i]);
	for (size_t i = 0; i < l->n_volumes; i++)
		printf("shared volume   %s  %s (training) is %s (evaluation)\n",
			vt_json_text(vt_json_get(l->volumes->item[i], "sha256"), ""),
			vt_json_text(vt_json_get(l->volumes->item[i], "training"), ""),
			vt_json_text(vt_json_get(l->volumes->item[i], "evaluation"), ""));
	printf("trained on %zu subjects (%zu volumes), evaluated on %zu (%zu): %zu subjects and %zu volumes are "
		"shared\n", train->subjects.n, train->n,
		test->subjects.n, test->n, l->subjects.n, l->n_volumes);
}

static void print_json(const struct leak *l, const struct side *train, const struct side *test)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_bool(j, "leak", l->subjects.n || l->n_volumes);
	vt_json_put(j, "shared_subjects", vt_lineage_names(&l->subjects));
	vt_json_put(j, "shared_volumes", vt_json_copy(l->volumes));
	vt_json_put(j, "training", vt_lineage_names(&train->subjects));
	vt_json_put(j, "evaluation", vt_lineage_names(&test->subjects));
	vt_lineage_print(j);
}

static void answer(const struct side *train, const struct side *test, int json, struct vt_err *err)
{
	struct leak l = { .volumes = vt_json_new(VT_JSON_ARRAY) };

	if (!train->subjects.n && !train->n)
		vt_err_set(err, VT_ENOINPUT, "no subject was found that it was trained on");
	else if (!test->subjects.n && !test->n)
		vt_err_set(err, VT_ENOINPUT, "no subject was found that it was evaluated on");
	if (!err->code) {
		compare(&l, train, test);
		json ? print_json(&l, train, test) : print_text(&l, train, test);
		if (l.subjects.n || l.n_volumes)
			err->code = VT_EFAIL;
	}
	vt_strs_release(&l.subjects);
	vt_json_free(l.volumes);
}

static int load(struct vt_ancestry **out, struct vt_store *s, const char *what, struct vt_err *err)
{
	struct vt_trail *t = NULL;
	int rc = vt_trail_open(&t, s, what, VT_TRAIL_MADE, err);

	if (!rc)
		rc = vt_ancestry_load(out, t, err);
	if (!rc)
		vt_lineage_incomplete(&(*out)->missing, err);
	vt_trail_close(t);
	return err->code;
}

/* An answer from half the ancestry would be worth nothing: it is refused. */
static void leakage(struct vt_store *s, const char *trained, const char *evaluated, int choosing, int json,
	struct vt_err *err)
{
	struct side train = { .n = 0 }, test = { .n = 0 };
	struct vt_ancestry *a = NULL, *b = NULL;
	struct vt_err none = VT_ERR_INIT;

	if (!load(&a, s, trained, err)) {
		training_side(&train, a, choosing != 0);
		if (!evaluated)
			evaluation_side(&test, a);
		else if (!load(&b, s, evaluated, &none))
			evaluation_side(&test, b);
		else if (none.code == VT_ENOINPUT && vt_fs_is_dir(evaluated))
			directory_side(&test, evaluated, err);
		else
			*err = none;
		if (!err->code)
			answer(&train, &test, json, err);
	}
	side_release(&train);
	side_release(&test);
	vt_ancestry_free(a);
	vt_ancestry_free(b);
}

int vt_cmd_leakage(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, json = 0, choosing = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "validation", VT_OPT_FLAG, &choosing, NULL,
			"subjects that chose the weights count as trained on" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("leakage WHAT [EVALUATED]", "Says whether the subjects or the bytes of the "
				"volumes (under any name) that a checkpoint was trained on "
				"are among those it is evaluated on. WHAT is the output of an evaluation; or a "
				"checkpoint, and EVALUATED an evaluation, any "
				"other output, or a directory of scans. Exits with 0 if nothing is shared, 1 if "
				"something is or if records are missing.", opts);
		else if (rest.n < 1 || rest.n > 2)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail leakage WHAT [EVALUATED]");
		else if (!vt_lineage_store(&s, store, rest.v[0], &err))
			leakage(s, rest.v[0], rest.n == 2 ? rest.v[1] : NULL, choosing, json, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("leakage", &err);
}
