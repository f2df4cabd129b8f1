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

char *vt_manifest_patient(const struct vt_manifest *m, const char *subject)
{
	const char *named = vt_json_text(vt_json_get(m->patients, subject), NULL);
	struct vt_fields f = { .n = 0 };
	char *patient = NULL;

	if (named)
		return vt_xstrdup(named);
	if (m->subject && vt_fields_match(&f, m->subject, subject))
		patient = vt_fields_fill(&f, "{patient}");
	vt_fields_release(&f);
	return patient ? patient : vt_xstrdup(subject);
}

static struct vt_split entry_of(const struct vt_json *value)
{
	bool test = value->type == VT_JSON_STRING;

	return (struct vt_split){ test, test ? 0 : (int)value->integer };
}

int vt_manifest_split(struct vt_split *out, const struct vt_manifest *m, const char *subject,
	struct vt_err *err)
{
	const struct vt_json *given = vt_json_get(m->split_table, subject);
	char *patient = vt_manifest_patient(m, subject);
	struct vt_rng r = vt_rng_stream(m->seed, "split", vt_rng_hash(patient), 0, 0);
	double u = vt_rng_uniform(&r);
	int rc = 0;

	*out = (struct vt_split){ u < m->test, (int)vt_rng_below(&r, (uint32_t)m->folds) };
	/* The table may name patients as well. */
	given = given ? given : vt_json_get(m->split_table, patient);
	if (given)
		*out = entry_of(given);
	else if (m->split_table)
		rc = vt_err_set(err, VT_EDATA,
			"subject %s is not in /split/subjects of manifest %s; say there whether "
			"it is \"test\" or in which fold",
			subject, m->name);
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

int vt_manifest_check_split(const struct vt_manifest *m, const char *origin, struct vt_err *err)
{
	size_t n = m->split_table ? m->split_table->n : 0;
	struct placed *v = vt_xcalloc(n + 1, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = (struct placed){ vt_manifest_patient(m, m->split_table->key[i]),
			m->split_table->key[i], entry_of(m->split_table->item[i]) };
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
