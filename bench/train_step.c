/* train_step MODEL PARAMS PATCH [REPEATS]: median seconds of one forward and backward pass, one line of JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/parallel.h"
#include "common/base/rng.h"
#include "common/nn/model.h"
#include "common/nn/session.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static float *noise(size_t n, uint64_t seed)
{
	struct vt_rng r = vt_rng_stream(seed, "bench", 0, 0, 0);
	float *p = malloc(n * sizeof(*p));

	for (size_t i = 0; p && i < n; i++)
		p[i] = (float)vt_rng_uniform(&r) - 0.5f;
	return p;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *params = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	int edge = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 64, repeats = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 3;
	struct vt_model_request r = { argc > 1 ? argv[1] : "segresnet", NULL, 1, 4, 3, { edge, edge, edge } };
	size_t voxels = (size_t)edge * (size_t)edge * (size_t)edge;
	float *x = noise(4 * voxels, 1), *dy = noise(3 * voxels, 2);
	double seconds[64];

	if (argc > 2 && vt_json_parse(&params, argv[2], strlen(argv[2]), "PARAMS", &err))
		goto fail;
	r.params = params;
	if (vt_model_build(&g, &r, &err) || vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .seed = 1 }, &err))
		goto fail;
	for (int i = -1; i < repeats && i < 63; i++) {
		double begun = now();

		vt_session_set_input(s, x);
		vt_session_forward(s, 0);
		vt_session_backward(s, dy);
		if (i >= 0)
			seconds[i] = now() - begun;
	}
	qsort(seconds, (size_t)repeats, sizeof(double), ascending);
	printf("{\"model\":\"%s\",\"patch\":%d,\"threads\":%u,\"isa\":\"%s\",\"seconds\":%.4f}\n", r.name, edge, vt_parallel_threads(),
		vt_session_isa(s), seconds[repeats / 2]);
	return 0;
fail:
	fprintf(stderr, "%s\n", err.text);
	return err.code;
}
