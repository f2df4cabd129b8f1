/* mask_metrics FILE Z Y X SZ SY SX: FILE holds two u8 masks [z, y, x]; prints their metrics, for tests/oracle/image/metrics.py. */
#include <stdio.h>
#include <stdlib.h>

#include "common/image/metrics.h"

int main(int argc, char **argv)
{
	int dims[3];
	double spacing[3];
	unsigned char *m;
	size_t n = 1;
	struct vt_overlap o;
	struct vt_surface s;
	FILE *f = argc == 8 ? fopen(argv[1], "rb") : NULL;

	if (!f)
		return 64;
	for (int a = 0; a < 3; a++) {
		dims[a] = (int)strtol(argv[2 + a], NULL, 10);
		spacing[a] = strtod(argv[5 + a], NULL);
		n *= (size_t)dims[a];
	}
	m = malloc(2 * n);
	if (!m || fread(m, 1, 2 * n, f) != 2 * n)
		return 65;
	vt_overlap(&o, m, m + n, dims, spacing);
	vt_surface(&s, m, m + n, dims, spacing, 1.5, 0);
	printf("%.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %s\n", o.dice, o.iou, o.sensitivity, o.specificity, o.precision, s.hd,
		s.hd95, s.hd95_pooled, s.assd, s.nsd, vt_empty_name(o.empty));
	fclose(f);
	free(m);
	return 0;
}
