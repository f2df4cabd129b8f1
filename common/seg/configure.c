/* configure.c - the rules of configure.h, one function each. */
#include "common/seg/configure.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_EDGE = 128, LEAST_EDGE = 32, GOOD_EDGE = 64 };
enum {
	MOST_STEPS = 40000,
	GOOD_STEPS = 2000,
	FEW_STEPS = 500,
	LEAST_STEPS = 100,
	VALIDATIONS = 10
};
static const double core = 40e9 * 60; /* multiply-adds of a nominal core in a minute */
/* windows that overlap by a quarter cover a volume (4 / 3)^3 times */
static const double windows = 64.0 / 27.0;

/* --- what is there ------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static bool trains(const struct vt_patch_file *file, int fold)
{
	return file->labeled && !file->test && file->fold != fold;
}

int vt_configure_look(struct vt_configure_facts *out, const struct vt_dataset *dataset, int fold,
	struct vt_err *err)
{
	int *edge[3];
	const struct vt_json *spacing = vt_json_get(dataset->file[0].header, "spacing_mm");

	*out = (struct vt_configure_facts){ .channels = dataset->file[0].c,
		.regions = dataset->file[0].n_regions };
	for (int a = 0; a < 3; a++) {
		edge[a] = vt_xcalloc(dataset->n, sizeof(int));
		out->spacing[a] = vt_json_number(vt_json_at(spacing, (size_t)a), 1);
	}
	for (size_t i = 0; i < dataset->n; i++) {
		const struct vt_patch_file *f = &dataset->file[i];

		out->n_validation += f->labeled && !f->test && f->fold == fold;
		if (!trains(f, fold))
			continue;
		edge[0][out->n_train] = f->d;
		edge[1][out->n_train] = f->h;
		edge[2][out->n_train++] = f->w;
	}
	for (int a = 0; a < 3; a++) {
		qsort(edge[a], out->n_train, sizeof(int), by_size);
		out->median[a] = edge[a][out->n_train / 2];
		out->smallest[a] = edge[a][0];
		free(edge[a]);
	}
	return out->n_train ? 0
			    : vt_err_set(err, VT_EDATA,
				      "--configure: no labeled subject is left to train on in fold "
				      "%d; give --fold -1 or another fold",
				      fold);
}

/* --- rules --------------------------------------------------------------- */

struct choice {
	const struct vt_configure_facts *f;
	const struct vt_configure_limits *limits;
	vt_configure_need_fn need;
	void *ctx;
};

static void whole_patch(int patch[3], const struct choice *c)
{
	int s = c->limits->stride;

	for (int a = 0; a < 3; a++) {
		int edge = (c->f->median[a] + s - 1) / s * s;

		patch[a] = edge > MOST_EDGE / s * s ? MOST_EDGE / s * s : edge;
		if (patch[a] < s)
			patch[a] = s;
	}
}

/* The edge that is longest in mm loses a stride; false if none can. */
static bool shrink(int patch[3], const struct choice *c)
{
	int longest = -1, s = c->limits->stride;

	for (int a = 0; a < 3; a++)
		if (patch[a] - s >= LEAST_EDGE &&
			(longest < 0 ||
				patch[a] * c->f->spacing[a] >
					patch[longest] * c->f->spacing[longest]))
			longest = a;
	if (longest >= 0)
		patch[longest] -= s;
	return longest >= 0;
}

static uint64_t steps_of(const struct vt_configure_recipe *recipe, const struct choice *c)
{
	/* a tenth is for validation */
	double steps = floor(0.9 * c->limits->minutes * core / (3 * recipe->need.macs));

	return steps > MOST_STEPS ? MOST_STEPS : (uint64_t)steps / 10 * 10;
}

/* The largest patch of `filters` that the memory holds. */
static int fit_memory(struct vt_configure_recipe *recipe, const struct choice *c, int filters,
	struct vt_err *err)
{
	int rc;

	recipe->filters = filters;
	whole_patch(recipe->patch, c);
	while (!(rc = c->need(&recipe->need, filters, recipe->patch, c->ctx, err)) &&
		recipe->need.bytes > c->limits->bytes && shrink(recipe->patch, c))
		;
	return rc;
}

static bool is_good(const struct vt_configure_recipe *recipe, const struct choice *c)
{
	int whole[3];

	whole_patch(whole, c);
	for (int a = 0; a < 3; a++)
		if (recipe->patch[a] < GOOD_EDGE && recipe->patch[a] < whole[a])
			return false;
	return recipe->need.bytes <= c->limits->bytes && steps_of(recipe, c) >= GOOD_STEPS;
}

static int choose_network(struct vt_configure_recipe *recipe, const struct choice *c,
	struct vt_err *err)
{
	static const int filters[] = { 32, 16, 8 };
	int rc = 0;

	if (c->limits->fixed_network)
		return fit_memory(recipe, c, 0, err);
	for (int i = 0; !rc && i < 3; i++) {
		rc = fit_memory(recipe, c, filters[i], err);
		if (!rc && is_good(recipe, c))
			break;
	}
	return rc;
}

/* A smaller patch where the time would make too few steps. */
static int fit_time(struct vt_configure_recipe *recipe, const struct choice *c, struct vt_err *err)
{
	int rc = 0;

	while (!rc && steps_of(recipe, c) < FEW_STEPS && shrink(recipe->patch, c))
		rc = c->need(&recipe->need, recipe->filters, recipe->patch, c->ctx, err);
	return rc;
}

static int check(const struct vt_configure_recipe *recipe, const struct choice *c,
	struct vt_err *err)
{
	double minutes = LEAST_STEPS * 3 * recipe->need.macs / (0.9 * core);

	if (recipe->need.bytes > c->limits->bytes)
		return vt_err_set(err, VT_ENOMEM,
			"--memory-limit: a patch of %dx%dx%d, the smallest, needs %.0f MiB to "
			"train on, %.0f may be used",
			recipe->patch[0], recipe->patch[1], recipe->patch[2],
			ceil(recipe->need.bytes / 1048576), c->limits->bytes / 1048576);
	if (recipe->steps < LEAST_STEPS)
		return vt_err_set(err, VT_EUSAGE,
			"--time-budget=%g: makes %llu steps of a patch of %dx%dx%d, the smallest; "
			"give %.0f minutes or more",
			c->limits->minutes, (unsigned long long)recipe->steps, recipe->patch[0],
			recipe->patch[1], recipe->patch[2], ceil(minutes));
	return 0;
}

static void choose_validation(struct vt_configure_recipe *recipe, const struct choice *c)
{
	const int *p = recipe->patch, *v = c->f->median;
	double patch = (double)p[0] * p[1] * p[2], volume = (double)v[0] * v[1] * v[2],
	       one = recipe->need.macs * (volume > patch ? windows * volume / patch : 1),
	       n = floor(0.1 * c->limits->minutes * core / VALIDATIONS / one);

	recipe->validate = recipe->steps / VALIDATIONS;
	if (n >= (double)c->f->n_validation)
		recipe->max_validation = 0;
	else
		recipe->max_validation = n < 1 ? 1 : (int)n;
}

int vt_configure(struct vt_configure_recipe *out, const struct vt_configure_facts *facts,
	const struct vt_configure_limits *limits, vt_configure_need_fn need, void *ctx,
	struct vt_err *err)
{
	struct choice c = { facts, limits, need, ctx };
	int rc;

	assert(limits->stride > 0 && facts->n_train > 0);
	*out = (struct vt_configure_recipe){ .pad = false };
	rc = choose_network(out, &c, err);
	if (!rc)
		rc = fit_time(out, &c, err);
	if (rc)
		return rc;
	out->steps = steps_of(out, &c);
	rc = check(out, &c, err);
	if (rc)
		return rc;
	choose_validation(out, &c);
	out->warmup = out->steps / 40;
	out->rate = out->filters == 8 ? 0.002 : 0.001;
	for (int a = 0; a < 3; a++)
		out->pad |= facts->smallest[a] < out->patch[a];
	return 0;
}

/* --- as JSON ------------------------------------------------------------- */

struct vt_json *vt_configure_params(const struct vt_configure_recipe *recipe)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *network = vt_json_new(VT_JSON_OBJECT);
	char *patch = vt_asprintf("%d,%d,%d", recipe->patch[0], recipe->patch[1], recipe->patch[2]);

	if (recipe->filters) {
		vt_json_put_int(network, "init_filters", recipe->filters);
		vt_json_put(j, "network", network);
	} else {
		vt_json_free(network);
	}
	vt_json_put_text(j, "patch", patch);
	vt_json_put_bool(j, "pad", recipe->pad);
	vt_json_put_int(j, "steps", (int64_t)recipe->steps);
	vt_json_put_int(j, "validate-every", (int64_t)recipe->validate);
	vt_json_put_int(j, "max-validation", recipe->max_validation);
	vt_json_put_int(j, "warmup", (int64_t)recipe->warmup);
	vt_json_put_real(j, "learning-rate", recipe->rate);
	vt_json_put_real(j, "cross-entropy", 1);
	free(patch);
	return j;
}

static struct vt_json *three(const int v[3])
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);

	for (int a = 0; a < 3; a++)
		vt_json_push(j, vt_json_new_int(v[a]));
	return j;
}

struct vt_json *vt_configure_describe(const struct vt_configure_recipe *recipe,
	const struct vt_configure_facts *facts, const struct vt_configure_limits *limits)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *seen = vt_json_new(VT_JSON_OBJECT),
		       *spacing = vt_json_new(VT_JSON_ARRAY);

	vt_json_put_int(seen, "training_subjects", (int64_t)facts->n_train);
	vt_json_put_int(seen, "validation_subjects", (int64_t)facts->n_validation);
	for (int a = 0; a < 3; a++)
		vt_json_push(spacing, vt_json_new_real(facts->spacing[a]));
	vt_json_put(seen, "spacing_mm", spacing);
	vt_json_put(seen, "median_size", three(facts->median));
	vt_json_put(seen, "smallest_size", three(facts->smallest));
	vt_json_put(j, "seen", seen);
	vt_json_put_real(j, "minutes_of_a_nominal_core", limits->minutes);
	vt_json_put_real(j, "memory_limit_mib", limits->bytes / 1048576);
	vt_json_put_real(j, "memory_mib", ceil(recipe->need.bytes / 1048576));
	vt_json_put_real(j, "forward_gmac", recipe->need.macs / 1e9);
	return j;
}
