/* A volume that networks answer window by window: cut, run, joined and decided on the device.
 *
 * The volume owns its image and its sums. Windows are added one after another in the order of the
 * list, as on the host, so the sums have the host's bits. A volume that does not fit is no error:
 * vg_volume_new leaves *out NULL, and the host joins the windows. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/engine/engine.h"
#include "gpu/kernel/kernel_window.h"

struct vg_volume {
	struct vg_device *d;
	struct vt_volume_ref about; /* its pointers are not followed any more */
	int outputs;
	enum vt_join join;
	uint32_t voxels;
	void *image;
	float *sum, *total, *mean; /* [outputs, z, y, x], [z, y, x], as sum */
	float *factor;
	size_t n_factor;
	uint8_t *answer;
};

_Static_assert((int)VT_JOIN_LOGITS == VG_JOIN_LOGITS && (int)VT_JOIN_BITS == VG_JOIN_BITS &&
		(int)VT_JOIN_CLASSES == VG_JOIN_CLASSES,
	"one list");
_Static_assert((int)VT_RULE_BITS == VG_RULE_BITS && (int)VT_RULE_LARGEST == VG_RULE_LARGEST &&
		(int)VT_RULE_NUMBER == VG_RULE_NUMBER,
	"one list");

/* --- memory -------------------------------------------------------------- */
static size_t image_bytes(const struct vt_volume_ref *ref)
{
	return (size_t)ref->c * (size_t)ref->d * (size_t)ref->h * (size_t)ref->w *
		(ref->half ? 2 : 4);
}

/* What one takes on the device. */
static size_t volume_bytes(const struct vt_volume_ref *ref, int outputs, enum vt_join join)
{
	size_t voxels = (size_t)ref->d * (size_t)ref->h * (size_t)ref->w,
	       sums = (size_t)outputs * (join == VT_JOIN_LOGITS ? 1 : 2);

	return image_bytes(ref) + voxels * (sizeof(float) * (sums + 1) + 1);
}

static int alloc(struct vg_volume *volume, void *pointer_to_pointer, size_t nbytes,
	struct vt_err *err)
{
	void *p = NULL;
	int rc = volume->d->ops->alloc(volume->d, &p, nbytes, err);

	if (!rc)
		memcpy(pointer_to_pointer, &p, sizeof(p));
	return rc;
}

static int alloc_all(struct vg_volume *volume, struct vt_err *err)
{
	size_t plane = (size_t)volume->voxels * sizeof(float),
	       all = plane * (size_t)volume->outputs;
	int rc = alloc(volume, &volume->image, image_bytes(&volume->about), err);

	if (!rc)
		rc = alloc(volume, &volume->sum, all, err);
	if (!rc)
		rc = alloc(volume, &volume->total, plane, err);
	if (!rc && volume->join != VT_JOIN_LOGITS)
		rc = alloc(volume, &volume->mean, all, err);
	return rc ? rc : alloc(volume, &volume->answer, volume->voxels, err);
}

int vg_volume_new(void **out, void *engine, const struct vt_volume_ref *about, int outputs,
	enum vt_join join, struct vt_err *err)
{
	struct vg_volume *v;
	struct vg_device *d = ((struct vg_engine *)engine)->device;
	double voxels = (double)about->d * about->h * about->w;
	int rc;

	assert(outputs > 0 && about->c > 0);
	*out = NULL;
	/* What is refused here is joined on the host. */
	if (voxels >= 2147483648.0 || volume_bytes(about, outputs, join) > d->ops->room(d))
		return 0;
	v = vt_xcalloc(1, sizeof(*v));
	*v = (struct vg_volume){ .d = d,
		.about = *about,
		.outputs = outputs,
		.join = join,
		.voxels = (uint32_t)voxels };
	rc = alloc_all(v, err);
	if (!rc)
		rc = d->ops->upload(d, v->image, about->image, image_bytes(about), err);
	if (!rc && v->mean)
		rc = d->ops->clear(d, v->mean, (size_t)v->voxels * (size_t)outputs * sizeof(float),
			err);
	if (rc) {
		vg_volume_free(v);
		if (rc == VT_ENOMEM) { /* what is free lies in pieces */
			*err = (struct vt_err)VT_ERR_INIT;
			rc = 0;
		}
	} else {
		*out = v;
	}
	return rc;
}

void vg_volume_free(void *volume)
{
	struct vg_volume *v = volume;
	void *flat[] = { v->image, v->sum, v->total, v->mean, v->factor, v->answer };

	for (size_t i = 0; i < sizeof(flat) / sizeof(flat[0]); i++)
		v->d->ops->release(v->d, flat[i]);
	free(v);
}

/* --- windows ------------------------------------------------------------- */

/* Window i of the list, mirrorings of one beside each other. */
static struct vg_patch window_of(const struct vg_volume *volume, const struct vt_windows *windows,
	int i, int channels, struct vg_shape shape)
{
	/* mirrorings are the fastest index, then x, y, z */
	int flips = i % windows->flips, k = i / windows->flips;

	assert(i >= 0 && k < windows->count[0] * windows->count[1] * windows->count[2]);
	return (struct vg_patch){ .c = channels,
		.d = volume->about.d,
		.h = volume->about.h,
		.w = volume->about.w,
		.p = shape,
		.at = { windows->at[0][k / (windows->count[1] * windows->count[2])],
			windows->at[1][k / windows->count[2] % windows->count[1]],
			windows->at[2][k % windows->count[2]] },
		.flip = { flips >> 2 & 1, flips >> 1 & 1, flips & 1 } };
}

/* Where item k of a tensor begins. */
static void *item_of(const struct vg_session *session, int tensor, const struct vg_shape *shape,
	int k)
{
	assert(k >= 0 && k < shape->n);
	return (char *)vg_value(session, tensor) +
		(size_t)k * shape->voxels * (size_t)shape->chunks * VG_LANES *
		vg_type_size(session->type);
}

static int send_factors(struct vg_volume *volume, const struct vt_windows *windows,
	const struct vg_shape *shape, struct vt_err *err)
{
	const int n[3] = { shape->d, shape->h, shape->w };
	size_t all = (size_t)(n[0] + n[1] + n[2]), at = 0;
	float *flat;
	int rc = 0;

	/* The room grows with the largest patch so far. */
	if (all > volume->n_factor) {
		volume->d->ops->release(volume->d, volume->factor);
		volume->factor = NULL;
		volume->n_factor = 0;
		rc = alloc(volume, &volume->factor, all * sizeof(float), err);
		if (rc)
			return rc;
		volume->n_factor = all;
	}
	flat = vt_xmalloc(all * sizeof(float));
	for (int a = 0; a < 3; at += (size_t)n[a], a++)
		memcpy(flat + at, windows->factor[a], (size_t)n[a] * sizeof(float));
	rc = volume->d->ops->upload(volume->d, volume->factor, flat, all * sizeof(float), err);
	free(flat);
	return rc;
}

/* Windows first .. first + batch through the network; behind the last one it is repeated and not
 * joined. */
static void one_pass(struct vg_volume *volume, struct vg_session *session,
	const struct vt_windows *windows, int first, int n)
{
	int in = session->g->input, out = vt_graph_output_at(session->g, 0).tensor;
	struct vg_shape x = vg_shape_of(session, in), y = vg_shape_of(session, out);
	struct vt_err why = VT_ERR_INIT;

	assert(first >= 0 && first < n);
	for (int k = 0; k < x.n; k++) {
		/* The last window fills the rest of a batch. */
		struct vg_cut cut = { item_of(session, in, &x, k), volume->image,
			volume->about.half, session->type,
			window_of(volume, windows, first + k < n ? first + k : n - 1,
				volume->about.c, x) };

		vg_run(session, VG_K_cut, &cut, x.voxels * (uint32_t)x.chunks);
	}
	if (!session->err.code && vg_session_forward(session, 0, &why))
		session->err = why;
	for (int k = 0; k < x.n && first + k < n; k++) {
		/* One after another in the order of the list: floats are added in one order. */
		struct vg_blend blend = { volume->sum, volume->total, item_of(session, out, &y, k),
			volume->factor, windows->least, session->type,
			window_of(volume, windows, first + k, volume->about.c, y) };

		vg_run(session, VG_K_blend, &blend, y.voxels * (uint32_t)y.chunks);
	}
}

int vg_volume_add(void *volume, void *session, const struct vt_windows *windows, struct vt_err *err)
{
	struct vg_volume *v = volume;
	struct vg_session *s = session;
	struct vg_shape x = vg_shape_of(s, s->g->input),
			y = vg_shape_of(s, vt_graph_output_at(s->g, 0).tensor);
	struct vg_finish finish = { v->sum, v->mean, v->total, v->outputs, (int)v->join,
		v->voxels };
	int n = windows->count[0] * windows->count[1] * windows->count[2] * windows->flips;

	if (x.c != v->about.c || y.c != v->outputs || y.d != x.d || y.h != x.h || y.w != x.w)
		return vt_err_set(err, VT_EBUG,
			"a network of %d channels to %d for a volume of %d to %d", x.c, y.c,
			v->about.c, v->outputs);
	/* Sums of this network begin at 0; `mean` collects the networks. */
	if (send_factors(v, windows, &x, &s->err) ||
		v->d->ops->clear(v->d, v->total, (size_t)v->voxels * sizeof(float), &s->err) ||
		v->d->ops->clear(v->d, v->sum,
			(size_t)v->voxels * (size_t)v->outputs * sizeof(float), &s->err))
		return vg_status(s, err);
	for (int first = 0; first < n && !s->err.code; first += x.n)
		one_pass(v, s, windows, first, n);
	vg_run(s, VG_K_finish, &finish, v->voxels);
	return vg_status(s, err);
}

/* --- the answer ---------------------------------------------------------- */
static const float *values(const struct vg_volume *volume)
{
	return volume->mean ? volume->mean : volume->sum;
}

int vg_volume_answer(void *volume, enum vt_rule rule, uint8_t *out, struct vt_err *err)
{
	struct vg_volume *v = volume;
	struct vg_decide a = { v->answer, values(v), v->outputs, (int)rule, v->voxels };
	int rc = v->d->ops->run(v->d, VG_K_decide, &a, v->voxels, err);

	return rc ? rc : v->d->ops->download(v->d, out, v->answer, v->voxels, err);
}

int vg_volume_values(void *volume, float *out, struct vt_err *err)
{
	struct vg_volume *v = volume;

	return v->d->ops->download(v->d, out, values(v),
		(size_t)v->voxels * (size_t)v->outputs * sizeof(float), err);
}
