/* onnx_probe REQUEST.json DIR [int8]: builds a network with seeded weights, writes DIR/model.onnx,
 * DIR/x.f32 and DIR/y.f32 (our logits), for tests/oracle/nn/onnx_export.py.  REQUEST as
 * nn_probe's.  int8: logits and file of the network in int8, its scales found on x. */
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/nn/int8.h"
#include "common/nn/onnx.h"
#include "tests/tools/model_request.h"

static int put(const char *dir, const char *name, const float *v, size_t n, struct vt_err *err)
{
	char *path = vt_path_join(dir, name);
	int rc = vt_fs_write_quick(path, v, n * sizeof(float), 0644, err);

	free(path);
	return rc;
}

/* Puts a session in int8 in the place of one in f32. */
static int to_int8(struct vt_session **s, const struct vt_graph *g, const float *x,
	struct vt_err *err)
{
	struct vt_int8_finder *f = vt_int8_finder_new(g);
	struct vt_json *scales;
	int rc = 0;

	vt_session_observe(*s, vt_int8_look, f);
	vt_session_set_input(*s, x);
	vt_session_forward(*s, 0);
	scales = vt_int8_finder_scales(f, *s, VT_INT8_LEAST_ERROR, err);
	vt_session_free(*s);
	*s = NULL;
	rc = scales
		? vt_session_new(s, g, &(struct vt_session_opts){ .seed = 3, .int8 = scales }, err)
		: err->code;
	if (!rc)
		rc = vt_session_take_int8(*s, err);
	vt_json_free(scales);
	vt_int8_finder_free(f);
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
		vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 3, .observed = argc > 3 },
			&err);
	if (!rc) {
		size_t nx = model_elements(vt_session_input_shape(s)),
		       ny = model_elements(vt_session_output_shape(s));
		float *x = vt_xmalloc(nx * sizeof(float)), *y = vt_xmalloc(ny * sizeof(float));
		char *path = vt_path_join(argv[2], "model.onnx");

		for (size_t i = 0; i < nx; i++)
			x[i] = (float)vt_rng_normal(&r);
		rc = argc > 3 ? to_int8(&s, g, x, &err) : 0;
		if (!rc) {
			vt_session_set_input(s, x);
			vt_session_forward(s, 0);
			vt_session_get_output(s, y);
		}
		rc = rc || vt_onnx_write(path, g, s, NULL, &err) ||
			put(argv[2], "x.f32", x, nx, &err) || put(argv[2], "y.f32", y, ny, &err);
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
