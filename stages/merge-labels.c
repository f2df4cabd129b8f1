/* merge-labels: label maps of several predictions -> one map a subject, by a table of rules.
 *
 * in   a, b, c   outputs of predict: <subject>/seg.nii.gz on one grid
 * out <subject>/seg.nii.gz, quarantine/<subject>.json; who lies in quarantine/ of an input too */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/volume.h"
#include "common/seg/merge_labels.h"
#include "common/stage/stage.h"

struct params {
	const char *rules;
	int64_t otherwise;
	double tolerance;
};

static const char *const maps[] = { "a", "b", "c", NULL };

static const struct vt_port in[] = {
	{ "a", VT_PORT_DIR, false, "label maps: output of predict, or <subject>/seg.nii.gz" },
	{ "b", VT_PORT_DIR, false, "label maps of the same subjects from a second source" },
	{ "c", VT_PORT_DIR, true, "label maps from a third source" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_JSON_TEXT("rules", rules, "[{\"a\": [0, 2], \"b\": [0, 2], \"take\": \"b\"}]", "",
		"the first that applies decides: [{\"a\": [labels], \"b\": [labels], "
		"\"take\": map or label}]"),
	VT_ENUM("otherwise", otherwise, maps, 0, "map to take where no rule applies"),
	VT_REAL("tolerance", tolerance, 0.05, 0, 10, "mm",
		"largest distance of corners at which two grids count as equal"),
	{ .name = NULL },
};

/* One subject's maps; the first gives the grid. */
struct subject {
	unsigned char *map[VT_MERGE_MAPS];
	struct vt_geometry geometry;
	char *path[VT_MERGE_MAPS];
	size_t n;
};

static int read_map(struct subject *subject, int k, double tolerance, struct vt_err *err)
{
	struct vt_volume v = VT_VOLUME_INIT;
	int rc = vt_volume_read(&v, subject->path[k], VT_VOLUME_RAW, err);

	if (!rc && !k) {
		subject->geometry = v.geometry;
		subject->n = v.n;
	} else if (!rc) {
		rc = vt_geometry_same(&subject->geometry, subject->path[0], &v.geometry,
			subject->path[k], tolerance, err);
	}
	if (!rc && !(subject->map[k] = malloc(v.n + 1)))
		rc = vt_err_nomem(err, v.n);
	if (!rc && (rc = vt_volume_labels(subject->map[k], &v, err)))
		vt_err_prefix(err, "%s", subject->path[k]);
	vt_volume_release(&v);
	return rc;
}

/* Why an input has no map of the subject, where it says so. */
static int check_map(const struct vt_stage_run *stage_run, const char *port, const char *id,
	const char *path, struct vt_err *err)
{
	char *file = vt_asprintf("%s/quarantine/%s.json", vt_stage_input(stage_run, port), id);
	struct vt_json *j = NULL;
	struct vt_err none = VT_ERR_INIT;
	int rc = 0;

	if (!vt_fs_exists(path) && vt_fs_exists(file)) {
		(void)vt_json_read(&j, file, &none);
		rc = vt_err_set(err, VT_EDATA, "--%s has no map of it: quarantined by %s: %s", port,
			vt_json_text(vt_json_get(j, "stage"), "an earlier stage"),
			vt_json_text(vt_json_get(j, "reason"), "no reason given"));
	}
	vt_json_free(j);
	free(file);
	return rc;
}

struct merging {
	const struct vt_stage_run *r;
	struct vt_merge_rules *rules;
};

static int merge(void *ctx, const char *id, struct vt_err *err)
{
	const struct merging *m = ctx;
	const struct vt_stage_run *r = m->r;
	const struct params *p = vt_stage_params(r);
	char *dir = vt_path_join(vt_stage_out(r), id), *out = vt_path_join(dir, "seg.nii.gz");
	struct subject s = { .n = 0 };
	unsigned char *merged = NULL;
	int rc = 0;

	for (int k = 0; !rc && maps[k]; k++)
		if (vt_stage_input(r, maps[k])) {
			s.path[k] = vt_asprintf("%s/%s/seg.nii.gz", vt_stage_input(r, maps[k]), id);
			rc = check_map(r, maps[k], id, s.path[k], err);
			if (!rc)
				rc = read_map(&s, k, p->tolerance, err);
		}
	if (!rc && !(merged = malloc(s.n + 1)))
		rc = vt_err_nomem(err, s.n);
	if (!rc) {
		vt_merge_apply(merged, m->rules, (const unsigned char *const *)s.map, s.n);
		rc = vt_fs_mkdirs(dir, err);
	}
	if (!rc)
		rc = vt_volume_write(out, &s.geometry, VT_U8, merged, err);
	for (int k = 0; k < VT_MERGE_MAPS; k++) {
		free(s.map[k]);
		free(s.path[k]);
	}
	free(merged);
	free(out);
	free(dir);
	return rc;
}

/* quarantine/<subject>.json of an input: a subject that has no map. */
static int list_quarantined(struct vt_strs *ids, const char *root, struct vt_err *err)
{
	char *dir = vt_path_join(root, "quarantine");
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		size_t n = strlen(names.v[i]);
		char *id = n > 5 && !strcmp(names.v[i] + n - 5, ".json")
			? vt_xstrndup(names.v[i], n - 5)
			: NULL;

		if (id)
			vt_strs_add(ids, id);
		free(id);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

/* Every subject of any of the inputs, one in quarantine there too: one that an input lacks is put
 * into quarantine. */
static int list_subjects(struct vt_strs *ids, const struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	int rc = 0;

	for (int k = 0; !rc && maps[k]; k++) {
		const char *root = vt_stage_input(stage_run, maps[k]);
		struct vt_strs names = VT_STRS_INIT;

		rc = root ? vt_fs_list(&names, root, err) : 0;
		for (size_t i = 0; !rc && i < names.n; i++) {
			char *path = vt_asprintf("%s/%s/seg.nii.gz", root, names.v[i]);

			if (vt_fs_exists(path))
				vt_strs_add(ids, names.v[i]);
			free(path);
		}
		vt_strs_release(&names);
		if (!rc && root)
			rc = list_quarantined(ids, root, err);
	}
	vt_strs_unique(ids);
	if (!rc && !ids->n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no <subject>/seg.nii.gz; give outputs of predict",
			vt_stage_input(stage_run, "a"));
	return rc;
}

static int read_rules(struct vt_merge_rules **out, const struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_json *list = NULL;
	int rc = vt_json_parse(&list, p->rules, strlen(p->rules), "--rules", err);

	if (!rc)
		rc = vt_merge_parse(out, list, maps[p->otherwise], err);
	if (!rc && vt_merge_uses(*out, 2) && !vt_stage_input(stage_run, "c"))
		rc = vt_err_set(err, VT_EUSAGE, "--rules: c is used and --c is not given");
	vt_json_free(list);
	return rc;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	struct merging m = { .r = stage_run };
	int rc = read_rules(&m.rules, stage_run, err);

	if (!rc)
		rc = list_subjects(&ids, stage_run, err);
	if (!rc)
		rc = vt_stage_each(stage_run, &ids, merge, &m, err);
	vt_stage_note(stage_run, "subjects", vt_json_new_texts(&ids));
	vt_merge_free(m.rules);
	vt_strs_release(&ids);
	return rc;
}

static const struct vt_stage stage = {
	.name = "merge-labels",
	.version = "2",
	.summary = "Merges two or three label maps of each subject into one, by a table "
		   "of rules.",
	.output = "<subject>/seg.nii.gz on the grid of a's map",
	.about = "A rule applies to a voxel if each map that it names has one of the "
		 "labels that it lists. The first rule that applies says which map's "
		 "label, or which label, is written. The default is the two-pass merge "
		 "of open_brats2020's paper: B where both maps say background or edema, "
		 "otherwise A.\n"
		 "\n"
		 "A subject is quarantined if an input lacks it or has it in its own "
		 "quarantine, or if its maps are on different grids. The others are "
		 "merged, and the exit status is 65.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
