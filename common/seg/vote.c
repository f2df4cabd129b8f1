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
static bool place_grid(struct vote *vote, int most)
{
	int count[3], first[3], n = 0;
	double all = 1;

	for (int a = 0; a < 3; a++) {
		count[a] = (vote->dim[a] + vote->patch[a] - 1) / vote->patch[a];
		first[a] = (vote->dim[a] - count[a] * vote->patch[a]) / 2;
		all *= count[a];
	}
	vote->n = all > most ? VT_MOST_SUBVOLUMES + 1 : (int)all;
	if (all > most)
		return false;
	for (int z = 0; z < count[0]; z++)
		for (int y = 0; y < count[1]; y++)
			for (int x = 0; x < count[2]; x++)
				vote->block[n++] = (struct block){ { first[0] + z * vote->patch[0],
					first[1] + y * vote->patch[1],
					first[2] + x * vote->patch[2] } };
	return true;
}

static void place_others(struct vote *vote, int subvolumes)
{
	for (; vote->n < subvolumes; vote->n++) {
		struct vt_rng r = vt_rng_stream(0, "vote", vt_rng_hash(vote->f->subject),
			(uint64_t)vote->n, 0);

		for (int a = 0; a < 3; a++)
			vote->block[vote->n].at[a] =
				vt_dataset_center(vote->dim[a], vote->patch[a], 0.25, &r);
	}
}

static void answer_all(struct vote *vote)
{
	struct vt_shape in = vt_session_input_shape(vote->session);
	size_t x_size = vote->voxels * (size_t)in.c, y_size = vote->voxels * (size_t)vote->outputs;
	float *x = vt_xmalloc(x_size * (size_t)in.n * sizeof(float)),
	      *y = vt_xmalloc(y_size * (size_t)in.n * sizeof(float));

	for (int first = 0; first < vote->n; first += in.n) {
		for (int k = 0; k < in.n; k++)
			vt_window_read(x + (size_t)k * x_size, vote->f,
				vote->block[first + k < vote->n ? first + k : vote->n - 1].at,
				vote->patch, 0);
		vt_session_set_input(vote->session, x);
		vt_session_forward(vote->session, 0);
		vt_session_get_output(vote->session, y);
		for (int k = 0; k < in.n && first + k < vote->n; k++)
			vt_window_classes(vote->answer + (size_t)(first + k) * vote->voxels,
				y + (size_t)k * y_size, vote->outputs, vote->voxels);
	}
	free(x);
	free(y);
}

/* Votes of slice z of block b join the counts, [y, x, class]. */
static void count_block(uint16_t *count, const struct vote *vote, int b, int z)
{
	const int *at = vote->block[b].at, *p = vote->patch;
	const uint8_t *from = vote->answer + (size_t)b * vote->voxels +
		(size_t)(z - at[0]) * (size_t)p[1] * (size_t)p[2];

	for (int y = 0; y < p[1]; y++)
		for (int x = 0; x < p[2]; x++, from++) {
			int oy = at[1] + y, ox = at[2] + x;

			if (oy >= 0 && oy < vote->dim[1] && ox >= 0 && ox < vote->dim[2])
				count[((size_t)oy * (size_t)vote->dim[2] + (size_t)ox) *
						(size_t)vote->outputs +
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

int vt_vote(uint8_t *classes, struct vt_session *session, const struct vt_patch_file *file,
	int subvolumes, struct vt_err *err)
{
	struct vt_shape in = vt_session_input_shape(session),
			out = vt_session_output_shape(session);
	struct vote v = { .session = session,
		.f = file,
		.dim = { file->d, file->h, file->w },
		.patch = { in.d, in.h, in.w },
		.outputs = out.c,
		.voxels = (size_t)in.d * (size_t)in.h * (size_t)in.w,
		.classes = classes };
	int rc = 0;

	if (in.c != file->c)
		return vt_err_set(err, VT_EDATA, "%d channels, the network takes %d", file->c,
			in.c);
	if (out.d != in.d || out.h != in.h || out.w != in.w || out.c > 255)
		return vt_err_set(err, VT_EDATA,
			"the network answers %d classes of %dx%dx%d voxels for a patch of "
			"%dx%dx%d; a vote needs an answer for every voxel, of at most 255 classes",
			out.c, out.d, out.h, out.w, in.d, in.h, in.w);
	v.block = vt_xcalloc((size_t)subvolumes, sizeof(*v.block));
	if (!place_grid(&v, subvolumes))
		rc = vt_err_set(err, VT_EUSAGE,
			"--subvolumes=%d: fewer than the blocks of %dx%dx%d that cover %dx%dx%d "
			"voxels",
			subvolumes, in.d, in.h, in.w, file->d, file->h, file->w);
	if (!rc) {
		place_others(&v, subvolumes);
		v.answer = malloc((size_t)v.n * v.voxels);
		if (!v.answer)
			rc = vt_err_nomem(err, (size_t)v.n * v.voxels);
	}
	if (!rc) {
		answer_all(&v);
		vt_parallel_for((size_t)file->d, count_slice, &v);
	}
	if (!rc && vt_session_error(session)) {
		*err = *vt_session_error(session);
		rc = err->code;
	}
	free(v.block);
	free(v.answer);
	return rc;
}
