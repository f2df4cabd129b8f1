/* mask_metrics FILE Z Y X SZ SY SX [DILATIONS CUTOFF]: FILE holds two u8 masks [z, y, x]; prints
 * their metrics, for tests/oracle/image/metrics.py.  Names and values, one pair a line. */
#include <stdio.h>
#include <stdlib.h>

#include "common/image/lesions.h"

static void print_all(const struct vt_mask_pair *p, const struct vt_lesion_opts *opts)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_overlap o;
	struct vt_surface_distance s;
	struct vt_surfel_distance e;
	struct vt_lesions l;

	vt_overlap(&o, p->prediction, p->reference, &p->grid);
	vt_surface_distance(&s, p);
	vt_surfel_distance(&e, p);
	if (vt_lesions(&l, p, opts, &err))
		exit(err.code);
	printf("dice %.17g\niou %.17g\nsensitivity %.17g\nspecificity %.17g\nprecision %.17g\n",
		o.dice, o.iou, o.sensitivity, o.specificity, o.precision);
	printf("hd %.17g\nhd95 %.17g\nhd95_pooled %.17g\nassd %.17g\nnsd %.17g\n", s.hd, s.hd95,
		s.hd95_pooled, s.assd, s.nsd);
	printf("hd95_surfel %.17g\nnsd_surfel %.17g\n", e.hd95, e.nsd);
	printf("lesion_dice %.17g\nlesion_hd95 %.17g\n", l.dice, l.hd95);
	printf("lesions_found %llu\nlesions_missed %llu\nlesions_false %llu\nlesions_small %llu\n",
		(unsigned long long)l.found, (unsigned long long)l.missed,
		(unsigned long long)l.false_alarms, (unsigned long long)l.small);
	printf("empty %s\n", o.empty == VT_NOT_EMPTY ? "-" : vt_empty_name(o.empty));
}

int main(int argc, char **argv)
{
	int dims[3];
	double spacing[3];
	unsigned char *m;
	size_t n = 1;
	struct vt_lesion_opts opts = VT_LESION_OPTS_DEFAULT;
	FILE *f = argc == 8 || argc == 10 ? fopen(argv[1], "rb") : NULL;

	if (!f)
		return 64;
	for (int a = 0; a < 3; a++) {
		dims[a] = (int)strtol(argv[2 + a], NULL, 10);
		spacing[a] = strtod(argv[5 + a], NULL);
		n *= (size_t)dims[a];
	}
	if (argc == 10) {
		opts.dilations = (int)strtol(argv[8], NULL, 10);
		opts.cutoff_mm3 = strtod(argv[9], NULL);
	}
	m = malloc(2 * n);
	if (!m || fread(m, 1, 2 * n, f) != 2 * n)
		return 65;
	print_all(&(struct vt_mask_pair){ m, m + n, vt_grid_of_array(dims, spacing), 1.5, 0 },
		&opts);
	fclose(f);
	free(m);
	return 0;
}
