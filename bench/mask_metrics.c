/* mask_metrics.c - time of the distances between two masks, both directions, best of N, one
 * thread's CPU; and their values.
 *      mask_metrics FILE Z Y X SZ SY SX [N]        FILE: two u8 masks [z, y, x] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/parallel.h"
#include "common/image/lesions.h"

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct vt_mask_pair pair = { .tolerance = 1 };
static struct vt_surface_distance surface;
static struct vt_surfel_distance surfel;
static struct vt_lesions lesions;

static void run_surface(void)
{
	vt_surface_distance(&surface, &pair);
}
static void run_surfel(void)
{
	vt_surfel_distance(&surfel, &pair);
}

static void run_lesions(void)
{
	struct vt_err err = VT_ERR_INIT;

	if (vt_lesions(&lesions, &pair, &(struct vt_lesion_opts)VT_LESION_OPTS_DEFAULT, &err))
		exit(err.code);
}

static double best_of(int n, void (*f)(void))
{
	double best = 1e9;

	for (int i = 0; i < n; i++) {
		double t = cpu();

		f();
		t = cpu() - t;
		best = t < best ? t : best;
	}
	return best;
}

int main(int argc, char **argv)
{
	int dims[3], n = argc > 8 ? atoi(argv[8]) : 10;
	double spacing[3];
	size_t voxels = 1;
	unsigned char *m;
	FILE *f = argc >= 8 ? fopen(argv[1], "rb") : NULL;

	for (int a = 0; f && a < 3; a++) {
		dims[a] = atoi(argv[2 + a]);
		spacing[a] = atof(argv[5 + a]);
		voxels *= (size_t)dims[a];
	}
	m = malloc(2 * voxels);
	if (!f || !m || fread(m, 1, 2 * voxels, f) != 2 * voxels) {
		fprintf(stderr, "usage: mask_metrics FILE Z Y X SZ SY SX [N]\n");
		return 64;
	}
	fclose(f);
	vt_parallel_set_threads(1);
	pair.prediction = m;
	pair.reference = m + voxels;
	pair.grid = vt_grid_of_array(dims, spacing);
	double a = best_of(n, run_surface), b = best_of(n, run_surfel), c = best_of(n, run_lesions);
	printf("surface %.2f ms: hd95 %.9f pooled %.9f hd %.9f assd %.9f\n", a * 1e3, surface.hd95,
		surface.hd95_pooled, surface.hd, surface.assd);
	printf("surfel %.2f ms: hd95 %.9f nsd %.9f\n", b * 1e3, surfel.hd95, surfel.nsd);
	printf("lesions %.2f ms: dice %.9f hd95 %.9f\n", c * 1e3, lesions.dice, lesions.hd95);
	free(m);
	return 0;
}
