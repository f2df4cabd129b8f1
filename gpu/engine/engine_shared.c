/* engine_shared.c - what every part of a session asks of it: where tensors and weights lie, how
 * work is queued, and whose error it is. */
#include "gpu/engine/engine.h"

#include <string.h>

#include "gpu/kernel/kernel_sums.h"

struct vg_shape vg_shape_of(const struct vg_session *s, int i)
{
	struct vt_shape t = s->g->node[i].shape;

	return vg_shape_make(t.n, t.c, t.d, t.h, t.w);
}

void *vg_value(const struct vg_session *s, int i)
{
	return s->arena + (s->again ? s->plan.back[i] : s->plan.value[i]);
}

void *vg_grad(const struct vg_session *s, int i)
{
	return s->plan.grad[i] == SIZE_MAX ? NULL : s->arena + s->plan.grad[i];
}

float *vg_weight(const struct vg_session *s, const struct vt_node *n, int k)
{
	return n->weight[k] < 0 ? NULL : s->weights + s->offset[n->weight[k]];
}

float *vg_weight_grad(const struct vg_session *s, const struct vt_node *n, int k)
{
	return n->weight[k] < 0 ? NULL : s->grads + s->offset[n->weight[k]];
}

bool vg_weight_shared(const struct vg_session *s, const struct vt_node *n, int k)
{
	return s->g->weight[n->weight[k]].uses > 1;
}

void vg_run(struct vg_session *s, enum vg_kernel kernel, const void *args, uint32_t items)
{
	if (!s->err.code)
		s->d->ops->run(s->d, kernel, args, items, &s->err);
}

uint32_t vg_blocks(const struct vg_shape *s, int slabs)
{
	return (uint32_t)(s->n * slabs) * vg_chunk_groups(s);
}

void vg_sum_slabs(struct vg_session *s, struct vg_sums *a)
{
	a->part = s->part;
	a->slabs = vg_slabs(&a->s);
	a->type = s->type;
	vg_run(s, VG_K_sums, a, vg_blocks(&a->s, a->slabs));
}

void vg_sum(struct vg_session *s, enum vg_sum mode, struct vg_shape shape, const void *a,
	const void *b)
{
	struct vg_sums sums = { .a = a, .b = b, .s = shape, .mode = (int)mode };
	struct vg_sums_fold fold = { s->total, s->part, shape, vg_slabs(&shape) };

	vg_sum_slabs(s, &sums);
	vg_run(s, VG_K_sums_fold, &fold, (uint32_t)(shape.n * shape.chunks));
}

struct vg_behind vg_behind(const struct vg_session *s, int i)
{
	int j = s->plan.fusion.act[i];
	const struct vt_node *n = &s->g->node[j < 0 ? i : j];
	struct vg_behind r = { VG_WITH_NOTHING, NULL, 0 };

	if (j < 0 && n->norm.relu)
		r.mode = VG_WITH_RELU;
	else if (j >= 0)
		r = (struct vg_behind){ n->act == VT_ACT_RELU ? VG_WITH_RELU : VG_WITH_SLOPE,
			vg_weight(s, n, 0), (float)n->number };
	return r;
}

int vg_take(struct vg_session *s, void *out, size_t nbytes, struct vt_err *err)
{
	void *p = NULL;
	int rc = s->d->ops->alloc(s->d, &p, nbytes ? nbytes : 256, err);

	if (!rc)
		memcpy(out, &p, sizeof(p));
	return rc;
}

size_t vg_count(struct vt_shape t)
{
	return (size_t)t.n * (size_t)t.c * (size_t)t.d * (size_t)t.h * (size_t)t.w;
}

size_t vg_output_offset(const struct vg_session *s, int i)
{
	size_t at = 0;

	for (int k = 0; k < i; k++)
		at += vg_count(s->g->node[vt_graph_output_at(s->g, k).tensor].shape);
	return at;
}

/* A function that queues work ends with this: the session's error becomes the caller's, once. */
int vg_answer(struct vg_session *s, struct vt_err *err)
{
	int rc = s->err.code;

	if (rc) {
		*err = s->err;
		s->err = (struct vt_err)VT_ERR_INIT;
	}
	return rc;
}
