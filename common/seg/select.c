#include "common/seg/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"
#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/text_out.h"

struct scores {
	struct vt_scored *v; /* as they come, each with its place in `n`, until finish() */
	size_t n, cap;
};

static void add(struct scores *scores, const char *name, double value)
{
	if (scores->n == scores->cap) {
		scores->cap = scores->cap ? 2 * scores->cap : 64;
		scores->v = vt_xrealloc(scores->v, scores->cap * sizeof(*scores->v));
	}
	scores->v[scores->n] = (struct vt_scored){ vt_xstrdup(name), value, scores->n, false };
	scores->n++;
}

/* Of equal names what came first: sums do not depend on the sort. */
static int by_name(const void *a, const void *b)
{
	const struct vt_scored *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* One entry a name, with the sum and the number of its values. */
static void unite(struct scores *scores)
{
	size_t kept = 0;

	if (scores->n)
		qsort(scores->v, scores->n, sizeof(*scores->v), by_name);
	for (size_t i = 0; i < scores->n; i++) {
		if (kept && !strcmp(scores->v[kept - 1].name, scores->v[i].name)) {
			scores->v[kept - 1].score += scores->v[i].score;
			scores->v[kept - 1].n++;
			free(scores->v[i].name);
			continue;
		}
		scores->v[kept] = scores->v[i];
		scores->v[kept++].n = 1;
	}
	scores->n = kept;
}

static int finish(struct scores *scores, struct vt_scored **out, size_t *n, int rc)
{
	if (rc) {
		vt_scores_free(scores->v, scores->n);
		return rc;
	}
	unite(scores);
	for (size_t i = 0; i < scores->n; i++)
		scores->v[i].score /= (double)scores->v[i].n;
	*out = scores->v;
	*n = scores->n;
	return 0;
}

void vt_scores_free(struct vt_scored *scored, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(scored[i].name);
	free(scored);
}

static int name_of(const void *name, const void *scored)
{
	return strcmp(name, ((const struct vt_scored *)scored)->name);
}

const struct vt_scored *vt_scores_find(const struct vt_scored *scored, size_t n, const char *name)
{
	return n ? bsearch(name, scored, n, sizeof(*scored), name_of) : NULL;
}

/* --- subjects ------------------------------------------------------------ */

static int read_table(struct scores *scores, const char *path, const char *by, const char *region,
	struct vt_err *err)
{
	size_t subject, where, value, found = 0;
	struct vt_csv t;
	int rc = vt_csv_read(&t, path, err);

	if (rc)
		return rc;
	rc = vt_csv_column(&subject, &t, "subject", err);
	if (!rc)
		rc = vt_csv_column(&where, &t, "region", err);
	if (!rc)
		rc = vt_csv_column(&value, &t, by, err);
	for (size_t i = 0; !rc && i < t.n_rows; i++) {
		double v;

		if (*region && strcmp(vt_csv_plain(vt_csv_cell(&t, i, where)), region))
			continue;
		found++;
		if (!*vt_csv_cell(&t, i, value))
			continue; /* not defined, and in no mean */
		rc = vt_csv_number(&v, &t, i, value, err);
		if (!rc)
			add(scores, vt_csv_plain(vt_csv_cell(&t, i, subject)), v);
	}
	if (!rc && !found)
		rc = vt_err_set(err, VT_EDATA, "%s: no rows%s%s", path,
			*region ? " of region " : "", region);
	vt_csv_release(&t);
	return rc;
}

int vt_scores_of_subjects(struct vt_scored **out, size_t *n, const char *root, const char *by,
	const char *region, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	struct scores s = { NULL, 0, 0 };
	char *own = vt_path_join(root, "subjects.csv");
	bool single = vt_fs_exists(own);
	int rc = single ? read_table(&s, own, by, region, err) : vt_fs_list(&names, root, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_asprintf("%s/%s/subjects.csv", root, names.v[i]);

		if (vt_fs_exists(path))
			rc = read_table(&s, path, by, region, err);
		free(path);
	}
	if (!rc && !s.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no subjects.csv, neither there nor in its directories; give the "
			"output of evaluate",
			root);
	free(own);
	vt_strs_release(&names);
	return finish(&s, out, n, rc);
}

/* --- models -------------------------------------------------------------- */

static int add_metrics(struct scores *scores, const char *name, const char *path, const char *by,
	const char *region, struct vt_err *err)
{
	struct vt_json *j = NULL;
	const struct vt_json *mean;
	size_t found = 0;
	int rc = vt_json_read(&j, path, err);

	mean = rc ? NULL : vt_json_get(j, "mean");
	for (size_t r = 0; mean && r < mean->n; r++) {
		double v = vt_json_number(vt_json_get(mean->item[r], by), NAN);

		if (isfinite(v) && (!*region || !strcmp(region, mean->key[r]))) {
			add(scores, name, v);
			found++;
		}
	}
	if (!rc && !found)
		rc = vt_err_set(err, VT_EDATA, "%s: no %s%s%s among the means", path, by,
			*region ? " of region " : "", region);
	vt_json_free(j);
	return rc;
}

static int add_checkpoint(struct scores *scores, const char *name, const char *path, const char *by,
	struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_json_read(&j, path, err);
	double v = rc ? NAN : vt_json_number(vt_json_get(vt_json_get(j, "best"), by), NAN);

	if (!rc && !isfinite(v))
		rc = vt_err_set(err, VT_EDATA,
			"%s: its best weights have no %s; train with a validation fold, and with "
			"--keep loss for a loss",
			path, by);
	if (!rc)
		add(scores, name, v);
	vt_json_free(j);
	return rc;
}

int vt_scores_of_models(struct vt_scored **out, size_t *n, const char *root, const char *by,
	const char *region, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	struct scores s = { NULL, 0, 0 };
	int rc = vt_fs_list(&names, root, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *metrics = vt_asprintf("%s/%s/metrics.json", root, names.v[i]),
		     *checkpoint = vt_asprintf("%s/%s/checkpoint.json", root, names.v[i]);

		if (vt_fs_exists(metrics))
			rc = add_metrics(&s, names.v[i], metrics, by, region, err);
		else if (vt_fs_exists(checkpoint))
			rc = add_checkpoint(&s, names.v[i], checkpoint, by, err);
		free(metrics);
		free(checkpoint);
	}
	if (!rc && !s.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no directories with metrics.json or checkpoint.json; give outputs of "
			"evaluate or train",
			root);
	vt_strs_release(&names);
	return finish(&s, out, n, rc);
}

/* --- selection ----------------------------------------------------------- */

static size_t group_length(const char *name, const char *separator)
{
	const char *at = *separator ? strstr(name, separator) : NULL;

	if (at)
		return (size_t)(at - name);
	if (*separator)
		return strlen(name);
	return 0;
}

struct ranked {
	struct vt_scored *of;
	size_t group; /* so many bytes of its name */
	bool low_is_better;
};

/* Groups, in each the best first. */
static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	size_t n = x->group < y->group ? x->group : y->group;
	int order = strncmp(x->of->name, y->of->name, n);

	if (!order)
		order = (x->group > y->group) - (x->group < y->group);
	if (order)
		return order;
	order = (x->of->score > y->of->score) - (x->of->score < y->of->score);
	if (!order)
		return strcmp(x->of->name, y->of->name);
	return x->low_is_better ? order : -order;
}

static bool same_group(const struct ranked *x, const struct ranked *y)
{
	return x->group == y->group && !strncmp(x->of->name, y->of->name, x->group);
}

static void select_of_group(const struct ranked *group, size_t n, const struct vt_select_opts *opts)
{
	size_t most = (size_t)ceil((double)n * opts->keep_share - 1e-9);

	most = most ? most : 1;
	for (size_t ahead = 0; ahead < n; ahead++) {
		struct vt_scored *s = group[ahead].of;
		bool beyond = opts->low_is_better ? s->score > opts->limit : s->score < opts->limit;

		s->kept = ahead < most && (!opts->keep_best || ahead < opts->keep_best) &&
			ahead + opts->drop_worst < n && !(opts->has_limit && beyond);
	}
}

void vt_select(struct vt_scored *scored, size_t n, const struct vt_select_opts *opts)
{
	struct ranked *rank = vt_xcalloc(n + 1, sizeof(*rank));

	for (size_t i = 0; i < n; i++)
		rank[i] = (struct ranked){ &scored[i], group_length(scored[i].name, opts->group),
			opts->low_is_better };
	if (n > 1)
		qsort(rank, n, sizeof(*rank), by_rank);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && same_group(&rank[i], &rank[end]);)
			end++;
		select_of_group(rank + i, end - i, opts);
	}
	free(rank);
}
