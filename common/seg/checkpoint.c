#include "common/seg/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/model.h"
#include "common/nn/weights.h"

int vt_checkpoint_open(struct vt_checkpoint *out, const char *dir, struct vt_err *err)
{
	struct vt_checkpoint c = { .json = NULL };
	char *path = vt_path_join(dir, "checkpoint.json");
	int rc = vt_json_read(&c.json, path, err);

	if (!rc && vt_json_integer(vt_json_get(c.json, "format"), 0) != 1)
		rc = vt_err_set(err, VT_EDATA, "%s: format %lld; this version reads 1", path,
			(long long)vt_json_integer(vt_json_get(c.json, "format"), 0));
	if (!rc)
		rc = vt_manifest_parse(&c.manifest, vt_json_get(c.json, "manifest"), path, err);
	if (!rc) {
		c.model = vt_json_text(vt_json_pointer(c.json, "/model/name"), "");
		c.n_channels = vt_json_get(c.json, "channels")
			? (int)vt_json_get(c.json, "channels")->n
			: 0;
		c.n_regions =
			vt_json_get(c.json, "regions") ? (int)vt_json_get(c.json, "regions")->n : 0;
		c.softmax = !strcmp(vt_json_text(vt_json_get(c.json, "activation"), "sigmoid"),
			"softmax");
		c.n_outputs = c.n_regions + c.softmax;
		for (size_t a = 0; a < 3; a++)
			c.patch[a] =
				(int)vt_json_integer(vt_json_at(vt_json_get(c.json, "patch"), a),
					0);
		if (c.n_channels < 1 || c.n_regions < 1)
			rc = vt_err_set(err, VT_EDATA, "%s: names no channels or no regions", path);
	}
	free(path);
	if (rc)
		vt_checkpoint_close(&c);
	else
		*out = c;
	return rc;
}

void vt_checkpoint_close(struct vt_checkpoint *c)
{
	vt_json_free(c->json);
	vt_manifest_free(c->manifest);
	*c = (struct vt_checkpoint){ .json = NULL };
}

int vt_checkpoint_session(struct vt_graph **g, struct vt_session **s, const struct vt_checkpoint *c,
	const char *dir, const char *which, int n, const int *patch, struct vt_device *device,
	struct vt_err *err)
{
	const int *size = patch ? patch : c->patch;
	struct vt_model_request r = { c->model, vt_json_pointer(c->json, "/model/params"), n,
		c->n_channels, c->n_outputs, { size[0], size[1], size[2] } };
	char *path = vt_asprintf("%s/%s.safetensors", dir, which);
	int rc = vt_model_build(g, &r, err);

	*s = NULL;
	if (!rc)
		rc = vt_checkpoint_check_head(*g, size, err);
	if (!rc)
		rc = vt_session_new(s, *g,
			&(struct vt_session_opts){ .blank = true, .device = device }, err);
	if (!rc)
		rc = vt_weights_load(*s, path, NULL, NULL, err);
	if (rc) {
		vt_session_free(*s);
		vt_graph_free(*g);
		*s = NULL;
		*g = NULL;
	}
	free(path);
	return rc;
}

int vt_checkpoint_check_head(const struct vt_graph *g, const int patch[3], struct vt_err *err)
{
	struct vt_shape s = vt_graph_shape(g, vt_graph_output_at(g, 0).tensor);

	if (s.d == patch[0] && s.h == patch[1] && s.w == patch[2])
		return 0;
	return vt_err_set(err, VT_EDATA,
		"the network answers %dx%dx%d voxels for a patch of %dx%dx%d (z, y, x); a label "
		"map "
		"needs an answer for every voxel: give the network a head at full size "
		"(docs/networks.md)",
		s.d, s.h, s.w, patch[0], patch[1], patch[2]);
}
