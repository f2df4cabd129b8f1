/* map_files.c - label maps that lie in files, whoever made them, beside the cohort's own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/seg/evaluator_internal.h"
#include "common/seg/label_file.h"

static const double grid_tolerance_mm = 0.05;

struct maps {
	const struct vt_manifest *m;
	const struct vt_map_files *files;
	const struct vt_evaluate_opts *o;
	struct vt_strs patterns; /* of a prediction, in order */
};

/* A label map of a file: values on the file's own grid, its digest. */
struct map {
	struct vt_geometry grid;
	uint8_t *labels;
	char sha256[VT_HEX];
};

static int read_map(struct map *out, const struct vt_manifest *manifest, const char *path,
	enum vt_label_origin origin, struct vt_err *err)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_digest digest;
	uint64_t size;
	int rc = vt_digest_file(&digest, &size, path, err);

	if (!rc)
		rc = vt_volume_read(&v, path, VT_VOLUME_RAW, err);
	if (!rc) {
		vt_digest_hex(out->sha256, &digest);
		out->grid = v.geometry;
		out->labels = vt_xmalloc(v.n);
		rc = vt_label_values(out->labels, manifest, &v, origin, err);
		if (rc)
			vt_err_prefix(err, "%s", path);
	}
	vt_volume_release(&v);
	return rc;
}

/* A prediction whose axes are only turned goes to the reference's, voxel by voxel. */
static int turn_to(struct map *map, const struct map *r, const char *path, const char *label,
	struct vt_err *err)
{
	struct vt_placement from, to;
	uint8_t *work, *turned;
	const uint8_t none = 0;
	int rc;

	vt_placement_canonical(&from, &map->grid);
	vt_placement_canonical(&to, &r->grid);
	if (vt_geometry_gap(&map->grid, &r->grid) <= grid_tolerance_mm)
		return 0;
	rc = vt_geometry_same(&to.full, label, &from.full, path, grid_tolerance_mm, err);
	if (rc)
		return rc;
	work = vt_xmalloc(vt_geometry_count(&from.work));
	turned = vt_xmalloc(vt_geometry_count(&r->grid));
	rc = vt_placement_gather(&from, work, map->labels, 1, err);
	if (!rc)
		rc = vt_geometry_paste(turned, &to, work, 1, &none, err);
	free(work);
	free(map->labels);
	map->labels = turned;
	return rc;
}

/* A value that the manifest does not name is the prediction's fault: the reference still counts. */
static int check_values(const struct map *map, const struct vt_manifest *manifest, const char *path,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(&map->grid);
	uint8_t *bits = vt_xmalloc(n);
	int rc = vt_manifest_regions(bits, manifest, map->labels, n, err);

	free(bits);
	return rc ? vt_err_prefix(err, "%s", path) : 0;
}

static char *find_prediction(const struct maps *k, const char *subject)
{
	for (size_t i = 0; i < k->patterns.n; i++) {
		char *rel = vt_manifest_fill(k->m, k->patterns.v[i], subject),
		     *path = rel ? vt_path_join(k->files->predictions, rel) : NULL;

		free(rel);
		if (path && vt_fs_exists(path))
			return path;
		free(path);
	}
	return NULL;
}

/* Region bits on the canonical grid, for a picture. */
static uint8_t *picture_bits(const struct maps *k, const uint8_t *labels,
	const struct vt_placement *to)
{
	size_t n = vt_geometry_count(&to->work);
	uint8_t *out = vt_xmalloc(n);
	struct vt_err none = VT_ERR_INIT;

	if (vt_placement_gather(to, out, labels, 1, &none) ||
		vt_manifest_regions(out, k->m, out, n, &none))
		memset(out, 0, n);
	return out;
}

static void keep_picture(struct vt_subject_score *score, const struct maps *k,
	const struct map *map, const struct map *r)
{
	struct vt_placement to;

	vt_placement_canonical(&to, &r->grid);
	score->found = picture_bits(k, map->labels, &to);
	score->truth = picture_bits(k, r->labels, &to);
	score->grid = to.work.grid;
}

static int score_pair(struct vt_subject_score *score, const struct maps *k,
	const uint8_t *predicted, const struct map *map, struct vt_err *err)
{
	size_t n = vt_geometry_count(&map->grid);
	uint8_t *nothing = predicted ? NULL : vt_xcalloc(n, 1);
	struct vt_label_pair pair = { predicted ? predicted : nothing, map->labels,
		map->grid.grid };
	int rc = vt_score_pair(score->region, k->m, &pair, &k->o->score, err);

	score->diagonal_mm = vt_score_diagonal(&pair);
	if (!predicted)
		pair.predicted = NULL;
	if (!rc)
		vt_score_digests(score, &pair);
	free(nothing);
	return rc;
}

/* Reads and scores one subject; score->absent says why where there is no prediction. */
static int score_files(struct vt_subject_score *score, const struct maps *k, bool pictured,
	struct vt_err *err)
{
	struct map r = { .labels = NULL }, p = { .labels = NULL };
	struct vt_err bad = VT_ERR_INIT;
	char *label = NULL, *path = find_prediction(k, score->subject);
	int rc = vt_manifest_label(&label, k->m, k->files->labels, score->subject, err);

	if (!rc)
		rc = read_map(&r, k->m, label, VT_LABELS_STORED, err);
	if (!rc && path && !read_map(&p, k->m, path, VT_LABELS_WRITTEN, &bad) &&
		!turn_to(&p, &r, path, label, &bad) && !check_values(&p, k->m, path, &bad))
		rc = score_pair(score, k, p.labels, &r, err);
	else if (!rc)
		rc = score_pair(score, k, NULL, &r, err);
	if (!rc && path && !bad.code && pictured)
		keep_picture(score, k, &p, &r);
	if (!rc && !path)
		score->absent = vt_asprintf("no label map of it below %s", "the predictions");
	if (!rc) {
		memcpy(score->reference_file_sha256, r.sha256, VT_HEX);
		memcpy(score->predicted_file_sha256, p.sha256, VT_HEX);
	}
	if (!rc && bad.code) {
		*err = bad;
		rc = bad.code;
	}
	free(r.labels);
	free(p.labels);
	free(label);
	free(path);
	return rc;
}

static void list_patterns(struct maps *k)
{
	static const char *const usual[] = { "{subject}/seg.nii.gz", "{subject}/seg.nii",
		"{subject}.nii.gz", "{subject}.nii" };

	if (*k->files->pattern) {
		vt_strs_add(&k->patterns, k->files->pattern);
		return;
	}
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		vt_strs_add(&k->patterns, usual[i]);
	for (size_t i = 0; i < k->m->label_files.n; i++)
		vt_strs_add(&k->patterns, k->m->label_files.v[i]);
}

/* Subjects with a reference that are asked for, and those that are expected. */
static int choose(struct vt_strs *ids, const struct maps *k, struct vt_err *err)
{
	struct vt_strs all = VT_STRS_INIT;
	int rc = vt_manifest_labeled(&all, k->m, k->files->labels, err);

	for (size_t i = 0; !rc && i < all.n; i++) {
		struct vt_split split = { true, 0 };

		if (k->o->which == VT_WHICH_TEST)
			rc = vt_manifest_split(&split, k->m, all.v[i], err);
		if (split.test)
			vt_strs_add(ids, all.v[i]);
	}
	for (size_t i = 0; !rc && k->o->expected && i < k->o->expected->n; i++)
		vt_strs_add(ids, k->o->expected->v[i]);
	vt_strs_unique(ids);
	if (!rc && !all.n && !ids->n)
		rc = vt_err_set(err, VT_EDATA,
			"%s: no label map lies there as manifest %s lays them out (/label/files); "
			"`voxtrail manifest DIR --check FILE` shows what was found",
			k->files->labels, k->m->name);
	else if (!rc && !ids->n)
		rc = vt_err_set(err, VT_EDATA,
			"%s: nobody is to be scored: %zu subjects have a label map, none is a test "
			"subject of manifest %s; give --subjects all",
			k->files->labels, all.n, k->m->name);
	vt_strs_release(&all);
	return rc;
}

/* A directory in which nobody is found is a wrong one, unless it says whom it refused. */
static int check_found(const struct maps *k, const struct vt_strs *ids, struct vt_err *err)
{
	char *refused = vt_path_join(k->files->predictions, "quarantine"), *path = NULL;
	struct vt_buf looked = VT_BUF_INIT;
	int rc = 0;

	for (size_t i = 0; !path && i < ids->n; i++)
		path = find_prediction(k, ids->v[i]);
	for (size_t i = 0; i < k->patterns.n; i++)
		vt_buf_printf(&looked, "%s%s", i ? ", " : "", k->patterns.v[i]);
	if (!path && !vt_fs_is_dir(refused))
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no label map of any of the %zu subjects lies there (looked for: %s); "
			"give another directory, or --pattern",
			k->files->predictions, ids->n, looked.data);
	vt_buf_release(&looked);
	free(refused);
	free(path);
	return rc;
}

/* Label maps below the predictions that no reference stands beside. */
static int name_unreferenced(struct vt_json *out, const struct maps *k, const struct vt_strs *ids,
	struct vt_err *err)
{
	struct vt_strs all = VT_STRS_INIT;
	int rc = vt_manifest_matching(&all, k->m, &k->patterns, k->files->predictions, err);

	for (size_t i = 0; !rc && i < all.n; i++) {
		struct vt_err none = VT_ERR_INIT;
		char *label = NULL, *path = NULL;

		if (!vt_strs_hold(ids, all.v[i]) &&
			vt_manifest_label(&label, k->m, k->files->labels, all.v[i], &none))
			path = find_prediction(k, all.v[i]);
		if (path) {
			vt_json_push(out, vt_json_new_text(all.v[i]));
			vt_log(VT_LOG_WARN, "no-reference",
				"subject=\"%s\" why=\"its label map has no reference below "
				"--labels\" scored=no",
				all.v[i]);
		}
		free(label);
		free(path);
	}
	vt_strs_release(&all);
	return rc;
}

int vt_evaluate_maps(struct vt_evaluation *out, const struct vt_manifest *manifest,
	const struct vt_map_files *files, const struct vt_evaluate_opts *opts,
	int (*refused)(void *ctx, const char *subject, const struct vt_err *why,
		struct vt_err *err),
	void *ctx, struct vt_err *err)
{
	struct vt_evaluation e = { .manifest = manifest };
	struct maps k = { manifest, files, opts, VT_STRS_INIT };
	struct vt_strs ids = VT_STRS_INIT;
	int rc = choose(&ids, &k, err);

	list_patterns(&k);
	if (!rc)
		rc = check_found(&k, &ids, err);
	e.subject = vt_evaluation_subjects(ids.n, manifest->n_regions);
	e.on_host = vt_json_new(VT_JSON_ARRAY);
	e.scored = vt_json_copy(opts->scored);
	for (; !rc && e.n < ids.n; e.n++) {
		struct vt_subject_score *s = &e.subject[e.n];
		struct vt_err why = VT_ERR_INIT;

		s->subject = vt_xstrdup(ids.v[e.n]);
		s->role = "";
		rc = score_files(s, &k, e.n < VT_PICTURES, &why);
		if (rc == VT_EDATA || rc == VT_ENOINPUT) {
			s->absent = vt_xstrdup(why.text);
			rc = refused(ctx, s->subject, &why, err);
		} else if (rc) {
			*err = why;
		} else if (!s->absent) {
			vt_log(VT_LOG_INFO, "subject", "id=\"%s\" dice=%.4f hd95=%.2f", s->subject,
				s->region[0].overlap.dice, s->region[0].surface.hd95);
		}
	}
	if (!rc)
		rc = name_unreferenced(e.unreferenced = vt_json_new(VT_JSON_ARRAY), &k, &ids, err);
	vt_strs_release(&ids);
	vt_strs_release(&k.patterns);
	if (rc) {
		vt_evaluation_release(&e);
		return rc;
	}
	vt_evaluation_settle(&e, opts);
	*out = e;
	return 0;
}
