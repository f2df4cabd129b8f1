/* The input is quantized once, with its padding around it, so that no tap is cut; a task then
 * takes some rows of the result, all outputs of them: positions are listed in groups, and a tile
 * takes the next ones whatever row they lie in.  The last tile repeats a group that it has. */
#include "common/nn/cpu/int8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/fuse.h"

/* of a task: its inputs and outputs stay in the second-level cache, the weights are read for
 * enough of them */
enum { POSITIONS = 512 };

/* --- which kernels ------------------------------------------------------- */

#if defined(__x86_64__)
static bool runs_vnni(void)
{
	__builtin_cpu_init();
	return vt_kernels_named("avx512") && __builtin_cpu_supports("avx512vnni");
}
#endif

const struct vt_int8_kernels *vt_int8_kernels_named(const char *name)
{
#if defined(__x86_64__)
	if (!strcmp(name, "vnni"))
		return runs_vnni() ? &vt_int8_vnni : NULL;
	if (!strcmp(name, "avx2"))
		return vt_kernels_named("avx2") ? &vt_int8_avx2 : NULL;
#endif
	return strcmp(name, "portable") ? NULL : &vt_int8_portable;
}

const struct vt_int8_kernels *vt_int8_kernels_for(const struct vt_kernels *k)
{
	const struct vt_int8_kernels *i8 = NULL;

	if (!strcmp(k->name, "avx512"))
		i8 = vt_int8_kernels_named("vnni");
	if (!i8 && strcmp(k->name, "portable"))
		i8 = vt_int8_kernels_named("avx2");
	return i8 ? i8 : &vt_int8_portable;
}

/* --- weights ------------------------------------------------------------- */

bool vt_int8_fits(int c_in, int taps)
{
	/* u8 inputs times s8 weights within +-127 */
	return (int64_t)c_in * taps * 255 * 127 <= INT32_MAX;
}

static size_t taps_of(const struct vt_conv *c)
{
	return (size_t)c->k * (size_t)c->k * (size_t)c->k;
}

static size_t vectors_of(int channels)
{
	return ((size_t)channels + VT_INT8_VECTOR - 1) / VT_INT8_VECTOR;
}

static size_t steps_of(int channels)
{
	return ((size_t)channels + 3) / 4;
}

size_t vt_int8_weight_bytes(const struct vt_conv *c, int c_in)
{
	/* int32 starts, float scales and biases follow the weights. */
	return vectors_of(c->out_c) * VT_INT8_VECTOR *
		(taps_of(c) * steps_of(c_in) * 4 + sizeof(int32_t) + 2 * sizeof(float));
}

struct packing {
	const struct vt_int8_weights *to;
	const float *w, *weight_scale;
	int c_in, c_out;
};

static void pack_output(void *ctx, size_t o)
{
	const struct packing *p = ctx;
	const struct vt_int8_weights *t = p->to;
	size_t vector = o / VT_INT8_VECTOR, lane = o % VT_INT8_VECTOR, taps = t->taps;
	/* [vector][tap][step of four channels][lane][4] */
	int8_t *to = t->w + vector * taps * t->steps * 4 * VT_INT8_VECTOR + lane * 4;
	const float *w = p->w + o * (size_t)p->c_in * taps;
	uint32_t sum = 0; /* modulo 2^32, as instructions add */

	for (size_t i = 0; i < (size_t)p->c_in; i++)
		for (size_t k = 0; k < taps; k++) {
			int8_t q = vt_int8_weight(w[i * taps + k], p->weight_scale[o]);

			to[(k * t->steps + i / 4) * 4 * VT_INT8_VECTOR + i % 4] = q;
			sum += (uint32_t)q;
		}
	/* sum (x - zero) q = sum x q - zero sum q: the second part starts the sum. */
	t->start[o] = (int32_t)(0 - (uint32_t)t->zero * sum);
}

void vt_int8_weights_make(struct vt_int8_weights *to, const struct vt_conv *c, int c_in,
	const float *w, const float *bias, float scale, int zero, const float *weight_scale)
{
	size_t lanes = vectors_of(c->out_c) * VT_INT8_VECTOR;

	assert(vt_int8_fits(c_in, (int)taps_of(c)) && !c->transposed);
	*to = (struct vt_int8_weights){ .vectors = vectors_of(c->out_c),
		.taps = taps_of(c),
		.steps = steps_of(c_in),
		.inverse = 1.0f / scale,
		.zero = zero };
	to->w = vt_xcalloc(lanes * to->taps * to->steps, 4);
	to->start = vt_xcalloc(lanes, sizeof(*to->start));
	to->scale = vt_xcalloc(lanes, sizeof(*to->scale));
	to->bias = vt_xcalloc(lanes, sizeof(*to->bias));
	for (int o = 0; o < c->out_c; o++) {
		to->scale[o] = scale * weight_scale[o];
		to->bias[o] = bias ? bias[o] : 0.0f;
	}
	vt_parallel_for((size_t)c->out_c, pack_output,
		&(struct packing){ to, w, weight_scale, c_in, c->out_c });
}

void vt_int8_weights_release(struct vt_int8_weights *weights)
{
	free(weights->w);
	free(weights->start);
	free(weights->scale);
	free(weights->bias);
	*weights = (struct vt_int8_weights){ .w = NULL };
}

/* --- the quantized input ------------------------------------------------- */

/* The padded volume: `pad` before, and behind it what the last output reads. */
struct padded {
	size_t d, h, w, channels, bytes; /* bytes of one item */
};

static size_t edge_of(const struct vt_conv *c, int in, int out)
{
	int reach = c->stride * (out - 1) + c->dilation * (c->k - 1) + 1;

	return (size_t)(reach > in + c->pad ? reach : in + c->pad);
}

static struct padded padded_of(const struct vt_conv *c, struct vt_shape x, struct vt_shape y)
{
	struct padded p = { edge_of(c, x.d, y.d), edge_of(c, x.h, y.h), edge_of(c, x.w, y.w),
		(size_t)vt_blocks(x.c) * VT_LANES, 0 };

	p.bytes = p.d * p.h * p.w * p.channels;
	return p;
}

/* Groups read up to three positions behind the last. */
size_t vt_int8_input_bytes(const struct vt_conv *c, struct vt_shape x, struct vt_shape y)
{
	struct padded p = padded_of(c, x, y);

	return (size_t)x.n * p.bytes + 4 * (size_t)c->stride * p.channels + 64;
}

static void pad_plane(void *ctx, size_t plane)
{
	const struct vt_int8_sink *t = ctx;
	const struct padded p = padded_of(t->r->c, t->x, t->y);
	size_t n = plane / p.d, z = plane % p.d, pad = (size_t)t->r->c->pad, row = p.w * p.channels,
	       left = pad * p.channels, width = (size_t)t->x.w * p.channels;
	uint8_t *to = t->r->room + n * p.bytes + z * p.h * row;
	int zero = t->r->w->zero;

	assert(p.h >= pad + (size_t)t->x.h && row >= left + width);
	for (size_t y = 0; y < p.h; y++, to += row)
		if (z < pad || z >= pad + (size_t)t->x.d || y < pad || y >= pad + (size_t)t->x.h) {
			memset(to, zero, row);
		} else {
			memset(to, zero, left);
			memset(to + left + width, zero, row - left - width);
		}
}

void vt_int8_pad(const struct vt_int8_sink *to)
{
	struct vt_int8_sink t = *to;

	vt_parallel_for((size_t)t.x.n * padded_of(t.r->c, t.x, t.y).d, pad_plane, &t);
}

void vt_int8_put(const struct vt_int8_sink *to, size_t n, int b, size_t voxel, const float *from,
	size_t count)
{
	const struct padded p = padded_of(to->r->c, to->x, to->y);
	const struct vt_int8_weights *w = to->r->w;
	size_t pad = (size_t)to->r->c->pad, width = (size_t)to->x.w, height = (size_t)to->x.h;

	assert(voxel + count <= width * height * (size_t)to->x.d);
	while (count) {
		size_t x = voxel % width, y = voxel / width % height, z = voxel / width / height,
		       run = width - x < count ? width - x : count;

		to->r->i8->quantize(to->r->room + n * p.bytes +
				(((z + pad) * p.h + y + pad) * p.w + x + pad) * p.channels +
				(size_t)b * VT_LANES,
			p.channels, from, run, w->inverse, w->zero);
		from += run * VT_LANES;
		voxel += run;
		count -= run;
	}
}

struct quantizing {
	struct vt_int8_sink to;
	struct vt_view x;
};

/* Rows, so that all channels of one are written while it is in the cache. */
static void quantize_plane(void *ctx, size_t plane)
{
	const struct quantizing *q = ctx;
	struct vt_shape s = q->x.s;
	size_t n = plane / (size_t)s.d, z = plane % (size_t)s.d, blocks = (size_t)vt_blocks(s.c);

	for (size_t y = 0; y < (size_t)s.h; y++)
		for (size_t b = 0; b < blocks; b++) {
			size_t voxel = (z * (size_t)s.h + y) * (size_t)s.w;

			vt_int8_put(&q->to, n, (int)b, voxel,
				q->x.p + ((n * blocks + b) * vt_voxels(s) + voxel) * VT_LANES,
				(size_t)s.w);
		}
}

void vt_int8_quantize(const struct vt_int8_run *run, struct vt_view x, struct vt_shape y)
{
	struct quantizing q = { { run, x.s, y }, x };

	vt_int8_pad(&q.to);
	vt_parallel_for((size_t)x.s.n * (size_t)x.s.d, quantize_plane, &q);
}

/* --- products ------------------------------------------------------------ */

struct job {
	const struct vt_int8_run *r;
	struct padded p;
	struct vt_view y;
	/* bytes from a position's first input to its input under each tap */
	size_t *tap;
	size_t rows, groups; /* of an item's d h rows, in so many groups */
};

/* The rows of one task, and where it is among their positions; where its results go: blocks
 * `block` floats apart, the first of the task's positions at `to`. */
struct walk {
	size_t n, row, end, x, first;
	float *to;
	size_t block;
};

/* The next group of at most `each` positions of a row. */
static void next_group(const struct job *j, struct walk *walk, struct vt_int8_tile *tile, int g,
	int each)
{
	struct vt_shape s = j->y.s;
	size_t stride = (size_t)j->r->c->stride, z = walk->row / (size_t)s.h,
	       y = walk->row % (size_t)s.h, left = (size_t)s.w - walk->x;

	tile->x[g] = j->r->room + walk->n * j->p.bytes +
		((z * stride * j->p.h + y * stride) * j->p.w + walk->x * stride) * j->p.channels;
	tile->y[g] = walk->to + (walk->row * (size_t)s.w + walk->x - walk->first) * VT_LANES;
	tile->count[g] = left < (size_t)each ? (int)left : each;
	walk->x += (size_t)tile->count[g];
	if (walk->x == (size_t)s.w) {
		walk->x = 0;
		walk->row++;
	}
}

/* Vectors v and, if there are two, v + 1 at the task's positions. */
static void vectors_task(const struct job *j, struct walk walk, size_t v, int vectors)
{
	const struct vt_int8_weights *k = j->r->w;
	size_t each_vector = k->taps * k->steps * 4 * VT_INT8_VECTOR, lane = v * VT_INT8_VECTOR;
	struct vt_int8_tile t = { .step = (size_t)j->r->c->stride * j->p.channels,
		.tap = j->tap,
		.taps = (int)k->taps,
		.steps = (int)k->steps,
		.w = k->w + v * each_vector,
		.w_vector = each_vector,
		.vectors = vectors,
		.start = k->start + lane,
		.scale = k->scale + lane,
		.bias = k->bias + lane,
		.y_block = walk.block,
		.y_step = VT_LANES,
		.blocks = vt_blocks(j->y.s.c) - (int)(2 * v) };

	while (walk.row < walk.end) {
		for (int g = 0; g < VT_INT8_GROUPS; g++) {
			if (walk.row < walk.end) {
				next_group(j, &walk, &t, g, vectors == 1 ? 4 : 2);
				/* A vector of sixteen outputs is two blocks. */
				t.y[g] += 2 * v * walk.block;
				continue;
			}
			/* A group that repeats one is read, and nothing of it is stored. */
			assert(g > 0); /* the loop began with a row left */
			t.x[g] = t.x[g - 1];
			t.y[g] = t.y[g - 1];
			t.count[g] = 0;
		}
		j->r->i8->tile(&t);
	}
}

/* What follows on block b of the task's results. */
static void finish_block(const struct job *j, const struct walk *walk, size_t b, size_t count)
{
	struct vt_shape s = j->y.s;
	const struct vt_fused *f = j->r->fused;
	float *y = walk->to + b * walk->block;

	vt_fused_blocked(j->r->k, f, (int)b, y,
		((walk->n * (size_t)vt_blocks(s.c) + b) * vt_voxels(s) + walk->first) * VT_LANES,
		count);
	if (f->sink)
		vt_int8_put(f->sink, walk->n, (int)b, walk->first, y, count);
}

static void multiply_task(void *ctx, size_t task)
{
	const struct job *j = ctx;
	struct vt_shape s = j->y.s;
	size_t group = task % j->groups, n = task / j->groups, vectors = j->r->w->vectors,
	       blocks = (size_t)vt_blocks(s.c), width = (size_t)s.w, count;
	bool sink = j->r->fused && j->r->fused->sink;
	struct walk w = { .n = n,
		.row = j->rows * group / j->groups,
		.end = j->rows * (group + 1) / j->groups };

	/* Results that go on quantized are floats only for as long as the task runs: the task's own
	 * room. */
	w.first = w.row * width;
	count = w.end * width - w.first;
	w.block = (sink ? count : vt_voxels(s)) * VT_LANES;
	w.to = sink ? vt_xmalloc(blocks * w.block * sizeof(float))
		    : j->y.p + n * blocks * w.block + w.first * VT_LANES;
	for (size_t v = 0; v < vectors; v += 2)
		vectors_task(j, w, v, v + 1 < vectors ? 2 : 1);
	for (size_t b = 0; j->r->fused && b < blocks; b++)
		finish_block(j, &w, b, count);
	if (sink)
		free(w.to);
}

static void set_taps(size_t *tap, const struct vt_conv *c, const struct padded *padded)
{
	size_t k = (size_t)c->k, d = (size_t)c->dilation;

	for (size_t z = 0; z < k; z++)
		for (size_t y = 0; y < k; y++)
			for (size_t x = 0; x < k; x++)
				*tap++ = ((z * d * padded->h + y * d) * padded->w + x * d) *
					padded->channels;
}

void vt_int8_multiply(const struct vt_int8_run *run, struct vt_shape x, struct vt_view y)
{
	struct job j = { .r = run,
		.p = padded_of(run->c, x, y.s),
		.y = y,
		.tap = vt_xcalloc(run->w->taps, sizeof(*j.tap)),
		.rows = (size_t)y.s.d * (size_t)y.s.h };

	j.groups = (j.rows * (size_t)y.s.w + POSITIONS - 1) / POSITIONS;
	assert(y.s.c <= (int)(run->w->vectors * VT_INT8_VECTOR) && run->w->zero >= 0 &&
		run->w->zero <= 255);
	j.groups = j.groups < j.rows ? j.groups : j.rows;
	set_taps(j.tap, run->c, &j.p);
	vt_parallel_for((size_t)y.s.n * j.groups, multiply_task, &j);
	free(j.tap);
}
