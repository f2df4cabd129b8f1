#include "common/seg/predictor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/log.h"
#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/seg/vote.h"
#include "common/seg/window.h"

/* windows on an axis; patches in one pass; voxels of a pass, which bound them */
enum { MOST_WINDOWS = 256, MOST_ITEMS = 4, VOXELS_AT_ONCE = 1 << 22 };

/* no voxel counts for nothing, and no mean divides by zero */
static const float least_weight = 1e-3f;

const char *const vt_window_names[] = { "patch", "whole", NULL };

struct windows {
	/* at: z, y, x of first voxels by axis; count of them; n: all combinations */
	int n, at[3][MOST_WINDOWS], count[3];
	int patch[3], dim[3];
	/* z, y, x; a weight is the product of the three */
	float *factor[3]; /* of a voxel's weight, by its position in the patch */
	int flips;        /* mirrorings of each: 1 or 8 */
};

struct vt_prediction {
	const struct vt_patch_file *f; /* borrowed, as the sessions are */
	struct vt_session *const *session;
	size_t n, voxels; /* n: networks; voxels: of the volume */
	int outputs;
	bool softmax;
	struct vt_predict_opts how;
	size_t passes;                  /* of which the mean is taken: networks times turns */
	struct vt_remote_volume *there; /* on the device; NULL: `values` is here */
	float *values;                  /* [outputs, z, y, x] */
	uint8_t *voted;                 /* classes, in place of values */
};

int vt_predict_items(const struct vt_device *device, const int patch[3])
{
	double voxels = (double)patch[0] * patch[1] * patch[2];
	int items = voxels > 0 ? (int)(VOXELS_AT_ONCE / voxels) : 1;

	if (!device || items < 1)
		return 1;
	if (items > MOST_ITEMS)
		return MOST_ITEMS;
	return items;
}

/* --- where windows lie and how much they count --------------------------- */

static int place_windows(struct windows *windows, double overlap, struct vt_err *err)
{
	for (int a = 0; a < 3; a++) {
		int step = (int)((double)windows->patch[a] * (1 - overlap)),
		    room = windows->dim[a] - windows->patch[a];

		step = step < 1 ? 1 : step;
		windows->count[a] = 0;
		/* smaller than the patch: in the middle of it, zeros around */
		if (room <= 0) {
			windows->at[a][windows->count[a]++] =
				-((windows->patch[a] - windows->dim[a]) / 2);
			continue;
		}
		/* whole steps, the last at `room`, and one to spare */
		if (room / step + 2 > MOST_WINDOWS)
			return vt_err_set(err, VT_EUSAGE,
				"overlap %g makes more than %d windows on an axis of %d voxels",
				overlap, MOST_WINDOWS, windows->dim[a]);
		for (int x = 0; x < room; x += step)
			windows->at[a][windows->count[a]++] = x;
		/* the last window ends where the volume does, whatever the step */
		windows->at[a][windows->count[a]++] = room;
	}
	windows->n = windows->count[0] * windows->count[1] * windows->count[2];
	return 0;
}

static int place_whole(struct windows *windows, struct vt_err *err)
{
	for (int a = 0; a < 3; a++) {
		if (windows->dim[a] > windows->patch[a])
			return vt_err_set(err, VT_EBUG, "%d voxels do not go into %d",
				windows->dim[a], windows->patch[a]);
		windows->at[a][0] = 0;
		windows->count[a] = 1;
	}
	windows->n = 1;
	return 0;
}

static void gaussian(float *g, int n)
{
	double s = 0.125 * n; /* nnU-Net's: an eighth of the edge */

	for (int i = 0; i < n; i++) {
		double x = i - (n - 1) / 2.0;

		g[i] = (float)vt_exp(-x * x / (2 * s * s));
	}
}

/* Origin of window i, mirrorings of one beside each other; returns which. */
static int window_at(int at[3], const struct windows *windows, int i)
{
	assert(i >= 0 && i < windows->n * windows->flips);
	int k = i / windows->flips; /* which place; i % flips is which mirroring */

	at[0] = windows->at[0][k / (windows->count[1] * windows->count[2])];
	at[1] = windows->at[1][k / windows->count[2] % windows->count[1]];
	at[2] = windows->at[2][k % windows->count[2]];
	return i % windows->flips;
}

static void windows_release(struct windows *windows)
{
	for (int a = 0; a < 3; a++)
		free(windows->factor[a]);
}

/* Of one network; nothing to release after an error. */
static int windows_make(struct windows *windows, const struct vt_prediction *prediction,
	const struct vt_patch_file *file, const struct vt_session *session, struct vt_err *err)
{
	struct vt_shape in = vt_session_input_shape(session),
			out = vt_session_output_shape(session);

	*windows = (struct windows){ .patch = { in.d, in.h, in.w },
		.dim = { file->d, file->h, file->w },
		.flips = prediction->how.flips ? 8 : 1 };
	if (in.c != file->c)
		return vt_err_set(err, VT_EDATA, "%d channels, the network takes %d", file->c,
			in.c);
	if (out.d != in.d || out.h != in.h || out.w != in.w)
		return vt_err_set(err, VT_EDATA,
			"the network answers %dx%dx%d voxels for a patch of %dx%dx%d; a label map "
			"needs an answer for every voxel",
			out.d, out.h, out.w, in.d, in.h, in.w);
	if (out.c != prediction->outputs)
		return vt_err_set(err, VT_EDATA, "one network has %d outputs, another %d",
			prediction->outputs, out.c);
	if (!prediction->how.whole && place_windows(windows, prediction->how.overlap, err))
		return err->code;
	if (prediction->how.whole && place_whole(windows, err))
		return err->code;
	for (int a = 0; a < 3; a++) {
		windows->factor[a] = vt_xmalloc((size_t)windows->patch[a] * sizeof(float));
		for (int i = 0; prediction->how.whole && i < windows->patch[a]; i++)
			windows->factor[a][i] = 1;
		if (!prediction->how.whole)
			gaussian(windows->factor[a], windows->patch[a]);
	}
	return 0;
}

/* --- on the host --------------------------------------------------------- */

/* A window whose weighted answers y [c, patch] are added to the sums, mirrored back. */
struct addition {
	float *sum, *total;
	const float *y;
	const struct windows *w;
	int c, at[3], flips;
};

static void add_row(float *sum, const float *y, float plane, const float *factor, int n,
	bool mirrored)
{
	for (int x = 0; x < n; x++) {
		float k = plane * factor[x], value = 1.0f;

		if (y) /* no y: the sum of weights itself */
			value = mirrored ? y[-x] : y[x];
		sum[x] += (k > least_weight ? k : least_weight) * value;
	}
}

static void add_slice(void *ctx, size_t slice)
{
	const struct addition *a = ctx;
	const struct windows *w = a->w;
	const int *n = w->patch;
	/* from, to: the part of a row of the patch that lies in the volume */
	int z = (int)slice, oz = a->at[0] + z, from = a->at[2] < 0 ? -a->at[2] : 0;
	int to = a->at[2] + n[2] > w->dim[2] ? w->dim[2] - a->at[2] : n[2];
	size_t voxels = (size_t)w->dim[0] * (size_t)w->dim[1] * (size_t)w->dim[2];
	bool mirrored = a->flips & 1;

	assert(slice < (size_t)n[0]);
	/* bits of flips: 4 z, 2 y, 1 x */
	for (int v = 0; v < n[1] && oz >= 0 && oz < w->dim[0]; v++) {
		int oy = a->at[1] + v, first = mirrored ? n[2] - 1 - from : from;
		size_t out = ((size_t)oz * (size_t)w->dim[1] + (size_t)oy) * (size_t)w->dim[2] +
			(size_t)(a->at[2] + from);
		size_t in = ((size_t)(a->flips & 4 ? n[0] - 1 - z : z) * (size_t)n[1] +
				    (size_t)(a->flips & 2 ? n[1] - 1 - v : v)) *
				(size_t)n[2] +
			/* a mirrored row is read backwards from there */
			(size_t)first;
		float plane = w->factor[0][z] * w->factor[1][v];

		if (oy < 0 || oy >= w->dim[1])
			continue;
		for (int c = 0; c < a->c; c++)
			add_row(a->sum + (size_t)c * voxels + out,
				a->y + (size_t)c * (size_t)n[0] * (size_t)n[1] * (size_t)n[2] + in,
				plane, w->factor[2] + from, to - from, mirrored);
		add_row(a->total + out, NULL, plane, w->factor[2] + from, to - from, false);
	}
}

/* Windows through one network, as many at a time as it has items: their logits' weighted mean. */
static void join_windows(float *logits, float *total, struct vt_session *session,
	const struct vt_patch_file *file, const struct windows *windows)
{
	struct vt_shape in = vt_session_input_shape(session),
			out = vt_session_output_shape(session);
	size_t in_patch = (size_t)in.d * (size_t)in.h * (size_t)in.w,
	       x_size = in_patch * (size_t)in.c, y_size = in_patch * (size_t)out.c;
	float *x = vt_xmalloc(x_size * (size_t)in.n * sizeof(float)),
	      *y = vt_xmalloc(y_size * (size_t)in.n * sizeof(float));
	size_t voxels = (size_t)file->d * (size_t)file->h * (size_t)file->w;
	int n = windows->n * windows->flips, at[3], flips;

	assert(in.n > 0 && n > 0);
	memset(logits, 0, voxels * (size_t)out.c * sizeof(float));
	memset(total, 0, voxels * sizeof(float));
	for (int first = 0; first < n; first += in.n) {
		for (int k = 0; k < in.n; k++) {
			/* the last pass is filled up with its last window, whose copies are not
			 * added */
			flips = window_at(at, windows, first + k < n ? first + k : n - 1);
			vt_window_read(x + (size_t)k * x_size, file, at, windows->patch, flips);
		}
		vt_session_set_input(session, x);
		vt_session_forward(session, 0);
		vt_session_get_output(session, y);
		for (int k = 0; k < in.n && first + k < n; k++) {
			struct addition a = { logits, total, y + (size_t)k * y_size, windows, out.c,
				{ 0 }, 0 };

			a.flips = window_at(a.at, windows, first + k);
			vt_parallel_for((size_t)windows->patch[0], add_slice, &a);
		}
	}
	for (int c = 0; c < out.c; c++)
		for (size_t v = 0; v < voxels; v++)
			/* every voxel lies in a window */
			logits[(size_t)c * voxels + v] /= total[v];
	free(x);
	free(y);
}

/* sum += probability, less one half where regions overlap: the sum's sign is then the answer. */
static void add_probabilities(float *sum, const float *logits, int c, size_t voxels, bool softmax)
{
	for (size_t v = 0; v < voxels; v++) {
		/* most: taken from all logits, so that no exp() overflows */
		double total = 0, most = logits[v];

		for (int k = 1; softmax && k < c; k++)
			most = logits[(size_t)k * voxels + v] > most
				? logits[(size_t)k * voxels + v]
				: most;
		for (int k = 0; softmax && k < c; k++)
			total += vt_exp(logits[(size_t)k * voxels + v] - most);
		for (int k = 0; k < c; k++) {
			size_t at = (size_t)k * voxels + v;

			sum[at] += (float)(softmax ? vt_exp(logits[at] - most) / total
						   : 1 / (1 + vt_exp(-(double)logits[at])) - 0.5);
		}
	}
}

/* One network's logits of a volume, joined. */
static int logits_of(float *logits, float *total, const struct vt_prediction *prediction,
	struct vt_session *session, const struct vt_patch_file *file, struct vt_err *err)
{
	struct windows w;

	if (windows_make(&w, prediction, file, session, err))
		return err->code;
	join_windows(logits, total, session, file, &w);
	windows_release(&w);
	if (vt_session_error(session))
		*err = *vt_session_error(session);
	return err->code;
}

/* The volume turned, in memory of its own. */
static int turned_volume(struct vt_patch_file *out, const struct vt_prediction *prediction,
	int turn, struct vt_err *err)
{
	const struct vt_patch_file *f = prediction->f;
	const int dims[3] = { f->d, f->h, f->w };
	float *plain = malloc(prediction->voxels * sizeof(float)),
	      *image = malloc(prediction->voxels * (size_t)f->c * sizeof(float));
	int to[3];

	if (!plain || !image) {
		free(plain);
		free(image);
		return vt_err_nomem(err, prediction->voxels * (size_t)(f->c + 1) * sizeof(float));
	}
	for (int c = 0; c < f->c; c++) {
		for (int z = 0; z < f->d; z++)
			for (int y = 0; y < f->h; y++)
				vt_patch_row(plain +
						((size_t)z * (size_t)f->h + (size_t)y) *
							(size_t)f->w,
					f, c, z, y, 0, f->w);
		vt_tta_forth(image + (size_t)c * prediction->voxels, plain, dims, turn);
	}
	free(plain);
	vt_tta_dims(to, dims, turn);
	*out = (struct vt_patch_file){ .memory = image,
		.image = image,
		.c = f->c,
		.d = to[0],
		.h = to[1],
		.w = to[2] };
	return 0;
}

/* Room for the logits of one pass. */
struct passes {
	float *total, *logits, *back;
};

/* A network's probabilities of one turn of the volume join the sum. */
static int add_turn(struct vt_prediction *prediction, const struct passes *passes,
	struct vt_session *session, int turn, struct vt_err *err)
{
	const int dims[3] = { prediction->f->d, prediction->f->h, prediction->f->w };
	struct vt_patch_file f = { .header = NULL };
	int rc = turn ? turned_volume(&f, prediction, turn, err) : 0;

	if (!rc)
		rc = logits_of(passes->logits, passes->total, prediction, session,
			turn ? &f : prediction->f, err);
	for (int k = 0; !rc && turn && k < prediction->outputs; k++)
		vt_tta_back(passes->back + (size_t)k * prediction->voxels,
			passes->logits + (size_t)k * prediction->voxels, dims, turn);
	if (!rc)
		add_probabilities(prediction->values, turn ? passes->back : passes->logits,
			prediction->outputs, prediction->voxels, prediction->softmax);
	vt_patch_close(&f);
	return rc;
}

static int predict_here(struct vt_prediction *prediction, struct vt_err *err)
{
	size_t n = prediction->voxels * (size_t)prediction->outputs;
	int turns = vt_tta_count(prediction->how.tta), rc = 0;
	bool several = prediction->passes > 1;
	/* one network and no turns: its logits are the answer, and no sum is needed */
	struct passes r = { malloc(prediction->voxels * sizeof(float)),
		several ? malloc(n * sizeof(float)) : NULL,
		turns > 1 ? malloc(n * sizeof(float)) : NULL };

	prediction->values = calloc(n, sizeof(float));
	if (!prediction->values || !r.total || (several && !r.logits) || (turns > 1 && !r.back))
		rc = vt_err_nomem(err, 3 * n * sizeof(float));
	else if (!several)
		rc = logits_of(prediction->values, r.total, prediction, prediction->session[0],
			prediction->f, err);
	for (size_t i = 0; !rc && several && i < prediction->n; i++)
		for (int t = 0; !rc && t < turns; t++)
			rc = add_turn(prediction, &r, prediction->session[i],
				vt_tta_turn(prediction->how.tta, t), err);
	free(r.total);
	free(r.logits);
	free(r.back);
	return rc;
}

/* --- on a device --------------------------------------------------------- */

static int add_network(struct vt_prediction *prediction, struct vt_session *session,
	struct vt_err *err)
{
	struct windows w;
	int rc = windows_make(&w, prediction, prediction->f, session, err);
	struct vt_windows list = { .count = { w.count[0], w.count[1], w.count[2] },
		.flips = w.flips,
		.at = { w.at[0], w.at[1], w.at[2] },
		.factor = { w.factor[0], w.factor[1], w.factor[2] },
		.least = least_weight };

	if (!rc) {
		rc = vt_remote_volume_add(prediction->there, vt_session_remote(session), &list,
			err);
		windows_release(&w);
	}
	return rc;
}

/* prediction->there stays NULL where the device has no room for the volume: its windows are then
 * joined here, to the same bits. */
static int predict_there(struct vt_prediction *prediction, struct vt_err *err)
{
	const struct vt_patch_file *f = prediction->f;
	const struct vt_volume_ref volume = { f->image, f->half, NULL, f->c, f->d, f->h, f->w };
	const enum vt_join several = prediction->softmax ? VT_JOIN_CLASSES : VT_JOIN_BITS;
	int rc = vt_remote_volume_new(&prediction->there, vt_session_remote(prediction->session[0]),
		/* one network: its logits; several: sums of their probabilities */
		&volume, prediction->outputs, prediction->n == 1 ? VT_JOIN_LOGITS : several, err);

	for (size_t i = 0; !rc && prediction->there && i < prediction->n; i++)
		rc = add_network(prediction, prediction->session[i], err);
	return rc;
}

static int vote_here(struct vt_prediction *prediction, struct vt_err *err)
{
	if (!prediction->softmax || prediction->n > 1 || prediction->how.tta != VT_TTA_NONE)
		return vt_err_set(err, VT_EUSAGE,
			"--subvolumes: one network votes, with softmax and without --tta");
	if (prediction->how.whole)
		return vt_err_set(err, VT_EUSAGE,
			"--subvolumes: blocks of the training's size vote; leave --window whole "
			"out");
	prediction->voted = malloc(prediction->voxels);
	if (!prediction->voted)
		return vt_err_nomem(err, prediction->voxels);
	return vt_vote(prediction->voted, prediction->session[0], prediction->f,
		prediction->how.votes, err);
}

/* --- both ---------------------------------------------------------------- */

int vt_predict_begin(struct vt_prediction **out, struct vt_session *const *session, size_t n,
	bool softmax, const struct vt_patch_file *file, const struct vt_predict_opts *opts,
	struct vt_err *err)
{
	struct vt_prediction *p = vt_xcalloc(1, sizeof(*p));
	int rc = 0;

	assert(n > 0);
	*p = (struct vt_prediction){ .f = file,
		.session = session,
		.n = n,
		.softmax = softmax,
		.voxels = (size_t)file->d * (size_t)file->h * (size_t)file->w,
		.outputs = vt_session_output_shape(session[0]).c,
		.passes = n * (size_t)vt_tta_count(opts->tta),
		.how = *opts };
	if (opts->votes)
		rc = vote_here(p, err);
	else if (vt_session_remote(session[0]) && opts->tta == VT_TTA_NONE) {
		rc = predict_there(p, err);
		if (!rc && !p->there)
			vt_log(VT_LOG_INFO, "windows",
				"subject=\"%s\" joined=host because=\"no room for the volume on "
				"the device\"",
				file->subject);
	}
	if (!rc && !p->there && !opts->votes)
		rc = predict_here(p, err);
	if (rc)
		vt_predict_free(p);
	else
		*out = p;
	return rc ? vt_err_prefix(err, "subject %s", file->subject) : 0;
}

bool vt_predict_on_device(const struct vt_prediction *prediction)
{
	return prediction->there != NULL;
}

int vt_predict_bits(uint8_t *bits, struct vt_prediction *prediction, struct vt_err *err)
{
	enum vt_rule rule = VT_RULE_BITS;

	if (prediction->softmax)
		rule = prediction->how.classes ? VT_RULE_NUMBER : VT_RULE_LARGEST;
	for (size_t v = 0; prediction->voted && v < prediction->voxels; v++) {
		uint8_t c = prediction->voted[v];

		/* as vt_window_classes() and vt_window_regions() have it: bit c - 1 is of class
		 * c */
		bits[v] = prediction->how.classes || !c ? c : (uint8_t)(1 << (c - 1));
	}
	if (prediction->voted)
		return 0;
	if (prediction->there)
		return vt_remote_volume_answer(prediction->there, rule, bits, err);
	if (rule == VT_RULE_NUMBER)
		vt_window_classes(bits, prediction->values, prediction->outputs,
			prediction->voxels);
	else
		vt_window_regions(bits, prediction->values, prediction->outputs, prediction->voxels,
			prediction->softmax);
	return 0;
}

int vt_predict_values(float *values, struct vt_prediction *prediction, struct vt_err *err)
{
	if (prediction->voted)
		return vt_err_set(err, VT_EUSAGE,
			"--subvolumes: votes have no probabilities; leave --probabilities and "
			"other networks out");
	if (prediction->there)
		return vt_remote_volume_values(prediction->there, values, err);
	memcpy(values, prediction->values,
		prediction->voxels * (size_t)prediction->outputs * sizeof(*values));
	return 0;
}

int vt_predict_probabilities(float *values, struct vt_prediction *prediction, struct vt_err *err)
{
	size_t n = prediction->voxels * (size_t)prediction->outputs;
	int rc = vt_predict_values(values, prediction, err);

	if (rc)
		return rc;
	/* of one pass values are logits, of several a sum of probabilities (less one half) */
	if (prediction->passes == 1) {
		float *logits = malloc(n * sizeof(float));

		if (!logits)
			return vt_err_nomem(err, n * sizeof(float));
		memcpy(logits, values, n * sizeof(float));
		memset(values, 0, n * sizeof(float));
		add_probabilities(values, logits, prediction->outputs, prediction->voxels,
			prediction->softmax);
		free(logits);
	}
	assert(prediction->passes > 0);
	for (size_t i = 0; i < n; i++)
		values[i] = (float)((double)values[i] / (double)prediction->passes +
			(prediction->softmax ? 0 : 0.5));
	return 0;
}

void vt_predict_free(struct vt_prediction *prediction)
{
	if (!prediction)
		return;
	vt_remote_volume_free(prediction->there);
	free(prediction->values);
	free(prediction->voted);
	free(prediction);
}
