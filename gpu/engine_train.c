/* Losses and patches of a training session. */
#include <stdlib.h>
#include <string.h>

#include "common/nn/loss_internal.h"
#include "gpu/engine.h"

enum { STRIPS = 16384, GROUPS = 64, ROW = VG_LOSS_SUMS * VG_LANES };

struct vg_training {
	uint8_t *target;
	double *part, *folded;       /* of a loss: [n][strips][40], then [n][groups][40] */
	float *slope;                /* [n][8][3] */
	uint8_t *drawn;              /* target of the patches that were drawn here */
	struct kept *kept;
	int n_kept;
};

/* A volume on the device; image == NULL where it is not there. */
struct kept {
	void *image;
	uint8_t *regions;
	struct vt_volume_ref about;
};

static size_t target_bytes(const struct vg_session *s)
{
	size_t most = 0;

	for (int k = 0; k < vt_graph_n_outputs(s->g); k++) {
		struct vg_shape t = vg_shape_of(s, vt_graph_output_at(s->g, k).tensor);
		size_t n = (size_t)t.n * t.voxels;

		most = n > most ? n : most;
	}
	return most;
}

int vg_training_new(struct vg_session *s, struct vt_err *err)
{
	struct vg_training *t = vt_xcalloc(1, sizeof(*t));
	size_t n = (size_t)s->g->node[s->g->input].shape.n;
	int rc = vg_take(s, &t->target, target_bytes(s), err);

	s->training = t;
	if (!rc)
		rc = vg_take(s, &t->drawn, target_bytes(s), err);
	if (!rc)
		rc = vg_take(s, &t->part, n * STRIPS * ROW * sizeof(double), err);
	if (!rc)
		rc = vg_take(s, &t->folded, n * GROUPS * ROW * sizeof(double), err);
	if (!rc)
		rc = vg_take(s, &t->slope, n * VG_LANES * 3 * sizeof(float), err);
	return rc;
}

void vg_training_free(struct vg_session *s)
{
	struct vg_training *t = s->training;
	void *flat[] = { t ? t->target : NULL, t ? t->part : NULL, t ? t->folded : NULL, t ? t->slope : NULL, t ?
		t->drawn : NULL };

	for (int i = 0; t && i < t->n_kept; i++) {
		s->d->ops->release(s->d, t->kept[i].image);
		s->d->ops->release(s->d, t->kept[i].regions);
	}
	if (t)
		free(t->kept);

	for (size_t i = 0; i < sizeof(flat) / sizeof(flat[0]); i++)
		s->d->ops->release(s->d, flat[i]);
	free(t);
}

/* --- loss --------------------------------------------------------------------------------------------------------- */

/* Means are over the whole batch. */
static struct vg_loss_terms terms_of(const struct vg_session *s, const struct vg_loss_call *c, struct vg_shape shape)
{
	const struct vt_loss *o = c->o;
	double values = (double)s->items * (double)shape.voxels, each = values * shape.c;
	struct vg_loss_terms t = { .softmax = o->softmax, .ce = (float)(c->weight * o->cross_entropy /
		(o->softmax ? values : each)), .focal = (float)(c->weight * o->focal / each),
		.gamma = (float)o->gamma, .balance = (float)o->balance };

	return t;
}

/* Folded sums of n items to the channels' own. */
static void read_sums(struct vt_loss_sums *out, const double *folded, struct vg_shape s)
{
	for (int n = 0; n < s.n; n++)
		for (int c = 0; c < s.c; c++) {
			double q[VG_LOSS_SUMS] = { 0 };

			for (int g = 0; g < GROUPS; g++)
				for (int k = 0; k < VG_LOSS_SUMS; k++)
					q[k] += folded[((size_t)n * GROUPS + (size_t)g) * ROW + (size_t)(k * VG_LANES + c)];
			out[n * s.c + c] = (struct vt_loss_sums){ .p = q[0], .pp = q[1], .pr = q[2], .r = q[3],
				.point = q[4] };
		}
}

static void write_slopes(float *out, const struct vt_loss_slope *slope, struct vg_shape s)
{
	for (int n = 0; n < s.n; n++)
		for (int c = 0; c < s.c; c++) {
			const struct vt_loss_slope *k = &slope[n * s.c + c];
			float *to = out + ((size_t)n * VG_LANES + (size_t)c) * 3;

			to[0] = (float)k->a;
			to[1] = (float)k->b;
			to[2] = (float)k->on;
		}
}

int vg_loss_sums(struct vg_session *s, const struct vg_loss_call *c, struct vt_loss_sums *out, struct vt_err *err)
{
	struct vg_training *t = s->training;
	int tensor = vt_graph_output_at(s->g, c->output).tensor;
	struct vg_shape shape = vg_shape_of(s, tensor);
	struct vg_loss_sums sums = { t->part, vg_value(s, tensor), t->target, terms_of(s, c, shape), shape, STRIPS, s->type };
	struct vg_loss_fold fold = { t->folded, t->part, STRIPS / GROUPS };
	size_t n = (size_t)shape.n * GROUPS * ROW;
	double *folded = vt_xmalloc(n * sizeof(*folded));

	if (c->target)
		s->d->ops->upload(s->d, t->target, c->target, (size_t)shape.n * shape.voxels, &s->err);
	else
		sums.target = t->drawn;
	vg_run(s, VG_K_loss_sums, &sums, (uint32_t)shape.n * STRIPS);
	vg_run(s, VG_K_loss_fold, &fold, (uint32_t)n);
	if (!s->err.code)
		s->d->ops->download(s->d, folded, t->folded, n * sizeof(*folded), &s->err);
	if (!s->err.code)
		read_sums(out, folded, shape);
	free(folded);
	return vg_answer(s, err);
}

int vg_loss_slopes(struct vg_session *s, const struct vg_loss_call *c, const struct vt_loss_slope *slope, struct vt_err *err)
{
	struct vg_training *t = s->training;
	int tensor = vt_graph_output_at(s->g, c->output).tensor;
	struct vg_shape shape = vg_shape_of(s, tensor);
	struct vg_loss_grad grad = { s->dy + vg_output_offset(s, c->output), vg_value(s, tensor), c->target ? t->target : t->drawn, t->slope,
		terms_of(s, c, shape), shape, s->type };
	size_t n = (size_t)shape.n * VG_LANES * 3;
	float *flat = vt_xcalloc(n, sizeof(*flat));

	write_slopes(flat, slope, shape);
	s->d->ops->upload(s->d, t->slope, flat, n * sizeof(*flat), &s->err);
	vg_run(s, VG_K_loss_grad, &grad, (uint32_t)shape.n * shape.voxels);
	free(flat);
	return vg_answer(s, err);
}

/* --- patches of kept volumes -------------------------------------------------------------------------------------- */

enum { SHARE_OF_ROOM = 4 };      /* a volume is kept if it takes at most this part of what is free */

int vg_session_keep(void *session, int id, const struct vt_volume_ref *v, bool *kept, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_training *t = s->training;
	size_t voxels = (size_t)v->d * (size_t)v->h * (size_t)v->w, nbytes = voxels * (size_t)v->c * (v->half ? 2 : 4);
	struct kept *k;
	int rc = 0;

	if (id >= t->n_kept) {
		t->kept = vt_xrealloc(t->kept, (size_t)(id + 1) * sizeof(*t->kept));
		memset(t->kept + t->n_kept, 0, (size_t)(id + 1 - t->n_kept) * sizeof(*t->kept));
		t->n_kept = id + 1;
	}
	k = &t->kept[id];
	if (!k->image && v->c <= VG_LANES && (nbytes + voxels) < s->d->ops->room(s->d) / SHARE_OF_ROOM) {
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

int vg_session_draw(void *session, int item, int id, const struct vt_patch_ref *p, struct vt_err *err)
{
	struct vg_session *s = session;
	const struct kept *k = &s->training->kept[id];
	struct vg_shape x = vg_shape_of(s, s->g->input);
	struct vg_patch from = { .c = k->about.c, .d = k->about.d, .h = k->about.h, .w = k->about.w, .p = x };
	struct vg_draw a = { .t = (char *)vg_value(s,
		s->g->input) + (size_t)item * x.voxels * VG_LANES * vg_type_size(s->type), .image = k->image,
		.half = k->about.half, .dropped = p->dropped, .type = s->type };
	struct vg_draw_target b = { .t = s->training->drawn + (size_t)item * x.voxels, .regions = k->regions,
		.classes = p->classes };

	memcpy(from.at, p->at, sizeof(from.at));
	memcpy(from.flip, p->flip, sizeof(from.flip));
	memcpy(a.gain, p->gain, sizeof(a.gain));
	memcpy(a.add, p->add, sizeof(a.add));
	a.from = b.from = from;
	vg_run(s, VG_K_draw, &a, x.voxels);
	vg_run(s, VG_K_draw_target, &b, x.voxels);
	return vg_answer(s, err);
}
