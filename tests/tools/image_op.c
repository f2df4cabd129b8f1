/* image_op.c - one operation of common/image on NIfTI files, so that oracles in other languages
 * can compare.
 *      image_op OP IN OUT [ARG...]        an operation without an image result takes "-" for OUT
 *                                         and prints */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/brain_mask.h"
#include "common/image/intensity.h"
#include "common/image/morphology.h"
#include "common/image/conform.h"
#include "common/image/resample.h"
#include "common/image/volume.h"

struct op_run {
	struct vt_volume in;
	const char *out;
	int argc;
	char **argv;
	unsigned char *mask; /* in.voxels != 0 */
};

static double arg(const struct op_run *r, int i)
{
	return i < r->argc ? atof(r->argv[i]) : 0;
}

static int write_mask(struct op_run *r, struct vt_err *err)
{
	return vt_volume_write(r->out, &r->in.geometry, VT_U8, r->mask, err);
}

static int op_erode(struct op_run *r, struct vt_err *err)
{
	const struct vt_geometry *g = &r->in.geometry;
	return vt_mask_erode(r->mask, &g->grid, arg(r, 0), err) ? err->code : write_mask(r, err);
}

static int op_dilate(struct op_run *r, struct vt_err *err)
{
	const struct vt_geometry *g = &r->in.geometry;
	return vt_mask_dilate(r->mask, &g->grid, arg(r, 0), err) ? err->code : write_mask(r, err);
}

static int op_largest(struct op_run *r, struct vt_err *err)
{
	return vt_mask_largest(r->mask, r->in.geometry.dim, (enum vt_connect)arg(r, 0), err)
		? err->code
		: write_mask(r, err);
}

static int op_fill(struct op_run *r, struct vt_err *err)
{
	return vt_mask_fill_holes(r->mask, r->in.geometry.dim, err) ? err->code
								    : write_mask(r, err);
}

static int op_components(struct op_run *r, struct vt_err *err)
{
	uint32_t *label = malloc((r->in.n + 1) * sizeof(*label)), count = 0;
	if (!label)
		return vt_err_nomem(err, r->in.n * 4);
	if (!vt_components(label, &count, NULL, r->mask, r->in.geometry.dim,
		    (enum vt_connect)arg(r, 0), err)) {
		printf("%u\n", count);
		vt_volume_write(r->out, &r->in.geometry, VT_U32, label, err);
	}
	free(label);
	return err->code;
}

static int op_stats(struct op_run *r, struct vt_err *err)
{
	static const double q[] = { 0, 0.5, 1, 2, 25, 50, 98, 99, 99.5, 100 };
	double p[sizeof(q) / sizeof(q[0])];
	struct vt_moments m;
	if (vt_moments(&m, r->in.voxels, r->mask, r->in.n, err) ||
		vt_percentiles(p, q, sizeof(q) / sizeof(q[0]), r->in.voxels, r->mask, r->in.n, err))
		return err->code;
	printf("%zu %.17g %.17g %.17g %.17g", m.n, m.mean, m.std, m.min, m.max);
	for (size_t i = 0; i < sizeof(q) / sizeof(q[0]); i++)
		printf(" %.17g", p[i]);
	printf("\n");
	return 0;
}

static int op_normalize(struct op_run *r, struct vt_err *err)
{
	struct vt_norm_numbers k;
	for (int how = VT_NORM_NONE; how <= VT_NORM_QUANTILE; how++)
		if (r->argc && !strcmp(r->argv[0], vt_normalize_name((enum vt_normalize)how))) {
			if (vt_normalize(r->in.voxels, &k, r->in.voxels, r->mask, r->in.n,
				    (enum vt_normalize)how, err))
				return err->code;
			return vt_volume_write(r->out, &r->in.geometry, VT_F32, r->in.voxels, err);
		}
	return vt_err_set(err, VT_EUSAGE, "no such normalization");
}

static int op_canonical(struct op_run *r, struct vt_err *err)
{
	struct vt_placement p;
	float *work = malloc(r->in.n * sizeof(float));
	if (!work)
		return vt_err_nomem(err, r->in.n * 4);
	vt_placement_canonical(&p, &r->in.geometry);
	if (!vt_placement_gather(&p, work, r->in.voxels, sizeof(float), err))
		vt_volume_write(r->out, &p.work, VT_F32, work, err);
	free(work);
	return err->code;
}

/* Canonical, cropped by one voxel a side, through JSON, and back onto the native grid. */
static int op_there_and_back(struct op_run *r, struct vt_err *err)
{
	struct vt_placement p, q;
	struct vt_json *j = NULL, *k = NULL;
	struct vt_buf text = VT_BUF_INIT;
	float *work = malloc(r->in.n * sizeof(float)), *back = malloc(r->in.n * sizeof(float)),
	      outside = -1;
	vt_placement_canonical(&p, &r->in.geometry);
	size_t lo[3] = { 1, 1, 1 },
	       dim[3] = { p.full.dim[0] - 2, p.full.dim[1] - 2, p.full.dim[2] - 2 };
	if (vt_placement_crop(&p, lo, dim, err) ||
		vt_placement_gather(&p, work, r->in.voxels, sizeof(float), err))
		goto out;
	j = vt_placement_json(&p);
	vt_json_pretty(&text, j);
	if (vt_json_parse(&k, text.data, text.len, "placement", err) ||
		vt_placement_parse(&q, k, err) ||
		vt_geometry_paste(back, &q, work, sizeof(float), &outside, err))
		goto out;
	vt_volume_write(r->out, &q.native, VT_F32, back, err);
out:
	vt_json_free(j);
	vt_json_free(k);
	vt_buf_release(&text);
	free(work);
	free(back);
	return err->code;
}

static int op_stripped(struct op_run *r, struct vt_err *err)
{
	struct vt_stripped s;
	if (vt_stripped_detect(&s, r->mask, &r->in, err))
		return err->code;
	printf("%d %.9g %.4f %.1f %.3f\n", s.stripped, s.background, s.fraction, s.inside_ml,
		s.head);
	return 0;
}

static int op_brain_mask(struct op_run *r, struct vt_err *err)
{
	struct vt_brain_opts opts = VT_BRAIN_OPTS_DEFAULT;
	struct vt_brain_report b;
	if (r->argc)
		opts.threshold = arg(r, 0);
	if (vt_brain_mask_surface(r->mask, &b, r->in.voxels, &r->in.geometry, &opts, err))
		return err->code;
	printf("ml %.1f flags %u passes %u low %g high %g median %g center %.1f %.1f %.1f radius "
	       "%.1f\n",
		b.volume_ml, b.flags, b.passes, b.low, b.high, b.median, b.center_mm[0],
		b.center_mm[1], b.center_mm[2], b.radius_mm);
	return write_mask(r, err);
}

static int op_resample(struct op_run *r, struct vt_err *err)
{
	/* METHOD OUTSIDE SX SY SZ, or METHOD OUTSIDE conform */
	static const char *const names[] = { "", "nearest", "linear", "cubic", "labels" };
	struct vt_geometry grid;
	struct vt_label_loss loss;
	double spacing[3] = { arg(r, 2), arg(r, 3), arg(r, 4) }, outside = arg(r, 1);
	int how = 1;
	while (how < 4 && r->argc && strcmp(names[how], r->argv[0]))
		how++;
	if (r->argc == 3)
		vt_geometry_conform(&grid, &r->in.geometry);
	else
		vt_geometry_respaced(&grid, &r->in.geometry, spacing);
	size_t n = vt_geometry_count(&grid);
	float *out = malloc(n * sizeof(float));
	unsigned char *labels = malloc(n), *in = malloc(r->in.n);
	if (how < 4 &&
		!vt_resample(out, &grid, r->in.voxels, &r->in.geometry, (enum vt_interpolate)how,
			outside, err))
		vt_volume_write(r->out, &grid, VT_F32, out, err);
	if (how == 4 && !vt_volume_labels(in, &r->in, err) &&
		!vt_resample_labels(labels, &grid, in, &r->in.geometry, err) &&
		!vt_label_loss(&loss, labels, &grid, in, &r->in.geometry, err)) {
		printf("lost %zu %.1f", loss.n, loss.mm3);
		for (size_t k = 0; k < loss.n && k < VT_LABEL_LOSSES; k++)
			printf(" %d %zu %zu %zu", loss.first[k].label, loss.first[k].at[0],
				loss.first[k].at[1], loss.first[k].at[2]);
		printf("\n");
		vt_volume_write(r->out, &grid, VT_U8, labels, err);
	}
	free(out);
	free(labels);
	free(in);
	return err->code;
}

static const struct {
	const char *name;
	int (*run)(struct op_run *, struct vt_err *);
} ops[] = {
	{ "erode", op_erode },
	{ "dilate", op_dilate },
	{ "largest", op_largest },
	{ "fill", op_fill },
	{ "components", op_components },
	{ "stats", op_stats },
	{ "normalize", op_normalize },
	{ "canonical", op_canonical },
	{ "there-and-back", op_there_and_back },
	{ "stripped", op_stripped },
	{ "brain-mask", op_brain_mask },
	{ "resample", op_resample },
};

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct op_run r = { .in = VT_VOLUME_INIT };
	size_t op = 0;
	if (argc < 4)
		return VT_EUSAGE;
	while (op < sizeof(ops) / sizeof(ops[0]) && strcmp(ops[op].name, argv[1]))
		op++;
	if (op == sizeof(ops) / sizeof(ops[0]))
		return VT_EUSAGE;
	r.out = argv[3];
	r.argc = argc - 4;
	r.argv = argv + 4;
	if (!vt_volume_read(&r.in, argv[2], VT_VOLUME_3D, &err)) {
		r.mask = malloc(r.in.n);
		for (size_t i = 0; r.mask && i < r.in.n; i++)
			r.mask[i] = r.in.voxels[i] != 0;
		if (r.mask)
			ops[op].run(&r, &err);
	}
	if (err.code)
		fprintf(stderr, "%s\n", err.text);
	free(r.mask);
	vt_volume_release(&r.in);
	return err.code;
}
