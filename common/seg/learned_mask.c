#include "common/seg/learned_mask.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/base/parallel.h"
#include "common/image/intensity.h"
#include "common/image/morphology.h"
#include "common/image/resample.h"
#include "common/image/volume.h"
#include "common/nn/backend.h"
#include "common/nn/model.h"
#include "common/nn/safetensors.h"
#include "common/nn/session.h"
#include "common/seg/published.h"

struct vt_learned_mask {
	struct vt_published net;
	struct vt_safetensors weights;
	struct vt_device *device; /* NULL: the CPU */
	struct vt_graph *graph;
	/* made when first needed, kept for further scans of the same box */
	struct vt_session *session;
	int box[3]; /* z, y, x that the session was made for */
	struct vt_mask_provider provider;
};

/* --- network ------------------------------------------------------------- */

/* Kernels are stored [kx, ky, kz]; the engine's last axis is the one that is fastest in memory,
 * which is x. */
static void turn_kernel(float *w, size_t n)
{
	assert(n % 27 == 0);
	/* 27: each kernel is 3 x 3 x 3; x and z change places */
	for (float *k = w; k < w + n; k += 27)
		for (int a = 0; a < 3; a++)
			for (int b = 0; b < 3; b++)
				/* c < a: each pair once */
				for (int c = 0; c < a; c++) {
					float t = k[a * 9 + b * 3 + c];

					k[a * 9 + b * 3 + c] = k[c * 9 + b * 3 + a];
					k[c * 9 + b * 3 + a] = t;
				}
}

/* Weight "model.<i>.0.weight" or, in the last layer, "model.<i>.weight" from
 * "layers.<i>.weight"; likewise the bias. */
static int load_weight(struct vt_weight *weight, const struct vt_learned_mask *mask, int layer,
	struct vt_err *err)
{
	const char *kind = strrchr(weight->name, '.');
	char *name = vt_asprintf("layers.%d%s", layer, kind);
	int rc = vt_safetensors_get(&mask->weights, name, weight->dims, weight->n_dims,
		weight->value, err);

	/* the last layer has kernels of one voxel */
	if (!rc && weight->n_dims == 5 && weight->dims[4] == 3)
		turn_kernel(weight->value, weight->n);
	free(name);
	return rc;
}

static int session_new(struct vt_learned_mask *mask, const int box[3], struct vt_err *err)
{
	struct vt_model_request request = { .name = "meshnet",
		.params = mask->net.params,
		.n = 1,
		.in_c = 1,
		.out_c = mask->net.classes,
		.patch = { box[0], box[1], box[2] } };
	int rc;

	vt_session_free(mask->session);
	vt_graph_free(mask->graph);
	mask->session = NULL;
	mask->graph = NULL;
	memcpy(mask->box, box, sizeof(mask->box));
	rc = vt_model_build(&mask->graph, &request, err);
	if (!rc)
		rc = vt_session_new(&mask->session, mask->graph,
			&(struct vt_session_opts){ .blank = true, .device = mask->device }, err);
	for (int i = 0; !rc && i < vt_session_n_weights(mask->session); i++) {
		struct vt_weight *w = vt_session_weight(mask->session, i);

		/* "model.<i>..." to i */
		rc = load_weight(w, mask, (int)strtol(w->name + strlen("model."), NULL, 10), err);
	}
	return rc;
}

/* --- open and close ------------------------------------------------------ */

static int provide(void *ctx, unsigned char *mask, const float *voxels,
	const struct vt_geometry *geometry, struct vt_err *err);

int vt_learned_mask_open(struct vt_learned_mask **out, const char *dir, struct vt_device *device,
	struct vt_err *err)
{
	struct vt_learned_mask *m = vt_xcalloc(1, sizeof(*m));
	char *path = vt_path_join(dir, "model.safetensors");
	int rc = vt_published_read(&m->net, dir, err);

	m->device = device;
	if (!rc)
		rc = vt_safetensors_open(&m->weights, path, err);
	free(path);
	if (rc) {
		vt_learned_mask_close(m);
		return rc;
	}
	m->provider = (struct vt_mask_provider){ m->net.name, provide, m };
	*out = m;
	return 0;
}

void vt_learned_mask_close(struct vt_learned_mask *mask)
{
	if (!mask)
		return;
	vt_session_free(mask->session);
	vt_graph_free(mask->graph);
	if (mask->weights.header)
		vt_safetensors_close(&mask->weights);
	vt_published_release(&mask->net);
	free(mask);
}

const struct vt_mask_provider *vt_learned_mask_provider(struct vt_learned_mask *mask)
{
	return &mask->provider;
}

/* --- labels -------------------------------------------------------------- */

/* Low and high of the whole volume to 0 and 1; what lies beyond is clipped. */
static int normalized(float *out, const struct vt_learned_mask *mask, const float *voxels, size_t n,
	struct vt_err *err)
{
	double range[2];
	struct vt_moments moments;

	if (mask->net.normalize == VT_PUBLISHED_QUANTILE) {
		if (vt_percentiles(range, mask->net.quantile, 2, voxels, NULL, n, err))
			return err->code;
	} else {
		if (vt_moments(&moments, voxels, NULL, n, err))
			return err->code;
		range[0] = moments.min;
		range[1] = moments.max;
	}
	if (!(range[1] > range[0])) /* a NaN too */
		return vt_err_set(err, VT_EDATA,
			"the scan is constant (%g) where the network looks for contrast", range[0]);
	for (size_t i = 0; i < n; i++) {
		double v = ((double)voxels[i] - range[0]) / (range[1] - range[0]);

		v = v > 1 ? 1 : v;
		out[i] = v < 0 ? 0 : (float)v;
	}
	return 0;
}

/* The class with the largest logit, the lowest of equals. */
static void largest_class(unsigned char *labels, const float *logits, size_t n, int classes)
{
	memset(labels, 0, n);
	for (size_t i = 0; i < n; i++) {
		float best = logits[i];

		for (int c = 1; c < classes; c++)
			if (logits[(size_t)c * n + i] > best) {
				best = logits[(size_t)c * n + i];
				labels[i] = (unsigned char)c;
			}
	}
}

/* The box as one window where the network is, so that only the labels come back; *done is false
 * where the device has no room for it. */
static int classify_there(struct vt_learned_mask *mask, unsigned char *labels, const float *x,
	bool *done, struct vt_err *err)
{
	const struct vt_volume_ref volume = { x, false, NULL, 1, mask->box[0], mask->box[1],
		mask->box[2] };
	const int at[1] = { 0 }, most = mask->box[0] > mask->box[1] ? mask->box[0] : mask->box[1],
		  longest = mask->box[2] > most ? mask->box[2] : most;
	struct vt_remote_volume *v = NULL;
	float *one = vt_xmalloc((size_t)longest * sizeof(*one));
	const struct vt_windows window = { .count = { 1, 1, 1 },
		.flips = 1,
		.at = { at, at, at },
		.factor = { one, one, one },
		.least = 0 };
	int rc = vt_remote_volume_new(&v, vt_session_remote(mask->session), &volume,
		mask->net.classes, VT_JOIN_LOGITS, err);

	for (int i = 0; i < longest; i++) /* one window that counts 1 everywhere */
		one[i] = 1;
	*done = v != NULL;
	if (!rc && v)
		rc = vt_remote_volume_add(v, vt_session_remote(mask->session), &window, err);
	if (!rc && v)
		rc = vt_remote_volume_answer(v, VT_RULE_NUMBER, labels, err);
	vt_remote_volume_free(v);
	free(one);
	return rc;
}

static int classify_here(struct vt_learned_mask *mask, unsigned char *labels, const float *x,
	size_t n, struct vt_err *err)
{
	float *logits = vt_voxels_alloc(n * (size_t)mask->net.classes * sizeof(*logits));

	if (!logits)
		return vt_err_nomem(err, n * (size_t)mask->net.classes * sizeof(*logits));
	vt_session_set_input(mask->session, x);
	vt_session_forward(mask->session, 0);
	vt_session_get_output(mask->session, logits);
	largest_class(labels, logits, n, mask->net.classes);
	free(logits);
	if (vt_session_error(mask->session))
		*err = *vt_session_error(mask->session);
	return err->code;
}

/* Classes of normalized values x on a box of the network's voxels. */
static int classify(struct vt_learned_mask *mask, unsigned char *labels, const float *x,
	const int box[3], struct vt_err *err)
{
	size_t n = (size_t)box[0] * (size_t)box[1] * (size_t)box[2];
	bool done = false;
	int rc = 0;

	/* a session is of one box */
	if (!mask->session || memcmp(box, mask->box, sizeof(mask->box)))
		rc = session_new(mask, box, err);
	if (!rc && vt_session_remote(mask->session))
		rc = classify_there(mask, labels, x, &done, err);
	return rc || done ? rc : classify_here(mask, labels, x, n, err);
}

int vt_learned_mask_labels(struct vt_learned_mask *mask, unsigned char *labels, const float *voxels,
	struct vt_err *err)
{
	const int box[3] = { (int)mask->net.size, (int)mask->net.size, (int)mask->net.size };
	size_t n = mask->net.size * mask->net.size * mask->net.size;
	float *x = vt_voxels_alloc(n * sizeof(*x));
	int rc;

	if (!x)
		return vt_err_nomem(err, n * sizeof(*x));
	rc = normalized(x, mask, voxels, n, err);
	if (!rc)
		rc = classify(mask, labels, x, box, err);
	free(x);
	return rc;
}

/* --- a head scan --------------------------------------------------------- */

/* The network's cube around the scan's center, axes to the left, foot and front.  Where the scan
 * is taller than the cube, their tops meet: the brain is up there, a neck is what is left out. */
static void network_grid(struct vt_geometry *out, const struct vt_geometry *scan, size_t size,
	double mm)
{
	/* row: R, A, S; column: voxel axis */
	static const double axes[3][3] = { { -1, 0, 0 }, { 0, 0, 1 }, { 0, -1, 0 } };
	struct vt_geometry ras;
	double affine[3][4], middle = ((double)size - 1) / 2, top = -INFINITY, ras_top;

	vt_geometry_cube(&ras, scan, size, mm);
	for (int corner = 0; corner < 8; corner++) {
		double index[3], at[3];

		for (int a = 0; a < 3; a++)
			index[a] = corner >> a & 1 ? (double)scan->dim[a] - 1 : 0;
		vt_geometry_to_mm(scan, index, at);
		top = at[2] > top ? at[2] : top;
	}
	ras_top = ras.affine[2][3] + mm * ((double)size - 1);
	for (int r = 0; r < 3; r++) {
		affine[r][3] = ras.affine[r][3] + mm * middle;
		if (r == 2 && top > ras_top)
			affine[r][3] += top - ras_top;
		for (int c = 0; c < 3; c++) {
			affine[r][c] = mm * axes[r][c];
			affine[r][3] -= affine[r][c] * middle;
		}
	}
	vt_geometry_init(out, ras.dim, ras.spacing);
	vt_geometry_set_affine(out, affine);
}

/* Box of the head in the cube: the largest piece brighter than a tenth of the range, a margin
 * around it. */
static int head_box(size_t lo[3], int box[3], const float *x, size_t size, struct vt_err *err)
{
	enum { MARGIN = 16, MULTIPLE = 8 };
	const size_t dim[3] = { size, size, size };
	size_t n = size * size * size, extent[3];
	unsigned char *head = vt_voxels_alloc(n);
	int rc;

	if (!head)
		return vt_err_nomem(err, n);
	for (size_t i = 0; i < n; i++)
		head[i] = x[i] > 0.1f;
	rc = vt_mask_largest(head, dim, VT_CONNECT_6, err);
	if (!rc && !vt_mask_box(lo, extent, head, dim))
		rc = vt_err_set(err, VT_EDATA, "no head in the scan");
	for (int a = 0; !rc && a < 3; a++) {
		size_t hi = lo[a] + extent[a] + MARGIN;

		hi = hi < size ? hi : size;
		lo[a] = lo[a] > MARGIN ? lo[a] - MARGIN : 0;
		extent[a] = (hi - lo[a] + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
		extent[a] = extent[a] < size ? extent[a] : size;
		lo[a] = lo[a] + extent[a] > size ? size - extent[a] : lo[a];
		box[2 - a] = (int)extent[a];
	}
	free(head);
	return rc;
}

/* 1 where the network says brain, inside the head's box; 0 elsewhere. */
static int label_head(struct vt_learned_mask *mask, unsigned char *labels, const float *on_grid,
	struct vt_err *err)
{
	size_t n = mask->net.size * mask->net.size * mask->net.size, lo[3], at = 0;
	float *x = vt_voxels_alloc(2 * n * sizeof(*x));
	unsigned char *part = vt_voxels_alloc(n);
	int box[3],
		rc = !x || !part ? vt_err_nomem(err, 2 * n * sizeof(*x))
				 : normalized(x, mask, on_grid, n, err);

	if (!rc)
		rc = head_box(lo, box, x, mask->net.size, err);
	for (size_t z = 0; !rc && z < (size_t)box[0]; z++)
		for (size_t y = 0; y < (size_t)box[1]; y++, at += (size_t)box[2])
			memcpy(x + n + at,
				x + ((z + lo[2]) * mask->net.size + y + lo[1]) * mask->net.size +
					lo[0],
				(size_t)box[2] * sizeof(*x));
	if (!rc)
		rc = classify(mask, part, x + n, box, err);
	memset(labels, 0, n);
	at = 0;
	for (size_t z = 0; !rc && z < (size_t)box[0]; z++)
		for (size_t y = 0; y < (size_t)box[1]; y++)
			for (size_t i = 0; i < (size_t)box[2]; i++)
				labels[((z + lo[2]) * mask->net.size + y + lo[1]) * mask->net.size +
					lo[0] + i] = part[at++] != 0;
	free(x);
	free(part);
	return rc;
}

static int provide(void *ctx, unsigned char *mask, const float *voxels,
	const struct vt_geometry *geometry, struct vt_err *err)
{
	struct vt_learned_mask *m = ctx;
	struct vt_geometry grid;
	size_t n = m->net.size * m->net.size * m->net.size, scan = vt_geometry_count(geometry);
	float *on_grid = vt_voxels_alloc(n * sizeof(*on_grid)), least = voxels[0];
	unsigned char *labels = vt_voxels_alloc(n);
	int rc = !on_grid || !labels ? vt_err_nomem(err, n * (sizeof(*on_grid) + 1)) : 0;

	for (size_t i = 0; i < scan; i++)
		least = voxels[i] < least ? voxels[i] : least;
	network_grid(&grid, geometry, m->net.size, m->net.mm);
	if (!rc)
		rc = vt_resample(on_grid, &grid, voxels, geometry, VT_LINEAR, (double)least, err);
	if (!rc)
		rc = label_head(m, labels, on_grid, err);
	if (!rc)
		rc = vt_mask_largest(labels, grid.dim, VT_CONNECT_6, err)
			? err->code
			: vt_mask_fill_holes(labels, grid.dim, err);
	if (!rc)
		rc = vt_resample_labels(mask, geometry, labels, &grid, err);
	free(on_grid);
	free(labels);
	return rc;
}
