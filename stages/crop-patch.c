/* crop-patch: prepared subjects and their label maps -> one mappable container a subject.
 *
 * in   normed    <subject>/<role>.nii, mask.nii, geometry.json (skullstrip-normalize)
 *      labels    the cohort's label maps, on the subjects' native grids
 *      region    <subject>/seg.nii.gz (predict): the box is that of its labels instead of the
 *                brain's
 * out  <subject>/subject.vtp, quarantine/<subject>.json for what was refused */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/seg/crop.h"
#include "common/seg/dataset.h"
#include "common/stage/stage.h"

struct params {
	int64_t margin, multiple, least, dtype, box;
	double tolerance;
	const char *center;
};

static const char *const dtypes[] = { "f32", "f16", NULL };
static const char *const boxes[] = { "brain", "whole", NULL };

static const struct vt_port in[] = {
	{ "normed", VT_PORT_DIR, false, "output of skullstrip-normalize" },
	{ "labels", VT_PORT_DIR, true, "label maps as the manifest lays them out" },
	{ "region", VT_PORT_DIR, true,
		"output of predict: crop to the region it found instead of to the brain" },
	{ "manifest", VT_PORT_FILE, false, "what the cohort's files mean (manifests/)" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("box", box, boxes, 0,
		"what to keep: the box of the brain (or region), or the whole prepared grid"),
	VT_INT("margin", margin, 2, 0, 64, "voxel", "margin around the box"),
	VT_INT("multiple", multiple, 8, 1, 64, "voxel",
		"edges are padded with 0 to a multiple of this"),
	VT_INT("min-size", least, 0, 0, 512, "voxel",
		"edges are padded with 0 to at least this, for patches that are larger than a "
		"brain"),
	VT_TEXT("center", center, "", "voxel",
		"cut a box of this size from the middle of the grid instead of the "
		"brain's box: one edge, or z,y,x"),
	VT_REAL("tolerance", tolerance, 0.05, 0, 10, "mm",
		"largest distance of corners at which a label map counts as on the scans' grid"),
	VT_ENUM("dtype", dtype, dtypes, 0, "how channels are stored"),
	{ .name = NULL },
};

/* What the scans' coarser grid has no voxel for: said, and kept in the record. */
static struct vt_json *lost_json(const char *subject, const struct vt_label_loss *lost)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < lost->n && i < VT_LABEL_LOSSES; i++) {
		const struct vt_lost_label *l = &lost->first[i];
		struct vt_json *one = vt_json_new(VT_JSON_OBJECT), *at = vt_json_new(VT_JSON_ARRAY);

		vt_log(VT_LOG_WARN, "label",
			"subject=\"%s\" label=%d mm3=%.1f voxel=%zu,%zu,%zu "
			"note=\"smaller than a voxel of the prepared grid: lost\"",
			subject, l->label, l->mm3, l->at[0], l->at[1], l->at[2]);
		for (int a = 0; a < 3; a++)
			vt_json_push(at, vt_json_new_int((int64_t)l->at[a]));
		vt_json_put_int(one, "label", l->label);
		vt_json_put_int(one, "mm3", (int64_t)(l->mm3 + 0.5));
		vt_json_put(one, "voxel", at);
		vt_json_push(list, one);
	}
	vt_json_put_int(j, "pieces", (int64_t)lost->n);
	vt_json_put_int(j, "mm3", (int64_t)(lost->mm3 + 0.5));
	vt_json_put(j, "first", list);
	return j;
}

static int options(struct vt_crop_opts *opts, const struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);

	*opts = (struct vt_crop_opts){ .margin = (int)p->margin,
		.multiple = (int)p->multiple,
		.half = p->dtype == 1,
		.tolerance_mm = p->tolerance,
		.least = (int)p->least,
		.whole = p->box == 1 };
	if (!*p->center)
		return 0;
	if (vt_stage_input(stage_run, "region"))
		return vt_err_set(err, VT_EUSAGE,
			"--center: the box is that of --region; leave one of them out");
	return vt_parse_edges(opts->center, "center", p->center, 1, 4096, err);
}

struct cropping {
	struct vt_stage_run *r;
	struct vt_manifest *m;
	struct vt_crop_opts opts;
	struct vt_json *losses; /* by subject */
};

static int crop_one(void *ctx, const char *subject, struct vt_err *err)
{
	struct cropping *k = ctx;
	const struct vt_stage_run *r = k->r;
	char *from = vt_path_join(vt_stage_input(r, "normed"), subject),
	     *dir = vt_path_join(vt_stage_out(r), subject);
	char *path = vt_path_join(dir, "subject.vtp"), *label = NULL;
	char *region = vt_stage_input(r, "region")
		? vt_asprintf("%s/%s/seg.nii.gz", vt_stage_input(r, "region"), subject)
		: NULL;
	struct vt_label_loss lost = { .n = 0 };
	int rc = 0;

	if (vt_stage_input(r, "labels"))
		rc = vt_manifest_label(&label, k->m, vt_stage_input(r, "labels"), subject, err);
	if (!rc)
		rc = vt_fs_mkdirs(dir, err);
	if (!rc)
		rc = vt_crop_subject(&lost, path, k->m, subject, from, label, region, &k->opts,
			err);
	if (!rc && lost.n)
		vt_json_put(k->losses, subject, lost_json(subject, &lost));
	free(label);
	free(region);
	free(path);
	free(dir);
	free(from);
	return rc;
}

/* Who is refused keeps the place in the split that it would have had, which evaluate cannot know
 * from a container.  A split table that lacks the subject places nobody. */
static int write_refused(struct vt_stage_run *stage_run, const struct vt_manifest *manifest,
	struct vt_json *why, struct vt_err *err)
{
	const char *subject = vt_json_text(vt_json_get(why, "subject"), "");
	char *dir = vt_path_join(vt_stage_out(stage_run), "quarantine"),
	     *path = vt_asprintf("%s/%s.json", dir, subject);
	struct vt_err unplaced = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_split split;
	int rc = vt_fs_mkdirs(dir, err);

	if (!vt_manifest_split(&split, manifest, subject, &unplaced)) {
		vt_json_put_bool(why, "test", split.test);
		vt_json_put_int(why, "fold", split.fold);
	}
	vt_json_pretty(&text, why);
	if (!rc)
		rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	free(path);
	free(dir);
	return rc;
}

/* All of dir/quarantine, but for those who have been prepared since. */
static int pass_refused(struct vt_stage_run *stage_run, const struct vt_manifest *manifest,
	const char *from, const struct vt_strs *ids, struct vt_json *named, struct vt_err *err)
{
	char *dir = vt_path_join(from, "quarantine");
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(dir, names.v[i]), *id = vt_xstrdup(names.v[i]),
		     *end = strstr(id, ".json");
		struct vt_json *why = NULL;

		if (end && !end[5])
			*end = '\0';
		rc = vt_json_read(&why, path, err);
		if (!rc && strcmp(id, vt_json_text(vt_json_get(why, "subject"), "")))
			rc = vt_err_set(err, VT_EDATA, "%s: /subject is not the file's name", path);
		if (!rc && !vt_strs_hold(ids, id)) {
			rc = write_refused(stage_run, manifest, why, err);
			if (named)
				vt_json_push(named, vt_json_new_text(id));
		}
		vt_json_free(why);
		free(path);
		free(id);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

/* Files alone are passed over, as skullstrip-normalize does. */
static int subjects_of(struct vt_strs *ids, struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;

	if (vt_stage_is_stray(stage_run, "normed"))
		return 0;
	vt_crop_subjects(ids, vt_stage_input(stage_run, "normed"), &why);
	return vt_stage_listed(stage_run, &why, err);
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct vt_json *refused = vt_json_new(VT_JSON_ARRAY);
	struct vt_strs ids = VT_STRS_INIT;
	struct cropping k = { .r = stage_run, .losses = vt_json_new(VT_JSON_OBJECT) };
	int rc = options(&k.opts, stage_run, err);

	if (!rc)
		rc = vt_manifest_read(&k.m, vt_stage_input(stage_run, "manifest"), err);
	if (!rc)
		rc = subjects_of(&ids, stage_run, err);
	if (!rc)
		rc = vt_stage_each(stage_run, &ids, crop_one, &k, err);
	if (!rc)
		rc = pass_refused(stage_run, k.m, vt_stage_out(stage_run),
			&(const struct vt_strs)VT_STRS_INIT, NULL, err);
	if (!rc)
		rc = pass_refused(stage_run, k.m, vt_stage_input(stage_run, "normed"), &ids,
			refused, err);
	if (refused->n)
		vt_stage_note(stage_run, "refused_before", refused);
	else
		vt_json_free(refused);
	vt_stage_note(stage_run, "subjects", vt_json_new_texts(&ids));
	if (k.losses->n)
		vt_stage_note(stage_run, "labels_lost", k.losses);
	else
		vt_json_free(k.losses);
	vt_strs_release(&ids);
	vt_manifest_free(k.m);
	return rc;
}

static const struct vt_stage stage = {
	.name = "crop-patch",
	.version = "5",
	.summary = "Crops prepared subjects to the brain and maps their labels "
		   "to regions.",
	.output = "<subject>/subject.vtp: channels, regions, labels and foreground "
		  "index, for mapping into memory",
	.about = "The box of the brain is cut out with its margin, which ends where the "
		 "scan ends, and is padded with 0 on both sides to whole multiples. "
		 "train refuses a volume that is smaller than its patch; --min-size pads "
		 "it here. Label maps must lie on the scans' own grid; a map whose axes "
		 "are only flipped or permuted is reoriented. Label maps are then "
		 "reoriented as the scans were or, if scans were resampled, resampled so "
		 "that every component keeps its volume; a component too small for a "
		 "voxel of the coarser grid is reported. A label value that the manifest "
		 "does not name is refused.\n"
		 "\n"
		 "The manifest's seed and the subject's name alone decide whether a "
		 "subject is kept for testing, and its fold, so adding subjects does not "
		 "move others. train maps the container: nothing is decompressed, and "
		 "only patches are copied (docs/formats.md).",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
