/* engine_shared.c - what every part of a session asks of it: where tensors and weights lie, how
 * work is queued, and whose error it is. */
#include "gpu/engine/engine.h"

#include <assert.h>
#include <string.h>

#include "gpu/kernel/kernel_sums.h"

struct vg_shape vg_shape_of(const struct vg_session *session, int i)
{
	struct vt_shape t;

	assert(i >= 0 && i < session->g->n_nodes);
	t = session->g->node[i].shape;
	return vg_shape_make(t.n, t.c, t.d, t.h, t.w);
}

void *vg_value(const struct vg_session *session, int i)
{
	assert(i >= 0 && i < session->g->n_nodes);
	return session->arena + (session->again ? session->plan.back[i] : session->plan.value[i]);
}

void *vg_grad(const struct vg_session *session, int i)
{
	assert(i >= 0 && i < session->g->n_nodes);
	return session->plan.grad[i] == SIZE_MAX ? NULL : session->arena + session->plan.grad[i];
}

float *vg_weight(const struct vg_session *session, const struct vt_node *node, int k)
{
	assert(k >= 0 && k < 4 && node->weight[k] < session->g->n_weights);
	return node->weight[k] < 0 ? NULL : session->weights + session->offset[node->weight[k]];
}

float *vg_weight_grad(const struct vg_session *session, const struct vt_node *node, int k)
{
	assert(k >= 0 && k < 4 && node->weight[k] < session->g->n_weights);
	return node->weight[k] < 0 ? NULL : session->grads + session->offset[node->weight[k]];
}

bool vg_weight_shared(const struct vg_session *session, const struct vt_node *node, int k)
{
	assert(k >= 0 && k < 4 && node->weight[k] >= 0);
	return session->g->weight[node->weight[k]].uses > 1;
}

void vg_run(struct vg_session *session, enum vg_kernel kernel, const void *args, uint32_t items)
{
	if (!session->err.code)
		session->d->ops->run(session->d, kernel, args, items, &session->err);
}

uint32_t vg_blocks(const struct vg_shape *shape, int slabs)
{
	return (uint32_t)(shape->n * slabs) * vg_chunk_groups(shape);
}

void vg_sum_slabs(struct vg_session *session, struct vg_sums *sums)
{
	assert(sums->s.n > 0 && sums->s.chunks > 0);
	sums->part = session->part;
	sums->slabs = vg_slabs(&sums->s);
	sums->type = session->type;
	vg_run(session, VG_K_sums, sums, vg_blocks(&sums->s, sums->slabs));
}

void vg_sum(struct vg_session *session, enum vg_sum mode, struct vg_shape shape, const void *a,
	const void *b)
{
	/* part: by slab; fold: added in order to total */
	struct vg_sums sums = { .a = a, .b = b, .s = shape, .mode = (int)mode };
	struct vg_sums_fold fold = { session->total, session->part, shape, vg_slabs(&shape) };

	vg_sum_slabs(session, &sums);
	vg_run(session, VG_K_sums_fold, &fold, (uint32_t)(shape.n * shape.chunks));
}

struct vg_behind vg_behind(const struct vg_session *session, int i)
{
	int j = session->plan.fusion.act[i];
	const struct vt_node *n = &session->g->node[j < 0 ? i : j];
	struct vg_behind r = { VG_WITH_NOTHING, NULL, 0 };

	assert(j < session->g->n_nodes);
	if (j < 0 && n->norm.relu)
		r.mode = VG_WITH_RELU;
	else if (j >= 0)
		r = (struct vg_behind){ n->act == VT_ACT_RELU ? VG_WITH_RELU : VG_WITH_SLOPE,
			vg_weight(session, n, 0), (float)n->number };
	return r;
}

int vg_alloc(struct vg_session *session, void *out, size_t nbytes, struct vt_err *err)
{
	void *p = NULL;
	/* Never 0 bytes: some devices answer those with NULL. */
	int rc = session->d->ops->alloc(session->d, &p, nbytes ? nbytes : 256, err);

	/* void ** of any pointer's address is not C; its bytes are. */
	if (!rc)
		memcpy(out, &p, sizeof(p));
	return rc;
}

size_t vg_count(struct vt_shape shape)
{
	return (size_t)shape.n * (size_t)shape.c * (size_t)shape.d * (size_t)shape.h *
		(size_t)shape.w;
}

size_t vg_output_offset(const struct vg_session *session, int i)
{
	size_t at = 0;

	assert(i >= 0 && i <= vt_graph_n_outputs(session->g));
	for (int k = 0; k < i; k++)
		at += vg_count(session->g->node[vt_graph_output_at(session->g, k).tensor].shape);
	return at;
}

/* A function that queues work ends with this: the session's error becomes the caller's, once. */
int vg_status(struct vg_session *session, struct vt_err *err)
{
	int rc = session->err.code;

	if (rc) {
		*err = session->err;
		session->err = (struct vt_err)VT_ERR_INIT;
	}
	return rc;
}
