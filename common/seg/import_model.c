#include "common/seg/import_model.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/prepare.h"
#include "common/nn/model.h"
#include "common/nn/weights.h"
#include "common/seg/checkpoint.h"
#include "common/seg/published.h"
#include "common/seg/trainer.h"

/* neuroneural/brainchop 4c87885; classes by number, "background" is 0. */
static const struct known {
	const char *name, *variant;
	int classes;
	const char *label[3]; /* where there are up to three */
	enum vt_published_normalize normalize;
} known[] = {
	{ "brainchop/model5_gw_ae", "model5_gw_ae", 3,
		{ "background", "white matter", "gray matter" }, VT_PUBLISHED_RANGE },
	{ "brainchop/model11_gw_ae", "model11_gw_ae", 3,
		{ "background", "white matter", "gray matter" }, VT_PUBLISHED_RANGE },
	{ "brainchop/model20chan3cls", "model20chan3cls", 3,
		{ "background", "white matter", "gray matter" }, VT_PUBLISHED_QUANTILE },
	{ "brainchop/model18cls", "model18cls", 18, { NULL }, VT_PUBLISHED_RANGE },
	{ "brainchop/model30chan18cls", "model30chan", 18, { NULL }, VT_PUBLISHED_QUANTILE },
	{ "brainchop/model30chan50cls", "model30chan", 50, { NULL }, VT_PUBLISHED_QUANTILE },
	{ "brainchop/model21_104class", "model21_104class", 104, { NULL }, VT_PUBLISHED_RANGE },
	{ "brainchop/mindgrab", "mindgrab", 2, { "background", "brain" }, VT_PUBLISHED_QUANTILE },
};

enum { N_KNOWN = sizeof(known) / sizeof(known[0]) };

/* --- what it is ---------------------------------------------------------- */

static int read_known(struct vt_published *published, const char *name, struct vt_err *err)
{
	struct vt_buf all = VT_BUF_INIT;

	for (int i = 0; i < N_KNOWN; i++) {
		const struct known *k = &known[i];
		struct vt_json *output = vt_json_new(VT_JSON_OBJECT),
			       *labels = vt_json_new(VT_JSON_ARRAY);

		vt_buf_printf(&all, "%s%s", i ? ", " : "", k->name);
		for (int c = 0; c < 3 && k->label[c]; c++)
			vt_json_push(labels, vt_json_new_text(k->label[c]));
		vt_json_put(output, "labels", labels);
		if (strcmp(k->name, name)) {
			vt_json_free(output);
			continue;
		}
		*published = (struct vt_published){ .json = vt_json_new(VT_JSON_OBJECT),
			.params = vt_json_new(VT_JSON_OBJECT),
			.name = vt_xstrdup(k->variant),
			.size = VT_CONFORM_SIZE,
			.mm = 1,
			.classes = k->classes,
			.normalize = k->normalize,
			.quantile = { 2, 98 } };
		vt_json_put(published->json, "output", output);
		vt_json_put_text(published->params, "variant", k->variant);
		vt_buf_release(&all);
		return 0;
	}
	vt_err_set(err, VT_EUSAGE, "--known=%s: there are %s", name, all.data);
	vt_buf_release(&all);
	return err->code;
}

/* What a checkpoint can prepare: the conformed cube, scaled by its range or by 2 and 98 percent. */
static int check_preparation(const struct vt_published *published, struct vt_err *err)
{
	if (published->size != VT_CONFORM_SIZE || published->mm != 1)
		return vt_err_set(err, VT_EDATA,
			"model.json: /input is %zu voxels of %g mm a side; a checkpoint conforms "
			"scans to 256 of 1 mm",
			published->size, published->mm);
	if (published->normalize == VT_PUBLISHED_QUANTILE &&
		(published->quantile[0] != 2 || published->quantile[1] != 98))
		return vt_err_set(err, VT_EDATA,
			"model.json: /normalize has quantiles %g and %g percent; scans can be "
			"scaled by 2 and 98",
			published->quantile[0], published->quantile[1]);
	return 0;
}

/* --- checkpoint.json ----------------------------------------------------- */

/* "White Matter" -> "white-matter": regions become names of files. */
static char *region_name(const struct vt_published *published, int c)
{
	const char *given = vt_published_class(published, c);
	char *name = given ? vt_xstrdup(given) : vt_asprintf("class-%d", c);

	for (char *p = name; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '-';
	return name;
}

static struct vt_json *list_of(const char *text)
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);

	vt_json_push(j, vt_json_new_text(text));
	return j;
}

static void add_region(struct vt_json *regions, struct vt_json *values, struct vt_json *names,
	struct vt_json *map, const struct vt_published *published, int c)
{
	struct vt_json *region = vt_json_new(VT_JSON_OBJECT), *own = vt_json_new(VT_JSON_ARRAY),
		       *row = vt_json_new(VT_JSON_OBJECT);
	char *name = region_name(published, c), *value = vt_asprintf("%d", c);

	vt_json_push(own, vt_json_new_int(c));
	vt_json_put_text(region, "name", name);
	vt_json_put(region, "values", own);
	vt_json_push(regions, region);
	vt_json_put_text(values, value, name);
	vt_json_push(names, vt_json_new_text(name));
	vt_json_put_text(row, "region", name);
	vt_json_put_int(row, "value", c);
	vt_json_push(map, row);
	free(name);
	free(value);
}

/* Classes exclude each other: a region each, its value the class's number. */
static struct vt_json *manifest_json(struct vt_json *names, struct vt_json *map,
	const struct vt_published *published, const char *role)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *channel = vt_json_new(VT_JSON_OBJECT),
		       *channels = vt_json_new(VT_JSON_ARRAY), *label = vt_json_new(VT_JSON_OBJECT),
		       *values = vt_json_new(VT_JSON_OBJECT), *regions = vt_json_new(VT_JSON_ARRAY),
		       *spacing = vt_json_new(VT_JSON_ARRAY);
	char *file = vt_asprintf("{subject}/%s.nii.gz", role);

	vt_json_put_text(values, "0", "background");
	for (int c = 1; c < published->classes; c++)
		add_region(regions, values, names, map, published, c);
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "name", published->name);
	vt_json_put_text(channel, "role", role);
	vt_json_put(channel, "files", list_of(file));
	vt_json_push(channels, channel);
	vt_json_put(j, "channels", channels);
	vt_json_put(label, "files", list_of("{subject}/seg.nii.gz"));
	vt_json_put(label, "values", values);
	vt_json_put(j, "label", label);
	if (published->classes > VT_OVERLAPPING_REGIONS + 1)
		vt_json_put_bool(j, "exclusive", true);
	vt_json_put(j, "regions", regions);
	for (int a = 0; a < 3; a++)
		vt_json_push(spacing, vt_json_new_int(1));
	vt_json_put(j, "spacing_mm", spacing);
	free(file);
	return j;
}

static struct vt_json *settings_json(const struct vt_published *published)
{
	struct vt_prepare_opts o = VT_PREPARE_OPTS_DEFAULT;

	o.strip = VT_STRIP_NEVER;
	o.normalize =
		published->normalize == VT_PUBLISHED_RANGE ? VT_NORM_MINMAX : VT_NORM_CLIP_QUANTILE;
	o.conform = VT_CONFORM_UCHAR;
	return vt_prepare_settings(&o);
}

static struct vt_json *crop_json(void)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "margin", 0);
	vt_json_put_int(j, "multiple", 1);
	vt_json_put_int(j, "min_size", 0);
	vt_json_put_text(j, "dtype", "f32");
	vt_json_put_bool(j, "region", false);
	vt_json_put_bool(j, "whole", true);
	return j;
}

static struct vt_json *three(int64_t v)
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);

	for (int a = 0; a < 3; a++)
		vt_json_push(j, vt_json_new_int(v));
	return j;
}

static struct vt_json *checkpoint_json(const struct vt_published *published,
	const struct vt_import_opts *opts, size_t parameters)
{
	static const char *const roles[] = { "train", "validation", "test" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *model = vt_json_new(VT_JSON_OBJECT),
		       *names = vt_json_new(VT_JSON_ARRAY), *map = vt_json_new(VT_JSON_ARRAY),
		       *subjects = vt_json_new(VT_JSON_OBJECT), *best = vt_json_new(VT_JSON_OBJECT),
		       *manifest = manifest_json(names, map, published, opts->role);

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "version", opts->version);
	vt_json_put_text(j, "published", published->name);
	vt_json_put_text(model, "name", "meshnet");
	vt_json_put(model, "params", vt_json_copy(published->params));
	vt_json_put_int(model, "parameters", (int64_t)parameters);
	vt_json_put(j, "model", model);
	vt_json_put(j, "channels", list_of(opts->role));
	vt_json_put(j, "regions", names);
	vt_json_put_text(j, "activation", "softmax");
	vt_json_put(j, "patch", three(VT_CONFORM_SIZE));
	vt_json_put_text(j, "precision", "f32");
	vt_json_put_int(j, "steps", 0);
	vt_json_put_int(j, "fold", -1);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		vt_json_put(subjects, roles[i], vt_json_new(VT_JSON_ARRAY));
	vt_json_put(j, "subjects", subjects);
	vt_json_put(j, "parent", vt_json_new(VT_JSON_NULL));
	vt_json_put_int(best, "step", 0);
	vt_json_put(best, "dice", vt_json_new(VT_JSON_NULL));
	vt_json_put(j, "best", best);
	vt_json_put(j, "spacing_mm", three(1));
	vt_json_put_text(j, "axis_order", "z, y, x");
	vt_json_put(j, "label_map", map);
	vt_json_put(j, "crop", crop_json());
	vt_json_put(j, "settings", settings_json(published));
	vt_json_put(j, "manifest", manifest);
	return j;
}

/* --- weights ------------------------------------------------------------- */

/* The smallest patch: weights do not depend on it. */
static int load(struct vt_graph **graph, struct vt_session **session,
	struct vt_weights_report *report, const struct vt_published *published, const char *path,
	const struct vt_import_opts *opts, struct vt_err *err)
{
	struct vt_model_request request = { .name = "meshnet",
		.params = published->params,
		.n = 1,
		.in_c = 1,
		.out_c = published->classes,
		.patch = { 8, 8, 8 } };
	int rc = vt_model_build(graph, &request, err);

	if (!rc)
		rc = vt_session_new(session, *graph, &(struct vt_session_opts){ .blank = true },
			err);
	if (!rc)
		rc = vt_weights_load(*session, path,
			&(struct vt_weights_opts){
				.kernels = opts->xyz ? VT_KERNELS_XYZ : VT_KERNELS_ZYX },
			report, err);
	return rc;
}

static int write_all(const char *out, struct vt_session *session, const struct vt_json *checkpoint,
	struct vt_err *err)
{
	static const char *const names[] = { "best.safetensors", "last.safetensors" };
	struct vt_buf text = VT_BUF_INIT;
	char *path;
	int rc = 0;

	for (size_t i = 0; !rc && i < 2; i++) {
		path = vt_path_join(out, names[i]);
		rc = vt_weights_save(path, session, NULL, err);
		free(path);
	}
	vt_json_pretty(&text, checkpoint);
	path = vt_path_join(out, "checkpoint.json");
	if (!rc)
		rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	free(path);
	vt_buf_release(&text);
	return rc;
}

static struct vt_json *report_json(const struct vt_weights_report *report,
	const struct vt_published *published)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "network", published->name);
	vt_json_put_text(j, "format", report->format);
	vt_json_put_text(j, "names", report->form);
	vt_json_put_int(j, "matched", (int64_t)report->matched);
	vt_json_put_int(j, "ignored", (int64_t)report->ignored);
	return j;
}

int vt_import_model(struct vt_json **report, const char *out, const char *dir,
	const struct vt_import_opts *opts, struct vt_err *err)
{
	struct vt_published m = { .json = NULL };
	struct vt_weights_report facts = { .matched = 0 };
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	struct vt_json *checkpoint = NULL;
	char *path = NULL;
	int rc = *opts->known ? read_known(&m, opts->known, err) : vt_published_read(&m, dir, err);

	if (!rc)
		rc = check_preparation(&m, err);
	if (!rc)
		rc = vt_train_find_parent(&path, dir, err);
	if (!rc && !path)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: holds no file of weights (.safetensors, .pth or .pt)", dir);
	if (!rc)
		rc = load(&g, &s, &facts, &m, path, opts, err);
	if (!rc) {
		checkpoint = checkpoint_json(&m, opts, vt_graph_parameters(g));
		rc = write_all(out, s, checkpoint, err);
	}
	if (!rc)
		*report = report_json(&facts, &m);
	vt_json_free(checkpoint);
	vt_session_free(s);
	vt_graph_free(g);
	vt_published_release(&m);
	free(path);
	return rc;
}
