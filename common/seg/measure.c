/* measure.c - reads a subject's label map and scans and measures each region; tables of what was
 * found.  A scan is read once and every region cut from it. */
#include "common/seg/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/csv.h"
#include "common/base/fs.h"
#include "common/base/text_out.h"
#include "common/image/volume.h"
#include "common/seg/label_file.h"

static char *predicted(const char *root, const char *subject)
{
	return vt_asprintf("%s/%s/seg.nii.gz", root, subject);
}

int vt_measure_subjects(struct vt_strs *ids, const struct vt_manifest *manifest, const char *root,
	struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_list(&names, root, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = predicted(root, names.v[i]);

		if (vt_fs_exists(path))
			vt_strs_add(ids, names.v[i]);
		free(path);
	}
	vt_strs_release(&names);
	if (!rc && !ids->n)
		rc = vt_manifest_labeled(ids, manifest, root, err);
	if (!rc && !ids->n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no label maps: neither <subject>/seg.nii.gz nor files as the manifest "
			"%s lays them out",
			root, manifest->name);
	return rc;
}

/* --- one subject --------------------------------------------------------- */

/* A subject's label map as region bits, and its grid. */
struct labels {
	struct vt_geometry geometry;
	uint8_t *bits;
	const struct vt_manifest *m;
};

static int find_mask(char **path, const struct vt_manifest *manifest, const char *root,
	const char *subject, struct vt_err *err)
{
	*path = predicted(root, subject);
	if (vt_fs_exists(*path))
		return 0;
	free(*path);
	*path = NULL;
	return vt_manifest_label(path, manifest, root, subject, err);
}

/* Whose values a file has that was found as predict's and may be the cohort's own. */
static int origin_of(enum vt_label_origin *out, const struct vt_manifest *manifest,
	const char *path, const char *root, const char *subject, const struct vt_measure_opts *opts,
	struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	char *written = predicted(root, subject), *own = NULL;
	bool is_written = !strcmp(written, path),
	     is_own =
		     !vt_manifest_label(&own, manifest, root, subject, &none) && !strcmp(own, path);

	*out = is_written ? VT_LABELS_WRITTEN : VT_LABELS_STORED;
	if (opts->values != VT_VALUES_AUTO)
		*out = opts->values == VT_VALUES_WRITTEN ? VT_LABELS_WRITTEN : VT_LABELS_STORED;
	else if (is_written && is_own && !vt_label_map_is_stable(manifest))
		vt_err_set(err, VT_EDATA,
			"%s: /label/map of manifest %s gives values of /label/values another "
			"meaning; say whether they have gone through it (--values written, as "
			"predict writes them) or not (--values stored)",
			path, manifest->name);
	free(written);
	free(own);
	return err->code;
}

static int read_labels(struct labels *labels, const struct vt_manifest *manifest, const char *path,
	enum vt_label_origin origin, struct vt_err *err)
{
	struct vt_volume v = VT_VOLUME_INIT;
	unsigned char *value = NULL;
	int rc = vt_volume_read(&v, path, VT_VOLUME_RAW, err);

	labels->m = manifest;
	if (!rc) {
		labels->geometry = v.geometry;
		value = malloc(v.n);
		labels->bits = malloc(v.n);
		if (!value || !labels->bits)
			rc = vt_err_nomem(err, 2 * v.n);
	}
	if (!rc && (rc = vt_label_values(value, manifest, &v, origin, err)))
		vt_err_prefix(err, "%s", path);
	if (!rc && (rc = vt_manifest_regions(labels->bits, manifest, value, v.n, err)))
		vt_err_prefix(err, "%s", path);
	free(value);
	vt_volume_release(&v);
	return rc;
}

static void mask_of(unsigned char *mask, const struct labels *labels, int region)
{
	size_t n = vt_geometry_count(&labels->geometry);

	for (size_t i = 0; i < n; i++)
		mask[i] = vt_region_holds(labels->m, labels->bits[i], region);
}

static void add_named(struct vt_features *to, const char *role, const struct vt_features *from)
{
	for (size_t i = 0; i < from->n; i++)
		vt_features_add(to, role, from->v[i].name, from->v[i].value);
}

/* The features of one channel's intensities in one region. */
static int measure_intensities(struct vt_features *out, const char *role, const unsigned char *mask,
	const double *image, const struct labels *labels, const struct vt_measure_opts *opts,
	struct vt_err *err)
{
	struct vt_features f = VT_FEATURES_INIT;
	struct vt_roi roi;
	int rc = vt_roi_cut(&roi, mask, image, &labels->geometry.grid, err);

	if (rc)
		return rc;
	if (opts->first_order)
		rc = vt_roi_first_order(&f, &roi, &opts->texture, err);
	if (!rc && opts->textures)
		rc = vt_roi_texture(&f, &roi, &opts->texture, err);
	if (!rc)
		add_named(out, role, &f);
	vt_features_release(&f);
	vt_roi_release(&roi);
	return rc;
}

static int measure_shape(struct vt_features *out, size_t *voxels, const unsigned char *mask,
	const struct labels *labels, bool wanted, struct vt_err *err)
{
	struct vt_roi roi;
	int rc = vt_roi_cut(&roi, mask, NULL, &labels->geometry.grid, err);

	if (rc)
		return rc;
	*voxels = roi.n;
	if (wanted)
		vt_roi_shape(out, &roi);
	vt_roi_release(&roi);
	return 0;
}

static int read_channel(double **out, const struct vt_channel *c, const char *path,
	const char *mask_path, const struct labels *labels, double tolerance, struct vt_err *err)
{
	struct vt_volume v = VT_VOLUME_INIT;
	size_t n = vt_geometry_count(&labels->geometry), from = 0;
	int rc = vt_volume_read(&v, path,
		VT_VOLUME_RAW | (c->frame < 0 ? VT_VOLUME_3D : VT_VOLUME_FRAMES), err);

	if (!rc)
		rc = vt_geometry_same(&labels->geometry, mask_path, &v.geometry, path, tolerance,
			err);
	if (!rc && c->frame >= 0 && (size_t)c->frame >= v.n_frames)
		rc = vt_err_set(err, VT_EDATA, "%s: has %zu frames; the manifest asks for frame %d",
			path, v.n_frames, c->frame);
	if (!rc && !(*out = malloc(n * sizeof(**out))))
		rc = vt_err_nomem(err, n * sizeof(**out));
	if (!rc && c->frame > 0)
		from = (size_t)c->frame * n;
	for (size_t i = 0; !rc && i < n; i++)
		(*out)[i] = vt_volume_value(&v, from + i);
	vt_volume_release(&v);
	return rc;
}

static int measure_channel(struct vt_measured *out, unsigned char *mask, const struct vt_channel *c,
	const char *path, const char *mask_path, const struct labels *labels,
	const struct vt_measure_opts *opts, struct vt_err *err)
{
	double *image = NULL;
	int rc = read_channel(&image, c, path, mask_path, labels, opts->tolerance, err);

	for (int r = 0; !rc && r < out->n_regions; r++) {
		mask_of(mask, labels, r);
		rc = measure_intensities(&out->region[r], c->role, mask, image, labels, opts, err);
		if (rc)
			vt_err_prefix(err, "%s, region %d", path, r + 1);
	}
	free(image);
	return rc;
}

int vt_measure_subject(struct vt_measured *out, const struct vt_manifest *manifest,
	const char *masks, const char *scans, const char *subject,
	const struct vt_measure_opts *opts, struct vt_err *err)
{
	struct vt_measured f = { .subject = vt_xstrdup(subject), .n_regions = manifest->n_regions };
	struct labels l = { .bits = NULL };
	enum vt_label_origin origin;
	unsigned char *mask = NULL;
	char *mask_path = NULL;
	int rc = find_mask(&mask_path, manifest, masks, subject, err);

	if (!rc)
		rc = origin_of(&origin, manifest, mask_path, masks, subject, opts, err);
	if (!rc)
		rc = read_labels(&l, manifest, mask_path, origin, err);
	if (!rc && !(mask = malloc(vt_geometry_count(&l.geometry))))
		rc = vt_err_nomem(err, vt_geometry_count(&l.geometry));
	for (int r = 0; !rc && r < manifest->n_regions; r++) {
		mask_of(mask, &l, r);
		rc = measure_shape(&f.region[r], &f.voxels[r], mask, &l, opts->shape, err);
	}
	for (int c = 0; !rc && scans && c < manifest->n_channels; c++) {
		char *path = NULL;

		rc = vt_manifest_channel(&path, manifest, scans, subject, c, err);
		if (!rc)
			rc = measure_channel(&f, mask, &manifest->channel[c], path, mask_path, &l,
				opts, err);
		free(path);
	}
	free(mask);
	free(l.bits);
	free(mask_path);
	if (rc)
		vt_measured_release(&f);
	else
		*out = f;
	return rc;
}

void vt_measured_release(struct vt_measured *measured)
{
	for (int r = 0; r < measured->n_regions; r++)
		vt_features_release(&measured->region[r]);
	free(measured->subject);
	*measured = (struct vt_measured){ .subject = NULL };
}

/* --- tables -------------------------------------------------------------- */

/* The value of a feature by name; NaN if the region has none. */
static double value_of(const struct vt_features *features, const char *name, size_t guess)
{
	if (guess < features->n && !strcmp(features->v[guess].name, name))
		return features->v[guess].value;
	for (size_t i = 0; i < features->n; i++)
		if (!strcmp(features->v[i].name, name))
			return features->v[i].value;
	return NAN;
}

/* Any region's list of features that is as long as any: empty regions have fewer. */
static const struct vt_features *longest(const struct vt_measured *measured, size_t n)
{
	static const struct vt_features none = VT_FEATURES_INIT;
	const struct vt_features *best = &none;

	for (size_t i = 0; i < n; i++)
		for (int r = 0; r < measured[i].n_regions; r++)
			if (measured[i].region[r].n > best->n)
				best = &measured[i].region[r];
	return best;
}

void vt_measured_csv(struct vt_buf *out, const struct vt_measured *measured, size_t n,
	const struct vt_manifest *manifest)
{
	const struct vt_features *all = longest(measured, n);

	vt_buf_str(out, "subject,region,voxels");
	for (size_t k = 0; k < all->n; k++)
		vt_buf_printf(out, ",%s", all->v[k].name);
	vt_buf_char(out, '\n');
	for (size_t i = 0; i < n; i++)
		for (int r = 0; r < measured[i].n_regions; r++) {
			vt_csv_text(out, measured[i].subject);
			vt_buf_char(out, ',');
			vt_csv_text(out, manifest->region[r].name);
			vt_buf_printf(out, ",%zu", measured[i].voxels[r]);
			for (size_t k = 0; k < all->n; k++) {
				vt_buf_char(out, ',');
				vt_csv_real(out,
					value_of(&measured[i].region[r], all->v[k].name, k));
			}
			vt_buf_char(out, '\n');
		}
}

static struct vt_json *features_json(const struct vt_features *features)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (size_t k = 0; k < features->n; k++) {
		if (isfinite(features->v[k].value))
			vt_json_put_real(j, features->v[k].name, features->v[k].value);
		else
			vt_json_put(j, features->v[k].name, vt_json_new(VT_JSON_NULL));
	}
	return j;
}

struct vt_json *vt_measured_json(const struct vt_measured *measured, size_t n,
	const struct vt_manifest *manifest)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < n; i++) {
		struct vt_json *subject = vt_json_new(VT_JSON_OBJECT),
			       *regions = vt_json_new(VT_JSON_ARRAY);

		for (int r = 0; r < measured[i].n_regions; r++) {
			struct vt_json *region = vt_json_new(VT_JSON_OBJECT);

			vt_json_put_text(region, "region", manifest->region[r].name);
			vt_json_put_int(region, "voxels", (int64_t)measured[i].voxels[r]);
			vt_json_put(region, "features", features_json(&measured[i].region[r]));
			vt_json_push(regions, region);
		}
		vt_json_put_text(subject, "subject", measured[i].subject);
		vt_json_put(subject, "regions", regions);
		vt_json_push(list, subject);
	}
	return list;
}
