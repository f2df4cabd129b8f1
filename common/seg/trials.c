#include "common/seg/trials.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"
#include "common/base/fs.h"
#include "common/seg/select.h"

static struct vt_trial *find(struct vt_trial *trial, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(trial[i].name, name))
			return &trial[i];
	return NULL;
}

static int read_params(struct vt_trial *trial, const char *configs, struct vt_err *err)
{
	char *path = vt_asprintf("%s/%s/rung-%d.json", configs, trial->name, trial->n_rungs);
	struct vt_json *j = NULL;
	int rc = vt_json_read(&j, path, err);

	if (!rc && (!vt_json_get(j, "params") || vt_json_get(j, "params")->type != VT_JSON_OBJECT))
		rc = vt_err_set(err, VT_EDATA, "%s: /params must be an object", path);
	if (!rc) {
		vt_json_free(trial->params);
		trial->params = vt_json_copy(vt_json_get(j, "params"));
		trial->step[trial->n_rungs - 1] =
			vt_json_integer(vt_json_get(trial->params, "last-step"), 0);
	}
	vt_json_free(j);
	free(path);
	return rc;
}

static int add_rung(struct vt_trial **trial, size_t *n, const char *configs, const char *rung,
	int k, const char *by, struct vt_err *err)
{
	struct vt_scored *s = NULL;
	size_t n_scored = 0;
	int rc = vt_scores_of_models(&s, &n_scored, rung, by, "", err);

	for (size_t i = 0; !rc && i < n_scored; i++) {
		struct vt_trial *one = find(*trial, *n, s[i].name);

		if (!one) {
			*trial = vt_xrealloc(*trial, (*n + 1) * sizeof(**trial));
			one = &(*trial)[(*n)++];
			*one = (struct vt_trial){ .name = vt_xstrdup(s[i].name) };
		}
		for (; one->n_rungs < k; one->n_rungs++)
			one->score[one->n_rungs] = NAN;
		one->score[one->n_rungs++] = s[i].score;
		rc = read_params(one, configs, err);
	}
	vt_scores_free(s, n_scored);
	return rc;
}

static int by_rank(const void *a, const void *b)
{
	const struct vt_trial *x = a, *y = b;
	if (x->n_rungs != y->n_rungs)
		return y->n_rungs - x->n_rungs;
	if (x->key < y->key || x->key > y->key)
		return x->key < y->key ? -1 : 1;
	return strcmp(x->name, y->name);
}

int vt_trials_read(struct vt_trial **out, size_t *n, const char *configs, const char *const *rung,
	const char *by, bool low_is_better, struct vt_err *err)
{
	struct vt_trial *t = NULL;
	size_t count = 0;
	int rc = 0;

	for (int k = 0; !rc && rung[k]; k++)
		rc = add_rung(&t, &count, configs, rung[k], k, by, err);
	if (rc) {
		vt_trials_free(t, count);
		return rc;
	}
	for (size_t i = 0; i < count; i++)
		t[i].key = (low_is_better ? 1 : -1) * t[i].score[t[i].n_rungs - 1];
	qsort(t, count, sizeof(*t), by_rank);
	*out = t;
	*n = count;
	return 0;
}

void vt_trials_free(struct vt_trial *trial, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(trial[i].name);
		vt_json_free(trial[i].params);
	}
	free(trial);
}

/* --- tables -------------------------------------------------------------- */

static char *text_of(const struct vt_json *json)
{
	struct vt_buf b = VT_BUF_INIT;

	if (json && json->type == VT_JSON_STRING)
		vt_buf_str(&b, json->string);
	else if (json)
		vt_json_sorted(&b, json);
	return vt_buf_detach(&b);
}

/* Params that are not the same in all trials, but where rungs differ by themselves; sorted. */
static void differing(struct vt_strs *keys, const struct vt_trial *trial, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; trial[i].params && k < trial[i].params->n; k++) {
			char *a = text_of(trial[i].params->item[k]),
			     *b = text_of(vt_json_get(trial[0].params, trial[i].params->key[k]));

			if (strcmp(a, b) && strcmp(trial[i].params->key[k], "first-step") &&
				strcmp(trial[i].params->key[k], "last-step"))
				vt_strs_add(keys, trial[i].params->key[k]);
			free(a);
			free(b);
		}
	vt_strs_unique(keys);
}

static int most_rungs(const struct vt_trial *trial, size_t n)
{
	return n ? trial[0].n_rungs : 0;
}

void vt_trials_csv(struct vt_buf *out, const struct vt_trial *trial, size_t n, const char *by)
{
	struct vt_strs keys = VT_STRS_INIT;

	differing(&keys, trial, n);
	vt_buf_str(out, "rank,trial,rungs");
	for (size_t k = 0; k < keys.n; k++) {
		vt_buf_char(out, ',');
		vt_csv_quote(out, keys.v[k]);
	}
	for (int r = 0; r < most_rungs(trial, n); r++)
		vt_buf_printf(out, ",%s_%d", by, r + 1);
	vt_buf_char(out, '\n');
	for (size_t i = 0; i < n; i++) {
		vt_buf_printf(out, "%zu,%s,%d", i + 1, trial[i].name, trial[i].n_rungs);
		for (size_t k = 0; k < keys.n; k++) {
			char *text = text_of(vt_json_get(trial[i].params, keys.v[k]));

			vt_buf_char(out, ',');
			vt_csv_quote(out, text);
			free(text);
		}
		for (int r = 0; r < most_rungs(trial, n); r++) {
			vt_buf_char(out, ',');
			if (r < trial[i].n_rungs)
				vt_csv_real(out, trial[i].score[r]);
		}
		vt_buf_char(out, '\n');
	}
	vt_strs_release(&keys);
}

struct vt_json *vt_trials_json(const struct vt_trial *trial, size_t n, const char *by)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < n; i++) {
		struct vt_json *one = vt_json_new(VT_JSON_OBJECT),
			       *scores = vt_json_new(VT_JSON_ARRAY);

		vt_json_put_text(one, "trial", trial[i].name);
		for (int r = 0; r < trial[i].n_rungs; r++)
			vt_json_push(scores,
				isfinite(trial[i].score[r]) ? vt_json_new_real(trial[i].score[r])
							    : vt_json_new(VT_JSON_NULL));
		vt_json_put(one, by, scores);
		vt_json_put(one, "params", vt_json_copy(trial[i].params));
		vt_json_push(list, one);
	}
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "winner", n ? trial[0].name : "");
	vt_json_put(j, "trials", list);
	return j;
}

/* --- page ---------------------------------------------------------------- */

static void put_escaped(struct vt_buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '<')
			vt_buf_str(out, "&lt;");
		else if (*text == '&')
			vt_buf_str(out, "&amp;");
		else
			vt_buf_char(out, *text);
	}
}

/* Score from bottom to top, steps on a logarithmic axis of rungs: a line a trial. */
static void put_picture(struct vt_buf *out, const struct vt_trial *trial, size_t n)
{
	double lo = INFINITY, hi = -INFINITY;
	int rungs = most_rungs(trial, n);

	for (size_t i = 0; i < n; i++)
		for (int r = 0; r < trial[i].n_rungs; r++)
			if (isfinite(trial[i].score[r])) {
				lo = fmin(lo, trial[i].score[r]);
				hi = fmax(hi, trial[i].score[r]);
			}
	hi = hi > lo ? hi : lo + 1;
	vt_buf_str(out,
		"<svg viewBox=\"0 0 640 300\" role=\"img\" aria-label=\"score of each trial at "
		"the end of each rung\">\n");
	for (size_t i = n; i-- > 0;) {
		vt_buf_printf(out,
			"<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%d\" points=\"",
			i ? "#9ab" : "#c30", i ? 1 : 3);
		for (int r = 0; r < trial[i].n_rungs; r++)
			if (isfinite(trial[i].score[r]))
				vt_buf_printf(out, "%.1f,%.1f ", 60 + 540.0 * (r + 0.5) / rungs,
					270 - 240 * (trial[i].score[r] - lo) / (hi - lo));
		vt_buf_str(out, "\"/>\n");
		for (int r = 0; r < trial[i].n_rungs; r++)
			if (isfinite(trial[i].score[r]))
				vt_buf_printf(out,
					"<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
					60 + 540.0 * (r + 0.5) / rungs,
					270 - 240 * (trial[i].score[r] - lo) / (hi - lo),
					i ? "#9ab" : "#c30");
	}
	for (int r = 0; r < rungs; r++)
		vt_buf_printf(out,
			"<text x=\"%.1f\" y=\"292\" text-anchor=\"middle\" font-size=\"12\">%lld "
			"steps</text>\n",
			60 + 540.0 * (r + 0.5) / rungs, (long long)trial[0].step[r]);
	vt_buf_printf(out,
		"<text x=\"4\" y=\"34\" font-size=\"12\">%.3f</text>\n"
		"<text x=\"4\" y=\"274\" font-size=\"12\">%.3f</text>\n</svg>\n",
		hi, lo);
}

void vt_trials_html(struct vt_buf *out, const struct vt_trial *trial, size_t n, const char *by)
{
	struct vt_buf csv = VT_BUF_INIT;
	struct vt_csv table;
	struct vt_err err = VT_ERR_INIT;

	vt_trials_csv(&csv, trial, n, by);
	vt_buf_str(out,
		"<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Trials</title>\n"
		"<style>body{font:14px sans-serif;margin:2em;max-width:60em}table{border-collapse:"
		"collapse}td,th{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:right}"
		"tr.best{background:#fee}svg{max-width:100%}</style>\n<h1>Trials</h1>\n<p>Winner: "
		"<b>");
	put_escaped(out, n ? trial[0].name : "");
	vt_buf_str(out, "</b>. Score: ");
	put_escaped(out, by);
	vt_buf_str(out, " of the best weights at the end of each rung.</p>\n");
	if (n)
		put_picture(out, trial, n);
	vt_buf_str(out, "<table>\n");
	if (!vt_csv_parse(&table, csv.data, csv.len, "trials.csv", &err)) {
		for (size_t row = 0; row <= table.n_rows; row++) {
			vt_buf_str(out, row == 1 ? "<tr class=\"best\">" : "<tr>");
			for (size_t c = 0; c < table.n_columns; c++) {
				vt_buf_str(out, row ? "<td>" : "<th>");
				put_escaped(out, table.cells.v[row * table.n_columns + c]);
				vt_buf_str(out, row ? "</td>" : "</th>");
			}
			vt_buf_str(out, "</tr>\n");
		}
		vt_csv_release(&table);
	}
	vt_buf_str(out, "</table>\n</html>\n");
	vt_buf_release(&csv);
}
