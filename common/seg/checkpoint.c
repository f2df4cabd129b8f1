#include "common/seg/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/model.h"
#include "common/nn/weights.h"

/* Names and number of what the list holds are those of the manifest. */
static int check_names(const struct vt_json *list, const char *what, const char *const *names,
	int n, const char *path, struct vt_err *err)
{
	if (vt_json_length(list) != (size_t)n)
		return vt_err_set(err, VT_EDATA, "%s: /%s holds %zu names, its manifest %d", path,
			what, vt_json_length(list), n);
	for (int i = 0; i < n; i++)
		if (strcmp(vt_json_text(list->item[i], ""), names[i]))
			return vt_err_set(err, VT_EDATA,
				"%s: /%s/%d is \"%s\", in its manifest \"%s\"", path, what, i,
				vt_json_text(list->item[i], ""), names[i]);
	return 0;
}

static int check_lists(const struct vt_checkpoint *c, const char *path, struct vt_err *err)
{
	const char *channel[VT_MAX_CHANNELS], *region[VT_MAX_REGIONS];
	const struct vt_manifest *m = c->manifest;

	for (int i = 0; i < m->n_channels; i++)
		channel[i] = m->channel[i].role;
	for (int i = 0; i < m->n_regions; i++)
		region[i] = m->region[i].name;
	if (!m->n_regions && !c->classes)
		return vt_err_set(err, VT_EDATA, "%s: its manifest names no regions", path);
	return check_names(vt_json_get(c->json, "channels"), "channels", channel, m->n_channels,
		       path, err)
		? err->code
		: check_names(vt_json_get(c->json, "regions"), "regions", region, m->n_regions,
			  path, err);
}

static int take_patch(struct vt_checkpoint *c, const char *path, struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(c->json, "patch");

	for (size_t a = 0; a < 3; a++) {
		int64_t edge = vt_json_integer(vt_json_at(list, a), 0);

		if (edge < 1 || edge > VT_MODEL_MOST_EDGE || vt_json_length(list) != 3)
			return vt_err_set(err, VT_EDATA,
				"%s: /patch must be three whole numbers from 1 to %d", path,
				VT_MODEL_MOST_EDGE);
		c->patch[a] = (int)edge;
	}
	return 0;
}

/* What others wrote decides the sizes of arrays from here on. */
static int take_fields(struct vt_checkpoint *c, const char *path, struct vt_err *err)
{
	const struct vt_json *stated = vt_json_get(c->json, "activation"),
			     *classifies = vt_json_get(c->json, "classifies");
	const char *activation = vt_json_text(stated, stated ? "" : "sigmoid");
	int64_t format = vt_json_integer(vt_json_get(c->json, "format"), 0);

	if (format != 1)
		return vt_err_set(err, VT_EDATA, "%s: format %lld; this version reads 1", path,
			(long long)format);
	if (classifies && classifies->type != VT_JSON_BOOL)
		return vt_err_set(err, VT_EDATA, "%s: /classifies must be true or false", path);
	if (strcmp(activation, "softmax") != 0 && strcmp(activation, "sigmoid") != 0)
		return vt_err_set(err, VT_EDATA, "%s: /activation must be sigmoid or softmax",
			path);
	c->classes = vt_json_true(classifies, false);
	if (vt_manifest_parse(&c->manifest, vt_json_get(c->json, "manifest"), path, err) ||
		check_lists(c, path, err) || take_patch(c, path, err))
		return err->code;
	c->model = vt_json_text(vt_json_pointer(c->json, "/model/name"), "");
	c->n_channels = c->manifest->n_channels;
	c->n_regions = c->manifest->n_regions;
	c->softmax = !strcmp(activation, "softmax");
	c->n_outputs = c->classes ? (int)c->manifest->classes.n : c->n_regions + c->softmax;
	if (c->classes && !c->n_outputs)
		return vt_err_set(err, VT_EDATA, "%s: its manifest names no classes", path);
	if (c->manifest->exclusive && !c->softmax)
		return vt_err_set(err, VT_EDATA,
			"%s: its regions exclude each other, but /activation is not softmax", path);
	return 0;
}

/* How many directories in it hold a checkpoint; *first: the first by name, the caller's. */
static size_t count_below(const char *dir, char **first)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_err none = VT_ERR_INIT;
	size_t n = 0;

	if (vt_fs_is_dir(dir))
		vt_fs_list(&names, dir, &none);
	for (size_t i = 0; i < names.n; i++) {
		char *file = vt_asprintf("%s/%s/checkpoint.json", dir, names.v[i]);

		if (vt_fs_exists(file) && !n++)
			*first = vt_xstrdup(names.v[i]);
		free(file);
	}
	vt_strs_release(&names);
	return n;
}

static bool holds(const char *dir, const char *name)
{
	char *path = vt_path_join(dir, name);
	bool is = vt_fs_exists(path);

	free(path);
	return is;
}

/* An export carries checkpoint.json, and its weights under another name. */
static int weights_missing(const char *dir, const char *which, struct vt_err *err)
{
	if (holds(dir, "model.onnx") && holds(dir, "model.safetensors"))
		return vt_err_set(err, VT_ENOINPUT,
			"%s is the output of export, which is for other programs; give the "
			"checkpoint that it was exported from, an output of train (model-card.md "
			"names it)",
			dir);
	return vt_err_set(err, VT_ENOINPUT,
		"%s: the checkpoint has no %s.safetensors; copy it whole, or choose other weights",
		dir, which);
}

int vt_checkpoint_missing(const char *dir, struct vt_err *err)
{
	char *first = NULL;
	size_t n = count_below(dir, &first);

	if (n)
		vt_err_set(err, VT_ENOINPUT,
			"%s holds %zu checkpoint%s, each in a directory of its own; give one of "
			"them, e.g. %s/%s",
			dir, n, n == 1 ? "" : "s", dir, first);
	else if (vt_fs_exists(dir))
		vt_err_set(err, VT_ENOINPUT,
			"%s: neither a checkpoint.json nor directories with one; give the output "
			"of train",
			dir);
	else
		vt_err_set(err, VT_ENOINPUT, "%s: does not exist", dir);
	free(first);
	return err->code;
}

static int open_one(struct vt_checkpoint *out, const char *dir, bool classes, struct vt_err *err)
{
	struct vt_checkpoint c = { .json = NULL };
	char *path = vt_path_join(dir, "checkpoint.json");
	int rc = vt_fs_exists(path) ? vt_json_read(&c.json, path, err)
				    : vt_checkpoint_missing(dir, err);

	if (!rc)
		rc = take_fields(&c, path, err);
	if (!rc && c.classes != classes)
		rc = vt_err_set(err, VT_EDATA,
			c.classes
				? "%s: the network gives one answer for a whole scan and no label "
				  "map; give the checkpoint to classify"
				: "%s: the network answers voxel by voxel; give the checkpoint to "
				  "predict or evaluate",
			path);
	free(path);
	if (rc)
		vt_checkpoint_close(&c);
	else
		*out = c;
	return rc;
}

int vt_checkpoint_open(struct vt_checkpoint *out, const char *dir, struct vt_err *err)
{
	return open_one(out, dir, false, err);
}

int vt_checkpoint_open_classes(struct vt_checkpoint *out, const char *dir, struct vt_err *err)
{
	return open_one(out, dir, true, err);
}

int vt_checkpoint_fold(const struct vt_checkpoint *c)
{
	return (int)vt_json_integer(vt_json_get(c->json, "fold"), -1);
}

bool vt_checkpoint_learned(const struct vt_checkpoint *c, const char *subject)
{
	const struct vt_json *list = vt_json_pointer(c->json, "/subjects/train");

	for (size_t i = 0; i < vt_json_length(list); i++)
		if (!strcmp(vt_json_text(list->item[i], ""), subject))
			return true;
	return false;
}

void vt_checkpoint_close(struct vt_checkpoint *c)
{
	vt_json_free(c->json);
	vt_manifest_free(c->manifest);
	*c = (struct vt_checkpoint){ .json = NULL };
}

/* The scales that quantize found for these weights. */
static int int8_scales(const struct vt_json **out, const struct vt_checkpoint *c, const char *dir,
	const char *which, struct vt_err *err)
{
	const struct vt_json *int8 = vt_json_get(c->json, "int8"),
			     *layers = vt_json_get(int8, "layers");
	const char *of = vt_json_text(vt_json_get(int8, "weights"), "");

	if (!int8)
		return vt_err_set(err, VT_EDATA,
			"%s/checkpoint.json: holds no scales for --precision int8; make them with "
			"quantize, and give its output",
			dir);
	if (!layers || layers->type != VT_JSON_OBJECT)
		return vt_err_set(err, VT_EDATA,
			"%s/checkpoint.json: /int8/layers must be an object; quantize writes it",
			dir);
	if (strcmp(of, which))
		return vt_err_set(err, VT_EDATA,
			"%s/checkpoint.json: /int8 is of the weights \"%s\", not of \"%s\"; choose "
			"those, or run quantize with --weights %s",
			dir, of, which, which);
	*out = layers;
	return 0;
}

int vt_checkpoint_session(struct vt_graph **graph, struct vt_session **session,
	const struct vt_checkpoint *c, const char *dir, const char *which, int n, const int *patch,
	struct vt_device *device, struct vt_err *err)
{
	const int *size = patch ? patch : c->patch;
	struct vt_model_request r = { c->model, vt_json_pointer(c->json, "/model/params"), n,
		c->n_channels, c->n_outputs, { size[0], size[1], size[2] } };
	char *path = vt_asprintf("%s/%s.safetensors", dir, which);
	const struct vt_json *int8 = NULL;
	int rc = vt_fs_exists(path) ? 0 : weights_missing(dir, which, err);

	*session = NULL;
	*graph = NULL;
	if (!rc && c->int8)
		rc = int8_scales(&int8, c, dir, which, err);
	if (!rc)
		rc = vt_model_build(graph, &r, err);
	if (!rc && !c->classes)
		rc = vt_checkpoint_check_head(*graph, size, err);
	if (!rc)
		rc = vt_session_new(session, *graph,
			&(struct vt_session_opts){ .blank = true,
				.device = device,
				.int8 = int8,
				.level = c->bf16 ? VT_LEVEL_BF16 : VT_LEVEL_F32,
				.observed = c->observed },
			err);
	if (!rc)
		rc = vt_weights_load(*session, path, NULL, NULL, err);
	if (!rc && int8)
		rc = vt_session_take_int8(*session, err);
	if (rc && int8)
		vt_err_prefix(err, "%s", dir);
	if (rc) {
		vt_session_free(*session);
		vt_graph_free(*graph);
		*session = NULL;
		*graph = NULL;
	}
	free(path);
	return rc;
}

int vt_checkpoint_check_head(const struct vt_graph *graph, const int patch[3], struct vt_err *err)
{
	struct vt_shape s = vt_graph_shape(graph, vt_graph_output_at(graph, 0).tensor);

	if (s.d == patch[0] && s.h == patch[1] && s.w == patch[2])
		return 0;
	return vt_err_set(err, VT_EDATA,
		"the network answers %dx%dx%d voxels for a patch of %dx%dx%d (z, y, x); a label "
		"map "
		"needs an answer for every voxel: give the network a head at full size "
		"(docs/networks.md)",
		s.d, s.h, s.w, patch[0], patch[1], patch[2]);
}
