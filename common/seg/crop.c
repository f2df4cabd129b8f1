#include "common/seg/crop.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/parallel.h"
#include "common/content/digest.h"
#include "common/image/morphology.h"
#include "common/image/resample.h"
#include "common/image/volume.h"
#include "common/seg/label_file.h"

/* What is read of one subject, on the prepared grid; indices x, y, z. */
struct prepared {
	struct vt_placement placement;
	struct vt_json *geometry;
	struct vt_volume file[VT_MAX_CHANNELS];
	/* by the manifest; voxels of file[], or of a caller */
	const float *channel[VT_MAX_CHANNELS];
	int n_channels, n_files;
	unsigned char *mask, *labels;
	unsigned char *own;        /* the label map on the scan's own grid */
	char label_sha256[VT_HEX]; /* of its file */
	bool nothing;              /* the region is empty */
	size_t dim[3], voxels;
	struct vt_label_loss lost;
	int lo[3], size[3]; /* the box that is kept; lo may be negative (padding) */
};

static void release(struct prepared *prepared)
{
	for (int i = 0; i < prepared->n_files; i++)
		vt_volume_release(&prepared->file[i]);
	vt_json_free(prepared->geometry);
	free(prepared->mask);
	free(prepared->labels);
	free(prepared->own);
}

static int read_channel(struct prepared *prepared, const char *dir, const char *role,
	struct vt_err *err)
{
	char *path = vt_asprintf("%s/%s.nii", dir, role);
	struct vt_volume *v = &prepared->file[prepared->n_files];
	int rc;

	assert(prepared->n_files < VT_MAX_CHANNELS);
	*v = (struct vt_volume)VT_VOLUME_INIT;
	rc = vt_volume_read(v, path, VT_VOLUME_3D | VT_VOLUME_FINITE, err);
	prepared->n_files += !rc; /* counted though refused below: release() frees it */
	prepared->channel[prepared->n_channels] = v->voxels;
	prepared->n_channels += !rc;
	if (!rc && memcmp(v->geometry.dim, prepared->placement.work.dim, sizeof(prepared->dim)))
		rc = vt_err_set(err, VT_EDATA,
			"%s: %zux%zux%zu, but geometry.json says %zux%zux%zu; run "
			"skullstrip-normalize again",
			path, v->geometry.dim[0], v->geometry.dim[1], v->geometry.dim[2],
			prepared->placement.work.dim[0], prepared->placement.work.dim[1],
			prepared->placement.work.dim[2]);
	free(path);
	return rc;
}

static int read_mask(struct prepared *prepared, const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "mask.nii");
	struct vt_volume v = VT_VOLUME_INIT;
	int rc = vt_volume_read(&v, path, VT_VOLUME_RAW, err);

	if (!rc && v.n != prepared->voxels)
		rc = vt_err_set(err, VT_EDATA, "%s: has %zu voxels, the channels have %zu", path,
			v.n, prepared->voxels);
	if (!rc) {
		prepared->mask = vt_xmalloc(prepared->voxels);
		rc = vt_volume_labels(prepared->mask, &v, err);
	}
	vt_volume_release(&v);
	free(path);
	return rc;
}

/* A label map's voxels, put where the scans' voxels went, and on the scans' own grid; caller
 * frees both.  manifest: NULL for whole numbers as they are. */
static int read_labels(unsigned char **out, unsigned char **own, struct vt_label_loss *lost,
	const struct prepared *prepared, const struct vt_manifest *manifest, const char *label,
	double tolerance_mm, struct vt_err *err)
{
	unsigned char *native = NULL;
	int rc = vt_label_file_read(&native, manifest, label, &prepared->placement.native,
		tolerance_mm, err);

	if (rc)
		return rc;
	*out = vt_xmalloc(prepared->voxels);
	rc = prepared->placement.resampled
		? vt_resample_labels(*out, &prepared->placement.work, native,
			  &prepared->placement.native, err)
		: vt_placement_gather(&prepared->placement, *out, native, 1, err);
	if (!rc && lost && prepared->placement.resampled)
		rc = vt_label_loss(lost, *out, &prepared->placement.work, native,
			&prepared->placement.native, err);
	if (rc)
		vt_err_prefix(err, "%s", label);
	*own = native;
	return rc;
}

/* The first network found nothing: a box of least size in the middle stands for it. */
static void middle_box(struct prepared *prepared, const struct vt_crop_opts *opts)
{
	for (int a = 0; a < 3; a++) {
		prepared->size[a] = opts->least > 1 ? opts->least : 1;
		prepared->size[a] +=
			(opts->multiple - prepared->size[a] % opts->multiple) % opts->multiple;
		prepared->lo[a] = ((int)prepared->dim[a] - prepared->size[a]) / 2;
	}
	prepared->nothing = true;
}

/* Grows the box to the least size and to a multiple, half on either side. */
static void grow_box(struct prepared *prepared, const struct vt_crop_opts *opts)
{
	assert(opts->multiple > 0);
	for (int a = 0; a < 3; a++) {
		/* half on the low side, rounded down */
		int need = opts->least > prepared->size[a] ? opts->least - prepared->size[a] : 0;

		need += (opts->multiple - (prepared->size[a] + need) % opts->multiple) %
			opts->multiple;
		prepared->lo[a] -= need / 2;
		prepared->size[a] += need;
	}
}

static void center_box(struct prepared *prepared, const int center[3])
{
	for (int a = 0; a < 3; a++) {
		int n = center[2 - a], dim = (int)prepared->dim[a];

		prepared->size[a] = n < dim ? n : dim;
		prepared->lo[a] = (dim - prepared->size[a]) / 2;
	}
}

/* The box of the brain, or of the region, with its margin, or the middle of the grid; grown to the
 * least size and to a multiple. */
static int find_box(struct prepared *prepared, const char *region, const struct vt_crop_opts *opts,
	struct vt_err *err)
{
	size_t lo[3], size[3];
	bool any;

	if (opts->center[0] && !region) { /* a region's box is found, not given */
		center_box(prepared, opts->center);
		grow_box(prepared, opts);
		return 0;
	}
	any = vt_mask_box(lo, size, prepared->mask, prepared->dim);
	/* all of it, whatever the mask holds */
	for (int a = 0; opts->whole && !region && a < 3; a++) {
		lo[a] = 0;
		size[a] = prepared->dim[a];
		any = true;
	}
	if (!any && region) {
		vt_log(VT_LOG_WARN, "nothing-found",
			"region=\"%s\" holds=\"no label but 0\" kept=\"a box in the middle\"",
			region);
		middle_box(prepared, opts);
		return 0;
	}
	if (!any)
		return vt_err_set(err, VT_EDATA,
			"mask.nii is empty; look at qc.png of this subject");
	for (int a = 0; a < 3; a++) {
		int first = (int)lo[a] - opts->margin,
		    last = (int)(lo[a] + size[a]) - 1 + opts->margin;

		prepared->lo[a] = first > 0 ? first : 0;
		last = last < (int)prepared->dim[a] ? last : (int)prepared->dim[a] - 1;
		prepared->size[a] = last - prepared->lo[a] + 1;
	}
	grow_box(prepared, opts);
	return 0;
}

/* Where row (y, z) of the box begins in the prepared grid: its part from .. to of the row lies
 * there, the rest is padding. */
static const char *row_of(const struct prepared *prepared, const void *array, size_t element, int y,
	int z, int *from, int *to)
{
	/* first voxel of the row in the prepared grid */
	int sy = prepared->lo[1] + y, sz = prepared->lo[2] + z;

	*from = prepared->lo[0] < 0 ? -prepared->lo[0] : 0;
	*to = prepared->lo[0] + prepared->size[0] > (int)prepared->dim[0]
		? (int)prepared->dim[0] - prepared->lo[0]
		: prepared->size[0];
	if (sy < 0 || sz < 0 || sy >= (int)prepared->dim[1] || sz >= (int)prepared->dim[2])
		*to = *from = 0;
	return *to > *from ? (const char *)array +
			(((size_t)sz * prepared->dim[1] + (size_t)sy) * prepared->dim[0] +
				(size_t)(prepared->lo[0] + *from)) *
				element
			   : NULL;
}

/* The box of an array on the prepared grid; 0 outside. */
static void cut(void *out, const struct prepared *prepared, const void *array, size_t element)
{
	char *to_row = out;
	int from, to;

	for (int z = 0; z < prepared->size[2]; z++)
		for (int y = 0; y < prepared->size[1];
			y++, to_row += (size_t)prepared->size[0] * element) {
			const char *row = row_of(prepared, array, element, y, z, &from, &to);

			if (from > 0 || to < prepared->size[0]) /* padding */
				memset(to_row, 0, (size_t)prepared->size[0] * element);
			if (row)
				memcpy(to_row + (size_t)from * element, row,
					(size_t)(to - from) * element);
		}
}

struct cutting {
	const struct prepared *p;
	float *image;
	size_t n;
};

static void cut_channel(void *ctx, size_t c)
{
	const struct cutting *k = ctx;

	cut(k->image + c * k->n, k->p, k->p->channel[c], sizeof(float));
}

/* The box of all channels; NULL if there is no memory.  The caller frees it. */
static float *cut_image(const struct prepared *prepared, int dims[4], struct vt_err *err)
{
	size_t n = (size_t)prepared->size[0] * (size_t)prepared->size[1] *
		(size_t)prepared->size[2],
	       all = n * (size_t)prepared->n_channels;
	struct cutting k = { prepared, vt_voxels_alloc(all * sizeof(float)), n };

	dims[0] = prepared->n_channels;
	for (int a = 0; a < 3; a++) /* prepared is x, y, z; a container z, y, x */
		dims[1 + a] = prepared->size[2 - a];
	if (k.image)
		vt_parallel_for((size_t)prepared->n_channels, cut_channel, &k);
	else
		vt_err_nomem(err, all * sizeof(float));
	return k.image;
}

static struct vt_json *crop_json(const struct vt_crop_opts *opts, bool region)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "margin", opts->margin);
	vt_json_put_int(j, "multiple", opts->multiple);
	vt_json_put_int(j, "min_size", opts->least);
	vt_json_put_text(j, "dtype", opts->half ? "f16" : "f32");
	vt_json_put_bool(j, "region", region);
	if (opts->whole)
		vt_json_put_bool(j, "whole", true);
	if (opts->center[0]) {
		struct vt_json *edges = vt_json_new(VT_JSON_ARRAY);

		for (int a = 0; a < 3; a++)
			vt_json_push(edges, vt_json_new_int(opts->center[a]));
		vt_json_put(j, "center", edges);
	}
	return j;
}

static struct vt_json *about(const struct prepared *prepared, const struct vt_manifest *manifest,
	const char *subject, const struct vt_crop_opts *opts, bool region,
	const struct vt_split *split)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *channels = vt_json_new(VT_JSON_ARRAY),
		       *regions = vt_json_new(VT_JSON_ARRAY);
	struct vt_json *box = vt_json_new(VT_JSON_ARRAY), *spacing = vt_json_new(VT_JSON_ARRAY);
	char *patient = vt_manifest_patient(manifest, subject);

	for (int i = 0; i < manifest->n_channels; i++)
		vt_json_push(channels, vt_json_new_text(manifest->channel[i].role));
	for (int i = 0; i < manifest->n_regions; i++)
		vt_json_push(regions, vt_json_new_text(manifest->region[i].name));
	for (int a = 2; a >= 0; a--) {
		vt_json_push(box, vt_json_new_int(prepared->lo[a]));
		vt_json_push(spacing, vt_json_new_real(prepared->placement.work.spacing[a]));
	}
	vt_json_put_text(j, "subject", subject);
	vt_json_put(j, "channels", channels);
	vt_json_put(j, "regions", regions);
	vt_json_put(j, "spacing_mm", spacing);
	vt_json_put_text(j, "patient", patient);
	if (vt_manifest_class(manifest, subject) >= 0)
		vt_json_put_text(j, "class",
			manifest->classes.v[vt_manifest_class(manifest, subject)]);
	vt_json_put_bool(j, "test", split->test);
	vt_json_put_int(j, "fold", split->fold);
	vt_json_put_bool(j, "fold_given", manifest->split_table != NULL);
	vt_json_put(j, "box", box);
	vt_json_put(j, "crop", crop_json(opts, region));
	if (prepared->nothing)
		vt_json_put_bool(j, "nothing_found", true);
	if (*prepared->label_sha256)
		vt_json_put_text(j, "label_sha256", prepared->label_sha256);
	vt_json_put(j, "geometry", vt_json_copy(prepared->geometry));
	vt_json_put(j, "manifest", vt_manifest_json(manifest));
	free(patient);
	return j;
}

static int read_region(struct prepared *prepared, const char *region, double tolerance_mm,
	struct vt_err *err)
{
	unsigned char *own = NULL;
	int rc =
		read_labels(&prepared->mask, &own, NULL, prepared, NULL, region, tolerance_mm, err);

	free(own);
	return rc;
}

/* The whole of it is checked, whatever of it the box holds. */
static int read_reference(struct prepared *prepared, const struct vt_manifest *manifest,
	const char *label, double tolerance_mm, struct vt_err *err)
{
	size_t n = vt_geometry_count(&prepared->placement.native);
	struct vt_digest digest;
	uint8_t *bits = NULL;
	uint64_t size;
	int rc = vt_digest_file(&digest, &size, label, err);

	if (!rc)
		rc = read_labels(&prepared->labels, &prepared->own, &prepared->lost, prepared,
			manifest, label, tolerance_mm, err);
	if (!rc) {
		vt_digest_hex(prepared->label_sha256, &digest);
		bits = vt_xmalloc(n);
		rc = vt_manifest_regions(bits, manifest, prepared->own, n, err);
		if (rc)
			vt_err_prefix(err, "%s", label);
	}
	free(bits);
	return rc;
}

static int read_all(struct prepared *prepared, const struct vt_manifest *manifest, const char *dir,
	const char *label, const char *region, double tolerance_mm, struct vt_err *err)
{
	char *path = vt_path_join(dir, "geometry.json");
	int rc = vt_fs_exists(path)
		? vt_json_read(&prepared->geometry, path, err)
		: vt_err_set(err, VT_EDATA,
			  "does not exist; give the output of "
			  "skullstrip-normalize, which raw scans go through first");

	if (!rc)
		rc = vt_placement_parse(&prepared->placement,
			vt_json_get(prepared->geometry, "placement"), err);
	if (rc)
		vt_err_prefix(err, "%s", path);
	free(path);
	if (rc)
		return rc;
	memcpy(prepared->dim, prepared->placement.work.dim, sizeof(prepared->dim));
	prepared->voxels = prepared->dim[0] * prepared->dim[1] * prepared->dim[2];
	for (int i = 0; !rc && i < manifest->n_channels; i++)
		rc = read_channel(prepared, dir, manifest->channel[i].role, err);
	if (!rc && region)
		rc = read_region(prepared, region, tolerance_mm, err);
	else if (!rc)
		rc = read_mask(prepared, dir, err);
	if (!rc && label)
		rc = read_reference(prepared, manifest, label, tolerance_mm, err);
	return rc;
}

/* The cohort's label map on its own grid: the box of its values other than 0. */
static void cut_reference(struct vt_patch_reference *reference, uint8_t **labels,
	const struct prepared *prepared)
{
	const struct vt_geometry *g = &prepared->placement.native;
	size_t lo[3], size[3];
	uint8_t *to;

	assert(prepared->own);
	if (!vt_mask_box(lo, size, prepared->own, g->dim)) /* no label at all: an empty box */
		memset(size, 0, sizeof(size));
	for (int a = 0; a < 3; a++) {
		reference->dims[a] = (int)g->dim[2 - a];
		reference->at[a] = (int)lo[2 - a];
		reference->size[a] = (int)size[2 - a];
		reference->spacing[a] = g->spacing[2 - a];
	}
	*labels = to = vt_xmalloc(size[0] * size[1] * size[2] + 1);
	for (size_t z = 0; z < size[2]; z++)
		for (size_t y = 0; y < size[1]; y++, to += size[0])
			memcpy(to,
				prepared->own + ((lo[2] + z) * g->dim[1] + lo[1] + y) * g->dim[0] +
					lo[0],
				size[0]);
	reference->labels = *labels;
}

/* Values and region bits of the box, with the bit of what is to be ignored. */
static int cut_labels(uint8_t *labels, uint8_t *regions, const struct prepared *prepared,
	const struct vt_manifest *manifest, size_t n, struct vt_err *err)
{
	int rc;

	cut(labels, prepared, prepared->labels, 1);
	rc = vt_manifest_regions(regions, manifest, labels, n, err);
	for (size_t v = 0; !rc && manifest->ignore && v < n; v++)
		if (labels[v] == manifest->ignore)
			regions[v] = VT_PATCH_IGNORED;
	return rc;
}

int vt_crop_subject(struct vt_label_loss *lost, const char *path,
	const struct vt_manifest *manifest, const char *subject, const char *dir, const char *label,
	const char *region, const struct vt_crop_opts *opts, struct vt_err *err)
{
	struct prepared p = { .geometry = NULL };
	struct vt_json *j = NULL;
	float *image = NULL;
	uint8_t *labels = NULL, *regions = NULL, *whole = NULL;
	struct vt_patch_reference reference;
	size_t n;
	struct vt_split split;
	int rc = read_all(&p, manifest, dir, label, region, opts->tolerance_mm, err), dims[4];

	if (!rc)
		rc = vt_manifest_split(&split, manifest, subject, err);
	if (!rc)
		rc = find_box(&p, region, opts, err);
	if (!rc) {
		image = cut_image(&p, dims, err);
		rc = err->code;
	}
	if (!rc) {
		n = (size_t)dims[1] * (size_t)dims[2] * (size_t)dims[3];
		labels = label ? vt_xmalloc(n) : NULL;
		regions = label ? vt_xmalloc(n) : NULL;
		if (label) {
			rc = cut_labels(labels, regions, &p, manifest, n, err);
			cut_reference(&reference, &whole, &p);
		}
		j = about(&p, manifest, subject, opts, region != NULL, &split);
	}
	if (!rc)
		rc = vt_patch_write(path, j, dims, opts->half, image, regions, labels,
			label ? &reference : NULL, err);
	if (rc)
		vt_err_prefix(err, "subject %s", subject);
	*lost = p.lost;
	vt_json_free(j);
	free(image);
	free(labels);
	free(regions);
	free(whole);
	release(&p);
	return rc;
}

static int check_finite(const struct prepared *prepared, const struct vt_manifest *manifest,
	struct vt_err *err)
{
	for (int c = 0; c < prepared->n_channels; c++)
		for (size_t i = 0; i < prepared->voxels; i++)
			if (!isfinite(prepared->channel[c][i]))
				return vt_err_set(err, VT_EDATA,
					"%s: voxel %zu is not a number once it is normalized",
					manifest->channel[c].role, i);
	return 0;
}

int vt_crop_prepared(struct vt_patch_file *out, const struct vt_manifest *manifest,
	const char *subject, const struct vt_prepared *from, const char *region,
	const struct vt_crop_opts *opts, struct vt_err *err)
{
	struct prepared p = { .geometry = from->geometry,
		.mask = region ? NULL : from->mask,
		.n_channels = (int)from->n_channels };
	float *image = NULL;
	struct vt_split split = { false, 0 };
	int rc = vt_placement_parse(&p.placement, vt_json_get(p.geometry, "placement"), err),
	    dims[4];

	memcpy(p.dim, p.placement.work.dim, sizeof(p.dim));
	p.voxels = p.dim[0] * p.dim[1] * p.dim[2];
	for (int c = 0; c < p.n_channels; c++)
		p.channel[c] = from->channel[c];
	if (!rc)
		rc = check_finite(&p, manifest, err);
	if (!rc && region)
		rc = read_region(&p, region, opts->tolerance_mm, err);
	if (!rc)
		rc = find_box(&p, region, opts, err);
	if (!rc) {
		image = cut_image(&p, dims, err);
		rc = err->code;
	}
	if (!rc && opts->half)
		rc = vt_patch_round_half(image, dims, err);
	if (!rc)
		vt_patch_hold(out, about(&p, manifest, subject, opts, region != NULL, &split), dims,
			image);
	else
		free(image);
	if (region) /* a brain's mask is the caller's */
		free(p.mask);
	return rc ? vt_err_prefix(err, "subject %s", subject) : 0;
}

int vt_crop_subjects(struct vt_strs *ids, const char *root, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	const char *file = NULL;
	int rc = vt_fs_list(&names, root, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(root, names.v[i]);

		/* what skullstrip-normalize wrote beside subjects */
		if (names.v[i][0] == '.' || !strcmp(names.v[i], "quarantine"))
			;
		else if (vt_fs_is_dir(path))
			vt_strs_add(ids, names.v[i]);
		else
			file = names.v[i];
		free(path);
	}
	if (!rc && !ids->n && file)
		rc = vt_err_set(err, VT_EDATA,
			"%s: holds %s and no subject's directory; give the output of "
			"skullstrip-normalize",
			root, file);
	vt_strs_release(&names);
	return rc;
}
