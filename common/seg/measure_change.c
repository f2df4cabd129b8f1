/* measure_change.c - features of a patient's later visits beside the earlier ones. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"
#include "common/base/text_out.h"
#include "common/seg/measure.h"

static int by_patient_and_day(const void *a, const void *b)
{
	const struct vt_visit *x = a, *y = b;
	int order = strcmp(x->patient, y->patient);

	if (order)
		return order;
	if (x->day < y->day || x->day > y->day)
		return x->day < y->day ? -1 : 1;
	return strcmp(x->subject, y->subject);
}

static int by_subject(const void *a, const void *b)
{
	return strcmp((*(const struct vt_visit *const *)a)->subject,
		(*(const struct vt_visit *const *)b)->subject);
}

static int check_visits(const struct vt_visit *visit, size_t n, const char *path,
	struct vt_err *err)
{
	const struct vt_visit **by = vt_xmalloc((n + 1) * sizeof(*by));
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		by[i] = &visit[i];
	qsort(by, n, sizeof(*by), by_subject);
	for (size_t i = 1; !rc && i < n; i++) {
		if (!strcmp(by[i]->subject, by[i - 1]->subject))
			rc = vt_err_set(err, VT_EDATA, "%s: subject %s has two rows", path,
				by[i]->subject);
		else if (!strcmp(visit[i].patient, visit[i - 1].patient) &&
			!(visit[i].day > visit[i - 1].day))
			rc = vt_err_set(err, VT_EDATA,
				"%s: %s and %s are visits of patient %s on one day; which came "
				"first?",
				path, visit[i - 1].subject, visit[i].subject, visit[i].patient);
	}
	free(by);
	return rc;
}

int vt_visits_read(struct vt_visit **out, size_t *n, const char *path, struct vt_err *err)
{
	struct vt_visit *v = NULL;
	struct vt_csv t;
	size_t subject, patient, day;
	int rc = vt_csv_read(&t, path, err);

	if (rc)
		return rc;
	rc = vt_csv_column(&subject, &t, "subject", err);
	if (!rc)
		rc = vt_csv_column(&patient, &t, "patient", err);
	if (!rc)
		rc = vt_csv_column(&day, &t, "day", err);
	if (!rc)
		v = vt_xcalloc(t.n_rows + 1, sizeof(*v));
	for (size_t i = 0; !rc && i < t.n_rows; i++) {
		v[i].subject = vt_xstrdup(vt_csv_cell(&t, i, subject));
		v[i].patient = vt_xstrdup(vt_csv_cell(&t, i, patient));
		rc = vt_csv_number(&v[i].day, &t, i, day, err);
	}
	if (!rc) {
		qsort(v, t.n_rows, sizeof(*v), by_patient_and_day);
		rc = check_visits(v, t.n_rows, path, err);
	}
	if (rc && v) {
		vt_visits_free(v, t.n_rows);
	} else if (!rc) {
		*out = v;
		*n = t.n_rows;
	}
	vt_csv_release(&t);
	return rc;
}

void vt_visits_free(struct vt_visit *visit, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(visit[i].subject);
		free(visit[i].patient);
	}
	free(visit);
}

/* --- changes ------------------------------------------------------------- */

static const struct vt_measured *find(const struct vt_measured *measured, size_t n,
	const char *subject)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(measured[i].subject, subject))
			return &measured[i];
	return NULL;
}

static double value_of(const struct vt_measured *measured, int region, const char *name)
{
	const struct vt_features *f = &measured->region[region];

	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->v[i].name, name))
			return f->v[i].value;
	return NAN;
}

/* ",now - then,percent of then", empty where either is not defined. */
static void put_change(struct vt_buf *out, double now, double then)
{
	char text[32];

	vt_buf_char(out, ',');
	if (isfinite(now - then)) {
		vt_json_real_text(text, now - then);
		vt_buf_str(out, text);
	}
	vt_buf_char(out, ',');
	if (isfinite((now - then) / then)) {
		vt_json_real_text(text, 100 * (now - then) / fabs(then));
		vt_buf_str(out, text);
	}
}

/* A patient's visits that were measured. */
struct course {
	const struct vt_visit *first, *before, *now;
	const struct vt_measured *m_first, *m_before, *m_now;
};

static void put_visit(struct vt_buf *out, const struct course *c,
	const struct vt_manifest *manifest)
{
	for (int r = 0; r < c->m_now->n_regions; r++) {
		const struct vt_features *f = &c->m_now->region[r];
		const struct vt_features *old = &c->m_first->region[r];
		const struct vt_features *longer = f->n >= old->n ? f : old;

		for (size_t k = 0; k < longer->n; k++) {
			const char *name = longer->v[k].name;
			double now = value_of(c->m_now, r, name);
			char text[32];

			vt_csv_text(out, c->now->patient);
			vt_buf_char(out, ',');
			vt_csv_text(out, c->now->subject);
			vt_json_real_text(text, c->now->day);
			vt_buf_printf(out, ",%s,", text);
			vt_csv_text(out, manifest->region[r].name);
			vt_buf_printf(out, ",%s,", name);
			if (isfinite(now)) {
				vt_json_real_text(text, now);
				vt_buf_str(out, text);
			}
			vt_json_real_text(text, c->now->day - c->first->day);
			vt_buf_printf(out, ",%s", text);
			put_change(out, now, value_of(c->m_first, r, name));
			vt_json_real_text(text, c->now->day - c->before->day);
			vt_buf_printf(out, ",%s", text);
			put_change(out, now, value_of(c->m_before, r, name));
			vt_buf_char(out, '\n');
		}
	}
}

void vt_changes_csv(struct vt_buf *out, const struct vt_measured *measured, size_t n,
	const struct vt_manifest *manifest, const struct vt_visit *visit, size_t n_visits)
{
	struct course c = { NULL, NULL, NULL, NULL, NULL, NULL };

	vt_buf_str(out,
		"patient,subject,day,region,feature,value,days_from_first,change_from_first,"
		"percent_from_first,days_from_previous,change_from_previous,"
		"percent_from_previous\n");
	for (size_t i = 0; i < n_visits; i++) {
		const struct vt_measured *found = find(measured, n, visit[i].subject);

		if (!found)
			continue;
		if (!c.first || strcmp(c.first->patient, visit[i].patient)) {
			c.first = c.now = &visit[i];
			c.m_first = c.m_now = found;
			continue;
		}
		c.before = c.now;
		c.m_before = c.m_now;
		c.now = &visit[i];
		c.m_now = found;
		put_visit(out, &c, manifest);
	}
}
