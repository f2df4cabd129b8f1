/* A finder counts the values of each taken convolution's input in buckets of their upper 15 bits;
 * counts are whole numbers, so their order does not matter.  Scales are kept in float: JSON has
 * their exact value. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/nn/cpu/int8.h"
#include "common/nn/int8.h"

enum { BUCKETS = 1 << 15, SHIFT = 17, CANDIDATES = 17 };

const char *const vt_int8_ranges[] = { "error", "max", NULL };

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

	*scale = (float)(step > VT_INT8_LEAST_SCALE ? step : VT_INT8_LEAST_SCALE);
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
	struct vt_int8_scales *as_read = NULL;
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
	if (!rc)
		rc = vt_int8_read(&as_read, f->g, j, err); /* they may be out of its bounds */
	vt_int8_free(as_read, f->g);
	if (rc)
		vt_json_free(j);
	return rc ? NULL : j;
}
