/* The forward pass: one function an operator, each queues kernels. */
#include "gpu/engine/engine.h"
#include "gpu/kernel/kernel_sums.h"

static void forward_conv(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i);
	void *in = vg_value(s, n->in[0]), *out = vg_value(s, i),
	     *w = vg_packed(s, s->packed, n->weight[0]);

	if (!s->err.code)
		s->d->ops->convolve(s->d, s->conv[3 * i], n->conv.transposed ? out : in, w,
			n->conv.transposed ? in : out, s->workspace, &s->err);
	if (n->weight[1] >= 0 && s->plan.fusion.norm[i] < 0) {
		struct vg_bias a = { out, vg_weight(s, n, 1), y, s->type };

		vg_run(s, VG_K_bias, &a, vg_chunks(&y));
	}
}

/* Statistics and coefficients of norm i, from the sums in s->part unless they are the running
 * ones. */
static void coefficients(struct vg_session *s, int i, bool own)
{
	const struct vt_node *n = &s->g->node[i], *before = &s->g->node[n->in[0]];
	const struct vg_norm_state *state = &s->norm[i];
	bool batch = n->norm.kind == VT_NORM_BATCH, kept = batch && (!own || !s->keep_statistics),
	     biased = s->plan.fusion.norm[n->in[0]] == i;
	struct vg_coefficients c = { .part = own ? s->part : NULL,
		.mean = state->mean,
		.rstd = state->rstd,
		.sum = state->sum,
		.a = state->a,
		.b = state->b,
		.gamma = vg_weight(s, n, 0),
		.beta = vg_weight(s, n, 1),
		.bias = biased && before->op == VT_OP_CONV ? vg_weight(s, before, 1) : NULL,
		.running_mean = kept ? vg_weight(s, n, 2) : NULL,
		.running_var = kept ? vg_weight(s, n, 3) : NULL,
		.eps = n->norm.eps,
		.groups = n->norm.groups,
		.batch = batch,
		.s = vg_shape_of(s, i) };
	double count;

	count = (double)c.s.voxels * (batch ? c.s.n : c.s.c / n->norm.groups);
	c.per = 1.0 / count;
	c.unbiased = count > 1.0 ? count / (count - 1.0) : 1.0;
	c.slabs = vg_slabs(&c.s);
	vg_run(s, VG_K_coefficients, &c, (uint32_t)(batch ? c.s.c : n->norm.groups));
}

static void forward_norm(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i);
	struct vg_behind act = vg_behind(s, i);
	bool own = s->opts.training || n->norm.kind != VT_NORM_BATCH;
	struct vg_sums sums = { .a = vg_value(s, n->in[0]), .s = y, .mode = VG_SUM_MOMENTS };
	struct vg_affine a = { .y = vg_value(s, i),
		.x = vg_value(s, n->in[0]),
		.a = s->norm[i].a,
		.b = s->norm[i].b,
		.slopes = act.slopes,
		.slope = act.slope,
		.mode = act.mode,
		.slabs = vg_map_slabs(&y),
		.type = s->type,
		.s = y };

	/* made again: with the coefficients it had */
	if (own && !s->norm[i].summed && !s->again)
		vg_sum_slabs(s, &sums);
	if (!s->norm[i].summed && !s->again)
		coefficients(s, i, own);
	s->norm[i].summed = false;
	vg_run(s, VG_K_affine, &a, vg_blocks(&y, a.slabs));
}

/* y = a + b; where a norm follows, its sums come with it. */
static void forward_add(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_join a = { vg_value(s, i), vg_value(s, n->in[0]), vg_value(s, n->in[1]),
		s->type };
	struct vg_sums sums = { .a = a.a,
		.b = a.b,
		.out = a.y,
		.s = vg_shape_of(s, i),
		.mode = VG_SUM_JOIN };
	int norm = s->plan.fusion.norm[i];

	if (norm < 0) {
		vg_run(s, VG_K_join, &a, vg_chunks(&sums.s));
		return;
	}
	vg_sum_slabs(s, &sums);
	coefficients(s, norm, true);
	s->norm[norm].summed = true;
}

static void forward_act(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_act a = { vg_value(s, i), vg_value(s, n->in[0]), vg_weight(s, n, 0),
		(float)n->number, (int)n->act, n->flag, s->type, vg_shape_of(s, i) };

	if (s->plan.fusion.norm[i] < 0)
		vg_run(s, VG_K_act, &a, vg_chunks(&a.s));
}

static void forward_pair(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i), b = vg_shape_of(s, n->in[1]);
	void *out = vg_value(s, i), *x = vg_value(s, n->in[0]), *z = vg_value(s, n->in[1]);

	if (n->op == VT_OP_ADD) {
		forward_add(s, i, n);
	} else if (n->op == VT_OP_CONCAT) {
		struct vg_concat a = { out, x, z, y, vg_shape_of(s, n->in[0]), b, s->type };

		vg_run(s, VG_K_concat, &a, vg_chunks(&y));
	} else {
		struct vg_mul a = { out, x, z, y,
			b.voxels == y.voxels ? (b.c == y.c ? VG_GATE_SAME : VG_GATE_VOXEL)
					     : VG_GATE_CHANNEL,
			0, s->type };

		vg_run(s, VG_K_mul, &a, vg_chunks(&y));
	}
}

static void forward_random(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i);
	void *out = vg_value(s, i), *x = vg_value(s, n->in[0]);

	if (s->opts.training && n->op == VT_OP_DROPOUT) {
		struct vg_dropout a = { out, x, s->names + i, s->opts.seed, n->number, n->flag, 0,
			s->type, y, s->first };

		vg_run(s, VG_K_dropout, &a, vg_chunks(&y));
	} else if (s->opts.training && n->op == VT_OP_NOISE) {
		struct vg_noise a = { out, x, s->names + i, s->opts.seed, n->number, s->type, y,
			s->first };

		vg_run(s, VG_K_noise, &a, vg_chunks(&y));
	} else {
		struct vg_pass a = { out, x, 0, s->type };

		vg_run(s, VG_K_pass, &a, vg_chunks(&y));
	}
}

static void forward_pool(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i), x = vg_shape_of(s, n->in[0]);
	void *out = vg_value(s, i), *in = vg_value(s, n->in[0]);
	int slabs = vg_slabs(&x);

	if (n->op == VT_OP_MAXPOOL) {
		struct vg_maxpool a = { out, in, y, x, n->k, n->stride, n->pad, s->type };

		vg_run(s, VG_K_maxpool, &a, vg_chunks(&y));
	} else if (n->op == VT_OP_CHANNEL_POOL) {
		struct vg_cpool a = { out, in, x, n->flag, s->type };

		vg_run(s, VG_K_cpool, &a, (uint32_t)x.n * x.voxels);
	} else if (n->flag) {
		struct vg_argmax a = { s->slab_value, s->slab_voxel, in, x, slabs, s->type };
		struct vg_global b = { out, s->voxel, s->slab_value, s->slab_voxel, x, slabs,
			s->type };

		vg_run(s, VG_K_argmax, &a, (uint32_t)(x.n * slabs * x.chunks));
		vg_run(s, VG_K_global, &b, (uint32_t)(x.n * x.chunks));
	} else {
		struct vg_fold a = { out, s->total, 1.0 / (double)x.voxels, 0, s->type, x };

		vg_sum(s, VG_SUM_ONE, x, in, NULL);
		vg_run(s, VG_K_fold, &a, (uint32_t)(x.n * x.chunks));
	}
}

static void forward_move(struct vg_session *s, int i, const struct vt_node *n)
{
	struct vg_shape y = vg_shape_of(s, i), x = vg_shape_of(s, n->in[0]);
	void *out = vg_value(s, i), *in = vg_value(s, n->in[0]);

	if (n->op == VT_OP_UPSAMPLE) {
		struct vg_upsample a = { out, in, y, x, n->scale, n->flag, s->type };

		vg_run(s, VG_K_upsample, &a, vg_chunks(&y));
	} else if (n->op == VT_OP_WINDOW) {
		struct vg_window a = { out, in, y, x, { n->at.c, n->at.d, n->at.h, n->at.w }, 0,
			s->type };

		vg_run(s, VG_K_window, &a, vg_chunks(&y));
	} else if (n->op == VT_OP_RESHAPE) {
		struct vg_reshape a = { out, in, y, x, 0, s->type };

		vg_run(s, VG_K_reshape, &a, vg_chunks(&y));
	} else {
		bool fine = n->op == VT_OP_NEAREST;
		struct vg_pairs a = { out, in, y, x, n->k, n->stride, fine, 0, s->type,
			fine ? 1.0f : (float)(1.0 / (n->k * n->k * n->k)) };

		vg_run(s, VG_K_pairs, &a, vg_chunks(&y));
	}
}

void vg_forward_node(struct vg_session *s, int i)
{
	const struct vt_node *n = &s->g->node[i];

	switch (n->op) {
	case VT_OP_INPUT: return;
	case VT_OP_CONV: forward_conv(s, i, n); return;
	case VT_OP_NORM: forward_norm(s, i, n); return;
	case VT_OP_ACT: forward_act(s, i, n); return;
	case VT_OP_ADD:
	case VT_OP_CONCAT:
	case VT_OP_MUL: forward_pair(s, i, n); return;
	case VT_OP_DROPOUT:
	case VT_OP_NOISE:
	case VT_OP_DETACH: forward_random(s, i, n); return;
	case VT_OP_MAXPOOL:
	case VT_OP_GLOBAL_POOL:
	case VT_OP_CHANNEL_POOL: forward_pool(s, i, n); return;
	case VT_OP_UPSAMPLE:
	case VT_OP_AVGPOOL:
	case VT_OP_NEAREST:
	case VT_OP_WINDOW:
	case VT_OP_RESHAPE: forward_move(s, i, n); return;
	case VT_OP_SOFTMAX: {
		struct vg_softmax a = { vg_value(s, i), vg_value(s, n->in[0]), vg_shape_of(s, i),
			s->type };

		vg_run(s, VG_K_softmax, &a, (uint32_t)a.s.n * a.s.voxels);
		return;
	}
	}
	if (!s->err.code)
		vt_err_set(&s->err, VT_EDEVICE, "operator %d has no kernel on this device",
			(int)n->op);
}
