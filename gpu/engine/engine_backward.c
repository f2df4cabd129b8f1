/* The backward pass: one function an operator.  A gradient is set by the first operator that
 * reaches it and added to by later ones. */
#include "gpu/engine/engine.h"
#include "gpu/kernel/kernel_sums.h"

static int seen(struct vg_session *session, int i)
{
	bool before = session->has[i];

	session->has[i] = true;
	return before;
}

static void pass(struct vg_session *session, struct vg_shape shape, const void *from, void *to,
	int add)
{
	struct vg_pass a = { to, from, add, session->type };

	vg_run(session, VG_K_pass, &a, vg_chunks(&shape));
}

/* d(bias or slopes) (+)= the first sum over voxels. */
static void channel_grad(struct vg_session *session, struct vg_shape shape,
	const struct vt_node *node, int k, int one)
{
	struct vg_channel_grad a = { session->total, vg_weight_grad(session, node, k),
		session->scale, vg_weight_shared(session, node, k), one, shape };

	vg_run(session, VG_K_channel_grad, &a, one ? 1 : (uint32_t)shape.c);
}

static void backward_conv(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i), x = vg_shape_of(session, node->in[0]);
	void *dy = vg_grad(session, i), *dx = vg_grad(session, node->in[0]),
	     *in = vg_value(session, node->in[0]),
	     *dw = vg_packed(session, session->packed_grads, node->weight[0]);
	bool turned = node->conv.transposed;

	if (node->weight[1] >= 0 && session->plan.fusion.norm[i] < 0) {
		/* A bias that its norm took is not summed here: its gradient comes with the
		 * norm's. */
		vg_sum(session, VG_SUM_ONE, y, dy, NULL);
		channel_grad(session, y, node, 1, 0);
	}
	if (!session->err.code)
		session->d->ops->convolve(session->d, session->conv[3 * i + 2], turned ? dy : in,
			dw, turned ? in : dy, session->workspace, &session->err);
	/* A kernel that serves several nodes is unpacked, and added, node by node. */
	if (vg_weight_shared(session, node, 0))
		vg_unpack_gradients(session, session->kernel_of[node->weight[0]]);
	if (dx) {
		int add = seen(session, node->in[0]);
		/* A convolution sets its result: where there is a gradient already it goes by way
		 * of scratch. */
		void *to = add ? session->scratch : dx;

		if (!session->err.code)
			session->d->ops->convolve(session->d, session->conv[3 * i + 1],
				turned ? dy : to,
				vg_packed(session, session->packed, node->weight[0]),
				turned ? to : dy, session->workspace, &session->err);
		if (add)
			pass(session, x, to, dx, 1);
	}
}

/* Coefficients of dx from the sums in session->part, and every gradient that comes out of them. */
static void slopes(struct vg_session *session, int i, const struct vt_node *node,
	const struct vg_sums *sums)
{
	const struct vt_node *act = session->plan.fusion.act[i] < 0
		? NULL
		: &session->g->node[session->plan.fusion.act[i]];
	const struct vt_node *conv = session->plan.fusion.norm[node->in[0]] == i &&
			session->g->node[node->in[0]].op == VT_OP_CONV
		? &session->g->node[node->in[0]]
		: NULL;
	const struct vg_norm_state *state = &session->norm[i];
	bool batch = node->norm.kind == VT_NORM_BATCH;
	struct vg_norm_back b = { .part = sums->part,
		.mean = state->mean,
		.rstd = state->rstd,
		.sum = state->sum,
		.a = session->coefficient[0],
		.b = session->coefficient[1],
		.c = session->coefficient[2],
		.gamma = vg_weight(session, node, 0),
		.scale = session->scale,
		.groups = node->norm.groups,
		.batch = batch,
		.quantities = vg_quantity_count(sums->mode),
		.slabs = sums->slabs,
		.s = sums->s };

	/* 1 over the number of values that share their statistics */
	b.per = 1.0 / ((double)b.s.voxels * (batch ? b.s.n : b.s.c / node->norm.groups));
	if (node->weight[0] >= 0) {
		b.d_gamma = vg_weight_grad(session, node, 0);
		b.d_beta = vg_weight_grad(session, node, 1);
		b.add = vg_weight_shared(session, node, 0);
	}
	if (act && act->weight[0] >= 0) {
		b.d_slope = vg_weight_grad(session, act, 0);
		b.add_slope = vg_weight_shared(session, act, 0);
	}
	if (conv) {
		b.d_bias = vg_weight_grad(session, conv, 1);
		b.add_bias = vg_weight_shared(session, conv, 1);
	}
	vg_run(session, VG_K_norm_back, &b, (uint32_t)(batch ? b.s.c : node->norm.groups));
}

static void backward_norm(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape x = vg_shape_of(session, i);
	struct vg_behind act = vg_behind(session, i);
	void *dx = vg_grad(session, node->in[0]), *in = vg_value(session, node->in[0]),
	     *dy = vg_grad(session, i);
	struct vg_sums sums = { .a = dy,
		.b = in,
		.scale = session->norm[i].a,
		.shift = session->norm[i].b,
		.slopes = act.slopes,
		.slope = act.slope,
		.s = x,
		.mode = VG_SUM_NORM + act.mode };

	vg_sum_slabs(session, &sums);
	slopes(session, i, node, &sums);
	if (dx) {
		struct vg_norm_dx d = { .dx = dx,
			.dy = dy,
			.x = in,
			.a = session->coefficient[0],
			.b = session->coefficient[1],
			.c = session->coefficient[2],
			.scale = sums.scale,
			.shift = sums.shift,
			.slopes = act.slopes,
			.slope = act.slope,
			.mode = act.mode,
			.add = seen(session, node->in[0]),
			.slabs = vg_map_slabs(&x),
			.type = session->type,
			.s = x };

		vg_run(session, VG_K_norm_dx, &d, vg_blocks(&x, d.slabs));
	}
}

static void backward_act(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape x = vg_shape_of(session, i);
	void *dx = vg_grad(session, node->in[0]), *in = vg_value(session, node->in[0]),
	     *dy = vg_grad(session, i);

	if (session->plan.fusion.norm[i] >= 0) { /* its norm does both */
		seen(session, node->in[0]);
		return;
	}
	if (node->weight[0] >= 0) {
		vg_sum(session, VG_SUM_SLOPE, x, dy, in);
		channel_grad(session, x, node, 0, node->flag);
	}
	if (dx) {
		struct vg_act_back a = { dx, in, dy, vg_weight(session, node, 0),
			(float)node->number, (int)node->act, node->flag, seen(session, node->in[0]),
			session->type, x };

		vg_run(session, VG_K_act_back, &a, vg_chunks(&x));
	}
}

static void backward_pair(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i);

	for (int k = 0; k < 2; k++) {
		void *dx = vg_grad(session, node->in[k]);
		struct vg_shape x = vg_shape_of(session, node->in[k]);

		/* The gradient is the sum's own array (fusion.grad): it is there already. */
		if (dx && node->op == VT_OP_ADD && dx == vg_grad(session, i)) {
			seen(session, node->in[k]);
		} else if (dx && node->op == VT_OP_ADD) {
			pass(session, x, vg_grad(session, i), dx, seen(session, node->in[k]));
		} else if (dx) {
			struct vg_window a = { dx, vg_grad(session, i), x, y,
				{ k ? session->g->node[node->in[0]].shape.c : 0, 0, 0, 0 },
				seen(session, node->in[k]), session->type };

			vg_run(session, VG_K_window, &a, vg_chunks(&x));
		}
	}
}

static void backward_mul(struct vg_session *session, int i, const struct vt_node *node)
{
	/* as enum vg_gate: b has a's shape, one channel, or one voxel */
	struct vg_shape y = vg_shape_of(session, i), b = vg_shape_of(session, node->in[1]);
	int gate = b.voxels == y.voxels ? (b.c == y.c ? VG_GATE_SAME : VG_GATE_VOXEL)
					: VG_GATE_CHANNEL;
	void *da = vg_grad(session, node->in[0]), *db = vg_grad(session, node->in[1]),
	     *dy = vg_grad(session, i), *x = vg_value(session, node->in[0]);

	if (da) {
		struct vg_mul a = { da, dy, vg_value(session, node->in[1]), y, gate,
			seen(session, node->in[0]), session->type };

		vg_run(session, VG_K_mul, &a, vg_chunks(&y));
	}
	if (db && gate == VG_GATE_SAME) {
		struct vg_mul a = { db, dy, x, y, gate, seen(session, node->in[1]), session->type };

		vg_run(session, VG_K_mul, &a, vg_chunks(&y));
	} else if (db && gate == VG_GATE_VOXEL) {
		struct vg_mul_gate a = { db, x, dy, y, seen(session, node->in[1]), session->type };

		vg_run(session, VG_K_mul_gate, &a, (uint32_t)y.n * y.voxels);
	} else if (db) {
		/* Sums over voxels of x dy, of one item and channel each. */
		struct vg_fold a = { db, session->total, 1.0, seen(session, node->in[1]),
			session->type, y };

		vg_sum(session, VG_SUM_PRODUCT, y, x, dy);
		vg_run(session, VG_K_fold, &a, (uint32_t)(y.n * y.chunks));
	}
}

static void backward_pool(struct vg_session *session, const struct vt_node *node,
	struct vg_shape shape, void *dy, void *dx, int add)
{
	struct vg_shape x = vg_shape_of(session, node->in[0]);
	void *in = vg_value(session, node->in[0]);
	/* Pools over all voxels go in slabs, whose results are put together in order. */
	int slabs = vg_slabs(&x);

	if (node->op == VT_OP_MAXPOOL) {
		struct vg_maxpool_back a = { dx, in, dy, x, shape, node->k, node->stride, node->pad,
			add, session->type };

		vg_run(session, VG_K_maxpool_back, &a, vg_chunks(&x));
	} else if (node->op == VT_OP_CHANNEL_POOL) {
		struct vg_cpool_back a = { dx, in, dy, x, node->flag, add, session->type };

		vg_run(session, VG_K_cpool_back, &a, (uint32_t)x.n * x.voxels);
	} else if (node->flag) {
		struct vg_argmax a = { session->slab_value, session->slab_voxel, in, x, slabs,
			session->type };
		struct vg_global b = { NULL, session->voxel, session->slab_value,
			session->slab_voxel, x, slabs, session->type };
		struct vg_global_back c = { dx, dy, session->voxel, x, add, session->type };

		vg_run(session, VG_K_argmax, &a, (uint32_t)(x.n * slabs * x.chunks));
		vg_run(session, VG_K_global, &b, (uint32_t)(x.n * x.chunks));
		vg_run(session, VG_K_global_back, &c, vg_chunks(&x));
	} else {
		struct vg_spread a = { dx, dy, x, (float)(1.0 / (double)x.voxels), add,
			session->type };

		vg_run(session, VG_K_spread, &a, vg_chunks(&x));
	}
}

static void backward_move(struct vg_session *session, const struct vt_node *node,
	struct vg_shape shape, void *dy, void *dx, int add)
{
	struct vg_shape x = vg_shape_of(session, node->in[0]);

	if (node->op == VT_OP_UPSAMPLE) {
		struct vg_upsample_back a = { dx, dy, x, shape, node->scale, node->flag, add,
			session->type };

		vg_run(session, VG_K_upsample_back, &a, vg_chunks(&x));
	} else if (node->op == VT_OP_WINDOW) {
		/* The adjoint of a window is the window the other way. */
		struct vg_window a = { dx, dy, x, shape,
			{ -node->at.c, -node->at.d, -node->at.h, -node->at.w }, add,
			session->type };

		vg_run(session, VG_K_window, &a, vg_chunks(&x));
	} else if (node->op == VT_OP_RESHAPE) {
		struct vg_reshape a = { dx, dy, x, shape, add, session->type };

		vg_run(session, VG_K_reshape, &a, vg_chunks(&x));
	} else {
		/* nearest spreads a value, avgpool its share: the same pairs, the other way
		 * round */
		bool fine = node->op == VT_OP_AVGPOOL;
		struct vg_pairs a = { dx, dy, x, shape, node->k, node->stride, fine, add,
			session->type, fine ? (float)(1.0 / (node->k * node->k * node->k)) : 1.0f };

		vg_run(session, VG_K_pairs, &a, vg_chunks(&x));
	}
}

static void backward_one(struct vg_session *session, int i, const struct vt_node *node)
{
	struct vg_shape y = vg_shape_of(session, i);
	void *dx = vg_grad(session, node->in[0]), *dy = vg_grad(session, i);
	int add;

	if (!dx)
		return;
	add = seen(session, node->in[0]);
	if (node->op == VT_OP_DROPOUT) {
		struct vg_dropout a = { dx, dy, session->names + i, session->opts.seed,
			node->number, node->flag, add, session->type, y, session->first };

		vg_run(session, VG_K_dropout, &a, vg_chunks(&y));
	} else if (node->op == VT_OP_NOISE) {
		pass(session, y, dy, dx, add);
	} else if (node->op == VT_OP_SOFTMAX) {
		struct vg_softmax_back a = { dx, vg_value(session, i), dy, y, add, session->type };

		vg_run(session, VG_K_softmax_back, &a, (uint32_t)y.n * y.voxels);
	} else if (node->op == VT_OP_MAXPOOL || node->op == VT_OP_GLOBAL_POOL ||
		node->op == VT_OP_CHANNEL_POOL) {
		backward_pool(session, node, y, dy, dx, add);
	} else {
		backward_move(session, node, y, dy, dx, add);
	}
}

void vg_backward_node(struct vg_session *session, int i)
{
	const struct vt_node *n = &session->g->node[i];

	switch (n->op) {
	case VT_OP_INPUT:
	case VT_OP_DETACH: return;
	case VT_OP_CONV: backward_conv(session, i, n); return;
	case VT_OP_NORM: backward_norm(session, i, n); return;
	case VT_OP_ACT: backward_act(session, i, n); return;
	case VT_OP_ADD:
	case VT_OP_CONCAT: backward_pair(session, i, n); return;
	case VT_OP_MUL: backward_mul(session, i, n); return;
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
	case VT_OP_NOISE: backward_one(session, i, n); return;
	}
}
