/* vote.c - blocks' answers are kept as they are, a byte a voxel, and counted a slice at a time: the
 * counters of all classes and voxels at once would be gigabytes. */
#include "common/seg/vote.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/seg/dataset.h"
#include "common/seg/window.h"

struct block {
	int at[3];
};

struct vote {
	struct vt_session *session;
	const struct vt_patch_file *f;
	int dim[3], patch[3], outputs, n;
	size_t voxels; /* of a block */
	struct block *block;
	uint8_t *answer; /* [n, voxels] */
	uint8_t *classes;
};

/* Blocks side by side; false if they are more than there may be. */
static bool place_grid(struct vote *v, int most)
{
	int count[3], first[3], n = 0;
	double all = 1;

	for (int a = 0; a < 3; a++) {
		count[a] = (v->dim[a] + v->patch[a] - 1) / v->patch[a];
		first[a] = (v->dim[a] - count[a] * v->patch[a]) / 2;
		all *= count[a];
	}
	v->n = all > most ? VT_MOST_SUBVOLUMES + 1 : (int)all;
	if (all > most)
		return false;
	for (int z = 0; z < count[0]; z++)
		for (int y = 0; y < count[1]; y++)
			for (int x = 0; x < count[2]; x++)
				v->block[n++] = (struct block){ { first[0] + z * v->patch[0],
					first[1] + y * v->patch[1], first[2] + x * v->patch[2] } };
	return true;
}

static void place_others(struct vote *v, int subvolumes)
{
	for (; v->n < subvolumes; v->n++) {
		struct vt_rng r =
			vt_rng_stream(0, "vote", vt_rng_hash(v->f->subject), (uint64_t)v->n, 0);

		for (int a = 0; a < 3; a++)
			v->block[v->n].at[a] = vt_dataset_center(v->dim[a], v->patch[a], 0.25, &r);
	}
}

static void answer_all(struct vote *v)
{
	struct vt_shape in = vt_session_input_shape(v->session);
	size_t x_size = v->voxels * (size_t)in.c, y_size = v->voxels * (size_t)v->outputs;
	float *x = vt_xmalloc(x_size * (size_t)in.n * sizeof(float)),
	      *y = vt_xmalloc(y_size * (size_t)in.n * sizeof(float));

	for (int first = 0; first < v->n; first += in.n) {
		for (int k = 0; k < in.n; k++)
			vt_window_read(x + (size_t)k * x_size, v->f,
				v->block[first + k < v->n ? first + k : v->n - 1].at, v->patch, 0);
		vt_session_set_input(v->session, x);
		vt_session_forward(v->session, 0);
		vt_session_get_output(v->session, y);
		for (int k = 0; k < in.n && first + k < v->n; k++)
			vt_window_classes(v->answer + (size_t)(first + k) * v->voxels,
				y + (size_t)k * y_size, v->outputs, v->voxels);
	}
	free(x);
	free(y);
}

/* Votes of slice z of block b join the counts, [y, x, class]. */
static void count_block(uint16_t *count, const struct vote *v, int b, int z)
{
	const int *at = v->block[b].at, *p = v->patch;
	const uint8_t *from = v->answer + (size_t)b * v->voxels +
		(size_t)(z - at[0]) * (size_t)p[1] * (size_t)p[2];

	for (int y = 0; y < p[1]; y++)
		for (int x = 0; x < p[2]; x++, from++) {
			int oy = at[1] + y, ox = at[2] + x;

			if (oy >= 0 && oy < v->dim[1] && ox >= 0 && ox < v->dim[2])
				count[((size_t)oy * (size_t)v->dim[2] + (size_t)ox) *
						(size_t)v->outputs +
					*from]++;
		}
}

static void count_slice(void *ctx, size_t slice)
{
	const struct vote *v = ctx;
	size_t plane = (size_t)v->dim[1] * (size_t)v->dim[2];
	uint16_t *count = vt_xcalloc(plane * (size_t)v->outputs, sizeof(*count));
	int z = (int)slice;

	for (int b = 0; b < v->n; b++)
		if (z >= v->block[b].at[0] && z < v->block[b].at[0] + v->patch[0])
			count_block(count, v, b, z);
	for (size_t i = 0; i < plane; i++) {
		const uint16_t *own = count + i * (size_t)v->outputs;
		int best = 0;

		for (int c = 1; c < v->outputs; c++)
			if (own[c] > own[best])
				best = c;
		v->classes[slice * plane + i] = (uint8_t)best;
	}
	free(count);
}

int vt_vote(uint8_t *classes, struct vt_session *s, const struct vt_patch_file *f, int subvolumes,
	struct vt_err *err)
{
	struct vt_shape in = vt_session_input_shape(s), out = vt_session_output_shape(s);
	struct vote v = { .session = s,
		.f = f,
		.dim = { f->d, f->h, f->w },
		.patch = { in.d, in.h, in.w },
		.outputs = out.c,
		.voxels = (size_t)in.d * (size_t)in.h * (size_t)in.w,
		.classes = classes };
	int rc = 0;

	if (in.c != f->c)
		return vt_err_set(err, VT_EDATA, "%d channels, the network takes %d", f->c, in.c);
	if (out.d != in.d || out.h != in.h || out.w != in.w || out.c > 255)
		return vt_err_set(err, VT_EDATA,
			"the network answers %d classes of %dx%dx%d voxels for a patch of "
			"%dx%dx%d; "
			"a vote needs an answer for every voxel, of at most 255 classes",
			out.c, out.d, out.h, out.w, in.d, in.h, in.w);
	v.block = vt_xcalloc((size_t)subvolumes, sizeof(*v.block));
	if (!place_grid(&v, subvolumes))
		rc = vt_err_set(err, VT_EUSAGE,
			"--subvolumes=%d: fewer than the blocks of %dx%dx%d that cover %dx%dx%d "
			"voxels",
			subvolumes, in.d, in.h, in.w, f->d, f->h, f->w);
	if (!rc) {
		place_others(&v, subvolumes);
		v.answer = malloc((size_t)v.n * v.voxels);
		if (!v.answer)
			rc = vt_err_nomem(err, (size_t)v.n * v.voxels);
	}
	if (!rc) {
		answer_all(&v);
		vt_parallel_for((size_t)f->d, count_slice, &v);
	}
	if (!rc && vt_session_error(s)) {
		*err = *vt_session_error(s);
		rc = err->code;
	}
	free(v.block);
	free(v.answer);
	return rc;
}
