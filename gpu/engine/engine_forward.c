/* The forward pass: one function per group of operators, each queues kernels on the session's
 * device.
 *
 * A function reads the values of its inputs and writes the value of node i. Nothing here waits for
 * the device, and no function returns an error: the first error stays in session->err, and vg_run
 * does nothing after it. A value that is made again in the backward pass comes from the same
 * function with the same arguments, so it has the same bits; `again` then keeps statistics from
 * being gathered a second time. */
#include "gpu/engine/engine.h"

#include <assert.h>

#include "gpu/kernel/kernel_sums.h"

static void forward_conv(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i);
	void *in = vg_value(session, node->in[0]), *out = vg_value(session, i),
	     *w = vg_packed(session, session->packed, node->weight[0]);

	assert(node->op == VT_OP_CONV);
	if (!session->err.code)
		session->d->ops->convolve(session->d, session->conv[3 * i],
			node->conv.transposed ? out : in, w, node->conv.transposed ? in : out,
			session->workspace, &session->err);
	if (node->weight[1] >= 0 && session->plan.fusion.norm[i] < 0) {
		struct vg_bias a = { out, vg_weight(session, node, 1), y, session->type };

		vg_run(session, VG_K_bias, &a, vg_chunks(&y));
	}
}

/* Statistics and coefficients of norm i, from the sums in session->part unless they are the running
 * ones. */
static void coefficients(struct vg_session *session, int i, bool own)
{
	const struct vt_node *n = &session->g->node[i], *before = &session->g->node[n->in[0]];
	const struct vg_norm_state *state = &session->norm[i];
	/* kept: the running statistics are read (inference) or updated, but not by a pass that is
	 * repeated */
	bool batch = n->norm.kind == VT_NORM_BATCH,
	     kept = batch && (!own || !session->keep_statistics),
	     biased = session->plan.fusion.norm[n->in[0]] == i;
	struct vg_coefficients c = { .part = own ? session->part : NULL,
		.mean = state->mean,
		.rstd = state->rstd,
		.sum = state->sum,
		.a = state->a,
		.b = state->b,
		.gamma = vg_weight(session, n, 0),
		.beta = vg_weight(session, n, 1),
		.bias = biased && before->op == VT_OP_CONV ? vg_weight(session, before, 1) : NULL,
		.running_mean = kept ? vg_weight(session, n, 2) : NULL,
		.running_var = kept ? vg_weight(session, n, 3) : NULL,
		.eps = n->norm.eps,
		.groups = n->norm.groups,
		.batch = batch,
		.s = vg_shape_of(session, i) };
	double count;

	assert(n->op == VT_OP_NORM && (batch || n->norm.groups > 0));
	count = (double)c.s.voxels * (batch ? c.s.n : c.s.c / n->norm.groups);
	c.per = 1.0 / count;
	/* as PyTorch keeps the running variance */
	c.unbiased = count > 1.0 ? count / (count - 1.0) : 1.0;
	c.slabs = vg_slabs(&c.s);
	vg_run(session, VG_K_coefficients, &c, (uint32_t)(batch ? c.s.c : n->norm.groups));
}

static void forward_norm(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i);
	struct vg_behind act = vg_behind(session, i);
	bool own = session->opts.training || node->norm.kind != VT_NORM_BATCH;
	struct vg_sums sums = { .a = vg_value(session, node->in[0]),
		.s = y,
		.mode = VG_SUM_MOMENTS };
	struct vg_affine a = { .y = vg_value(session, i),
		.x = vg_value(session, node->in[0]),
		.a = session->norm[i].a,
		.b = session->norm[i].b,
		.slopes = act.slopes,
		.slope = act.slope,
		.mode = act.mode,
		.slabs = vg_map_slabs(&y),
		.type = session->type,
		.s = y };

	assert(node->op == VT_OP_NORM);
	/* made again: with the coefficients it had */
	if (own && !session->norm[i].summed && !session->again)
		vg_sum_slabs(session, &sums);
	if (!session->norm[i].summed && !session->again)
		coefficients(session, i, own);
	session->norm[i].summed = false;
	vg_run(session, VG_K_affine, &a, vg_blocks(&y, a.slabs));
}

/* y = a + b; where a norm follows, its sums come with it. */
static void forward_add(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_join a = { vg_value(session, i), vg_value(session, node->in[0]),
		vg_value(session, node->in[1]), session->type };
	struct vg_sums sums = { .a = a.a,
		.b = a.b,
		.out = a.y,
		.s = vg_shape_of(session, i),
		.mode = VG_SUM_JOIN };
	int norm = session->plan.fusion.norm[i];

	assert(norm < 0 || session->g->node[norm].in[0] == i);
	if (norm < 0) {
		vg_run(session, VG_K_join, &a, vg_chunks(&sums.s));
		return;
	}
	/* One pass adds and gathers the next norm's moments. */
	vg_sum_slabs(session, &sums);
	coefficients(session, norm, true);
	session->norm[norm].summed = true;
}

static void forward_act(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_act a = { vg_value(session, i), vg_value(session, node->in[0]),
		vg_weight(session, node, 0), (float)node->number, (int)node->act, node->flag,
		session->type, vg_shape_of(session, i) };

	assert(node->op == VT_OP_ACT);
	/* Otherwise the norm has done it. */
	if (session->plan.fusion.norm[i] < 0)
		vg_run(session, VG_K_act, &a, vg_chunks(&a.s));
}

static void forward_pair(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i), b = vg_shape_of(session, node->in[1]);
	void *out = vg_value(session, i), *x = vg_value(session, node->in[0]),
	     *z = vg_value(session, node->in[1]);

	if (node->op == VT_OP_ADD) {
		forward_add(session, i, node);
	} else if (node->op == VT_OP_CONCAT) {
		struct vg_concat a = { out, x, z, y, vg_shape_of(session, node->in[0]), b,
			session->type };

		vg_run(session, VG_K_concat, &a, vg_chunks(&y));
	} else {
		struct vg_mul a = { out, x, z, y,
			b.voxels == y.voxels ? (b.c == y.c ? VG_GATE_SAME : VG_GATE_VOXEL)
					     : VG_GATE_CHANNEL,
			0, session->type };

		vg_run(session, VG_K_mul, &a, vg_chunks(&y));
	}
}

static void forward_random(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i);
	void *out = vg_value(session, i), *x = vg_value(session, node->in[0]);

	if (session->opts.training && node->op == VT_OP_DROPOUT) {
		struct vg_dropout a = { out, x, session->names + i, session->opts.seed,
			node->number, node->flag, 0, session->type, y, session->first };

		vg_run(session, VG_K_dropout, &a, vg_chunks(&y));
	} else if (session->opts.training && node->op == VT_OP_NOISE) {
		struct vg_noise a = { out, x, session->names + i, session->opts.seed, node->number,
			session->type, y, session->first };

		vg_run(session, VG_K_noise, &a, vg_chunks(&y));
	} else {
		struct vg_pass a = { out, x, 0, session->type };

		vg_run(session, VG_K_pass, &a, vg_chunks(&y));
	}
}

static void forward_pool(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i), x = vg_shape_of(session, node->in[0]);
	void *out = vg_value(session, i), *in = vg_value(session, node->in[0]);
	int slabs = vg_slabs(&x);

	if (node->op == VT_OP_MAXPOOL) {
		struct vg_maxpool a = { out, in, y, x, node->k, node->stride, node->pad,
			session->type };

		vg_run(session, VG_K_maxpool, &a, vg_chunks(&y));
	} else if (node->op == VT_OP_CHANNEL_POOL) {
		struct vg_cpool a = { out, in, x, node->flag, session->type };

		vg_run(session, VG_K_cpool, &a, (uint32_t)x.n * x.voxels);
	} else if (node->flag) {
		struct vg_argmax a = { session->slab_value, session->slab_voxel, in, x, slabs,
			session->type };
		struct vg_global b = { out, session->voxel, session->slab_value,
			session->slab_voxel, x, slabs, session->type };

		vg_run(session, VG_K_argmax, &a, (uint32_t)(x.n * slabs * x.chunks));
		vg_run(session, VG_K_global, &b, (uint32_t)(x.n * x.chunks));
	} else {
		struct vg_fold a = { out, session->total, 1.0 / (double)x.voxels, 0, session->type,
			x };

		vg_sum(session, VG_SUM_ONE, x, in, NULL);
		vg_run(session, VG_K_fold, &a, (uint32_t)(x.n * x.chunks));
	}
}

static void forward_move(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i), x = vg_shape_of(session, node->in[0]);
	void *out = vg_value(session, i), *in = vg_value(session, node->in[0]);

	if (node->op == VT_OP_UPSAMPLE) {
		struct vg_upsample a = { out, in, y, x, node->scale, node->flag, session->type };

		vg_run(session, VG_K_upsample, &a, vg_chunks(&y));
	} else if (node->op == VT_OP_WINDOW) {
		struct vg_window a = { out, in, y, x,
			{ node->at.c, node->at.d, node->at.h, node->at.w }, 0, session->type };

		vg_run(session, VG_K_window, &a, vg_chunks(&y));
	} else if (node->op == VT_OP_RESHAPE) {
		struct vg_reshape a = { out, in, y, x, 0, session->type };

		vg_run(session, VG_K_reshape, &a, vg_chunks(&y));
	} else {
		bool fine = node->op == VT_OP_NEAREST;
		struct vg_pairs a = { out, in, y, x, node->k, node->stride, fine, 0, session->type,
			fine ? 1.0f : (float)(1.0 / (node->k * node->k * node->k)) };

		vg_run(session, VG_K_pairs, &a, vg_chunks(&y));
	}
}

void vg_forward_node(struct vg_session *session, int i)
{
	const struct vt_node *n = &session->g->node[i];

	assert(i >= 0 && i < session->g->n_nodes);
	switch (n->op) {
	case VT_OP_INPUT: return;
	case VT_OP_CONV: forward_conv(session, i, n); return;
	case VT_OP_NORM: forward_norm(session, i, n); return;
	case VT_OP_ACT: forward_act(session, i, n); return;
	case VT_OP_ADD:
	case VT_OP_CONCAT:
	case VT_OP_MUL: forward_pair(session, i, n); return;
	case VT_OP_DROPOUT:
	case VT_OP_NOISE:
	case VT_OP_DETACH: forward_random(session, i, n); return;
	case VT_OP_MAXPOOL:
	case VT_OP_GLOBAL_POOL:
	case VT_OP_CHANNEL_POOL: forward_pool(session, i, n); return;
	case VT_OP_UPSAMPLE:
	case VT_OP_AVGPOOL:
	case VT_OP_NEAREST:
	case VT_OP_WINDOW:
	case VT_OP_RESHAPE: forward_move(session, i, n); return;
	case VT_OP_SOFTMAX: {
		struct vg_softmax a = { vg_value(session, i), vg_value(session, n->in[0]),
			vg_shape_of(session, i), session->type };

		vg_run(session, VG_K_softmax, &a, (uint32_t)a.s.n * a.s.voxels);
		return;
	}
	}
	if (!session->err.code)
		vt_err_set(&session->err, VT_EDEVICE, "operator %d has no kernel on this device",
			(int)n->op);
}
