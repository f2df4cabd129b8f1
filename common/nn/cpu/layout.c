/* Channels to where another layout or another tensor has them.  A task is one slab of one
 * channel block of the result. */
#include <assert.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/ops.h"

struct moving {
	struct vt_view blocks; /* the blocked side: what is written, but for unpacking */
	const float *from;     /* plain [n, c, z, y, x] to be packed */
	float *to;             /* plain, to be unpacked into */
	/* joining: channels below a.s.c - first are a's from `first` on, the others b's */
	struct vt_view a, b;
	int first;
	bool add;
};

struct part {
	int item, block;
	size_t from, end, voxels;
};

static struct part part_of(const struct moving *moving, size_t task)
{
	size_t voxels = vt_voxels(moving->blocks.s), slabs = (size_t)vt_slabs(voxels),
	       blocks = (size_t)vt_blocks(moving->blocks.s.c), i = task % slabs;

	return (struct part){ (int)(task / slabs / blocks), (int)(task / slabs % blocks),
		voxels * i / slabs, voxels * (i + 1) / slabs, voxels };
}

static void each_part(struct moving *moving, void (*fn)(void *, size_t))
{
	struct vt_shape s = moving->blocks.s;

	vt_parallel_for((size_t)s.n * (size_t)vt_blocks(s.c) * (size_t)vt_slabs(vt_voxels(s)), fn,
		moving);
}

/* Where channel c of item `item` begins. */
static size_t lane_of(struct vt_view view, int item, int c)
{
	return (size_t)item * (size_t)vt_blocks(view.s.c) * vt_voxels(view.s) * VT_LANES +
		(size_t)(c / VT_LANES) * vt_voxels(view.s) * VT_LANES + (size_t)(c % VT_LANES);
}

static float value_at(struct vt_view view, size_t at)
{
	return view.h ? vt_bf16_float(view.h[at]) : view.p[at];
}

static void put(struct vt_view view, size_t at, float value)
{
	if (view.h)
		view.h[at] = vt_bf16_half(value);
	else
		view.p[at] = value;
}

/* A lane of view from a lane of s; s without an array: zeros. */
static void fill_lane(struct vt_view view, size_t to, struct vt_view s, size_t from,
	const struct part *part, bool add)
{
	for (size_t v = part->from; v < part->end; v++) {
		float value = vt_there(s) ? value_at(s, from + v * VT_LANES) : 0.0f;

		put(view, to + v * VT_LANES,
			add ? value_at(view, to + v * VT_LANES) + value : value);
	}
}

static void pack_task(void *ctx, size_t task)
{
	struct moving *m = ctx;
	struct part p = part_of(m, task);
	struct vt_shape s = m->blocks.s;

	for (int l = 0, c = p.block * VT_LANES; l < VT_LANES; l++, c++) {
		size_t to = lane_of(m->blocks, p.item, c);
		const float *from = c < s.c
			? m->from + ((size_t)p.item * (size_t)s.c + (size_t)c) * p.voxels
			: NULL;

		for (size_t v = p.from; v < p.end; v++)
			put(m->blocks, to + v * VT_LANES, from ? from[v] : 0.0f);
	}
}

static void unpack_task(void *ctx, size_t task)
{
	struct moving *m = ctx;
	struct part p = part_of(m, task);
	struct vt_shape s = m->blocks.s;

	for (int c = p.block * VT_LANES; c < (p.block + 1) * VT_LANES && c < s.c; c++) {
		size_t from = lane_of(m->blocks, p.item, c);
		float *to = m->to + ((size_t)p.item * (size_t)s.c + (size_t)c) * p.voxels;

		for (size_t v = p.from; v < p.end; v++)
			to[v] = value_at(m->blocks, from + v * VT_LANES);
	}
}

void vt_cpu_pack(struct vt_view to, const float *from)
{
	each_part(&(struct moving){ .blocks = to, .from = from }, pack_task);
}

void vt_cpu_unpack(float *to, struct vt_view from)
{
	each_part(&(struct moving){ .blocks = from, .to = to }, unpack_task);
}

/* Where channel c of the joined tensor comes from; no array behind its last. */
static struct vt_view source_of(const struct moving *moving, int item, int c, size_t *at)
{
	int of_a = moving->a.s.c - moving->first;

	*at = 0;
	if (c >= moving->blocks.s.c)
		return (struct vt_view){ .p = NULL };
	*at = c < of_a ? lane_of(moving->a, item, moving->first + c)
		       : lane_of(moving->b, item, c - of_a);
	return c < of_a ? moving->a : moving->b;
}

static void join_task(void *ctx, size_t task)
{
	struct moving *m = ctx;
	struct part p = part_of(m, task);
	int c = p.block * VT_LANES, full = c + VT_LANES <= m->blocks.s.c,
	    of_a = m->a.s.c - m->first;
	size_t from, to = lane_of(m->blocks, p.item, c), n = (p.end - p.from) * VT_LANES;
	struct vt_view s = source_of(m, p.item, c, &from), d = m->blocks;

	/* a block whose channels are one block of one source, in place */
	if (full && !m->add && !s.h == !d.h &&
		(c + VT_LANES <= of_a ? m->first % VT_LANES == 0
				      : c >= of_a && of_a % VT_LANES == 0)) {
		from += p.from * VT_LANES;
		to += p.from * VT_LANES;
		if (s.h)
			memcpy(d.h + to, s.h + from, n * sizeof(*d.h));
		else
			memcpy(d.p + to, s.p + from, n * sizeof(*d.p));
		return;
	}
	for (int l = 0; l < VT_LANES; l++) {
		s = source_of(m, p.item, c + l, &from);
		fill_lane(d, to + (size_t)l, s, from, &p, m->add);
	}
}

void vt_cpu_concat(struct vt_view view, struct vt_view b, struct vt_view y)
{
	assert(view.s.c + b.s.c == y.s.c && vt_voxels(view.s) == vt_voxels(y.s));
	each_part(&(struct moving){ .blocks = y, .a = view, .b = b }, join_task);
}

void vt_cpu_concat_backward(struct vt_view dy, struct vt_view dx, int first, bool add)
{
	assert(first + dx.s.c <= dy.s.c && vt_voxels(dx.s) == vt_voxels(dy.s));
	each_part(&(struct moving){ .blocks = dx, .a = dy, .first = first, .add = add }, join_task);
}
