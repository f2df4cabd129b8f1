/* A finder counts the values of each taken convolution's input in buckets of their upper 15 bits;
 * counts are whole numbers, so their order does not matter.  Scales are kept in float: JSON has
 * their exact value. */
#include <assert.h>
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

struct vt_int8_finder *vt_int8_finder_new(const struct vt_graph *graph)
{
	struct vt_int8_finder *f = vt_xcalloc(1, sizeof(*f));

	f->g = graph;
	/* One kernel may serve several nodes: counted together, it has one scale. */
	f->seen = vt_xcalloc((size_t)graph->n_weights + 1, sizeof(*f->seen));
	f->takes = vt_xcalloc((size_t)graph->n_nodes, sizeof(*f->takes));
	for (int i = 0; i < graph->n_nodes; i++) {
		struct seen *s;

		f->takes[i] = vt_int8_takes(graph, i);
		s = f->takes[i] ? &f->seen[graph->node[i].weight[0]] : NULL;
		if (!s || s->count)
			continue;
		s->count = vt_xcalloc(BUCKETS, sizeof(*s->count));
		s->finite = true;
	}
	return f;
}

void vt_int8_finder_free(struct vt_int8_finder *finder)
{
	if (!finder)
		return;
	for (int w = 0; w < finder->g->n_weights; w++)
		free(finder->seen[w].count);
	free(finder->seen);
	free(finder->takes);
	free(finder);
}

static void count_lane(struct seen *seen, const float *x, size_t voxels)
{
	for (size_t v = 0; v < voxels; v++) {
		float value = x[v * VT_LANES];
		uint32_t bits;

		memcpy(&bits, &value, sizeof(bits));
		/* Sign, exponent and six bits of the fraction. */
		seen->count[bits >> SHIFT]++;
		seen->low = value < seen->low ? value : seen->low;
		seen->high = value > seen->high ? value : seen->high;
		seen->finite = seen->finite && isfinite(value);
	}
	seen->any = true;
}

void vt_int8_look(void *finder, int node, const float *x, struct vt_shape shape)
{
	struct vt_int8_finder *f = finder;
	size_t voxels = vt_voxels(shape), blocks = (size_t)vt_blocks(shape.c);

	if (!f->takes[node])
		return;
	assert(f->seen[f->g->node[node].weight[0]].count);
	for (size_t n = 0; n < (size_t)shape.n; n++)
		for (size_t c = 0; c < (size_t)shape.c; c++)
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
	/* A range of one value would divide by 0. */
	double step = (high - low) / 255;

	assert(low <= 0 && high >= 0);
	*scale = (float)(step > VT_INT8_LEAST_SCALE ? step : VT_INT8_LEAST_SCALE);
	*zero = (int)rint(-low / (double)*scale);
	*zero = *zero > 255 ? 255 : *zero;
}

static double error_of(const struct seen *seen, float scale, int zero)
{
	float inverse = 1.0f / scale;
	double sum = 0;

	for (uint32_t b = 0; b < BUCKETS; b++) {
		double x, d;

		if (!seen->count[b])
			continue;
		x = (double)middle_of(b);
		d = x - (double)scale * (vt_int8_of((float)x, inverse, zero) - zero);
		sum += (double)seen->count[b] * d * d;
	}
	return sum;
}

static void choose_range(float *scale, int *zero, const struct seen *seen, enum vt_int8_range range)
{
	double least = 0;

	/* The whole range first, then shares of it down to 0.2; only a smaller error changes the
	 * choice. */
	scale_of(scale, zero, (double)seen->low, (double)seen->high);
	if (range == VT_INT8_LEAST_ERROR)
		least = error_of(seen, *scale, *zero);
	for (int i = 1; range == VT_INT8_LEAST_ERROR && i < CANDIDATES; i++) {
		double share = 1 - 0.05 * i, error;
		float with;
		int at;

		scale_of(&with, &at, share * (double)seen->low, share * (double)seen->high);
		error = error_of(seen, with, at);
		if (error >= least)
			continue;
		least = error;
		*scale = with;
		*zero = at;
	}
}

static struct vt_json *layer_of(const struct seen *seen, const struct vt_weight *weight,
	enum vt_int8_range range)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *weights = vt_json_new(VT_JSON_ARRAY);
	size_t each = weight->n / (size_t)weight->dims[0];
	float scale;
	int zero;

	choose_range(&scale, &zero, seen, range);
	for (int o = 0; o < weight->dims[0]; o++)
		vt_json_push(weights,
			vt_json_new_real(
				(double)vt_int8_weight_scale(weight->value + (size_t)o * each,
					each)));
	vt_json_put_real(j, "scale", (double)scale);
	vt_json_put_int(j, "zero", zero);
	vt_json_put(j, "weights", weights);
	return j;
}

struct vt_json *vt_int8_finder_scales(const struct vt_int8_finder *finder,
	struct vt_session *session, enum vt_int8_range range, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_int8_scales *as_read = NULL;
	int rc = 0;

	for (int w = 0; !rc && w < finder->g->n_weights; w++) {
		const struct seen *seen = &finder->seen[w];
		const char *name = finder->g->weight[w].name;

		if (!seen->count)
			continue;
		if (!seen->any || !seen->finite)
			rc = vt_err_set(err, VT_EDATA, "%s: its inputs are %s", name,
				seen->any ? "not all finite" : "not known");
		else
			vt_json_put(j, name, layer_of(seen, vt_session_weight(session, w), range));
	}
	if (!rc)
		rc = vt_int8_read(&as_read, finder->g, j, err); /* they may be out of its bounds */
	vt_int8_free(as_read, finder->g);
	if (rc)
		vt_json_free(j);
	return rc ? NULL : j;
}
