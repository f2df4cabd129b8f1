#include "common/seg/published.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"

static int whole(const struct vt_json *layer, const char *key)
{
	return (int)vt_json_integer(vt_json_get(layer, key), -1);
}

static const char *text(const struct vt_json *layer, const char *key)
{
	return vt_json_text(vt_json_get(layer, key), "");
}

/* A chain of equal 3x3x3 layers and one 1x1x1 at the end, which is what MeshNets are. */
static int check_layers(const struct vt_json *layers, struct vt_err *err)
{
	const struct vt_json *first = vt_json_at(layers, 0);

	if (!layers || layers->type != VT_JSON_ARRAY || layers->n < 2 || layers->n > 33)
		return vt_err_set(err, VT_EDATA, "/layers: want a list of 2 to 33 layers");
	for (size_t i = 0; i < layers->n; i++) {
		const struct vt_json *l = layers->item[i];
		bool last = i + 1 == layers->n;
		int want_in = i ? whole(first, "out") : 1;

		if (whole(l, "in") != want_in || whole(l, "kernel") != (last ? 1 : 3) ||
			whole(l, "stride") != 1 || whole(l, "dilation") < 1 ||
			(!last && whole(l, "padding") != whole(l, "dilation")))
			return vt_err_set(err, VT_EDATA,
				"/layers/%zu: in %d, kernel %d, stride %d, dilation %d, "
				"padding %d: want a MeshNet, that is in %d, "
				"kernel %d, stride 1 and equal padding and dilation",
				i, whole(l, "in"), whole(l, "kernel"), whole(l, "stride"),
				whole(l, "dilation"), whole(l, "padding"), want_in, last ? 1 : 3);
		if (!last &&
			(whole(l, "out") != whole(first, "out") ||
				strcmp(text(l, "activation"), text(first, "activation")) ||
				strcmp(text(l, "norm"), text(first, "norm")) ||
				vt_json_true(vt_json_get(l, "bias"), false) !=
					vt_json_true(vt_json_get(first, "bias"), false)))
			return vt_err_set(err, VT_EDATA,
				"/layers/%zu: differs from layer 0 in out, norm, activation "
				"or bias",
				i);
	}
	return 0;
}

static int check_input(struct vt_published *published, struct vt_err *err)
{
	const struct vt_json *spatial = vt_json_pointer(published->json, "/input/spatial"),
			     *mm = vt_json_pointer(published->json, "/input/voxel_mm");
	/* published models spell it either way */
	const struct vt_json *american = vt_json_get(published->json, "normalize"),
			     *n = american ? american : vt_json_get(published->json, "normalise");

	published->size = (size_t)vt_json_integer(vt_json_at(spatial, 0), 0);
	published->mm = vt_json_number(vt_json_at(mm, 0), 0);
	for (size_t a = 0; a < 3; a++)
		if (vt_json_integer(vt_json_at(spatial, a), 0) != (int64_t)published->size ||
			vt_json_number(vt_json_at(mm, a), 0) != published->mm)
			published->size = 0;
	if (published->size < 16 || published->size > 512 ||
		!(published->mm >= 0.25 && published->mm <= 8))
		return vt_err_set(err, VT_EDATA,
			"/input: want `spatial`, three equal sizes from 16 to 512, and "
			"`voxel_mm`, three equal spacings of 0.25 to 8");
	if (!strcmp(text(n, "kind"), "quantile"))
		published->normalize = VT_PUBLISHED_QUANTILE;
	else if (!strcmp(text(n, "kind"), "minmax"))
		published->normalize = VT_PUBLISHED_RANGE;
	else
		published->normalize = 0;
	published->quantile[0] = 100 * vt_json_number(vt_json_get(n, "low"), 0.02);
	published->quantile[1] = 100 * vt_json_number(vt_json_get(n, "high"), 0.98);
	if (!published->normalize)
		return vt_err_set(err, VT_EDATA,
			"/normalize/kind is \"%s\", want \"quantile\" or \"minmax\"",
			text(n, "kind"));
	if (!(published->quantile[0] >= 0 && published->quantile[0] < published->quantile[1] &&
		    published->quantile[1] <= 100))
		return vt_err_set(err, VT_EDATA,
			"/normalize: low and high must be fractions in order");
	return 0;
}

static struct vt_json *network_params(const struct vt_json *layers)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *dilations = vt_json_new(VT_JSON_ARRAY);
	const struct vt_json *first = vt_json_at(layers, 0);

	for (size_t i = 0; i + 1 < layers->n; i++)
		vt_json_push(dilations, vt_json_new_int(whole(layers->item[i], "dilation")));
	vt_json_put_int(j, "channels", whole(first, "out"));
	vt_json_put(j, "dilations", dilations);
	vt_json_put_text(j, "norm",
		strncmp(text(first, "norm"), "instance", 8) ? "none" : "instance");
	vt_json_put_text(j, "act", text(first, "activation"));
	vt_json_put_bool(j, "bias", vt_json_true(vt_json_get(first, "bias"), false));
	return j;
}

static int read_model(struct vt_published *published, const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "model.json");
	const struct vt_json *layers;
	int rc = vt_json_read(&published->json, path, err);

	if (!rc) {
		layers = vt_json_get(published->json, "layers");
		rc = check_layers(layers, err) ? err->code : check_input(published, err);
		published->layers = rc ? 0 : (int)layers->n;
		published->classes = rc ? 0 : whole(layers->item[layers->n - 1], "out");
		if (!rc && (published->classes < 2 || published->classes > 255))
			rc = vt_err_set(err, VT_EDATA,
				"/layers/%d/out is %d classes, want 2 to 255",
				published->layers - 1, published->classes);
		if (rc)
			vt_err_prefix(err, "%s", path);
	}
	free(path);
	return rc;
}

int vt_published_read(struct vt_published *out, const char *dir, struct vt_err *err)
{
	struct vt_published m = { .json = NULL };
	int rc = read_model(&m, dir, err);

	if (rc) {
		vt_published_release(&m);
		return rc;
	}
	m.name = vt_xstrdup(vt_json_text(vt_json_get(m.json, "name"), "learned"));
	m.params = network_params(vt_json_get(m.json, "layers"));
	*out = m;
	return 0;
}

void vt_published_release(struct vt_published *published)
{
	vt_json_free(published->json);
	vt_json_free(published->params);
	free(published->name);
	*published = (struct vt_published){ .json = NULL };
}

const char *vt_published_class(const struct vt_published *published, int c)
{
	return vt_json_text(vt_json_at(vt_json_pointer(published->json, "/output/labels"),
				    (size_t)c),
		NULL);
}
