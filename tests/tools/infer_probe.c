/* infer_probe REQUEST.json WEIGHTS IN OUT [xyz]: loads WEIGHTS into the network and writes its
 * logits for the f32 input IN to OUT. */
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/weights.h"
#include "tests/tools/model_request.h"

static int infer(struct vt_session *s, const char *in, const char *out, struct vt_err *err)
{
	size_t nx = model_elements(vt_session_input_shape(s)) * sizeof(float),
	       ny = model_elements(vt_session_output_shape(s)) * sizeof(float);
	struct vt_map x;
	float *y;
	int rc = vt_fs_map(&x, in, err);

	if (rc)
		return rc;
	if (x.size != nx)
		return vt_err_set(err, VT_EDATA, "%s: %zu bytes, want %zu", in, x.size, nx);
	vt_session_set_input(s, (const float *)(const void *)x.data);
	vt_fs_unmap(&x);
	vt_session_forward(s, 0);
	y = vt_xmalloc(ny);
	vt_session_get_output(s, y);
	rc = vt_fs_write_quick(out, y, ny, 0644, err);
	free(y);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	int rc;

	if (argc < 5)
		return 64;
	rc = model_request(&g, &j, argv[1], &err);
	if (!rc)
		rc = vt_session_new(&s, g, &(struct vt_session_opts){ .blank = true }, &err);
	if (!rc)
		rc = vt_weights_load(s, argv[2],
			&(struct vt_weights_opts){ .kernels = argc > 5 && !strcmp(argv[5], "xyz")
					? VT_KERNELS_XYZ
					: VT_KERNELS_ZYX },
			NULL, &err);
	if (!rc)
		rc = infer(s, argv[3], argv[4], &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	vt_session_free(s);
	vt_graph_free(g);
	vt_json_free(j);
	return rc;
}
