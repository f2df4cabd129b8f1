/* The backward pass: one function an operator.  A gradient is set by the first operator that
 * reaches it and added to by later ones. */
#include "gpu/engine/engine.h"
#include "gpu/kernel/kernel_sums.h"

static int seen(struct vg_session *s, int i)
{
	bool before = s->has[i];

	s->has[i] = true;
	return before;
}

static void pass(struct vg_session *s, struct vg_shape shape, const void *from, void *to, int add)
{
	struct vg_pass a = { to, from, add, s->type };

	vg_run(s, VG_K_pass, &a, vg_chunks(&shape));
}

/* d(bias or slopes) (+)= the first sum over voxels. */
static void channel_grad(struct vg_session *s, struct vg_shape shape, const struct vt_node *n,
	int k, int one)
{
	struct vg_channel_grad a = { s->total, vg_weight_grad(s, n, k), s->scale,
		vg_weight_shared(s, n, k), one, shape };

	vg_run(s, VG_K_channel_grad, &a, one ? 1 : (uint32_t)shape.c);
}

static void backward_conv(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i), x = vg_shape_of(s, n->in[0]);
	void *dy = vg_grad(s, i), *dx = vg_grad(s, n->in[0]), *in = vg_value(s, n->in[0]),
	     *dw = vg_packed(s, s->packed_grads, n->weight[0]);
	bool turned = n->conv.transposed;

	if (n->weight[1] >= 0 && s->plan.fusion.norm[i] < 0) {
		vg_sum(s, VG_SUM_ONE, y, dy, NULL);
		channel_grad(s, y, n, 1, 0);
	}
	if (!s->err.code)
		s->d->ops->convolve(s->d, s->conv[3 * i + 2], turned ? dy : in, dw,
			turned ? in : dy, s->workspace, &s->err);
	if (vg_weight_shared(s, n, 0))
		vg_unpack_gradients(s, s->kernel_of[n->weight[0]]);
	if (dx) {
		int add = seen(s, n->in[0]);
		void *to = add ? s->scratch : dx;

		if (!s->err.code)
			s->d->ops->convolve(s->d, s->conv[3 * i + 1], turned ? dy : to,
				vg_packed(s, s->packed, n->weight[0]), turned ? to : dy,
				s->workspace, &s->err);
		if (add)
			pass(s, x, to, dx, 1);
	}
}

/* Coefficients of dx from the sums in s->part, and every gradient that comes out of them. */
static void slopes(struct vg_session *s, int i, const struct vt_node *n, const struct vg_sums *sums)
{
	const struct vt_node *act =
		s->plan.fusion.act[i] < 0 ? NULL : &s->g->node[s->plan.fusion.act[i]];
	const struct vt_node *conv =
		s->plan.fusion.norm[n->in[0]] == i && s->g->node[n->in[0]].op == VT_OP_CONV
		? &s->g->node[n->in[0]]
		: NULL;
	const struct vg_norm_state *state = &s->norm[i];
	bool batch = n->norm.kind == VT_NORM_BATCH;
	struct vg_norm_back b = { .part = sums->part,
		.mean = state->mean,
		.rstd = state->rstd,
		.sum = state->sum,
		.a = s->coefficient[0],
		.b = s->coefficient[1],
		.c = s->coefficient[2],
		.gamma = vg_weight(s, n, 0),
		.scale = s->scale,
		.groups = n->norm.groups,
		.batch = batch,
		.quantities = vg_quantity_count(sums->mode),
		.slabs = sums->slabs,
		.s = sums->s };

	b.per = 1.0 / ((double)b.s.voxels * (batch ? b.s.n : b.s.c / n->norm.groups));
	if (n->weight[0] >= 0) {
		b.d_gamma = vg_weight_grad(s, n, 0);
		b.d_beta = vg_weight_grad(s, n, 1);
		b.add = vg_weight_shared(s, n, 0);
	}
	if (act && act->weight[0] >= 0) {
		b.d_slope = vg_weight_grad(s, act, 0);
		b.add_slope = vg_weight_shared(s, act, 0);
	}
	if (conv) {
		b.d_bias = vg_weight_grad(s, conv, 1);
		b.add_bias = vg_weight_shared(s, conv, 1);
	}
	vg_run(s, VG_K_norm_back, &b, (uint32_t)(batch ? b.s.c : n->norm.groups));
}

static void backward_norm(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape x = vg_shape_of(s, i);
	struct vg_behind act = vg_behind(s, i);
	void *dx = vg_grad(s, n->in[0]), *in = vg_value(s, n->in[0]), *dy = vg_grad(s, i);
	struct vg_sums sums = { .a = dy,
		.b = in,
		.scale = s->norm[i].a,
		.shift = s->norm[i].b,
		.slopes = act.slopes,
		.slope = act.slope,
		.s = x,
		.mode = VG_SUM_NORM + act.mode };

	vg_sum_slabs(s, &sums);
	slopes(s, i, n, &sums);
	if (dx) {
		struct vg_norm_dx d = { .dx = dx,
			.dy = dy,
			.x = in,
			.a = s->coefficient[0],
			.b = s->coefficient[1],
			.c = s->coefficient[2],
			.scale = sums.scale,
			.shift = sums.shift,
			.slopes = act.slopes,
			.slope = act.slope,
			.mode = act.mode,
			.add = seen(s, n->in[0]),
			.slabs = vg_map_slabs(&x),
			.type = s->type,
			.s = x };

		vg_run(s, VG_K_norm_dx, &d, vg_blocks(&x, d.slabs));
	}
}

static void backward_act(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape x = vg_shape_of(s, i);
	void *dx = vg_grad(s, n->in[0]), *in = vg_value(s, n->in[0]), *dy = vg_grad(s, i);

	if (s->plan.fusion.norm[i] >= 0) { /* its norm does both */
		seen(s, n->in[0]);
		return;
	}
	if (n->weight[0] >= 0) {
		vg_sum(s, VG_SUM_SLOPE, x, dy, in);
		channel_grad(s, x, n, 0, n->flag);
	}
	if (dx) {
		struct vg_act_back a = { dx, in, dy, vg_weight(s, n, 0), (float)n->number,
			(int)n->act, n->flag, seen(s, n->in[0]), s->type, x };

		vg_run(s, VG_K_act_back, &a, vg_chunks(&x));
	}
}

static void backward_pair(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i);

	for (int k = 0; k < 2; k++) {
		void *dx = vg_grad(s, n->in[k]);
		struct vg_shape x = vg_shape_of(s, n->in[k]);

		if (dx && n->op == VT_OP_ADD && dx == vg_grad(s, i)) {
			seen(s, n->in[k]);
		} else if (dx && n->op == VT_OP_ADD) {
			pass(s, x, vg_grad(s, i), dx, seen(s, n->in[k]));
		} else if (dx) {
			struct vg_window a = { dx, vg_grad(s, i), x, y,
				{ k ? s->g->node[n->in[0]].shape.c : 0, 0, 0, 0 },
				seen(s, n->in[k]), s->type };

			vg_run(s, VG_K_window, &a, vg_chunks(&x));
		}
	}
}

static void backward_mul(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i), b = vg_shape_of(s, n->in[1]);
	int gate = b.voxels == y.voxels ? (b.c == y.c ? VG_GATE_SAME : VG_GATE_VOXEL)
					: VG_GATE_CHANNEL;
	void *da = vg_grad(s, n->in[0]), *db = vg_grad(s, n->in[1]), *dy = vg_grad(s, i),
	     *x = vg_value(s, n->in[0]);

	if (da) {
		struct vg_mul a = { da, dy, vg_value(s, n->in[1]), y, gate, seen(s, n->in[0]),
			s->type };

		vg_run(s, VG_K_mul, &a, vg_chunks(&y));
	}
	if (db && gate == VG_GATE_SAME) {
		struct vg_mul a = { db, dy, x, y, gate, seen(s, n->in[1]), s->type };

		vg_run(s, VG_K_mul, &a, vg_chunks(&y));
	} else if (db && gate == VG_GATE_VOXEL) {
		struct vg_mul_gate a = { db, x, dy, y, seen(s, n->in[1]), s->type };

		vg_run(s, VG_K_mul_gate, &a, (uint32_t)y.n * y.voxels);
	} else if (db) {
		struct vg_fold a = { db, s->total, 1.0, seen(s, n->in[1]), s->type, y };

		vg_sum(s, VG_SUM_PRODUCT, y, x, dy);
		vg_run(s, VG_K_fold, &a, (uint32_t)(y.n * y.chunks));
	}
}

static void backward_pool(struct vg_session *s, const struct vt_node *n, struct vg_shape y,
	void *dy, void *dx, int add)
{
	struct vg_shape x = vg_shape_of(s, n->in[0]);
	void *in = vg_value(s, n->in[0]);
	int slabs = vg_slabs(&x);

	if (n->op == VT_OP_MAXPOOL) {
		struct vg_maxpool_back a = { dx, in, dy, x, y, n->k, n->stride, n->pad, add,
			s->type };

		vg_run(s, VG_K_maxpool_back, &a, vg_chunks(&x));
	} else if (n->op == VT_OP_CHANNEL_POOL) {
		struct vg_cpool_back a = { dx, in, dy, x, n->flag, add, s->type };

		vg_run(s, VG_K_cpool_back, &a, (uint32_t)x.n * x.voxels);
	} else if (n->flag) {
		struct vg_argmax a = { s->slab_value, s->slab_voxel, in, x, slabs, s->type };
		struct vg_global b = { NULL, s->voxel, s->slab_value, s->slab_voxel, x, slabs,
			s->type };
		struct vg_global_back c = { dx, dy, s->voxel, x, add, s->type };

		vg_run(s, VG_K_argmax, &a, (uint32_t)(x.n * slabs * x.chunks));
		vg_run(s, VG_K_global, &b, (uint32_t)(x.n * x.chunks));
		vg_run(s, VG_K_global_back, &c, vg_chunks(&x));
	} else {
		struct vg_spread a = { dx, dy, x, (float)(1.0 / (double)x.voxels), add, s->type };

		vg_run(s, VG_K_spread, &a, vg_chunks(&x));
	}
}

static void backward_move(struct vg_session *s, const struct vt_node *n, struct vg_shape y,
	void *dy, void *dx, int add)
{
	struct vg_shape x = vg_shape_of(s, n->in[0]);

	if (n->op == VT_OP_UPSAMPLE) {
		struct vg_upsample_back a = { dx, dy, x, y, n->scale, n->flag, add, s->type };

		vg_run(s, VG_K_upsample_back, &a, vg_chunks(&x));
	} else if (n->op == VT_OP_WINDOW) {
		struct vg_window a = { dx, dy, x, y, { -n->at.c, -n->at.d, -n->at.h, -n->at.w },
			add, s->type };

		vg_run(s, VG_K_window, &a, vg_chunks(&x));
	} else if (n->op == VT_OP_RESHAPE) {
		struct vg_reshape a = { dx, dy, x, y, add, s->type };

		vg_run(s, VG_K_reshape, &a, vg_chunks(&x));
	} else {
		bool fine = n->op == VT_OP_AVGPOOL;
		struct vg_pairs a = { dx, dy, x, y, n->k, n->stride, fine, add, s->type,
			fine ? (float)(1.0 / (n->k * n->k * n->k)) : 1.0f };

		vg_run(s, VG_K_pairs, &a, vg_chunks(&x));
	}
}

static void backward_one(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i);
	void *dx = vg_grad(s, n->in[0]), *dy = vg_grad(s, i);
	int add;

	if (!dx)
		return;
	add = seen(s, n->in[0]);
	if (n->op == VT_OP_DROPOUT) {
		struct vg_dropout a = { dx, dy, s->names + i, s->opts.seed, n->number, n->flag, add,
			s->type, y, s->first };

		vg_run(s, VG_K_dropout, &a, vg_chunks(&y));
	} else if (n->op == VT_OP_NOISE) {
		pass(s, y, dy, dx, add);
	} else if (n->op == VT_OP_SOFTMAX) {
		struct vg_softmax_back a = { dx, vg_value(s, i), dy, y, add, s->type };

		vg_run(s, VG_K_softmax_back, &a, (uint32_t)y.n * y.voxels);
	} else if (n->op == VT_OP_MAXPOOL || n->op == VT_OP_GLOBAL_POOL ||
		n->op == VT_OP_CHANNEL_POOL) {
		backward_pool(s, n, y, dy, dx, add);
	} else {
		backward_move(s, n, y, dy, dx, add);
	}
}

void vg_backward_node(struct vg_session *s, int i)
{
	const struct vt_node *n = &s->g->node[i];

	switch (n->op) {
	case VT_OP_INPUT:
	case VT_OP_DETACH: return;
	case VT_OP_CONV: backward_conv(s, i, n); return;
	case VT_OP_NORM: backward_norm(s, i, n); return;
	case VT_OP_ACT: backward_act(s, i, n); return;
	case VT_OP_ADD:
	case VT_OP_CONCAT: backward_pair(s, i, n); return;
	case VT_OP_MUL: backward_mul(s, i, n); return;
	case VT_OP_UPSAMPLE:
	case VT_OP_MAXPOOL:
	case VT_OP_DROPOUT:
	case VT_OP_GLOBAL_POOL:
	case VT_OP_CHANNEL_POOL:
	case VT_OP_SOFTMAX:
	case VT_OP_AVGPOOL:
	case VT_OP_NEAREST:
	case VT_OP_WINDOW:
	case VT_OP_RESHAPE:
	case VT_OP_NOISE: backward_one(s, i, n); return;
	}
}
