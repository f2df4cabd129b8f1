#include "common/nn/precision.h"

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

void vt_precision_init(struct vt_precision *p, const struct vt_precision_opts *o)
{
	memset(p, 0, sizeof(*p));
	p->o = *o;
	p->level = o->first;
	p->scale = first_scale;
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
	double at = q * (double)(n - 1);
	size_t i = (size_t)at, next = i + 1 < n ? i + 1 : i;

	return v[i] + (at - (double)i) * (v[next] - v[i]);
}

/* log g of up to n finite steps, those from `back` steps ago backwards, sorted; how many. */
static size_t recent(double *out, const struct vt_precision *p, uint64_t back, size_t n)
{
	size_t count = 0;

	for (uint64_t k = back; k < back + n && k < p->step; k++)
		if (p->window[(p->step - 1 - k) % WINDOW].finite)
			out[count++] = p->window[(p->step - 1 - k) % WINDOW].log_g;
	if (count)
		vt_sort_doubles(out, count);
	return count;
}

/* z of the step beside those before it. */
static struct view look(const struct vt_precision *p, const struct vt_precision_sample *s)
{
	struct view v = { .finite = isfinite(s->loss) && isfinite(s->grad_norm) };
	double sorted[WINDOW], least = least_jump / wild_z;
	size_t n = recent(sorted, p, 0, WINDOW);

	v.log_g = v.finite ? vt_ln(s->grad_norm > 1e-300 ? s->grad_norm : 1e-300) : 0;
	v.median = n ? quantile(sorted, n, 0.5) : v.log_g;
	v.sd = n ? (quantile(sorted, n, 0.75) - quantile(sorted, n, 0.25)) / 1.349 : 0;
	v.z = v.finite ? (v.log_g - v.median) / (v.sd > least ? v.sd : least) : 0;
	return v;
}

static void remember(struct vt_precision *p, const struct vt_precision_sample *s, struct view v)
{
	double unused = 0;

	if (v.finite) {
		follow(&p->loss, &p->var_loss, s->loss, !p->samples);
		if (s->curvature >= 0 && isfinite(s->curvature))
			follow(&p->log_c, &unused,
				vt_ln(s->curvature > 1e-30 ? s->curvature : 1e-30), p->log_c == 0);
		p->samples++;
	}
	p->window[p->step % WINDOW].log_g = v.log_g;
	p->window[p->step % WINDOW].log_c = p->log_c;
	p->window[p->step % WINDOW].finite = v.finite;
}

/* Halves or doubles the loss scale; true if the step is to be skipped. */
static bool follow_scale(struct vt_precision *p, bool finite)
{
	if (p->level != VT_LEVEL_FP16)
		return !finite;
	if (!finite) {
		p->skips = p->scale <= 1 ? p->skips + 1 : 0;
		p->scale = p->scale > 1 ? p->scale / 2 : 1;
		p->clean = 0;
		return true;
	}
	p->skips = 0;
	if (++p->clean >= CLEAN_STEPS && p->scale < most_scale) {
		p->scale *= 2;
		p->clean = 0;
	}
	return false;
}

/* Why this step asks for more precision, or NULL. */
static const char *alarm_of(struct vt_precision *p, const struct vt_precision_sample *s,
	struct view v)
{
	bool high = v.finite && p->samples > WARM_UP &&
		s->loss > p->loss + wild_loss * sqrt(p->var_loss + least_variance);
	bool under = s->underflow > much_underflow && p->scale >= most_scale &&
		p->level == VT_LEVEL_FP16;

	p->high_loss = high ? p->high_loss + 1 : 0;
	p->underflows = under ? p->underflows + 1 : 0;
	if (p->level == VT_LEVEL_F32)
		return NULL;
	if (p->level == VT_LEVEL_BF16 && !v.finite)
		return "nonfinite";
	if (p->skips >= MOST_SKIPS)
		return "skips at least scale";
	if (v.z > wild_z)
		return "gradient jump";
	if (p->high_loss >= MOST_HIGH)
		return "loss jump";
	return p->underflows >= MOST_UNDERFLOWS ? "underflow" : NULL;
}

/* Whether the last WINDOW steps, this one included, allow less precision; fills what was looked
 * at. */
static bool calm(const struct vt_precision *p, struct vt_precision_decision *d)
{
	struct vt_precision now = *p;
	double all[WINDOW], newer[WINDOW], older[WINDOW], least = least_jump / wild_z, top;
	double oldest = p->window[(p->step + 1) % WINDOW].log_c,
	       newest = p->window[p->step % WINDOW].log_c;

	if (++now.step < WINDOW || recent(all, &now, 0, WINDOW) < WINDOW)
		return false;
	recent(newer, &now, 0, WINDOW / 2);
	recent(older, &now, WINDOW / 2, WINDOW / 2);
	d->sd = (quantile(all, WINDOW, 0.75) - quantile(all, WINDOW, 0.25)) / 1.349;
	top = (quantile(all, WINDOW, 0.95) - quantile(all, WINDOW, 0.5)) /
		(d->sd > least ? d->sd : least);
	d->rise = quantile(newer, WINDOW / 2, 0.5) - quantile(older, WINDOW / 2, 0.5);
	d->slope = (newest - oldest) / (WINDOW - 1);
	return top < calm_z && d->rise < calm_rise && d->slope < calm_slope;
}

static bool may_descend(const struct vt_precision *p)
{
	uint64_t next = p->step + 1;

	return p->level < p->o.top && next > WARM_UP && next % LOOK_EVERY == 0 &&
		next - p->changed_at >= REST && next >= p->dwell_until &&
		p->returns[p->level + 1] < MOST_RETURNS;
}

static void change(struct vt_precision *p, struct vt_precision_decision *d, enum vt_level to,
	const char *rule)
{
	d->rule = rule;
	d->to = to;
	if (p->level > VT_LEVEL_F32 && p->level < VT_LEVELS && to < p->level && !p->o.replaying) {
		p->returns[p->level]++;
		if (!p->dwell)
			p->dwell = FIRST_DWELL;
		else if (2 * p->dwell < MOST_DWELL)
			p->dwell = 2 * p->dwell;
		else
			p->dwell = MOST_DWELL;
		p->dwell_until = p->step + 1 + p->dwell;
	}
	p->level = to;
	p->changed_at = p->step + 1;
	p->skips = p->high_loss = p->underflows = 0;
	p->scale = first_scale;
	p->clean = 0;
}

static bool held(const struct vt_precision *p)
{
	return p->o.total_steps &&
		(double)(p->step + 1) >= (1 - end_held) * (double)p->o.total_steps;
}

static void decide(struct vt_precision *p, struct vt_precision_decision *d, const char *alarm)
{
	if (p->o.replaying) {
		for (size_t i = 0; i < p->o.n_replay; i++)
			if (p->o.replay[i].step == p->step + 1 && p->o.replay[i].to != p->level)
				change(p, d, p->o.replay[i].to, "replay");
	} else if (alarm && p->level > VT_LEVEL_F32 && !held(p)) {
		change(p, d, p->level == VT_LEVEL_FP16 ? VT_LEVEL_BF16 : VT_LEVEL_F32, alarm);
	} else if (may_descend(p) && !held(p) && calm(p, d)) {
		change(p, d, p->level == VT_LEVEL_F32 ? VT_LEVEL_BF16 : VT_LEVEL_FP16, "calm");
	}
}

struct vt_precision_decision vt_precision_step(struct vt_precision *p,
	const struct vt_precision_sample *s)
{
	struct view v = look(p, s);
	struct vt_precision_decision d = { .step = p->step + 1,
		.from = p->level,
		.to = p->level,
		.loss = s->loss,
		.grad_norm = s->grad_norm,
		.z = v.z,
		.scale = p->scale };
	const char *alarm;

	d.skip = follow_scale(p, v.finite);
	alarm = alarm_of(p, s, v);
	remember(p, s, v);
	decide(p, &d, alarm);
	p->applied += !d.skip;
	p->step++;
	return d;
}

/* --- text ---------------------------------------------------------------- */

/* JSON has no infinities. */
static void put_number(struct vt_json *o, const char *key, double v)
{
	if (isfinite(v))
		vt_json_put_real(o, key, v);
	else if (isnan(v))
		vt_json_put_text(o, key, "nan");
	else
		vt_json_put_text(o, key, v > 0 ? "inf" : "-inf");
}

void vt_precision_line(struct vt_buf *out, const struct vt_precision_decision *d)
{
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT), *in = vt_json_new(VT_JSON_OBJECT);

	put_number(in, "grad_norm", d->grad_norm);
	put_number(in, "loss", d->loss);
	put_number(in, "rise", d->rise);
	put_number(in, "scale", d->scale);
	put_number(in, "sd", d->sd);
	put_number(in, "slope", d->slope);
	put_number(in, "z", d->z);
	vt_json_put_text(o, "from", vt_level_names[d->from]);
	vt_json_put(o, "inputs", in);
	vt_json_put_text(o, "rule", d->rule);
	vt_json_put_int(o, "step", (int64_t)d->step);
	vt_json_put_text(o, "to", vt_level_names[d->to]);
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
static void each_field(struct vt_precision *p,
	void (*fn)(void *ctx, const char *key, double *real, uint64_t *count, int *small),
	void *ctx)
{
	int level = (int)p->level;

	fn(ctx, "level", NULL, NULL, &level);
	p->level = (enum vt_level)level;
	fn(ctx, "scale", &p->scale, NULL, NULL);
	fn(ctx, "step", NULL, &p->step, NULL);
	fn(ctx, "applied", NULL, &p->applied, NULL);
	fn(ctx, "changed_at", NULL, &p->changed_at, NULL);
	fn(ctx, "dwell_until", NULL, &p->dwell_until, NULL);
	fn(ctx, "dwell", NULL, &p->dwell, NULL);
	fn(ctx, "returns_bf16", NULL, NULL, &p->returns[VT_LEVEL_BF16]);
	fn(ctx, "returns_fp16", NULL, NULL, &p->returns[VT_LEVEL_FP16]);
	fn(ctx, "clean", NULL, &p->clean, NULL);
	fn(ctx, "skips", NULL, NULL, &p->skips);
	fn(ctx, "high_loss", NULL, NULL, &p->high_loss);
	fn(ctx, "underflows", NULL, NULL, &p->underflows);
	fn(ctx, "samples", NULL, &p->samples, NULL);
	fn(ctx, "loss", &p->loss, NULL, NULL);
	fn(ctx, "var_loss", &p->var_loss, NULL, NULL);
	fn(ctx, "log_c", &p->log_c, NULL, NULL);
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

	if (!number || (!real && v->integer < 0))
		r->missing = r->missing ? r->missing : key;
	else if (real)
		*real = v->real;
	else if (count)
		*count = (uint64_t)v->integer;
	else
		*small = (int)v->integer;
}

void vt_precision_save(struct vt_buf *out, const struct vt_precision *p)
{
	struct vt_precision copy = *p;
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT), *w = vt_json_new(VT_JSON_ARRAY);

	each_field(&copy, write_field, o);
	for (int i = 0; i < WINDOW; i++) {
		vt_json_push(w, vt_json_new_real(p->window[i].log_g));
		vt_json_push(w, vt_json_new_real(p->window[i].log_c));
		vt_json_push(w, vt_json_new_int(p->window[i].finite));
	}
	vt_json_put(o, "window", w);
	vt_json_compact(out, o);
	vt_json_free(o);
}

int vt_precision_load(struct vt_precision *p, const char *text, struct vt_err *err)
{
	struct vt_precision q = *p;
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
	vt_json_free(o);
	if (r.missing)
		return vt_err_set(err, VT_EDATA,
			"the saved precision controller has no valid \"%s\"", r.missing);
	*p = q;
	return 0;
}
