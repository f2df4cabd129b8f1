/* axis.h - which input an output reads under a tap, on one axis; for the convolutions of cpu/
 * only. */
#ifndef COMMON_NN_CPU_AXIS_H
#define COMMON_NN_CPU_AXIS_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/nn/graph_internal.h"

/* at[o * k + t]: input coordinate of output o under tap t on one axis, -1 outside. */
struct vt_axis {
	int n_out, k;
	int *at;
};

/* inverse: (o + pad - dilation t) / stride where that divides, else stride o - pad + dilation t.
 * The caller frees `at`. */
static inline struct vt_axis vt_axis_of(const struct vt_conv *c, int n_out, int n_in, bool inverse)
{
	struct vt_axis a = { n_out, c->k, vt_xcalloc((size_t)n_out * (size_t)c->k, sizeof(int)) };

	for (int o = 0; o < n_out; o++)
		for (int t = 0; t < c->k; t++) {
			int p = inverse ? o + c->pad - c->dilation * t
					: o * c->stride - c->pad + c->dilation * t;
			bool ok = !inverse || (p >= 0 && p % c->stride == 0);

			p = inverse ? p / c->stride : p;
			a.at[o * c->k + t] = ok && p >= 0 && p < n_in ? p : -1;
		}
	return a;
}

#endif
