/* Losses and patches of a training session.
 *
 * A loss has two halves, because it is a function of sums over all items: kernels sum each item and
 * channel in strips, the host combines the sums of the whole batch in item order (vt_loss_combine),
 * and a second kernel turns the slopes that it gets back into gradients. Volumes that fit are kept
 * on the device under their id; a patch is drawn from a kept volume by the same arithmetic as on
 * the host. */
#include <assert.h>
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

static size_t lanes_of(struct vg_shape shape)
{
	return (size_t)shape.chunks * VG_LANES;
}

/* The lanes of a sum of the output with most channels. */
static size_t most_lanes(const struct vg_session *session)
{
	size_t most = VG_LANES;

	for (int k = 0; k < vt_graph_n_outputs(session->g); k++) {
		size_t lanes =
			lanes_of(vg_shape_of(session, vt_graph_output_at(session->g, k).tensor));

		/* An output of more lanes cannot have a loss: vg_loss_sums() refuses it. */
		most = lanes > most && lanes <= MOST_LANES ? lanes : most;
	}
	return most;
}

int vg_training_new(struct vg_session *session, struct vt_err *err)
{
	struct vg_training *t = vt_xcalloc(1, sizeof(*t));
	struct vg_shape x = vg_shape_of(session, session->g->input);
	size_t n = (size_t)x.n, lanes = most_lanes(session),
	       row = VG_LOSS_SUMS * lanes * sizeof(double);
	int rc = vg_alloc(session, &t->target, n * x.voxels, err);

	assert(!session->training);
	session->training = t;
	if (!rc)
		rc = vg_alloc(session, &t->shrunk, n * x.voxels, err);
	if (!rc)
		rc = vg_alloc(session, &t->part, n * STRIPS * row, err);
	if (!rc)
		rc = vg_alloc(session, &t->folded, n * GROUPS * row, err);
	return rc ? rc : vg_alloc(session, &t->slope, n * lanes * 3 * sizeof(float), err);
}

void vg_training_free(struct vg_session *session)
{
	struct vg_training *t = session->training;

	if (!t)
		return;
	for (int i = 0; i < t->n_kept; i++) {
		session->d->ops->release(session->d, t->kept[i].image);
		session->d->ops->release(session->d, t->kept[i].regions);
	}
	free(t->kept);
	session->d->ops->release(session->d, t->target);
	session->d->ops->release(session->d, t->shrunk);
	session->d->ops->release(session->d, t->part);
	session->d->ops->release(session->d, t->folded);
	session->d->ops->release(session->d, t->slope);
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
static struct vg_loss_terms terms_of(const struct vg_session *whole,
	const struct vg_loss_call *call, struct vg_shape shape)
{
	const struct vt_loss *o = call->o;
	double values = (double)whole->items * (double)shape.voxels;

	assert(whole->items > 0 && shape.c > 0 && shape.voxels > 0);
	return (struct vg_loss_terms){ .softmax = o->softmax,
		.ce = (float)(call->weight * o->cross_entropy /
			(o->softmax ? values : values * shape.c)),
		.focal = (float)(call->weight * o->focal / (values * shape.c)),
		.gamma = (float)o->gamma,
		.balance = (float)o->balance };
}

/* Folded sums of n items to the channels' own. */
static void read_sums(struct vt_loss_sums *out, const double *folded, struct vg_shape shape)
{
	size_t lanes = lanes_of(shape);

	for (int n = 0; n < shape.n; n++)
		for (int c = 0; c < shape.c; c++) {
			double q[VG_LOSS_SUMS] = { 0 };

			/* groups in order, as they were folded */
			for (size_t g = 0; g < GROUPS; g++)
				for (size_t k = 0; k < VG_LOSS_SUMS; k++)
					q[k] += folded[(((size_t)n * GROUPS + g) * VG_LOSS_SUMS +
							       k) *
							lanes +
						(size_t)c];
			out[n * shape.c + c] = (struct vt_loss_sums){ .p = q[0],
				.pp = q[1],
				.pr = q[2],
				.r = q[3],
				.point = q[4] };
		}
}

static void write_slopes(float *out, const struct vt_loss_slope *slope, struct vg_shape shape)
{
	for (int n = 0; n < shape.n; n++)
		for (int c = 0; c < shape.c; c++) {
			const struct vt_loss_slope *k = &slope[n * shape.c + c];
			float *to = out + ((size_t)n * lanes_of(shape) + (size_t)c) * 3;

			/* as kernels read them: a p + b + on */
			to[0] = (float)k->a;
			to[1] = (float)k->b;
			to[2] = (float)k->on;
		}
}

/* The target where an output has its voxels. */
static const uint8_t *target_at(struct vg_session *session, struct vg_shape shape, bool make)
{
	struct vg_shape x = vg_shape_of(session, session->g->input);
	struct vg_shrink a = { session->training->shrunk, session->training->target, shape, x.d,
		x.h, x.w };

	if (shape.d == x.d && shape.h == x.h && shape.w == x.w)
		return session->training->target;
	/* Of a coarser output: the target at its voxels' centers. */
	if (make)
		vg_run(session, VG_K_shrink, &a, (uint32_t)shape.n * shape.voxels);
	return session->training->shrunk;
}

int vg_loss_sums(struct vg_session *session, const struct vg_loss_call *call,
	struct vt_loss_sums *out, struct vt_err *err)
{
	struct vg_training *t = session->training;
	int tensor = vt_graph_output_at(session->g, call->output).tensor;
	struct vg_shape shape = vg_shape_of(session, tensor);
	size_t row = VG_LOSS_SUMS * lanes_of(shape), n = (size_t)shape.n * GROUPS * row;
	struct vg_loss_sums sums = { t->part, vg_value(session, tensor),
		target_at(session, shape, true), terms_of(session, call, shape), shape, STRIPS,
		session->type };
	/* [n][strips][row] becomes [n][groups][row]. */
	struct vg_loss_fold fold = { t->folded, t->part, STRIPS / GROUPS, (int)row };
	double *folded;

	if (lanes_of(shape) > MOST_LANES)
		return vt_err_set(err, VT_EBUG, "a loss of %d channels; a device takes %d", shape.c,
			MOST_LANES);
	folded = vt_xmalloc(n * sizeof(*folded));
	vg_run(session, VG_K_loss_sums, &sums, (uint32_t)shape.n * STRIPS);
	vg_run(session, VG_K_loss_fold, &fold, (uint32_t)n);
	if (!session->err.code)
		session->d->ops->download(session->d, folded, t->folded, n * sizeof(*folded),
			&session->err);
	if (!session->err.code)
		read_sums(out, folded, shape);
	free(folded);
	return vg_status(session, err);
}

int vg_loss_slopes(struct vg_session *session, const struct vg_loss_call *call,
	const struct vt_loss_slope *slope, struct vt_err *err)
{
	struct vg_training *t = session->training;
	int tensor = vt_graph_output_at(session->g, call->output).tensor;
	struct vg_shape shape = vg_shape_of(session, tensor);
	struct vg_loss_grad grad = { session->dy + vg_output_offset(session, call->output),
		vg_value(session, tensor), target_at(session, shape, false), t->slope,
		terms_of(session, call, shape), shape, session->type };
	size_t n = (size_t)shape.n * lanes_of(shape) * 3;
	float *flat = vt_xcalloc(n, sizeof(*flat));

	write_slopes(flat, slope, shape);
	session->d->ops->upload(session->d, t->slope, flat, n * sizeof(*flat), &session->err);
	vg_run(session, VG_K_loss_grad, &grad, (uint32_t)shape.n * shape.voxels);
	free(flat);
	return vg_status(session, err);
}

int vg_square_sums(struct vg_session *session, const struct vg_loss_call *call, bool of_input,
	double *sums, struct vt_err *err)
{
	int tensor = vt_graph_output_at(session->g, call->output).tensor;
	struct vg_shape shape = vg_shape_of(session, tensor);
	size_t n = (size_t)shape.n * BLOCKS;
	double *part = vt_xmalloc(n * sizeof(*part));
	struct vg_square a = { session->training->part,
		session->dy + vg_output_offset(session, call->output), vg_value(session, tensor),
		of_input ? vg_value(session, session->g->input) : NULL, 2 * call->weight,
		vg_batch_values(session, call->output), shape, BLOCKS, session->type };

	vg_run(session, VG_K_square, &a, (uint32_t)n);
	if (!session->err.code)
		session->d->ops->download(session->d, part, session->training->part,
			n * sizeof(*part), &session->err);
	for (int i = 0; i < shape.n; i++) {
		sums[i] = 0;
		for (int k = 0; !session->err.code && k < BLOCKS; k++)
			sums[i] += part[i * BLOCKS + k];
	}
	free(part);
	return vg_status(session, err);
}

double vg_batch_values(const struct vg_session *session, int output)
{
	struct vg_shape shape = vg_shape_of(session, vt_graph_output_at(session->g, output).tensor);

	assert(output >= 0 && output < vt_graph_n_outputs(session->g));
	return (double)session->items * shape.c * shape.voxels;
}

/* --- patches of kept volumes --------------------------------------------- */

/* a volume is kept if it takes at most this part of what is free */
enum { SHARE_OF_ROOM = 4 };

int vg_session_keep(void *session, int id, const struct vt_volume_ref *ref, bool *kept,
	struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_training *t = s->training;
	size_t voxels = (size_t)ref->d * (size_t)ref->h * (size_t)ref->w,
	       nbytes = voxels * (size_t)ref->c * (ref->half ? 2 : 4);
	struct kept *k;
	int rc = 0;

	assert(id >= 0);
	if (id >= t->n_kept) {
		t->kept = vt_xrealloc(t->kept, (size_t)(id + 1) * sizeof(*t->kept));
		memset(t->kept + t->n_kept, 0, (size_t)(id + 1 - t->n_kept) * sizeof(*t->kept));
		t->n_kept = id + 1;
	}
	k = &t->kept[id];
	/* Kept as long as the session: the volume of an id never changes. */
	if (!k->image && (nbytes + voxels) < s->d->ops->room(s->d) / SHARE_OF_ROOM) {
		rc = vg_alloc(s, &k->image, nbytes, err);
		if (!rc)
			rc = s->d->ops->upload(s->d, k->image, ref->image, nbytes, err);
		if (!rc && ref->regions)
			rc = vg_alloc(s, &k->regions, voxels, err);
		if (!rc && ref->regions)
			rc = s->d->ops->upload(s->d, k->regions, ref->regions, voxels, err);
		k->about = *ref;
	}
	*kept = k->image != NULL;
	return rc;
}

int vg_session_draw(void *session, int item, int id, const struct vt_patch_ref *patch,
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
	/* the place of `item` in the input's tensor */
	struct vg_draw a = { .t = (char *)vg_value(s, s->g->input) +
			(size_t)item * x.voxels * lanes_of(x) * vg_type_size(s->type),
		.image = k->image,
		.noise = patch->noise,
		.seed = patch->seed,
		.stream = patch->stream,
		.half = k->about.half,
		.dropped = patch->dropped,
		.type = s->type };
	struct vg_draw_target b = { .t = s->training->target + (size_t)item * x.voxels,
		.regions = k->regions,
		.classes = patch->classes };

	assert(item >= 0 && item < x.n && id >= 0 && id < s->training->n_kept && k->image);
	memcpy(from.at, patch->at, sizeof(from.at));
	memcpy(from.flip, patch->flip, sizeof(from.flip));
	memcpy(a.gain, patch->gain, sizeof(a.gain));
	memcpy(a.add, patch->add, sizeof(a.add));
	a.from = b.from = from;
	vg_run(s, VG_K_draw, &a, x.voxels * (uint32_t)x.chunks);
	vg_run(s, VG_K_draw_target, &b, x.voxels);
	return vg_status(s, err);
}
