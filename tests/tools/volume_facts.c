/* volume_facts.c - what the reader makes of files, as JSON lines for the oracle to compare.
 *      volume_facts FILE...           one line a file: shape, sums, affine, or the error
 *      volume_facts --copy IN OUT     reads IN and writes it as float32 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/image/volume.h"

static void print_affine(const struct vt_geometry *g)
{
	printf("\"affine\":[");
	for (int i = 0; i < 3; i++)
		printf("[%.17g,%.17g,%.17g,%.17g]%s", g->affine[i][0], g->affine[i][1],
			g->affine[i][2], g->affine[i][3], i < 2 ? "," : "]");
}

static int facts(const char *path)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_err err = VT_ERR_INIT;
	char code[4];
	if (vt_volume_read(&v, path, VT_VOLUME_FRAMES, &err)) {
		printf("{\"code\":%d}\t%s\n", err.code, err.text);
		return err.code;
	}
	double sum = 0, low = INFINITY, high = -INFINITY, gap = 0;
	size_t bad = 0;
	for (size_t i = 0; i < v.n; i++) {
		double x = vt_volume_value(&v, i);
		if (!isfinite(x)) {
			bad++;
			continue;
		}
		sum += x;
		low = x < low ? x : low;
		high = x > high ? x : high;
		gap = fmax(gap, fabs(x - (double)v.voxels[i]) / fmax(1, fabs(x)));
	}
	const size_t *d = v.geometry.dim;
	double at = d[0] > 1 && d[1] > 2 && d[2] > 3
		? vt_volume_value(&v, (3 * d[1] + 2) * d[0] + 1)
		: 0;
	vt_geometry_code(&v.geometry, code);
	printf("{\"code\":0,\"shape\":[%zu,%zu,%zu],\"frames\":%zu,\"dtype\":\"%s\","
	       "\"sum\":%.17g,\"min\":%.17g,\"max\":%.17g,"
	       "\"nonfinite\":%zu,\"at\":%.17g,\"f32_gap\":%.3g,\"orientation\":\"%s\",",
		d[0], d[1], d[2], v.n_frames, vt_dtype_name(v.dtype), sum, low, high, bad, at, gap,
		code);
	print_affine(&v.geometry);
	printf("}\n");
	vt_volume_release(&v);
	return 0;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	int worst = 0;
	if (argc == 4 && !strcmp(argv[1], "--copy")) {
		struct vt_volume v = VT_VOLUME_INIT;
		if (vt_volume_read(&v, argv[2], VT_VOLUME_3D, &err) ||
			vt_volume_write(argv[3], &v.geometry, VT_F32, v.voxels, &err))
			fprintf(stderr, "%s\n", err.text);
		vt_volume_release(&v);
		return err.code;
	}
	for (int i = 1; i < argc; i++) {
		int rc = facts(argv[i]);
		worst = rc > worst ? rc : worst;
	}
	return worst;
}
