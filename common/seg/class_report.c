#include "common/seg/class_report.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/text_out.h"
#include "common/seg/class_scores.h"
#include "common/seg/classifier.h"

static int n_classes(const struct vt_class_answers *answers)
{
	return (int)answers->m->classes.n;
}

static int likeliest(const struct vt_class_answers *answers, size_t i)
{
	return vt_class_likeliest(answers->v[i].probability, n_classes(answers));
}

void vt_class_answers_add(struct vt_class_answers *answers, const char *subject,
	double *probability, int truth)
{
	answers->v = vt_xrealloc(answers->v, (answers->n + 1) * sizeof(*answers->v));
	answers->v[answers->n++] =
		(struct vt_class_answer){ vt_xstrdup(subject), probability, truth };
}

void vt_class_answers_release(struct vt_class_answers *answers)
{
	for (size_t i = 0; i < answers->n; i++) {
		free(answers->v[i].subject);
		free(answers->v[i].probability);
	}
	free(answers->v);
	answers->v = NULL;
	answers->n = 0;
}

/* --- the table ------------------------------------------------------------- */

static void add_row(struct vt_buf *out, const struct vt_class_answers *answers, size_t i)
{
	const struct vt_class_answer *one = &answers->v[i];

	vt_csv_text(out, one->subject);
	vt_buf_char(out, ',');
	vt_csv_text(out, answers->m->classes.v[likeliest(answers, i)]);
	vt_buf_char(out, ',');
	vt_csv_text(out, one->truth < 0 ? "" : answers->m->classes.v[one->truth]);
	for (int k = 0; k < n_classes(answers); k++) {
		char number[32];

		vt_json_real_text(number, one->probability[k]);
		vt_buf_printf(out, ",%s", number);
	}
	vt_buf_char(out, '\n');
}

void vt_class_answers_csv(struct vt_buf *out, const struct vt_class_answers *answers)
{
	vt_buf_str(out, "subject,class,truth");
	for (int k = 0; k < n_classes(answers); k++) {
		char *column = vt_asprintf("p_%s", answers->m->classes.v[k]);

		vt_buf_char(out, ',');
		vt_csv_text(out, column);
		free(column);
	}
	vt_buf_char(out, '\n');
	for (size_t i = 0; i < answers->n; i++)
		add_row(out, answers, i);
}

/* --- scores ---------------------------------------------------------------- */

static struct vt_json *number(double v)
{
	return isfinite(v) ? vt_json_new_real(v) : vt_json_new(VT_JSON_NULL);
}

static struct vt_json *with_interval(double v, struct vt_interval ci)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *ends = vt_json_new(VT_JSON_ARRAY);

	vt_json_push(ends, number(ci.low));
	vt_json_push(ends, number(ci.high));
	vt_json_put(j, "value", number(v));
	vt_json_put(j, "ci95", ends);
	return j;
}

/* Each class against the others, and their mean. */
static struct vt_json *auc_json(const struct vt_class_answers *answers, double *mean)
{
	double *score = vt_xmalloc((answers->n + 1) * sizeof(*score)), sum = 0;
	bool *positive = vt_xmalloc((answers->n + 1) * sizeof(*positive));
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < n_classes(answers); k++) {
		struct vt_interval ci;
		size_t n = 0;
		double auc;

		for (size_t i = 0; i < answers->n; i++)
			if (answers->v[i].truth >= 0) {
				score[n] = answers->v[i].probability[k];
				positive[n++] = answers->v[i].truth == k;
			}
		auc = vt_auc(&ci, score, positive, n);
		sum += auc;
		vt_json_put(out, answers->m->classes.v[k], with_interval(auc, ci));
	}
	*mean = sum / n_classes(answers);
	free(score);
	free(positive);
	return out;
}

static struct vt_json *confusion_json(const struct vt_class_answers *answers)
{
	size_t n = (size_t)n_classes(answers), *count = vt_xcalloc(n * n, sizeof(*count));
	struct vt_json *rows = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < answers->n; i++)
		if (answers->v[i].truth >= 0)
			count[(size_t)answers->v[i].truth * n + (size_t)likeliest(answers, i)]++;
	for (size_t t = 0; t < n; t++) {
		struct vt_json *row = vt_json_new(VT_JSON_ARRAY);

		for (size_t k = 0; k < n; k++)
			vt_json_push(row, vt_json_new_int((int64_t)count[t * n + k]));
		vt_json_push(rows, row);
	}
	free(count);
	return rows;
}

struct vt_json *vt_class_answers_json(const struct vt_class_answers *answers)
{
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT);
	size_t n = 0, right = 0;
	double mean;

	for (size_t i = 0; i < answers->n; i++) {
		n += answers->v[i].truth >= 0;
		right += answers->v[i].truth >= 0 && likeliest(answers, i) == answers->v[i].truth;
	}
	vt_json_put_int(out, "format", 1);
	vt_json_put(out, "classes", vt_json_new_texts(&answers->m->classes));
	vt_json_put_int(out, "scored", (int64_t)n);
	vt_json_put_int(out, "right", (int64_t)right);
	vt_json_put(out, "accuracy",
		with_interval(n ? (double)right / (double)n : NAN, vt_wilson(right, n)));
	vt_json_put(out, "auc", auc_json(answers, &mean));
	vt_json_put(out, "mean_auc", number(mean));
	vt_json_put(out, "confusion", confusion_json(answers));
	return out;
}
