#include "common/seg/cohort.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/sort.h"
#include "common/image/intensity.h"
#include "common/image/volume.h"

int vt_cohort_subject_spacing(double out[3], const struct vt_manifest *manifest, const char *root,
	const char *subject, struct vt_err *err)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_placement p;
	char *path = NULL;
	int rc = vt_manifest_channel(&path, manifest, root, subject, 0, err);

	if (!rc)
		rc = vt_volume_read(&v, path, VT_VOLUME_HEADER | VT_VOLUME_FRAMES, err);
	if (!rc) {
		vt_placement_canonical(&p, &v.geometry);
		for (int a = 0; a < 3; a++)
			out[a] = p.full.spacing[a];
	}
	vt_volume_release(&v);
	free(path);
	return rc;
}

int vt_cohort_spacing(double out[3], const struct vt_manifest *manifest, const char *root,
	const struct vt_strs *ids, struct vt_err *err)
{
	double *axis[3], one[3];
	struct vt_err why = VT_ERR_INIT;
	size_t n = 0;

	for (int a = 0; a < 3; a++)
		axis[a] = vt_xmalloc((ids->n + 1) * sizeof(double));
	for (size_t i = 0; i < ids->n; i++) {
		struct vt_err here = VT_ERR_INIT;

		if (vt_cohort_subject_spacing(one, manifest, root, ids->v[i], &here)) {
			why = here;
			continue;
		}
		for (int a = 0; a < 3; a++)
			axis[a][n] = one[a];
		n++;
	}
	for (int a = 0; a < 3; a++) {
		vt_sort_doubles(axis[a], n);
		out[a] = n ? vt_percentile_sorted(axis[a], n, 50) : 0;
		free(axis[a]);
	}
	return n ? 0
		 : vt_err_set(err, VT_EDATA, "no subject's spacing can be read; the last: %s",
			   why.text);
}

/* Where one subject's files are. */
struct files {
	struct vt_prepare_channel channel[VT_MAX_CHANNELS];
	char *path[VT_MAX_CHANNELS], *mask;
};

/* What skullstrip-normalize wrote must not be prepared a second time: VT_EDATA where its
 * geometry.json lies beside the scan. */
static int check_raw(const char *path, const char *subject, struct vt_err *err)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? vt_xstrndup(path, (size_t)(slash - path)) : vt_xstrdup("."),
	     *geometry = vt_path_join(dir, "geometry.json");
	struct vt_err unread = VT_ERR_INIT;
	struct vt_json *j = NULL;

	if (vt_fs_exists(geometry) && !vt_json_read(&j, geometry, &unread) &&
		!strcmp(vt_json_text(vt_json_get(j, "format"), ""), VT_GEOMETRY_FORMAT))
		vt_err_set(err, VT_EDATA,
			"subject %s: %s is already prepared, as %s in the same directory "
			"says; give the raw scans here, and the output of "
			"skullstrip-normalize to crop-patch --normed",
			subject, path, geometry);
	vt_json_free(j);
	free(geometry);
	free(dir);
	return err->code;
}

static int find_files(struct files *files, const char *subject, const char *root,
	const struct vt_manifest *manifest, struct vt_err *err)
{
	int rc;

	memset(files, 0, sizeof(*files));
	rc = vt_manifest_mask(&files->mask, manifest, root, subject, err);
	for (int c = 0; c < manifest->n_channels && !rc; c++) {
		rc = vt_manifest_channel(&files->path[c], manifest, root, subject, c, err);
		if (!rc)
			rc = check_raw(files->path[c], subject, err);
		files->channel[c] = (struct vt_prepare_channel){ manifest->channel[c].role,
			files->path[c], manifest->channel[c].frame };
	}
	return rc;
}

static void forget_files(struct files *files)
{
	for (int c = 0; c < VT_MAX_CHANNELS; c++)
		free(files->path[c]);
	free(files->mask);
}

int vt_cohort_prepare(const char *dir, const char *subject, const char *root,
	const struct vt_manifest *manifest, const struct vt_prepare_opts *all,
	struct vt_prepare_report *report, struct vt_err *err)
{
	struct vt_prepare_opts opts = *all;
	struct files f;
	int rc = find_files(&f, subject, root, manifest, err);

	opts.mask_path = f.mask;
	if (!rc)
		rc = vt_fs_mkdirs(dir, err);
	if (!rc)
		rc = vt_prepare_subject(dir, subject, f.channel, (size_t)manifest->n_channels,
			&opts, report, err);
	forget_files(&f);
	return rc;
}

int vt_cohort_load(struct vt_prepared *out, const char *subject, const char *root,
	const struct vt_manifest *manifest, const struct vt_prepare_opts *all, struct vt_err *err)
{
	struct vt_prepare_opts opts = *all;
	struct vt_prepare_report report;
	struct files f;
	int rc = find_files(&f, subject, root, manifest, err);

	opts.mask_path = f.mask;
	if (!rc)
		rc = vt_prepare_load(out, subject, f.channel, (size_t)manifest->n_channels, &opts,
			&report, err);
	forget_files(&f);
	return rc;
}
