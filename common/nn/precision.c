#include "common/nn/precision.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/json.h"
#include "common/base/sort.h"

/* Proposed for this project, not taken from a paper; precision.h says what each is for. */
enum {
	WARM_UP = 100,
	LOOK_EVERY = 50,
	REST = 400,
	FIRST_DWELL = 800,
	MOST_DWELL = 12800,
	MOST_RETURNS = 3,
	CLEAN_STEPS = 2000,
	MOST_SKIPS = 3,
	MOST_HIGH = 3,
	MOST_UNDERFLOWS = 50,
	WINDOW = VT_PRECISION_WINDOW
};
static const double beta = 0.98, least_variance = 1e-6, calm_z = 3, calm_rise = 1,
		    calm_slope = 0.03, wild_z = 6, least_jump = 2.302585092994046, wild_loss = 6,
		    much_underflow = 0.2, first_scale = 65536, most_scale = 16777216,
		    end_held = 0.05;

const char *const vt_level_names[] = { "f32", "bf16", "fp16", NULL };

void vt_precision_init(struct vt_precision *precision, const struct vt_precision_opts *opts)
{
	memset(precision, 0, sizeof(*precision));
	precision->o = *opts;
	precision->level = opts->first;
	precision->scale = first_scale;
}

/* Exponential mean and variance. */
static void follow(double *mean, double *variance, double x, bool first)
{
	double d = first ? 0 : x - *mean;

	*mean = first ? x : *mean + (1 - beta) * d;
	*variance = beta * (*variance + (1 - beta) * d * d);
}

struct view {
	bool finite;
	double z, log_g, median, sd;
};

/* numpy's linear quantile of n sorted values. */
static double quantile(const double *v, size_t n, double q)
{
	/* at lies between two values, next repeats the last one */
	double at = q * (double)(n - 1);
	size_t i = (size_t)at, next = i + 1 < n ? i + 1 : i;

	assert(n > 0 && q >= 0 && q <= 1);
	return v[i] + (at - (double)i) * (v[next] - v[i]);
}

/* log g of up to n finite steps, those from `back` steps ago backwards, sorted; how many. */
static size_t recent(double *out, const struct vt_precision *precision, uint64_t back, size_t n)
{
	size_t count = 0;

	/* A step that is not finite has no log g, and is left out. */
	for (uint64_t k = back; k < back + n && k < precision->step; k++)
		if (precision->window[(precision->step - 1 - k) % WINDOW].finite)
			out[count++] = precision->window[(precision->step - 1 - k) % WINDOW].log_g;
	if (count)
		vt_sort_doubles(out, count);
	return count;
}

/* z of the step beside those before it. */
static struct view look(const struct vt_precision *precision,
	const struct vt_precision_sample *sample)
{
	struct view v = { .finite = isfinite(sample->loss) && isfinite(sample->grad_norm) };
	double sorted[WINDOW], least = least_jump / wild_z;
	/* Without the step itself: it has not been remembered. */
	size_t n = recent(sorted, precision, 0, WINDOW);

	v.log_g = v.finite ? vt_ln(sample->grad_norm > 1e-300 ? sample->grad_norm : 1e-300) : 0;
	/* No step before: nothing to differ from. */
	v.median = n ? quantile(sorted, n, 0.5) : v.log_g;
	v.sd = n ? (quantile(sorted, n, 0.75) - quantile(sorted, n, 0.25)) / 1.349 : 0;
	v.z = v.finite ? (v.log_g - v.median) / (v.sd > least ? v.sd : least) : 0;
	return v;
}

static void remember(struct vt_precision *precision, const struct vt_precision_sample *sample,
	struct view view)
{
	double unused = 0;

	if (view.finite) {
		follow(&precision->loss, &precision->var_loss, sample->loss, !precision->samples);
		if (sample->curvature >= 0 && isfinite(sample->curvature))
			/* log_c is 0 exactly until its first value */
			follow(&precision->log_c, &unused,
				vt_ln(sample->curvature > 1e-30 ? sample->curvature : 1e-30),
				precision->log_c == 0);
		precision->samples++;
	}
	precision->window[precision->step % WINDOW].log_g = view.log_g;
	precision->window[precision->step % WINDOW].log_c = precision->log_c;
	precision->window[precision->step % WINDOW].finite = view.finite;
}

/* Halves or doubles the loss scale; true if the step is to be skipped. */
static bool follow_scale(struct vt_precision *precision, bool finite)
{
	/* At other levels there is no scale: a step that is not finite is skipped. */
	if (precision->level != VT_LEVEL_FP16)
		return !finite;
	if (!finite) {
		/* Skips count only where the scale cannot shrink any more. */
		precision->skips = precision->scale <= 1 ? precision->skips + 1 : 0;
		precision->scale = precision->scale > 1 ? precision->scale / 2 : 1;
		precision->clean = 0;
		return true;
	}
	precision->skips = 0;
	if (++precision->clean >= CLEAN_STEPS && precision->scale < most_scale) {
		precision->scale *= 2;
		precision->clean = 0;
	}
	return false;
}

/* Why this step asks for more precision, or NULL. */
static const char *alarm_of(struct vt_precision *precision,
	const struct vt_precision_sample *sample, struct view view)
{
	/* The mean and deviation are those of the steps before. */
	bool high = view.finite && precision->samples > WARM_UP &&
		sample->loss >
			precision->loss + wild_loss * sqrt(precision->var_loss + least_variance);
	bool under = sample->underflow > much_underflow && precision->scale >= most_scale &&
		precision->level == VT_LEVEL_FP16;

	precision->high_loss = high ? precision->high_loss + 1 : 0;
	precision->underflows = under ? precision->underflows + 1 : 0;
	if (precision->level == VT_LEVEL_F32)
		return NULL;
	if (precision->level == VT_LEVEL_BF16 && !view.finite)
		return "nonfinite";
	if (precision->skips >= MOST_SKIPS)
		return "skips at least scale";
	if (view.z > wild_z)
		return "gradient jump";
	if (precision->high_loss >= MOST_HIGH)
		return "loss jump";
	return precision->underflows >= MOST_UNDERFLOWS ? "underflow" : NULL;
}

/* Whether the last WINDOW steps, this one included, allow less precision; fills what was looked
 * at. */
static bool calm(const struct vt_precision *precision, struct vt_precision_decision *decision)
{
	/* The view of the next step, so that recent() counts this one in. */
	struct vt_precision now = *precision;
	double all[WINDOW], newer[WINDOW], older[WINDOW], least = least_jump / wild_z, top;
	/* The ring's oldest place is the one that is written next. */
	double oldest = precision->window[(precision->step + 1) % WINDOW].log_c,
	       newest = precision->window[precision->step % WINDOW].log_c;

	if (++now.step < WINDOW || recent(all, &now, 0, WINDOW) < WINDOW)
		return false;
	recent(newer, &now, 0, WINDOW / 2);
	recent(older, &now, WINDOW / 2, WINDOW / 2);
	decision->sd = (quantile(all, WINDOW, 0.75) - quantile(all, WINDOW, 0.25)) / 1.349;
	top = (quantile(all, WINDOW, 0.95) - quantile(all, WINDOW, 0.5)) /
		(decision->sd > least ? decision->sd : least);
	decision->rise = quantile(newer, WINDOW / 2, 0.5) - quantile(older, WINDOW / 2, 0.5);
	decision->slope = (newest - oldest) / (WINDOW - 1);
	return top < calm_z && decision->rise < calm_rise && decision->slope < calm_slope;
}

static bool may_descend(const struct vt_precision *precision)
{
	uint64_t next = precision->step + 1;

	return precision->level < precision->o.top && next > WARM_UP && next % LOOK_EVERY == 0 &&
		next - precision->changed_at >= REST && next >= precision->dwell_until &&
		precision->returns[precision->level + 1] < MOST_RETURNS;
}

static void change(struct vt_precision *precision, struct vt_precision_decision *decision,
	enum vt_level to, const char *rule)
{
	assert(to < VT_LEVELS && to != precision->level);
	decision->rule = rule;
	decision->to = to;
	/* a return, decided here and not replayed */
	if (precision->level > VT_LEVEL_F32 && precision->level < VT_LEVELS &&
		to < precision->level && !precision->o.replaying) {
		precision->returns[precision->level]++;
		if (!precision->dwell)
			precision->dwell = FIRST_DWELL;
		else if (2 * precision->dwell < MOST_DWELL)
			precision->dwell = 2 * precision->dwell;
		else
			precision->dwell = MOST_DWELL;
		precision->dwell_until = precision->step + 1 + precision->dwell;
	}
	precision->level = to;
	precision->changed_at = precision->step + 1;
	precision->skips = precision->high_loss = precision->underflows = 0;
	precision->scale = first_scale;
	precision->clean = 0;
}

/* The end of the run keeps the level it has. */
static bool held(const struct vt_precision *precision)
{
	return precision->o.total_steps &&
		(double)(precision->step + 1) >= (1 - end_held) * (double)precision->o.total_steps;
}

static void decide(struct vt_precision *precision, struct vt_precision_decision *decision,
	const char *alarm)
{
	/* Decisions are taken from the record, at the steps they were made. */
	if (precision->o.replaying) {
		for (size_t i = 0; i < precision->o.n_replay; i++)
			if (precision->o.replay[i].step == precision->step + 1 &&
				precision->o.replay[i].to != precision->level)
				change(precision, decision, precision->o.replay[i].to, "replay");
	} else if (alarm && precision->level > VT_LEVEL_F32 && !held(precision)) {
		change(precision, decision,
			precision->level == VT_LEVEL_FP16 ? VT_LEVEL_BF16 : VT_LEVEL_F32, alarm);
	} else if (may_descend(precision) && !held(precision) && calm(precision, decision)) {
		change(precision, decision,
			precision->level == VT_LEVEL_F32 ? VT_LEVEL_BF16 : VT_LEVEL_FP16, "calm");
	}
}

struct vt_precision_decision vt_precision_step(struct vt_precision *precision,
	const struct vt_precision_sample *sample)
{
	struct view v = look(precision, sample);
	struct vt_precision_decision d = { .step = precision->step + 1,
		.from = precision->level,
		.to = precision->level,
		.loss = sample->loss,
		.grad_norm = sample->grad_norm,
		.z = v.z,
		.scale = precision->scale };
	const char *alarm;

	d.skip = follow_scale(precision, v.finite);
	alarm = alarm_of(precision, sample, v);
	remember(precision, sample, v);
	decide(precision, &d, alarm);
	precision->applied += !d.skip;
	precision->step++;
	return d;
}

/* --- text ---------------------------------------------------------------- */

/* JSON has no infinities. */
static void put_number(struct vt_json *json, const char *key, double v)
{
	if (isfinite(v))
		vt_json_put_real(json, key, v);
	else if (isnan(v))
		vt_json_put_text(json, key, "nan");
	else
		vt_json_put_text(json, key, v > 0 ? "inf" : "-inf");
}

void vt_precision_line(struct vt_buf *out, const struct vt_precision_decision *decision)
{
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT), *in = vt_json_new(VT_JSON_OBJECT);

	put_number(in, "grad_norm", decision->grad_norm);
	put_number(in, "loss", decision->loss);
	put_number(in, "rise", decision->rise);
	put_number(in, "scale", decision->scale);
	put_number(in, "sd", decision->sd);
	put_number(in, "slope", decision->slope);
	put_number(in, "z", decision->z);
	vt_json_put_text(o, "from", vt_level_names[decision->from]);
	vt_json_put(o, "inputs", in);
	vt_json_put_text(o, "rule", decision->rule);
	vt_json_put_int(o, "step", (int64_t)decision->step);
	vt_json_put_text(o, "to", vt_level_names[decision->to]);
	vt_json_compact(out, o);
	if (!out->len || out->data[out->len - 1] != '\n')
		vt_buf_char(out, '\n');
	vt_json_free(o);
}

static int level_of(const char *name)
{
	for (int i = 0; name && i < VT_LEVELS; i++)
		if (!strcmp(name, vt_level_names[i]))
			return i;
	return -1;
}

static int read_change(struct vt_precision_change *c, const char *line, size_t len,
	const char *origin, int number, struct vt_err *err)
{
	struct vt_json *j = NULL;
	int64_t step;
	int to;

	if (vt_json_parse(&j, line, len, origin, err))
		return vt_err_prefix(err, "line %d", number);
	step = vt_json_integer(vt_json_get(j, "step"), -1);
	to = level_of(vt_json_text(vt_json_get(j, "to"), NULL));
	vt_json_free(j);
	if (step < 0 || to < 0)
		return vt_err_set(err, VT_EDATA,
			"%s: line %d has no step, or no level among f32, bf16, fp16 as \"to\"",
			origin, number);
	*c = (struct vt_precision_change){ (uint64_t)step, (enum vt_level)to };
	return 0;
}

int vt_precision_read_lines(struct vt_precision_change **out, size_t *n, const char *text,
	size_t len, const char *origin, struct vt_err *err)
{
	struct vt_precision_change *c = NULL;
	size_t count = 0;
	int number = 0, rc = 0;

	for (const char *p = text, *end = text + len; p < end && !rc;) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t line = (size_t)((stop ? stop : end) - p);

		number++;
		if (line) {
			c = vt_xrealloc(c, (count + 1) * sizeof(*c));
			rc = read_change(&c[count++], p, line, origin, number, err);
		}
		p += line + (stop != NULL);
	}
	if (rc) {
		free(c);
		return rc;
	}
	*out = c;
	*n = count;
	return 0;
}

/* Fields in the order they are written; counts are exact in a double up to 2^53. */
static void each_field(struct vt_precision *precision,
	void (*fn)(void *ctx, const char *key, double *real, uint64_t *count, int *small),
	void *ctx)
{
	/* An enum may have another size than int. */
	int level = (int)precision->level;

	fn(ctx, "level", NULL, NULL, &level);
	precision->level = (enum vt_level)level;
	fn(ctx, "scale", &precision->scale, NULL, NULL);
	fn(ctx, "step", NULL, &precision->step, NULL);
	fn(ctx, "applied", NULL, &precision->applied, NULL);
	fn(ctx, "changed_at", NULL, &precision->changed_at, NULL);
	fn(ctx, "dwell_until", NULL, &precision->dwell_until, NULL);
	fn(ctx, "dwell", NULL, &precision->dwell, NULL);
	fn(ctx, "returns_bf16", NULL, NULL, &precision->returns[VT_LEVEL_BF16]);
	fn(ctx, "returns_fp16", NULL, NULL, &precision->returns[VT_LEVEL_FP16]);
	fn(ctx, "clean", NULL, &precision->clean, NULL);
	fn(ctx, "skips", NULL, NULL, &precision->skips);
	fn(ctx, "high_loss", NULL, NULL, &precision->high_loss);
	fn(ctx, "underflows", NULL, NULL, &precision->underflows);
	fn(ctx, "samples", NULL, &precision->samples, NULL);
	fn(ctx, "loss", &precision->loss, NULL, NULL);
	fn(ctx, "var_loss", &precision->var_loss, NULL, NULL);
	fn(ctx, "log_c", &precision->log_c, NULL, NULL);
}

static void write_field(void *ctx, const char *key, double *real, uint64_t *count, int *small)
{
	if (real)
		vt_json_put_real(ctx, key, *real);
	else
		vt_json_put_int(ctx, key, small ? *small : (int64_t)*count);
}

struct reading {
	const struct vt_json *object;
	const char *missing;
};

static void read_field(void *ctx, const char *key, double *real, uint64_t *count, int *small)
{
	struct reading *r = ctx;
	const struct vt_json *v = vt_json_get(r->object, key);
	bool number = v && (v->type == VT_JSON_INT || (real && v->type == VT_JSON_REAL));

	/* small ones are counted on from here */
	if (!number || (!real && v->integer < 0) || (small && v->integer > INT32_MAX / 2))
		r->missing = r->missing ? r->missing : key;
	else if (real)
		*real = v->real;
	else if (count)
		*count = (uint64_t)v->integer;
	else
		*small = (int)v->integer;
}

void vt_precision_save(struct vt_buf *out, const struct vt_precision *precision)
{
	struct vt_precision copy = *precision;
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT), *w = vt_json_new(VT_JSON_ARRAY);

	each_field(&copy, write_field, o);
	for (int i = 0; i < WINDOW; i++) {
		vt_json_push(w, vt_json_new_real(precision->window[i].log_g));
		vt_json_push(w, vt_json_new_real(precision->window[i].log_c));
		vt_json_push(w, vt_json_new_int(precision->window[i].finite));
	}
	vt_json_put(o, "window", w);
	vt_json_compact(out, o);
	vt_json_free(o);
}

int vt_precision_load(struct vt_precision *precision, const char *text, struct vt_err *err)
{
	/* Changed only if all of it can be read. */
	struct vt_precision q = *precision;
	struct vt_json *o = NULL;
	struct reading r = { NULL, NULL };
	const struct vt_json *w;

	if (vt_json_parse(&o, text, strlen(text), "precision controller", err))
		return err->code;
	r.object = o;
	each_field(&q, read_field, &r);
	w = vt_json_get(o, "window");
	for (int i = 0; i < WINDOW; i++) {
		q.window[i].log_g = vt_json_number(vt_json_at(w, 3 * (size_t)i), 0);
		q.window[i].log_c = vt_json_number(vt_json_at(w, 3 * (size_t)i + 1), 0);
		q.window[i].finite = vt_json_integer(vt_json_at(w, 3 * (size_t)i + 2), 0) != 0;
	}
	if (!r.missing && (!w || w->n != 3 * WINDOW))
		r.missing = "window";
	if (!r.missing && q.level > q.o.top)
		r.missing = "level";
	if (!r.missing && !(q.scale >= 1 && q.scale <= most_scale))
		r.missing = "scale";
	vt_json_free(o);
	if (r.missing)
		return vt_err_set(err, VT_EDATA,
			"the saved precision controller has no valid \"%s\"", r.missing);
	*precision = q;
	return 0;
}
