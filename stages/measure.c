/* measure: label maps, and the scans they lie on -> shape, first-order and texture features of
 * every region.
 *
 * in   masks     output of predict, or the cohort's label maps
 *      scans     intensities (optional)
 *      manifest  which file is which channel, which values make which region
 *      visits    a table of subject, patient and day (optional)
 * out measures.csv, measures.json; with visits changes.csv */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/seg/measure.h"
#include "common/stage/stage.h"

struct params {
	int64_t bins, alpha, merge, values;
	double bin_width, tolerance;
	bool shape, first_order, texture;
};

static const char *const origins[] = { "auto", "written", "stored", NULL };
static const char *const merges[] = { "average", "merge", NULL };

static const struct vt_port in[] = {
	{ "masks", VT_PORT_DIR, false,
		"label maps: output of predict, or as the manifest lays them out" },
	{ "scans", VT_PORT_DIR, true,
		"scans on the masks' grids, as the manifest lays them out; without them "
		"only shape is measured" },
	{ "manifest", VT_PORT_FILE, false,
		"says which file is which channel, and which values are which region" },
	{ "visits", VT_PORT_FILE, true,
		"CSV with columns subject, patient, day, for changes between visits; or "
		"a directory with visits.csv" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_REAL("bin-width", bin_width, 25, 1e-9, 1e9, "",
		"width of gray levels, in the scans' own units; levels begin at multiples of it"),
	VT_INT("bin-count", bins, 0, 0, VT_TEXTURE_LEVELS, "level",
		"number of gray levels between a region's minimum and maximum; 0: use --bin-width"),
	VT_ENUM("directions", merge, merges, VT_TEXTURE_AVERAGE,
		"average: mean of each direction's feature; merge: feature of their summed matrix"),
	VT_INT("gldm-alpha", alpha, 0, 0, VT_TEXTURE_LEVELS, "level",
		"largest difference of gray levels that counts as dependence"),
	VT_BOOL("shape", shape, true, "measure shape"),
	VT_BOOL("first-order", first_order, true, "measure the distribution of intensities"),
	VT_BOOL("texture", texture, true, "measure the texture matrices"),
	VT_REAL("tolerance", tolerance, 0.05, 0, 10, "mm",
		"largest distance of corners at which a mask's and a scan's grid count as equal"),
	VT_ENUM("values", values, origins, VT_VALUES_AUTO,
		"meaning of the masks' values: written: as predict writes them; stored: "
		"as in the cohort's files, before the manifest's label map; auto: "
		"written for <subject>/seg.nii.gz"),
	{ .name = NULL },
};

static int write_changes(struct vt_stage_run *stage_run, const struct vt_measured *measured,
	size_t n, const struct vt_manifest *manifest, const struct vt_visit *visit, size_t n_visits,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	vt_changes_csv(&text, measured, n, manifest, visit, n_visits);
	rc = vt_stage_write(stage_run, "changes.csv", &text, err);
	vt_buf_release(&text);
	return rc;
}

static int write_tables(struct vt_stage_run *stage_run, const struct vt_measured *measured,
	size_t n, const struct vt_manifest *manifest, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	int rc;

	vt_measured_csv(&text, measured, n, manifest);
	rc = vt_stage_write(stage_run, "measures.csv", &text, err);
	vt_buf_clear(&text);
	vt_json_put_int(j, "format", 1);
	vt_json_put(j, "subjects", vt_measured_json(measured, n, manifest));
	vt_json_pretty(&text, j);
	vt_buf_char(&text, '\n');
	if (!rc)
		rc = vt_stage_write(stage_run, "measures.json", &text, err);
	vt_json_free(j);
	vt_buf_release(&text);
	return rc;
}

struct measuring {
	const struct vt_stage_run *r;
	const struct vt_manifest *manifest;
	struct vt_measure_opts o;
	struct vt_measured *m;
	size_t *n;
};

static int measure_one(void *ctx, const char *subject, struct vt_err *err)
{
	const struct measuring *k = ctx;
	int rc = vt_measure_subject(&k->m[*k->n], k->manifest, vt_stage_input(k->r, "masks"),
		vt_stage_input(k->r, "scans"), subject, &k->o, err);

	*k->n += !rc;
	return rc;
}

static int measure_all(struct vt_stage_run *stage_run, struct vt_measured *measured, size_t *n,
	const struct vt_manifest *manifest, const struct vt_strs *ids, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct measuring k = { stage_run, manifest,
		{ { p->bin_width, (int)p->bins, (enum vt_texture_merge)p->merge, (int)p->alpha },
			p->shape, p->first_order, p->texture, p->tolerance,
			(enum vt_measure_values)p->values },
		measured, n };

	int rc = vt_stage_each(stage_run, ids, measure_one, &k, err);

	vt_stage_note(stage_run, "subjects", vt_json_new_texts(ids));
	return rc;
}

/* The table itself, or visits.csv in a directory. */
static int read_visits(struct vt_visit **visit, size_t *n, const char *port, struct vt_err *err)
{
	char *path = vt_fs_is_dir(port) ? vt_path_join(port, "visits.csv") : vt_xstrdup(port);
	int rc = vt_visits_read(visit, n, path, err);

	free(path);
	return rc;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_manifest *manifest = NULL;
	struct vt_measured *m = NULL;
	struct vt_visit *visit = NULL;
	size_t n = 0, n_visits = 0;
	int rc = vt_manifest_read(&manifest, vt_stage_input(stage_run, "manifest"), err);

	if (!rc && !p->shape && !vt_stage_input(stage_run, "scans"))
		rc = vt_err_set(err, VT_EUSAGE,
			"--shape false leaves nothing to measure without --scans");
	if (!rc && vt_stage_input(stage_run, "visits"))
		rc = read_visits(&visit, &n_visits, vt_stage_input(stage_run, "visits"), err);
	if (!rc)
		rc = vt_measure_subjects(&ids, manifest, vt_stage_input(stage_run, "masks"), err);
	m = vt_xcalloc(ids.n + 1, sizeof(*m));
	if (!rc)
		rc = measure_all(stage_run, m, &n, manifest, &ids, err);
	if (!rc)
		rc = write_tables(stage_run, m, n, manifest, err);
	if (!rc && visit)
		rc = write_changes(stage_run, m, n, manifest, visit, n_visits, err);
	for (size_t i = 0; i < n; i++)
		vt_measured_release(&m[i]);
	free(m);
	vt_visits_free(visit, n_visits);
	vt_strs_release(&ids);
	vt_manifest_free(manifest);
	return rc;
}

static const struct vt_stage stage = {
	.name = "measure",
	.version = "3",
	.summary = "Measures shape, intensities and texture of every region of label maps.",
	.output = "measures.csv, measures.json: one row per subject and region; "
		  "changes.csv with --visits",
	.about = "Features are those of the Image Biomarker Standardization Initiative "
		 "under the names of pyradiomics (docs/measures.md has both and the "
		 "formulas). Regions are the manifest's; the name of a scan's feature "
		 "begins with the channel's role, such as flair_glcm_Contrast. "
		 "Intensities are those of the unprocessed scans. If their unit has no "
		 "meaning, as in MRI, use --bin-count.\n"
		 "\n"
		 "An empty region has volume 0 and no other feature (an empty cell, or "
		 "null). With --visits, every later visit of a patient is compared with "
		 "the first one and with the previous one.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
