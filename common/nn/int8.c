/* A finder counts the values of each taken convolution's input in buckets of their upper 15 bits;
 * counts are whole numbers, so their order does not matter.  Scales are kept in float: JSON has
 * their exact value. */
#include "common/nn/int8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/nn/cpu/int8.h"
#include "common/nn/plan.h"

enum { BUCKETS = 1 << 15, SHIFT = 17, LEAST_CHANNELS = 5, CANDIDATES = 17 };

static const double least_scale = 1e-18, most_scale = 1e18;

const char *const vt_int8_ranges[] = { "error", "max", NULL };

/* --- which convolutions -------------------------------------------------- */

/* Whether another live convolution depends on node i. */
static bool feeds_convolution(const struct vt_graph *g, int i)
{
	bool *after = vt_xcalloc((size_t)g->n_nodes, sizeof(*after)),
	     *live = vt_xcalloc((size_t)g->n_nodes, sizeof(*live)), found = false;

	vt_plan_live(live, g, &(struct vt_session_opts){ .training = false });
	after[i] = true;
	for (int j = i + 1; j < g->n_nodes && !found; j++) {
		const struct vt_node *n = &g->node[j];

		for (int k = 0; k < 2; k++)
			after[j] |= n->in[k] >= 0 && after[n->in[k]];
		found = after[j] && live[j] && n->op == VT_OP_CONV;
	}
	free(live);
	free(after);
	return found;
}

bool vt_int8_takes(const struct vt_graph *g, int i)
{
	const struct vt_node *n = &g->node[i];
	const struct vt_conv *c = &n->conv;
	int in;

	if (n->op != VT_OP_CONV || c->transposed || n->in[0] == g->input)
		return false;
	in = g->node[n->in[0]].shape.c;
	return in >= LEAST_CHANNELS && c->out_c >= LEAST_CHANNELS &&
		vt_int8_fits(in, c->k * c->k * c->k) && feeds_convolution(g, i);
}

/* The first taken convolution with that kernel; -1: none. */
static int node_of(const struct vt_graph *g, int weight)
{
	for (int i = 0; i < g->n_nodes; i++)
		if (g->node[i].op == VT_OP_CONV && g->node[i].weight[0] == weight &&
			vt_int8_takes(g, i))
			return i;
	return -1;
}

/* --- reading ------------------------------------------------------------- */

static int read_scale(float *out, const struct vt_json *j, const char *name, const char *what,
	struct vt_err *err)
{
	double v = vt_json_number(j, -1);

	if (!(v >= least_scale && v <= most_scale))
		return vt_err_set(err, VT_EDATA,
			"int8 scales of %s: %s must be a number from %g to %g", name, what,
			least_scale, most_scale);
	*out = (float)v;
	return 0;
}

static int read_layer(struct vt_int8_scales *s, const struct vt_json *j, const char *name,
	int outputs, struct vt_err *err)
{
	const struct vt_json *weights = vt_json_get(j, "weights");
	int64_t zero = vt_json_integer(vt_json_get(j, "zero"), -1);
	int rc = read_scale(&s->scale, vt_json_get(j, "scale"), name, "scale", err);

	if (!rc && (zero < 0 || zero > 255))
		rc = vt_err_set(err, VT_EDATA,
			"int8 scales of %s: zero must be a whole number from 0 to 255", name);
	if (!rc && vt_json_length(weights) != (size_t)outputs)
		rc = vt_err_set(err, VT_EDATA,
			"int8 scales of %s: %zu weights, the convolution has %d outputs", name,
			vt_json_length(weights), outputs);
	if (rc)
		return rc;
	s->zero = (int)zero;
	s->n = outputs;
	s->weights = vt_xcalloc((size_t)outputs, sizeof(float));
	for (int o = 0; !rc && o < outputs; o++)
		rc = read_scale(&s->weights[o], weights->item[o], name, "each of weights", err);
	return rc;
}

int vt_int8_read(struct vt_int8_scales **out, const struct vt_graph *g, const struct vt_json *j,
	struct vt_err *err)
{
	struct vt_int8_scales *s = vt_xcalloc((size_t)g->n_weights + 1, sizeof(*s));
	size_t taken = 0;
	int rc = 0;

	for (int w = 0; !rc && w < g->n_weights; w++) {
		int node = node_of(g, w);
		const char *name = g->weight[w].name;
		const struct vt_json *layer = node < 0 ? NULL : vt_json_get(j, name);

		if (node < 0)
			continue;
		taken++;
		rc = layer ? read_layer(&s[w], layer, name, g->node[node].conv.out_c, err)
			   : vt_err_set(err, VT_EDATA, "int8 scales: none of %s", name);
	}
	if (!rc && vt_json_members(j) != taken)
		rc = vt_err_set(err, VT_EDATA,
			"int8 scales: of %zu convolutions, the network computes %zu in int8",
			vt_json_members(j), taken);
	if (rc)
		vt_int8_free(s, g);
	else
		*out = s;
	return rc;
}

void vt_int8_free(struct vt_int8_scales *s, const struct vt_graph *g)
{
	for (int w = 0; s && w < g->n_weights; w++)
		free(s[w].weights);
	free(s);
}

/* --- finding ------------------------------------------------------------- */

/* What was seen of one kernel's inputs. */
struct seen {
	uint64_t *count; /* [BUCKETS]; NULL: the kernel is not taken */
	float low, high;
	bool any, finite;
};

struct vt_int8_finder {
	const struct vt_graph *g;
	struct seen *seen; /* [weights] */
	bool *takes;       /* [nodes] */
};

struct vt_int8_finder *vt_int8_finder_new(const struct vt_graph *g)
{
	struct vt_int8_finder *f = vt_xcalloc(1, sizeof(*f));

	f->g = g;
	f->seen = vt_xcalloc((size_t)g->n_weights + 1, sizeof(*f->seen));
	f->takes = vt_xcalloc((size_t)g->n_nodes, sizeof(*f->takes));
	for (int i = 0; i < g->n_nodes; i++) {
		struct seen *s;

		f->takes[i] = vt_int8_takes(g, i);
		s = f->takes[i] ? &f->seen[g->node[i].weight[0]] : NULL;
		if (!s || s->count)
			continue;
		s->count = vt_xcalloc(BUCKETS, sizeof(*s->count));
		s->finite = true;
	}
	return f;
}

void vt_int8_finder_free(struct vt_int8_finder *f)
{
	if (!f)
		return;
	for (int w = 0; w < f->g->n_weights; w++)
		free(f->seen[w].count);
	free(f->seen);
	free(f->takes);
	free(f);
}

static void count_lane(struct seen *s, const float *x, size_t voxels)
{
	for (size_t v = 0; v < voxels; v++) {
		float value = x[v * VT_LANES];
		uint32_t bits;

		memcpy(&bits, &value, sizeof(bits));
		s->count[bits >> SHIFT]++;
		s->low = value < s->low ? value : s->low;
		s->high = value > s->high ? value : s->high;
		s->finite = s->finite && isfinite(value);
	}
	s->any = true;
}

void vt_int8_look(void *finder, int node, const float *x, struct vt_shape s)
{
	struct vt_int8_finder *f = finder;
	size_t voxels = vt_voxels(s), blocks = (size_t)vt_blocks(s.c);

	if (!f->takes[node])
		return;
	for (size_t n = 0; n < (size_t)s.n; n++)
		for (size_t c = 0; c < (size_t)s.c; c++)
			count_lane(&f->seen[f->g->node[node].weight[0]],
				x + (n * blocks + c / VT_LANES) * voxels * VT_LANES + c % VT_LANES,
				voxels);
}

/* The middle of a bucket. */
static float middle_of(uint32_t bucket)
{
	uint32_t bits = bucket << SHIFT | 1u << (SHIFT - 1);
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* Scale and zero of a range that holds 0. */
static void scale_of(float *scale, int *zero, double low, double high)
{
	double step = (high - low) / 255;

	*scale = (float)(step > least_scale ? step : least_scale);
	*zero = (int)rint(-low / (double)*scale);
	*zero = *zero > 255 ? 255 : *zero;
}

static double error_of(const struct seen *s, float scale, int zero)
{
	float inverse = 1.0f / scale;
	double sum = 0;

	for (uint32_t b = 0; b < BUCKETS; b++) {
		double x, d;

		if (!s->count[b])
			continue;
		x = (double)middle_of(b);
		d = x - (double)scale * (vt_int8_of((float)x, inverse, zero) - zero);
		sum += (double)s->count[b] * d * d;
	}
	return sum;
}

static void choose_range(float *scale, int *zero, const struct seen *s, enum vt_int8_range range)
{
	double least = 0;

	scale_of(scale, zero, (double)s->low, (double)s->high);
	if (range == VT_INT8_LEAST_ERROR)
		least = error_of(s, *scale, *zero);
	for (int i = 1; range == VT_INT8_LEAST_ERROR && i < CANDIDATES; i++) {
		double share = 1 - 0.05 * i, error;
		float with;
		int at;

		scale_of(&with, &at, share * (double)s->low, share * (double)s->high);
		error = error_of(s, with, at);
		if (error >= least)
			continue;
		least = error;
		*scale = with;
		*zero = at;
	}
}

float vt_int8_weight_scale(const float *w, size_t n)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
	most /= 127.0f;
	return most > (float)least_scale * 2 ? most : (float)least_scale * 2;
}

static struct vt_json *layer_of(const struct seen *s, const struct vt_weight *w,
	enum vt_int8_range range)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *weights = vt_json_new(VT_JSON_ARRAY);
	size_t each = w->n / (size_t)w->dims[0];
	float scale;
	int zero;

	choose_range(&scale, &zero, s, range);
	for (int o = 0; o < w->dims[0]; o++)
		vt_json_push(weights,
			vt_json_new_real(
				(double)vt_int8_weight_scale(w->value + (size_t)o * each, each)));
	vt_json_put_real(j, "scale", (double)scale);
	vt_json_put_int(j, "zero", zero);
	vt_json_put(j, "weights", weights);
	return j;
}

struct vt_json *vt_int8_finder_scales(const struct vt_int8_finder *f, struct vt_session *s,
	enum vt_int8_range range, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	int rc = 0;

	for (int w = 0; !rc && w < f->g->n_weights; w++) {
		const struct seen *seen = &f->seen[w];
		const char *name = f->g->weight[w].name;

		if (!seen->count)
			continue;
		if (!seen->any || !seen->finite)
			rc = vt_err_set(err, VT_EDATA, "%s: its inputs are %s", name,
				seen->any ? "not all finite" : "not known");
		else
			vt_json_put(j, name, layer_of(seen, vt_session_weight(s, w), range));
	}
	if (!rc && !j->n)
		rc = vt_err_set(err, VT_EDATA,
			"the network has no convolution that int8 computes (docs/cpu-engine.md)");
	if (rc)
		vt_json_free(j);
	return rc ? NULL : j;
}
