/* Channels to where another layout or another tensor has them.  A task is one slab of one
 * channel block of the result. */
#include <string.h>

#include "common/base/parallel.h"
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

static struct part part_of(const struct moving *m, size_t task)
{
	size_t voxels = vt_voxels(m->blocks.s), slabs = (size_t)vt_slabs(voxels),
	       blocks = (size_t)vt_blocks(m->blocks.s.c), i = task % slabs;

	return (struct part){ (int)(task / slabs / blocks), (int)(task / slabs % blocks),
		voxels * i / slabs, voxels * (i + 1) / slabs, voxels };
}

static void each_part(struct moving *m, void (*fn)(void *, size_t))
{
	struct vt_shape s = m->blocks.s;

	vt_parallel_for((size_t)s.n * (size_t)vt_blocks(s.c) * (size_t)vt_slabs(vt_voxels(s)), fn,
		m);
}

static float *lane_of(struct vt_view v, int item, int c)
{
	return v.p +
		(((size_t)item * (size_t)vt_blocks(v.s.c) + (size_t)(c / VT_LANES)) *
			vt_voxels(v.s)) *
		VT_LANES +
		c % VT_LANES;
}

/* d[v, 0] (+)= s[v * stride]; s == NULL: zeros. */
static void fill_lane(float *d, const float *s, size_t stride, const struct part *p, bool add)
{
	for (size_t v = p->from; v < p->end; v++) {
		float value = s ? s[v * stride] : 0.0f;

		d[v * VT_LANES] = add ? d[v * VT_LANES] + value : value;
	}
}

static void pack_task(void *ctx, size_t task)
{
	struct moving *m = ctx;
	struct part p = part_of(m, task);
	struct vt_shape s = m->blocks.s;

	for (int l = 0, c = p.block * VT_LANES; l < VT_LANES; l++, c++)
		fill_lane(lane_of(m->blocks, p.item, c),
			c < s.c ? m->from + ((size_t)p.item * (size_t)s.c + (size_t)c) * p.voxels
				: NULL,
			1, &p, false);
}

static void unpack_task(void *ctx, size_t task)
{
	struct moving *m = ctx;
	struct part p = part_of(m, task);
	struct vt_shape s = m->blocks.s;

	for (int c = p.block * VT_LANES; c < (p.block + 1) * VT_LANES && c < s.c; c++) {
		const float *from = lane_of(m->blocks, p.item, c);
		float *to = m->to + ((size_t)p.item * (size_t)s.c + (size_t)c) * p.voxels;

		for (size_t v = p.from; v < p.end; v++)
			to[v] = from[v * VT_LANES];
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

/* Where channel c of the joined tensor comes from, NULL behind its last. */
static const float *source_of(const struct moving *m, int item, int c)
{
	int of_a = m->a.s.c - m->first;

	if (c >= m->blocks.s.c)
		return NULL;
	return c < of_a ? lane_of(m->a, item, m->first + c) : lane_of(m->b, item, c - of_a);
}

static void join_task(void *ctx, size_t task)
{
	struct moving *m = ctx;
	struct part p = part_of(m, task);
	int c = p.block * VT_LANES, full = c + VT_LANES <= m->blocks.s.c,
	    of_a = m->a.s.c - m->first;
	const float *s = source_of(m, p.item, c);
	float *d = lane_of(m->blocks, p.item, c);

	/* a block whose channels are one block of one source, in place */
	if (full && !m->add &&
		(c + VT_LANES <= of_a ? m->first % VT_LANES == 0
				      : c >= of_a && of_a % VT_LANES == 0)) {
		memcpy(d + p.from * VT_LANES, s + p.from * VT_LANES,
			(p.end - p.from) * VT_LANES * sizeof(float));
		return;
	}
	for (int l = 0; l < VT_LANES; l++)
		fill_lane(d + l, source_of(m, p.item, c + l), VT_LANES, &p, m->add);
}

void vt_cpu_concat(struct vt_view a, struct vt_view b, struct vt_view y)
{
	each_part(&(struct moving){ .blocks = y, .a = a, .b = b }, join_task);
}

void vt_cpu_concat_backward(struct vt_view dy, struct vt_view dx, int first, bool add)
{
	each_part(&(struct moving){ .blocks = dx, .a = dy, .first = first, .add = add }, join_task);
}
