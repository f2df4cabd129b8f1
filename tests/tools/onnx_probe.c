/* onnx_probe REQUEST.json DIR: builds a network with seeded weights, writes DIR/model.onnx,
 * DIR/x.f32 and DIR/y.f32 (our logits), for tests/oracle/nn/onnx_export.py.  REQUEST as
 * nn_probe's. */
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/nn/onnx.h"
#include "tests/tools/model_request.h"

static int put(const char *dir, const char *name, const float *v, size_t n, struct vt_err *err)
{
	char *path = vt_path_join(dir, name);
	int rc = vt_fs_write_quick(path, v, n * sizeof(float), 0644, err);

	free(path);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	struct vt_rng r = vt_rng_stream(2, "probe", 0, 0, 0);
	int rc;

	if (argc < 3)
		return 64;
	rc = model_request(&g, &j, argv[1], &err) ||
		vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 3 }, &err);
	if (!rc) {
		size_t nx = model_elements(vt_session_input_shape(s)),
		       ny = model_elements(vt_session_output_shape(s));
		float *x = vt_xmalloc(nx * sizeof(float)), *y = vt_xmalloc(ny * sizeof(float));
		char *path = vt_path_join(argv[2], "model.onnx");

		for (size_t i = 0; i < nx; i++)
			x[i] = (float)vt_rng_normal(&r);
		vt_session_set_input(s, x);
		vt_session_forward(s, 0);
		vt_session_get_output(s, y);
		rc = vt_onnx_write(path, g, s, NULL, &err) || put(argv[2], "x.f32", x, nx, &err) ||
			put(argv[2], "y.f32", y, ny, &err);
		free(path);
		free(x);
		free(y);
	}
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	vt_session_free(s);
	vt_graph_free(g);
	vt_json_free(j);
	return rc;
}
