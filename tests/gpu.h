/* gpu.h - what the tests of the GPU engine share: the emulated plugin (GPU_PLUGIN: another, for
 * a real GPU), inputs, distances. */
#ifndef TESTS_GPU_H
#define TESTS_GPU_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/nn/backend.h"
#include "tests/check.h"

static inline void gpu_test_begin(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	char *plugin = malloc(strlen(argv[0]) + 64);

	(void)argc;
	sprintf(plugin, "%.*slibvoxtrail-emulated.so", slash ? (int)(slash - argv[0]) + 1 : 0,
		argv[0]);
	setenv("VOXTRAIL_PLUGIN", getenv("GPU_PLUGIN") ? getenv("GPU_PLUGIN") : plugin, 1);
	free(plugin);
	vt_log_open("test", VT_LOG_TEXT, VT_LOG_ERROR);
}

static inline size_t count(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * (size_t)s.d * (size_t)s.h * (size_t)s.w;
}

static inline void fill(float *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
}

/* sqrt(sum (a - b)^2 / sum b^2). */
static inline double distance(const float *a, const float *b, size_t n)
{
	double d = 0, s = 1e-30;

	for (size_t i = 0; i < n; i++) {
		d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
		s += (double)b[i] * (double)b[i];
	}
	return sqrt(d / s);
}

#endif
