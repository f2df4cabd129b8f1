/* Losses and patches of a training session. */
#include <stdlib.h>
#include <string.h>

#include "common/nn/loss_internal.h"
#include "gpu/engine/engine.h"

enum { STRIPS = 1024, GROUPS = 64, BLOCKS = 1024, MOST_LANES = 16 };

struct vg_training {
	uint8_t *target, *shrunk; /* of the patches; of a coarser output */
	/* of a loss: [n][strips][5][lanes], then [n][groups][5][lanes] */
	double *part, *folded;
	float *slope; /* [n][lanes][3] */
	struct kept *kept;
	int n_kept;
};

/* A volume on the device; image == NULL where it is not there. */
struct kept {
	void *image;
	uint8_t *regions;
	struct vt_volume_ref about;
};

static size_t lanes_of(struct vg_shape t)
{
	return (size_t)t.chunks * VG_LANES;
}

/* The lanes of a sum of the output with most channels. */
static size_t most_lanes(const struct vg_session *s)
{
	size_t most = VG_LANES;

	for (int k = 0; k < vt_graph_n_outputs(s->g); k++) {
		size_t lanes = lanes_of(vg_shape_of(s, vt_graph_output_at(s->g, k).tensor));

		most = lanes > most && lanes <= MOST_LANES ? lanes : most;
	}
	return most;
}

int vg_training_new(struct vg_session *s, struct vt_err *err)
{
	struct vg_training *t = vt_xcalloc(1, sizeof(*t));
	struct vg_shape x = vg_shape_of(s, s->g->input);
	size_t n = (size_t)x.n, lanes = most_lanes(s), row = VG_LOSS_SUMS * lanes * sizeof(double);
	int rc = vg_take(s, &t->target, n * x.voxels, err);

	s->training = t;
	if (!rc)
		rc = vg_take(s, &t->shrunk, n * x.voxels, err);
	if (!rc)
		rc = vg_take(s, &t->part, n * STRIPS * row, err);
	if (!rc)
		rc = vg_take(s, &t->folded, n * GROUPS * row, err);
	return rc ? rc : vg_take(s, &t->slope, n * lanes * 3 * sizeof(float), err);
}

void vg_training_free(struct vg_session *s)
{
	struct vg_training *t = s->training;

	if (!t)
		return;
	for (int i = 0; i < t->n_kept; i++) {
		s->d->ops->release(s->d, t->kept[i].image);
		s->d->ops->release(s->d, t->kept[i].regions);
	}
	free(t->kept);
	s->d->ops->release(s->d, t->target);
	s->d->ops->release(s->d, t->shrunk);
	s->d->ops->release(s->d, t->part);
	s->d->ops->release(s->d, t->folded);
	s->d->ops->release(s->d, t->slope);
	free(t);
}

int vg_session_set_target(void *session, const uint8_t *target, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_shape x = vg_shape_of(s, s->g->input);

	return s->d->ops->upload(s->d, s->training->target, target, (size_t)x.n * x.voxels, err);
}

/* --- loss ---------------------------------------------------------------- */

/* Means are over the whole batch. */
static struct vg_loss_terms terms_of(const struct vg_session *whole, const struct vg_loss_call *c,
	struct vg_shape s)
{
	const struct vt_loss *o = c->o;
	double values = (double)whole->items * (double)s.voxels;

	return (struct vg_loss_terms){ .softmax = o->softmax,
		.ce = (float)(c->weight * o->cross_entropy / (o->softmax ? values : values * s.c)),
		.focal = (float)(c->weight * o->focal / (values * s.c)),
		.gamma = (float)o->gamma,
		.balance = (float)o->balance };
}

/* Folded sums of n items to the channels' own. */
static void read_sums(struct vt_loss_sums *out, const double *folded, struct vg_shape s)
{
	size_t lanes = lanes_of(s);

	for (int n = 0; n < s.n; n++)
		for (int c = 0; c < s.c; c++) {
			double q[VG_LOSS_SUMS] = { 0 };

			for (size_t g = 0; g < GROUPS; g++)
				for (size_t k = 0; k < VG_LOSS_SUMS; k++)
					q[k] += folded[(((size_t)n * GROUPS + g) * VG_LOSS_SUMS +
							       k) *
							lanes +
						(size_t)c];
			out[n * s.c + c] = (struct vt_loss_sums){ .p = q[0],
				.pp = q[1],
				.pr = q[2],
				.r = q[3],
				.point = q[4] };
		}
}

static void write_slopes(float *out, const struct vt_loss_slope *slope, struct vg_shape s)
{
	for (int n = 0; n < s.n; n++)
		for (int c = 0; c < s.c; c++) {
			const struct vt_loss_slope *k = &slope[n * s.c + c];
			float *to = out + ((size_t)n * lanes_of(s) + (size_t)c) * 3;

			to[0] = (float)k->a;
			to[1] = (float)k->b;
			to[2] = (float)k->on;
		}
}

/* The target where an output has its voxels. */
static const uint8_t *target_at(struct vg_session *s, struct vg_shape shape, bool make)
{
	struct vg_shape x = vg_shape_of(s, s->g->input);
	struct vg_shrink a = { s->training->shrunk, s->training->target, shape, x.d, x.h, x.w };

	if (shape.d == x.d && shape.h == x.h && shape.w == x.w)
		return s->training->target;
	if (make)
		vg_run(s, VG_K_shrink, &a, (uint32_t)shape.n * shape.voxels);
	return s->training->shrunk;
}

int vg_loss_sums(struct vg_session *s, const struct vg_loss_call *c, struct vt_loss_sums *out,
	struct vt_err *err)
{
	struct vg_training *t = s->training;
	int tensor = vt_graph_output_at(s->g, c->output).tensor;
	struct vg_shape shape = vg_shape_of(s, tensor);
	size_t row = VG_LOSS_SUMS * lanes_of(shape), n = (size_t)shape.n * GROUPS * row;
	struct vg_loss_sums sums = { t->part, vg_value(s, tensor), target_at(s, shape, true),
		terms_of(s, c, shape), shape, STRIPS, s->type };
	struct vg_loss_fold fold = { t->folded, t->part, STRIPS / GROUPS, (int)row };
	double *folded;

	if (lanes_of(shape) > MOST_LANES)
		return vt_err_set(err, VT_EBUG, "a loss of %d channels; a device takes %d", shape.c,
			MOST_LANES);
	folded = vt_xmalloc(n * sizeof(*folded));
	vg_run(s, VG_K_loss_sums, &sums, (uint32_t)shape.n * STRIPS);
	vg_run(s, VG_K_loss_fold, &fold, (uint32_t)n);
	if (!s->err.code)
		s->d->ops->download(s->d, folded, t->folded, n * sizeof(*folded), &s->err);
	if (!s->err.code)
		read_sums(out, folded, shape);
	free(folded);
	return vg_answer(s, err);
}

int vg_loss_slopes(struct vg_session *s, const struct vg_loss_call *c,
	const struct vt_loss_slope *slope, struct vt_err *err)
{
	struct vg_training *t = s->training;
	int tensor = vt_graph_output_at(s->g, c->output).tensor;
	struct vg_shape shape = vg_shape_of(s, tensor);
	struct vg_loss_grad grad = { s->dy + vg_output_offset(s, c->output), vg_value(s, tensor),
		target_at(s, shape, false), t->slope, terms_of(s, c, shape), shape, s->type };
	size_t n = (size_t)shape.n * lanes_of(shape) * 3;
	float *flat = vt_xcalloc(n, sizeof(*flat));

	write_slopes(flat, slope, shape);
	s->d->ops->upload(s->d, t->slope, flat, n * sizeof(*flat), &s->err);
	vg_run(s, VG_K_loss_grad, &grad, (uint32_t)shape.n * shape.voxels);
	free(flat);
	return vg_answer(s, err);
}

int vg_square_sums(struct vg_session *s, const struct vg_loss_call *c, bool of_input, double *sums,
	struct vt_err *err)
{
	int tensor = vt_graph_output_at(s->g, c->output).tensor;
	struct vg_shape shape = vg_shape_of(s, tensor);
	size_t n = (size_t)shape.n * BLOCKS;
	double *part = vt_xmalloc(n * sizeof(*part));
	struct vg_square a = { s->training->part, s->dy + vg_output_offset(s, c->output),
		vg_value(s, tensor), of_input ? vg_value(s, s->g->input) : NULL, 2 * c->weight,
		vg_batch_values(s, c->output), shape, BLOCKS, s->type };

	vg_run(s, VG_K_square, &a, (uint32_t)n);
	if (!s->err.code)
		s->d->ops->download(s->d, part, s->training->part, n * sizeof(*part), &s->err);
	for (int i = 0; i < shape.n; i++) {
		sums[i] = 0;
		for (int k = 0; !s->err.code && k < BLOCKS; k++)
			sums[i] += part[i * BLOCKS + k];
	}
	free(part);
	return vg_answer(s, err);
}

double vg_batch_values(const struct vg_session *s, int output)
{
	struct vg_shape shape = vg_shape_of(s, vt_graph_output_at(s->g, output).tensor);

	return (double)s->items * shape.c * shape.voxels;
}

/* --- patches of kept volumes --------------------------------------------- */

/* a volume is kept if it takes at most this part of what is free */
enum { SHARE_OF_ROOM = 4 };

int vg_session_keep(void *session, int id, const struct vt_volume_ref *v, bool *kept,
	struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_training *t = s->training;
	size_t voxels = (size_t)v->d * (size_t)v->h * (size_t)v->w,
	       nbytes = voxels * (size_t)v->c * (v->half ? 2 : 4);
	struct kept *k;
	int rc = 0;

	if (id >= t->n_kept) {
		t->kept = vt_xrealloc(t->kept, (size_t)(id + 1) * sizeof(*t->kept));
		memset(t->kept + t->n_kept, 0, (size_t)(id + 1 - t->n_kept) * sizeof(*t->kept));
		t->n_kept = id + 1;
	}
	k = &t->kept[id];
	if (!k->image && (nbytes + voxels) < s->d->ops->room(s->d) / SHARE_OF_ROOM) {
		rc = vg_take(s, &k->image, nbytes, err);
		if (!rc)
			rc = s->d->ops->upload(s->d, k->image, v->image, nbytes, err);
		if (!rc && v->regions)
			rc = vg_take(s, &k->regions, voxels, err);
		if (!rc && v->regions)
			rc = s->d->ops->upload(s->d, k->regions, v->regions, voxels, err);
		k->about = *v;
	}
	*kept = k->image != NULL;
	return rc;
}

int vg_session_draw(void *session, int item, int id, const struct vt_patch_ref *p,
	struct vt_err *err)
{
	struct vg_session *s = session;
	const struct kept *k = &s->training->kept[id];
	struct vg_shape x = vg_shape_of(s, s->g->input);
	struct vg_patch from = { .c = k->about.c,
		.d = k->about.d,
		.h = k->about.h,
		.w = k->about.w,
		.p = x };
	struct vg_draw a = { .t = (char *)vg_value(s, s->g->input) +
			(size_t)item * x.voxels * lanes_of(x) * vg_type_size(s->type),
		.image = k->image,
		.noise = p->noise,
		.seed = p->seed,
		.stream = p->stream,
		.half = k->about.half,
		.dropped = p->dropped,
		.type = s->type };
	struct vg_draw_target b = { .t = s->training->target + (size_t)item * x.voxels,
		.regions = k->regions,
		.classes = p->classes };

	memcpy(from.at, p->at, sizeof(from.at));
	memcpy(from.flip, p->flip, sizeof(from.flip));
	memcpy(a.gain, p->gain, sizeof(a.gain));
	memcpy(a.add, p->add, sizeof(a.add));
	a.from = b.from = from;
	vg_run(s, VG_K_draw, &a, x.voxels * (uint32_t)x.chunks);
	vg_run(s, VG_K_draw_target, &b, x.voxels);
	return vg_answer(s, err);
}
