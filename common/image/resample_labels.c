/* resample_labels.c - label maps on another grid, with their volume kept.
 *
 * Thresholding an interpolated label shrinks whatever is convex: a lesion of two voxels is gone.
 * Here every piece of the map (26-connected, any label but 0) gets as many output voxels as its
 * volume fills, and the voxels it covers most:
 *
 *   1. weight of a piece in an output voxel = mean over sub-samples of the voxel of the trilinear
 *      indicator; a voxel belongs to the piece of the greatest weight;
 *   2. count of a piece = its volume over an output voxel's, rounded; what rounding gave or took
 *      goes to the next piece, so that neither the sum nor the mean over small pieces drifts;
 *   3. the voxels of greatest weight are taken, of equal ones those nearer to the piece's center;
 *   4. within a piece, labels share its voxels in the same way: counts by volume, then the
 *      greatest weights first.
 *
 * Weights are rounded to 1e-6, so that equal ones are equal on every grid; orders are total, so
 * equal input gives equal bytes whatever the number of threads.  Memory: four bytes an input
 * voxel, one struct candidate for every output voxel that a piece covers in part. */
#include "common/image/resample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/image/morphology.h"

/* MAX_SUB: sub-samples along an axis. MAX_SHARES: pieces in one output voxel; further ones are left
 * out. */
enum { MAX_SUB = 8, MAX_SHARES = 64 };

/* A piece's, or a label's, part of one output voxel. */
struct share {
	uint32_t key;
	double weight;
};

struct shares {
	struct share v[MAX_SHARES];
	int n;
};

struct candidate {
	size_t at;    /* output voxel */
	uint32_t key; /* piece, from 1; in step 4 the index of the label */
	double weight;
	double far; /* squared mm from the piece's center */
};

struct candidates {
	struct candidate *v;
	size_t n, cap;
};

struct work {
	unsigned char *out;
	const unsigned char *in;
	const struct vt_geometry *out_grid, *in_grid;
	double map[3][4]; /* output index -> input index */
	int sub[3];       /* sub-samples of an output voxel along its axes */
	uint32_t *piece;  /* of each input voxel, from 1; 0 outside */
	uint32_t n_pieces;
	unsigned char label[256]; /* those that occur, ascending */
	int dense[256], n_labels; /* dense[label[i]] = i */
	uint32_t *count; /* [piece][dense label]: voxels whose center lies in the output's box */
	double (*center)[3];      /* mm, of each piece */
	uint32_t *wanted;         /* output voxels of each piece */
	uint32_t *owner;          /* piece of each output voxel of the box, 0: none */
	size_t lo[3], size[3];    /* box of output voxels that pieces may touch */
	double voxels_per;        /* output voxels that an input voxel fills */
	struct candidates *slice; /* one a slice of the box */
};

static void add_candidate(struct candidates *candidates, struct candidate one)
{
	if (candidates->n == candidates->cap) {
		candidates->cap = candidates->cap ? 2 * candidates->cap : 256;
		candidates->v =
			vt_xrealloc(candidates->v, candidates->cap * sizeof(*candidates->v));
	}
	candidates->v[candidates->n++] = one;
}

static void add_share(struct shares *shares, uint32_t key, double weight)
{
	int i = 0;

	while (i < shares->n && shares->v[i].key != key)
		i++;
	if (i == MAX_SHARES)
		return;
	if (i == shares->n)
		shares->v[shares->n++] = (struct share){ key, 0 };
	shares->v[i].weight += weight;
}

/* Trilinear weights of the eight input voxels round p, by piece, or by label within `piece`. */
static void add_point(struct shares *shares, const struct work *work, const double p[3],
	uint32_t piece, double part)
{
	const size_t *d = work->in_grid->dim;
	size_t lo[3], hi[3];
	double up[3];

	for (int a = 0; a < 3; a++) {
		double last = (double)d[a] - 1, q;

		/* a sample beyond the input's voxels belongs to no piece */
		if (!(p[a] >= -0.5 && p[a] <= last + 0.5))
			return;
		q = fmin(fmax(p[a], 0), last);
		lo[a] = (size_t)floor(q);
		hi[a] = lo[a] + 1 < d[a] ? lo[a] + 1 : lo[a];
		up[a] = q - (double)lo[a];
	}
	for (int c = 0; c < 8; c++) {
		size_t at = ((c & 4 ? hi[2] : lo[2]) * d[1] + (c & 2 ? hi[1] : lo[1])) * d[0] +
			(c & 1 ? hi[0] : lo[0]);
		double weight = (c & 1 ? up[0] : 1 - up[0]) * (c & 2 ? up[1] : 1 - up[1]) *
			(c & 4 ? up[2] : 1 - up[2]);

		if (!work->piece[at] || !(weight > 0) || (piece && work->piece[at] != piece))
			continue;
		add_share(shares, piece ? (uint32_t)work->dense[work->in[at]] : work->piece[at],
			weight * part);
	}
}

/* Shares of output voxel (x, y, z): of pieces, or of the labels of one piece. */
static void weigh(struct shares *shares, const struct work *work, size_t x, size_t y, size_t z,
	uint32_t piece)
{
	double part = 1.0 / (work->sub[0] * work->sub[1] * work->sub[2]);
	int n[3];

	shares->n = 0;
	for (n[2] = 0; n[2] < work->sub[2]; n[2]++)
		for (n[1] = 0; n[1] < work->sub[1]; n[1]++)
			for (n[0] = 0; n[0] < work->sub[0]; n[0]++) {
				const size_t at[3] = { x, y, z };
				double q[3], p[3];

				/* sub-samples at the centers of equal parts of the voxel */
				for (int a = 0; a < 3; a++)
					q[a] = (double)at[a] + (n[a] + 0.5) / work->sub[a] - 0.5;
				for (int i = 0; i < 3; i++)
					p[i] = work->map[i][0] * q[0] + work->map[i][1] * q[1] +
						work->map[i][2] * q[2] + work->map[i][3];
				add_point(shares, work, p, piece, part);
			}
	for (int i = 0; i < shares->n; i++)
		shares->v[i].weight = floor(shares->v[i].weight * 1e6 + 0.5) * 1e-6;
}

static double squared_mm(const struct work *work, size_t x, size_t y, size_t z, uint32_t piece)
{
	const double index[3] = { (double)x, (double)y, (double)z };
	double mm[3], sum = 0;

	vt_geometry_to_mm(work->out_grid, index, mm);
	for (int a = 0; a < 3; a++)
		sum += (mm[a] - work->center[piece][a]) * (mm[a] - work->center[piece][a]);
	/* Micrometres, so that voxels at one distance compare as equal on every grid. */
	return floor(sum * 1e6 + 0.5) * 1e-6;
}

/* Step 1 for one slice of the box. */
static void gather_slice(void *ctx, size_t k)
{
	const struct work *w = ctx;
	size_t z = w->lo[2] + k;
	struct shares s;

	for (size_t y = w->lo[1]; y < w->lo[1] + w->size[1]; y++)
		for (size_t x = w->lo[0]; x < w->lo[0] + w->size[0]; x++) {
			int best = 0;

			weigh(&s, w, x, y, z, 0);
			for (int i = 1; i < s.n; i++)
				if (s.v[i].weight > s.v[best].weight ||
					(s.v[i].weight == s.v[best].weight &&
						s.v[i].key < s.v[best].key))
					best = i;
			if (s.n && s.v[best].weight > 0)
				add_candidate(&w->slice[k],
					(struct candidate){ (z * w->out_grid->dim[1] + y) *
								w->out_grid->dim[0] +
							x,
						s.v[best].key, s.v[best].weight,
						squared_mm(w, x, y, z, s.v[best].key) });
		}
}

static int by_rank(const void *a, const void *b)
{
	const struct candidate *p = a, *q = b;

	if (p->weight != q->weight)
		return p->weight > q->weight ? -1 : 1;
	if (p->far != q->far)
		return p->far < q->far ? -1 : 1;
	if (p->at != q->at)
		return p->at < q->at ? -1 : 1;
	/* the order is total: qsort needs no stability */
	return (p->key > q->key) - (p->key < q->key);
}

/* Steps 2 and 3: which voxels each piece gets. */
static void take_voxels(struct work *work)
{
	struct candidates open = { NULL, 0, 0 };
	double carry = 0;

	for (uint32_t c = 1; c <= work->n_pieces; c++) {
		double own = 0, exact;

		for (int l = 0; l < work->n_labels; l++)
			own += (double)work->count[(size_t)c * (size_t)work->n_labels + (size_t)l] *
				work->voxels_per;
		exact = own + carry;
		/* own + carry, rounded; the rest is handed on */
		work->wanted[c] = exact > 0.5 ? (uint32_t)floor(exact + 0.5) : 0;
		/* a piece of a whole voxel's volume never vanishes */
		if (!work->wanted[c] && own >= 1)
			work->wanted[c] = 1;
		carry = exact - (double)work->wanted[c];
		/* A piece that the output's box cuts off entirely hands nothing on. */
		carry = fmax(-0.5, fmin(0.5, carry));
	}
	for (size_t k = 0; k < work->size[2]; k++)
		for (size_t i = 0; i < work->slice[k].n; i++) {
			const struct candidate *c = &work->slice[k].v[i];

			/* Voxels that lie wholly within a piece are its own; only the others are
			 * contested. */
			if (c->weight > 1 - 1e-9 && work->wanted[c->key]) {
				work->owner[c->at] = c->key;
				work->wanted[c->key]--;
			} else {
				add_candidate(&open, *c);
			}
		}
	if (open.n > 1)
		qsort(open.v, open.n, sizeof(*open.v), by_rank);
	for (size_t i = 0; i < open.n; i++)
		if (work->wanted[open.v[i].key]) {
			work->owner[open.v[i].at] = open.v[i].key;
			work->wanted[open.v[i].key]--;
		}
	free(open.v);
}

/* Whole numbers that add up to `voxels`, as near to the labels' volumes as they can be. */
static void share_out(uint32_t *quota, const struct work *work, uint32_t piece, size_t voxels,
	double *carry)
{
	const uint32_t *count = work->count + (size_t)piece * (size_t)work->n_labels;
	double want[256], all = 0;
	size_t sum = 0;

	for (int l = 0; l < work->n_labels; l++)
		all += count[l];
	for (int l = 0; l < work->n_labels; l++) {
		/* carry: what this label was given or refused in pieces before */
		want[l] = count[l] ? (double)count[l] * (double)voxels / all + carry[l] : -1e9;
		quota[l] = want[l] > 0 ? (uint32_t)floor(want[l]) : 0;
		sum += quota[l];
	}
	/* floor() leaves some voxels over, or carries take some back: one at a time, where it errs
	 * least */
	for (; sum != voxels; sum < voxels ? sum++ : sum--) {
		bool more = sum < voxels;
		int best = -1;

		for (int l = 0; l < work->n_labels; l++) {
			double gap = want[l] - (double)quota[l];

			if (!count[l] || (!more && !quota[l]))
				continue;
			if (best < 0 ||
				(more ? gap > want[best] - (double)quota[best]
				      : gap < want[best] - (double)quota[best]))
				best = l;
		}
		assert(best >= 0);
		/* quota[best]-- in unsigned arithmetic; best is a label of the piece */
		quota[best] += more ? 1 : (uint32_t)-1;
	}
	for (int l = 0; l < work->n_labels; l++)
		if (count[l])
			carry[l] = fmax(-1, fmin(1, want[l] - (double)quota[l]));
}

/* Step 4 for one piece, whose voxels are at[0 .. n). */
static void label_piece(struct work *work, uint32_t piece, const size_t *at, size_t n,
	double *carry)
{
	const size_t *d = work->out_grid->dim;
	struct candidates open = { NULL, 0, 0 };
	uint32_t quota[256];
	struct shares s;

	share_out(quota, work, piece, n, carry);
	for (size_t i = 0; i < n; i++) {
		int best = 0;

		weigh(&s, work, at[i] % d[0], at[i] / d[0] % d[1], at[i] / d[0] / d[1], piece);
		assert(s.n > 0); /* the voxel is the piece's */
		for (int k = 1; k < s.n; k++)
			if (s.v[k].weight > s.v[best].weight ||
				(s.v[k].weight == s.v[best].weight && s.v[k].key > s.v[best].key))
				best = k;
		/* What it would be by itself, should no label have voxels left to give. */
		work->out[at[i]] = work->label[s.v[best].key];
		/* no other label touches the voxel */
		if (s.n == 1 && quota[s.v[0].key]) {
			quota[s.v[0].key]--;
			continue;
		}
		for (int k = 0; k < s.n; k++)
			add_candidate(&open,
				(struct candidate){ at[i], s.v[k].key, s.v[k].weight, 0 });
	}
	if (open.n > 1)
		qsort(open.v, open.n, sizeof(*open.v), by_rank);
	for (size_t i = 0; i < open.n; i++)
		/* owner 0: the voxel has its label */
		if (work->owner[open.v[i].at] && quota[open.v[i].key]) {
			work->out[open.v[i].at] = work->label[open.v[i].key];
			work->owner[open.v[i].at] = 0;
			quota[open.v[i].key]--;
		}
	free(open.v);
}

/* Step 4: the voxels by piece, in the order of memory. */
static void label_voxels(struct work *work)
{
	size_t n = vt_geometry_count(work->out_grid), *begin, *at, used = 0;
	double carry[256] = { 0 };

	if (work->n_labels == 1) {
		for (size_t i = 0; i < n; i++)
			if (work->owner[i])
				work->out[i] = work->label[0];
		return;
	}
	/* a counting sort: begin[c] becomes the end of piece c, and so the begin of piece c + 1 */
	begin = vt_xcalloc((size_t)work->n_pieces + 2, sizeof(*begin));
	for (size_t i = 0; i < n; i++) {
		begin[work->owner[i] + (size_t)1] += work->owner[i] != 0;
		used += work->owner[i] != 0;
	}
	for (size_t c = 1; c <= (size_t)work->n_pieces + 1; c++)
		begin[c] += begin[c - 1];
	at = vt_xmalloc((used + 1) * sizeof(*at));
	for (size_t i = 0; i < n; i++)
		if (work->owner[i])
			at[begin[work->owner[i]]++] = i;
	for (uint32_t c = 1; c <= work->n_pieces; c++)
		label_piece(work, c, at + begin[c - 1], begin[c] - begin[c - 1], carry);
	free(at);
	free(begin);
}

/* Labels that occur, and each piece's volume and center. */
static int measure_pieces(struct work *work, struct vt_err *err)
{
	const size_t *d = work->in_grid->dim;
	size_t n = vt_geometry_count(work->in_grid), i = 0, cells;
	double back[3][4], *total;
	bool seen[256] = { false };

	for (size_t k = 0; k < n; k++)
		seen[work->in[k]] = true;
	for (int v = 1; v < 256; v++)
		if (seen[v]) {
			work->dense[v] = work->n_labels;
			work->label[work->n_labels++] = (unsigned char)v;
		}
	cells = ((size_t)work->n_pieces + 1) * (size_t)(work->n_labels ? work->n_labels : 1);
	work->count = calloc(cells, sizeof(*work->count));
	work->center = calloc((size_t)work->n_pieces + 1, sizeof(*work->center));
	work->wanted = calloc((size_t)work->n_pieces + 1, sizeof(*work->wanted));
	total = calloc((size_t)work->n_pieces + 1, sizeof(*total));
	if (!work->count || !work->center || !work->wanted || !total) {
		free(total);
		return vt_err_nomem(err, cells * sizeof(*work->count));
	}
	if (vt_index_map(back, work->in_grid, work->out_grid, err)) {
		free(total);
		return err->code;
	}
	for (size_t z = 0; z < d[2]; z++)
		for (size_t y = 0; y < d[1]; y++)
			for (size_t x = 0; x < d[0]; x++, i++) {
				const double index[3] = { (double)x, (double)y, (double)z };
				uint32_t c = work->piece[i];
				double mm[3];
				bool inside = true;

				if (!c)
					continue;
				vt_geometry_to_mm(work->in_grid, index, mm);
				for (int a = 0; a < 3; a++) {
					double q = back[a][0] * index[0] + back[a][1] * index[1] +
						back[a][2] * index[2] + back[a][3];

					work->center[c][a] += mm[a];
					/* only what can reach the output counts towards its
					 * voxels */
					inside = inside && q >= -0.5 &&
						q < (double)work->out_grid->dim[a] - 0.5;
				}
				total[c]++;
				work->count[(size_t)c * (size_t)work->n_labels +
					(size_t)work->dense[work->in[i]]] += inside;
			}
	for (uint32_t c = 1; c <= work->n_pieces; c++)
		for (int a = 0; a < 3; a++)
			work->center[c][a] /= total[c];
	free(total);
	return 0;
}

/* The output voxels that the input's foreground can touch. */
static int find_box(struct work *work, struct vt_err *err)
{
	size_t lo[3], size[3];
	double back[3][4], low[3], high[3];

	if (vt_index_map(back, work->in_grid, work->out_grid, err))
		return err->code;
	vt_mask_box(lo, size, work->in, work->in_grid->dim);
	for (int a = 0; a < 3; a++) {
		low[a] = INFINITY;
		high[a] = -INFINITY;
		for (int c = 0; c < 8; c++) {
			double q = back[a][3];

			for (int j = 0; j < 3; j++)
				/* the corners of the box, half a voxel and more around it */
				q += back[a][j] *
					((double)lo[j] + (c >> j & 1 ? (double)size[j] : -1.0));
			low[a] = fmin(low[a], q);
			high[a] = fmax(high[a], q);
		}
		low[a] = fmax(0, floor(low[a]) - 1);
		high[a] = fmin((double)work->out_grid->dim[a] - 1, ceil(high[a]) + 1);
		work->lo[a] = (size_t)low[a];
		work->size[a] = high[a] >= low[a] ? (size_t)(high[a] - low[a]) + 1 : 0;
	}
	return 0;
}

static int prepare(struct work *work, struct vt_err *err)
{
	size_t n = vt_geometry_count(work->in_grid);

	if (vt_index_map(work->map, work->out_grid, work->in_grid, err) || find_box(work, err))
		return err->code;
	for (int a = 0; a < 3; a++) {
		double length = sqrt(work->map[0][a] * work->map[0][a] +
			work->map[1][a] * work->map[1][a] + work->map[2][a] * work->map[2][a]);

		/* as many as input voxels fit into the output voxel; 0.01 against rounding of a
		 * spacing */
		work->sub[a] = (int)ceil(fmin(length, MAX_SUB) - 0.01);
		work->sub[a] = work->sub[a] < 1 ? 1 : work->sub[a];
	}
	work->voxels_per =
		vt_geometry_voxel_ml(work->in_grid) / vt_geometry_voxel_ml(work->out_grid);
	work->piece = malloc((n + 1) * sizeof(*work->piece));
	work->owner = calloc(vt_geometry_count(work->out_grid) + 1, sizeof(*work->owner));
	work->slice = vt_xcalloc(work->size[2] + 1, sizeof(*work->slice));
	if (!work->piece || !work->owner)
		return vt_err_nomem(err, n * sizeof(*work->piece));
	if (vt_components(work->piece, &work->n_pieces, NULL, work->in, work->in_grid->dim,
		    VT_CONNECT_26, err))
		return err->code;
	return measure_pieces(work, err);
}

static void release(struct work *work)
{
	for (size_t k = 0; work->slice && k < work->size[2]; k++)
		free(work->slice[k].v);
	free(work->slice);
	free(work->piece);
	free(work->owner);
	free(work->count);
	free(work->center);
	free(work->wanted);
}

/* Grids whose voxels coincide: a copy. */
static bool is_copy(const struct work *work)
{
	bool same = !memcmp(work->in_grid->dim, work->out_grid->dim, sizeof(work->in_grid->dim));

	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 4; j++)
			same = same && work->map[i][j] == (i == j ? 1.0 : 0.0);
	return same;
}

int vt_resample_labels(unsigned char *out, const struct vt_geometry *out_grid,
	const unsigned char *in, const struct vt_geometry *in_grid, struct vt_err *err)
{
	struct work w = { .out = out, .in = in, .out_grid = out_grid, .in_grid = in_grid };

	memset(out, 0, vt_geometry_count(out_grid));
	if (!vt_mask_count(in, vt_geometry_count(in_grid)))
		return 0;
	if (!prepare(&w, err)) {
		if (is_copy(&w)) {
			memcpy(out, in, vt_geometry_count(in_grid));
		} else {
			vt_parallel_for(w.size[2], gather_slice, &w);
			take_voxels(&w);
			label_voxels(&w);
		}
	}
	release(&w);
	return err->code;
}

/* --- what did not survive ------------------------------------------------------------------- */

struct losing {
	struct vt_label_loss *loss;
	const unsigned char *out, *in;
	const struct vt_geometry *out_grid, *in_grid;
	uint32_t *piece;
	unsigned char *kept; /* of each piece */
};

/* Marks the pieces of the label that an output voxel of it touches. */
static void mark_kept(struct losing *losing, const double map[3][4], unsigned char label)
{
	const size_t *o = losing->out_grid->dim, *d = losing->in_grid->dim;
	double reach[3];
	size_t i = 0;

	for (int a = 0; a < 3; a++)
		/* half of the output voxel's extent on the input's axes, and half an input voxel */
		reach[a] = 0.5 * (fabs(map[a][0]) + fabs(map[a][1]) + fabs(map[a][2])) + 0.5;
	for (size_t z = 0; z < o[2]; z++)
		for (size_t y = 0; y < o[1]; y++)
			for (size_t x = 0; x < o[0]; x++, i++) {
				size_t lo[3], hi[3];

				if (losing->out[i] != label)
					continue;
				for (int a = 0; a < 3; a++) {
					double p = map[a][0] * (double)x + map[a][1] * (double)y +
						map[a][2] * (double)z + map[a][3];

					lo[a] = (size_t)fmax(0, ceil(p - reach[a]));
					hi[a] = (size_t)fmax(0,
						fmin((double)d[a] - 1, floor(p + reach[a])) + 1);
				}
				for (size_t k = lo[2]; k < hi[2]; k++)
					for (size_t j = lo[1]; j < hi[1]; j++)
						for (size_t h = lo[0]; h < hi[0]; h++)
							/* piece 0, the outside, is marked, too:
							 * kept[0] is nobody's */
							losing->kept[losing->piece[(k * d[1] + j) *
									d[0] +
								h]] = 1;
			}
}

static void note_lost(struct losing *losing, unsigned char label, const size_t *sizes, uint32_t n)
{
	const size_t *d = losing->in_grid->dim;
	double mm3 = 1000 * vt_geometry_voxel_ml(losing->in_grid);
	size_t voxels = vt_geometry_count(losing->in_grid);

	for (size_t i = 0; n && i < voxels; i++) {
		uint32_t c = losing->piece[i];

		/* each piece once, at its first voxel */
		if (!c || losing->kept[c])
			continue;
		losing->kept[c] = 1;
		if (losing->loss->n < VT_LABEL_LOSSES)
			losing->loss->first[losing->loss->n] =
				(struct vt_lost_label){ label, mm3 * (double)sizes[c],
					{ i % d[0], i / d[0] % d[1], i / d[0] / d[1] } };
		losing->loss->n++;
		losing->loss->mm3 += mm3 * (double)sizes[c];
	}
}

int vt_label_loss(struct vt_label_loss *loss, const unsigned char *out,
	const struct vt_geometry *out_grid, const unsigned char *in,
	const struct vt_geometry *in_grid, struct vt_err *err)
{
	size_t n = vt_geometry_count(in_grid);
	struct losing l = { loss, out, in, out_grid, in_grid, malloc((n + 1) * sizeof(uint32_t)),
		NULL };
	unsigned char *mask = malloc(n + 1);
	bool seen[256] = { false };
	double map[3][4];

	*loss = (struct vt_label_loss){ .n = 0 };
	if (!l.piece || !mask)
		vt_err_nomem(err, n * sizeof(uint32_t));
	for (size_t i = 0; i < n; i++)
		seen[in[i]] = true;
	if (!err->code)
		vt_index_map(map, out_grid, in_grid, err);
	for (int v = 1; v < 256 && !err->code; v++) {
		size_t *sizes = NULL;
		uint32_t pieces = 0;

		if (!seen[v])
			continue;
		for (size_t i = 0; i < n; i++)
			mask[i] = in[i] == v;
		if (!vt_components(l.piece, &pieces, &sizes, mask, in_grid->dim, VT_CONNECT_26,
			    err)) {
			l.kept = vt_xcalloc((size_t)pieces + 1, 1);
			mark_kept(&l, (const double(*)[4])map, (unsigned char)v);
			note_lost(&l, (unsigned char)v, sizes, pieces);
			free(l.kept);
		}
		free(sizes);
	}
	free(l.piece);
	free(mask);
	return err->code;
}
