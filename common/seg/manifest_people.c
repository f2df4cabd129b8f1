/* manifest_people.c - whose scans a subject's are, and what they are used for.
 *
 * A subject is one set of scans; a patient may have several. Whoever looks at one must not be
 * tested on another, so test set and folds are drawn by patient: a function of the manifest's seed
 * and the patient's name, which moves nobody when others come. /split/subjects says it instead,
 * subject by subject, and must not split a patient. */
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/seg/manifest_internal.h"

char *vt_manifest_patient(const struct vt_manifest *manifest, const char *subject)
{
	const char *named = vt_json_text(vt_json_get(manifest->patients, subject), NULL);
	struct vt_fields f = { .n = 0 };
	char *patient = NULL;

	if (named)
		return vt_xstrdup(named);
	if (manifest->subject && vt_fields_match(&f, manifest->subject, subject))
		patient = vt_fields_fill(&f, "{patient}");
	vt_fields_release(&f);
	return patient ? patient : vt_xstrdup(subject);
}

static struct vt_split entry_of(const struct vt_json *value)
{
	bool test = value->type == VT_JSON_STRING;

	return (struct vt_split){ test, test ? 0 : (int)value->integer };
}

int vt_manifest_split(struct vt_split *out, const struct vt_manifest *manifest, const char *subject,
	struct vt_err *err)
{
	const struct vt_json *given = vt_json_get(manifest->split_table, subject);
	char *patient = vt_manifest_patient(manifest, subject);
	struct vt_rng r = vt_rng_stream(manifest->seed, "split", vt_rng_hash(patient), 0, 0);
	double u = vt_rng_uniform(&r);
	int rc = 0;

	*out = (struct vt_split){ u < manifest->test,
		(int)vt_rng_below(&r, (uint32_t)manifest->folds) };
	/* The table may name patients as well. */
	given = given ? given : vt_json_get(manifest->split_table, patient);
	if (given)
		*out = entry_of(given);
	else if (manifest->split_table)
		rc = vt_err_set(err, VT_EDATA,
			"subject %s is not in /split/subjects of manifest %s; say there whether "
			"it is \"test\" or in which fold",
			subject, manifest->name);
	free(patient);
	return rc;
}

struct placed {
	char *patient;
	const char *subject;
	struct vt_split split;
};

static int by_patient(const void *a, const void *b)
{
	const struct placed *p = a, *q = b;
	int order = strcmp(p->patient, q->patient);

	return order ? order : strcmp(p->subject, q->subject);
}

int vt_manifest_check_split(const struct vt_manifest *manifest, const char *origin,
	struct vt_err *err)
{
	size_t n = manifest->split_table ? manifest->split_table->n : 0;
	struct placed *v = vt_xcalloc(n + 1, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = (struct placed){ vt_manifest_patient(manifest,
						manifest->split_table->key[i]),
			manifest->split_table->key[i], entry_of(manifest->split_table->item[i]) };
	if (n > 1)
		qsort(v, n, sizeof(*v), by_patient);
	for (size_t i = 1; i < n && !err->code; i++)
		if (!strcmp(v[i - 1].patient, v[i].patient) &&
			(v[i - 1].split.test != v[i].split.test ||
				v[i - 1].split.fold != v[i].split.fold))
			vt_err_set(err, VT_EDATA,
				"%s: /split/subjects: %s and %s are of one patient, %s, and must "
				"stand in one place",
				origin, v[i - 1].subject, v[i].subject, v[i].patient);
	for (size_t i = 0; i < n; i++)
		free(v[i].patient);
	free(v);
	return err->code;
}

/* --- a balanced table ---------------------------------------------------- */

struct seat {
	char *patient;
	double order; /* a function of the seed and the patient's name */
	size_t n;     /* subjects */
	bool placed;
	struct vt_split split;
};

static int by_order(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return strcmp(x->patient, y->patient);
}

static struct seat *seat_of(struct seat *seat, size_t n, const char *patient)
{
	size_t i = 0;

	while (i < n && strcmp(seat[i].patient, patient))
		i++;
	return &seat[i];
}

/* Patients of the subjects, in the order in which they are placed. */
static size_t find_seats(struct seat *seat, const struct vt_manifest *manifest,
	const struct vt_strs *ids)
{
	size_t n = 0;

	for (size_t i = 0; i < ids->n; i++) {
		const struct vt_json *given = vt_json_get(manifest->split_table, ids->v[i]);
		char *patient = vt_manifest_patient(manifest, ids->v[i]);
		struct seat *at = seat_of(seat, n, patient);
		struct vt_rng r =
			vt_rng_stream(manifest->seed, "place", vt_rng_hash(patient), 0, 0);

		given = given ? given : vt_json_get(manifest->split_table, patient);
		if (at == seat + n)
			seat[n++] =
				(struct seat){ .patient = patient, .order = vt_rng_uniform(&r) };
		else
			free(patient);
		at->n++;
		if (given) {
			at->placed = true;
			at->split = entry_of(given);
		}
	}
	qsort(seat, n, sizeof(*seat), by_order);
	return n;
}

/* Those without a place: tests until there are enough, else to the smallest fold. */
static void fill(struct seat *seat, size_t n, const struct vt_manifest *manifest)
{
	size_t *fold = vt_xcalloc((size_t)manifest->folds, sizeof(*fold)), tests = 0,
	       want = (size_t)(manifest->test * (double)n + 0.5);

	for (size_t i = 0; i < n; i++) {
		tests += seat[i].placed && seat[i].split.test;
		if (seat[i].placed && !seat[i].split.test)
			fold[seat[i].split.fold] += seat[i].n;
	}
	for (size_t i = 0; i < n; i++) {
		int least = 0;

		if (seat[i].placed)
			continue;
		for (int k = 1; k < manifest->folds; k++)
			least = fold[k] < fold[least] ? k : least;
		seat[i].split = (struct vt_split){ tests < want, least };
		fold[least] += tests < want ? 0 : seat[i].n;
		tests += tests < want;
	}
	free(fold);
}

struct vt_json *vt_manifest_place(const struct vt_manifest *manifest, const struct vt_strs *ids)
{
	struct vt_json *table = vt_json_new(VT_JSON_OBJECT);
	struct seat *v = vt_xcalloc(ids->n + 1, sizeof(*v));
	size_t n = find_seats(v, manifest, ids);

	fill(v, n, manifest);
	for (size_t i = 0; i < ids->n; i++) {
		char *patient = vt_manifest_patient(manifest, ids->v[i]);
		const struct vt_split *s = &seat_of(v, n, patient)->split;

		if (s->test)
			vt_json_put_text(table, ids->v[i], "test");
		else
			vt_json_put_int(table, ids->v[i], s->fold);
		free(patient);
	}
	for (size_t i = 0; i < n; i++)
		free(v[i].patient);
	free(v);
	return table;
}
