/* window_probe REQUEST.json WEIGHTS VOLUME.vtp OUT OVERLAP FLIPS [PRECISION]: a volume through a
 * network by windows, values as f32 to OUT; with PRECISION on a device, request's n windows at a
 * time.  For tests/oracle/nn/windows.py. */
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/nn/weights.h"
#include "common/seg/predictor.h"
#include "tests/tools/model_request.h"

static int predict(struct vt_session *s, const struct vt_patch_file *f, char **argv,
	struct vt_err *err)
{
	const struct vt_predict_opts how = { .overlap = strtod(argv[5], NULL),
		.flips = argv[6][0] == '1',
		.tta = VT_TTA_NONE };
	size_t n =
		(size_t)vt_session_output_shape(s).c * (size_t)f->d * (size_t)f->h * (size_t)f->w;
	float *values = vt_xmalloc(n * sizeof(*values));
	struct vt_prediction *p = NULL;
	int rc = vt_predict_begin(&p, &s, 1, false, f, &how, err);

	if (!rc)
		rc = vt_predict_values(values, p, err);
	if (!rc)
		rc = vt_fs_write_quick(argv[4], values, n * sizeof(*values), 0644, err);
	vt_predict_free(p);
	free(values);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_patch_file f = { .header = NULL };
	struct vt_device *d = NULL;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	int rc;

	if (argc < 7)
		return 64;
	vt_log_open("window_probe", VT_LOG_TEXT, VT_LOG_ERROR);
	rc = model_request(&g, &j, argv[1], &err);
	if (!rc && argc > 7)
		rc = vt_device_open(&d,
			&(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = argv[7] },
			&err);
	if (!rc)
		rc = vt_session_new(&s, g, &(struct vt_session_opts){ .blank = true, .device = d },
			&err);
	if (!rc)
		rc = vt_weights_load(s, argv[2], NULL, NULL, &err);
	if (!rc)
		rc = vt_patch_open(&f, argv[3], &err);
	if (!rc)
		rc = predict(s, &f, argv, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	vt_patch_close(&f);
	vt_session_free(s);
	vt_graph_free(g);
	vt_device_close(d);
	vt_json_free(j);
	return rc;
}
