/* cohort-spacing: a cohort's scans -> its manifest with the median or mean voxel spacing.
 *
 * in   scans     all subjects of a commit
 *      manifest  what the cohort's files mean
 * out  manifest.json, spacing.csv; quarantine/<subject>.json for whose header cannot be read
 *
 * A stage of its own, so that the stages behind it still take one subject a datum. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/base/text_out.h"
#include "common/base/sort.h"
#include "common/image/intensity.h"
#include "common/seg/cohort.h"
#include "common/stage/stage.h"

struct params {
	int64_t of;
};

enum { MEDIAN, MEAN };
static const char *const kinds[] = { "median", "mean", NULL };

static const struct vt_port in[] = {
	{ "scans", VT_PORT_DIR, false, "all subjects, as the manifest lays them out" },
	{ "manifest", VT_PORT_FILE, false, "which file is which channel" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("of", of, kinds, MEDIAN, "statistic over the subjects, for each axis"),
	{ .name = NULL },
};

/* Spacings of the subjects that can be read, by axis, and the table. */
struct cohort {
	const char *scans;
	struct vt_manifest *m;
	double *axis[3];
	size_t n;
	struct vt_buf table;
};

static int read_one(void *ctx, const char *subject, struct vt_err *err)
{
	struct cohort *c = ctx;
	double mm[3];
	int rc = vt_cohort_subject_spacing(mm, c->m, c->scans, subject, err);

	if (rc)
		return rc;
	vt_csv_text(&c->table, subject);
	for (int a = 0; a < 3; a++) {
		char text[32];

		vt_json_real_text(text, mm[a]);
		vt_buf_printf(&c->table, ",%s", text);
		c->axis[a][c->n] = mm[a];
	}
	vt_buf_char(&c->table, '\n');
	c->n++;
	return 0;
}

static int read_all(struct cohort *c, struct vt_stage_run *stage_run, const struct vt_strs *ids,
	struct vt_err *err)
{
	int rc;

	vt_buf_str(&c->table, "subject,right_mm,anterior_mm,superior_mm\n");
	rc = vt_stage_each(stage_run, ids, read_one, c, err);
	if (!rc && !c->n)
		rc = vt_err_set(err, VT_EDATA, "%s: no subject's spacing can be read", c->scans);
	return rc;
}

/* To 0.0001 mm: headers hold 32-bit numbers, and what differs behind that is no other grid. */
static double taken(double *v, size_t n, int64_t of)
{
	double sum = 0, value;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	vt_sort_doubles(v, n);
	value = of == MEAN ? sum / (double)n : vt_percentile_sorted(v, n, 50);
	return floor(value * 1e4 + 0.5) / 1e4;
}

static int write_all(const struct vt_stage_run *stage_run, struct cohort *c, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_json *j = vt_json_copy(c->m->json), *mm = vt_json_new(VT_JSON_ARRAY);
	int rc;

	for (int a = 0; a < 3; a++)
		vt_json_push(mm, vt_json_new_real(taken(c->axis[a], c->n, p->of)));
	vt_json_put(j, "spacing_mm", mm);
	rc = vt_stage_write_json(stage_run, "manifest.json", j, err);
	return rc ? rc : vt_stage_write(stage_run, "spacing.csv", &c->table, err);
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct cohort c = { .scans = vt_stage_input(stage_run, "scans"), .table = VT_BUF_INIT };
	struct vt_strs ids = VT_STRS_INIT;
	int rc = vt_manifest_read(&c.m, vt_stage_input(stage_run, "manifest"), err);

	if (!rc)
		rc = vt_manifest_subjects(&ids, c.m, c.scans, err);
	for (int a = 0; a < 3; a++)
		c.axis[a] = vt_xcalloc(ids.n + 1, sizeof(double));
	if (!rc)
		rc = read_all(&c, stage_run, &ids, err);
	if (!rc)
		rc = write_all(stage_run, &c, err);
	for (int a = 0; a < 3; a++)
		free(c.axis[a]);
	vt_buf_release(&c.table);
	vt_strs_release(&ids);
	vt_manifest_free(c.m);
	return rc;
}

static const struct vt_stage stage = {
	.name = "cohort-spacing",
	.version = "1",
	.summary = "Writes a cohort's median or mean voxel spacing into its manifest.",
	.output = "manifest.json: the manifest with spacing_mm; spacing.csv: each subject's",
	.about = "The spacing is read from the header of each subject's first channel, "
		 "along right, anterior and superior. The result is rounded to 0.0001 mm. Stages "
		 "that take this manifest resample each subject to that spacing on its own. A "
		 "pipeline can therefore still have one subject per datum, and a new subject "
		 "causes the others to be prepared again only if the spacing changes.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
