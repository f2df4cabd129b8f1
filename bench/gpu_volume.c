/* gpu_volume - milliseconds from a volume on the host to its regions on the host, on a device:
 * copied, cut, run, joined and decided there; median and least of REPEATS after WARM, one JSON
 * line.
 *
 *      gpu_volume NAME PARAMS-JSON IN-CHANNELS OUT-CHANNELS EDGE PRECISION REPEATS [DEPTH HEIGHT
 *      WIDTH]
 *
 * Windows of EDGE cubed at overlap 0.5 in a volume of 155 x 240 x 240. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/nn/model.h"
#include "common/seg/predictor.h"

enum { WARM = 3, MOST = 1000 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int once(uint8_t *bits, struct vt_session *session, const struct vt_patch_file *file,
	struct vt_err *err)
{
	struct vt_prediction *p = NULL;
	int rc = vt_predict_begin(&p, &session, 1, false, file,
		&(struct vt_predict_opts){ .overlap = 0.5 }, err);

	if (!rc && !vt_predict_on_device(p))
		rc = vt_err_set(err, VT_ENOMEM, "the device has no room for the volume");
	if (!rc)
		rc = vt_predict_bits(bits, p, err);
	vt_predict_free(p);
	return rc;
}

static int measure(struct vt_session *session, const char *name, int edge, const char *precision,
	int repeats, const int dim[3], struct vt_err *err)
{
	static char subject[] = "bench";
	size_t voxels = (size_t)dim[0] * (size_t)dim[1] * (size_t)dim[2], n;
	struct vt_patch_file f = { .subject = subject,
		.c = vt_session_input_shape(session).c,
		.d = dim[0],
		.h = dim[1],
		.w = dim[2] };
	float *image;
	uint8_t *bits = vt_xmalloc(voxels);
	double t[MOST], begun;
	int rc = 0;

	n = voxels * (size_t)f.c;
	f.image = image = vt_xmalloc(n * sizeof(*image));
	for (size_t i = 0; i < n; i++)
		image[i] = (float)(i * 2654435761u % 1000) / 1000.0f - 0.5f;
	for (int i = -WARM; !rc && i < repeats; i++) {
		begun = now();
		rc = once(bits, session, &f, err);
		if (i >= 0)
			t[i] = now() - begun;
	}
	qsort(t, (size_t)repeats, sizeof(*t), ascending);
	if (!rc)
		printf("{\"who\":\"voxtrail\",\"net\":\"%s\",\"edge\":%d,\"precision\":\"%s\","
		       "\"work\":\"volume\","
		       "\"windows_at_a_time\":%d,\"median_ms\":%.3f,\"least_ms\":%.3f}\n",
			name, edge, precision, vt_session_input_shape(session).n,
			1e3 * t[repeats / 2], 1e3 * t[0]);
	free(image);
	free(bits);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *params = NULL;
	struct vt_graph *g = NULL;
	struct vt_device *d = NULL;
	struct vt_session *s = NULL;
	int edge, repeats, patch[3], dim[3] = { 155, 240, 240 };

	if ((argc != 8 && argc != 11) ||
		vt_json_parse(&params, argv[2], strlen(argv[2]), "params", &err)) {
		fprintf(stderr,
			"usage: gpu_volume NAME PARAMS IN OUT EDGE PRECISION REPEATS [D H W] %s\n",
			err.text);
		return 64;
	}
	edge = (int)strtol(argv[5], NULL, 10);
	repeats = (int)strtol(argv[7], NULL, 10);
	repeats = repeats < 1 ? 1 : repeats > MOST ? MOST : repeats;
	for (int a = 0; a < 3; a++) {
		patch[a] = edge;
		dim[a] = argc == 11 ? (int)strtol(argv[8 + a], NULL, 10) : dim[a];
	}
	vt_log_open("gpu_volume", VT_LOG_TEXT, VT_LOG_ERROR);
	if (!vt_device_open(&d,
		    &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = argv[6] },
		    &err) &&
		!vt_model_build(&g,
			&(struct vt_model_request){ argv[1], params, vt_predict_items(d, patch),
				(int)strtol(argv[3], NULL, 10), (int)strtol(argv[4], NULL, 10),
				{ edge, edge, edge } },
			&err) &&
		!vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 1, .device = d }, &err))
		measure(s, argv[1], edge, argv[6], repeats, dim, &err);
	if (err.code)
		fprintf(stderr, "%s\n", err.text);
	vt_session_free(s);
	vt_device_close(d);
	vt_graph_free(g);
	vt_json_free(params);
	return err.code;
}
