#include "tests/gpu/emulate.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "gpu/kernel/kernel_gate.h"
#include "gpu/kernel/kernel_group.h"
#include "gpu/kernel/kernel_layout.h"
#include "gpu/kernel/kernel_norm.h"
#include "gpu/kernel/kernel_point.h"
#include "gpu/kernel/kernel_shape.h"
#include "gpu/kernel/kernel_sums.h"
#include "gpu/kernel/kernel_train.h"
#include "gpu/kernel/kernel_window.h"

/* --- convolution: lanes in f32, the rest in f64 -------------------------- */

/* The position the tap at (z, y, x) of an output reads, SIZE_MAX outside. */
static size_t tap_of(const struct vg_conv_spec *s, int n, int z, int y, int x, int tap)
{
	int k = s->k, iz = z * s->stride - s->pad + s->dilation * (tap / (k * k)),
	    iy = y * s->stride - s->pad + s->dilation * (tap / k % k);
	int ix = x * s->stride - s->pad + s->dilation * (tap % k);

	if (iz < 0 || iy < 0 || ix < 0 || iz >= s->x.d || iy >= s->x.h || ix >= s->x.w)
		return SIZE_MAX;
	return (((size_t)n * (size_t)s->x.d + (size_t)iz) * (size_t)s->x.h + (size_t)iy) *
		(size_t)s->x.w +
		(size_t)ix;
}

static float *widened(const void *t, int type, size_t n)
{
	float *p = vt_xmalloc((n + VG_LANES) * sizeof(*p));

	for (size_t i = 0; i < n / VG_LANES; i++) {
		struct vg_chunk c = vg_load(t, type, (uint32_t)i);

		memcpy(p + i * VG_LANES, c.v, sizeof(c.v));
	}
	return p;
}

static void narrowed(void *t, int type, const float *p, size_t n)
{
	for (size_t i = 0; i < n / VG_LANES; i++) {
		struct vg_chunk c;

		memcpy(c.v, p + i * VG_LANES, sizeof(c.v));
		vg_store(t, type, (uint32_t)i, c);
	}
}

/* One pair of an output position and the input position its tap reads. */
static void conv_pair(const struct vg_conv_spec *s, float *x, float *w, float *y, int tap)
{
	size_t ci = (size_t)s->x.chunks * VG_LANES, co = (size_t)s->y.chunks * VG_LANES,
	       taps = (size_t)(s->k * s->k * s->k);

	for (size_t o = 0; o < co; o++) {
		float *row = w + (o * taps + (size_t)tap) * ci, sum[VG_LANES] = { 0 };
		double all = 0;

		if (s->kind == VG_CONV_FORWARD) {
			for (size_t i = 0; i < ci; i += VG_LANES)
				for (size_t l = 0; l < VG_LANES; l++)
					sum[l] += row[i + l] * x[i + l];
			for (int l = 0; l < VG_LANES; l++)
				all += (double)sum[l];
			y[o] += (float)all;
		} else {
			for (size_t i = 0; i < ci; i++)
				if (s->kind == VG_CONV_DATA)
					x[i] += row[i] * y[o];
				else
					row[i] += x[i] * y[o];
		}
	}
}

static void conv_all(const struct vg_conv_spec *s, float *x, float *w, float *y)
{
	size_t ci = (size_t)s->x.chunks * VG_LANES, co = (size_t)s->y.chunks * VG_LANES, at = 0;

	for (int n = 0; n < s->y.n; n++)
		for (int z = 0; z < s->y.d; z++)
			for (int v = 0; v < s->y.h; v++)
				for (int u = 0; u < s->y.w; u++, at++)
					for (int tap = 0; tap < s->k * s->k * s->k; tap++) {
						size_t from = tap_of(s, n, z, v, u, tap);

						if (from != SIZE_MAX)
							conv_pair(s, x + from * ci, w, y + at * co,
								tap);
					}
}

void vg_emulate_conv(const struct vg_conv_spec *s, void *x, void *w, void *y)
{
	size_t n[3] = { (size_t)vg_chunks(&s->x) * VG_LANES,
		(size_t)s->y.chunks * VG_LANES * (size_t)(s->k * s->k * s->k) *
			(size_t)s->x.chunks * VG_LANES,
		(size_t)vg_chunks(&s->y) * VG_LANES };
	void *t[3] = { x, w, y };
	int result = s->kind == VG_CONV_FORWARD ? 2 : s->kind == VG_CONV_DATA ? 0 : 1;
	float *p[3];

	for (int i = 0; i < 3; i++)
		p[i] = i == result ? vt_xcalloc(n[i] + VG_LANES, sizeof(float))
				   : widened(t[i], s->type, n[i]);
	conv_all(s, p[0], p[1], p[2]);
	narrowed(t[result], s->type, p[result], n[result]);
	for (int i = 0; i < 3; i++)
		free(p[i]);
}

/* --- kernels ------------------------------------------------------------- */

#define MAP(name)                                                                                  \
	static void all_##name(const void *args, uint32_t items, int backwards)                    \
	{                                                                                          \
		const struct vg_##name *a = args;                                                  \
		for (uint32_t i = 0; i < items; i++)                                               \
			vg_##name##_item(a, backwards ? items - 1 - i : i);                        \
	}
VG_MAPS(MAP)

/* Every mode has its own name in a launch; here it is read from the arguments. */
static int mode_of_sums(const struct vg_sums *a)
{
	return a->mode;
}
static int mode_of_affine(const struct vg_affine *a)
{
	return a->mode;
}
static int mode_of_norm_dx(const struct vg_norm_dx *a)
{
	return a->mode;
}
#define MODE_OF(a)                                                                                 \
	_Generic((a), const struct vg_sums *: mode_of_sums, \
	const struct vg_affine *: mode_of_affine, \
	const struct vg_norm_dx *: mode_of_norm_dx, default: no_mode)(a)
static int no_mode(const void *a)
{
	(void)a;
	return 0;
}

#define BLOCK(name, phases, modes, doubles)                                                        \
	static void all_##name(const void *args, uint32_t items, int backwards)                    \
	{                                                                                          \
		const struct vg_##name *a = args;                                                  \
		int mode = MODE_OF(a);                                                             \
		size_t shared_bytes = (size_t)(doubles) * sizeof(double);                          \
		double *shared = vt_xmalloc(shared_bytes);                                         \
		for (uint32_t b = 0; b < items; b++) {                                             \
			memset(shared, 0xff, shared_bytes);                                        \
			for (int phase = 0; phase < phases; phase++)                               \
				for (uint32_t t = 0; t < VG_SUM_THREADS; t++)                      \
					vg_##name##_phase(a, mode, backwards ? items - 1 - b : b,  \
						backwards ? VG_SUM_THREADS - 1 - t : t, phase,     \
						shared);                                           \
		}                                                                                  \
		free(shared);                                                                      \
	}
VG_BLOCKS(BLOCK)

static const struct kernel {
	void (*all)(const void *args, uint32_t items, int backwards);
	size_t args;
} kernels[] = {
#define ROW(name)                               { all_##name, sizeof(struct vg_##name) },
#define ROW_BLOCK(name, phases, modes, doubles) ROW(name)
	VG_MAPS(ROW) VG_BLOCKS(ROW_BLOCK)
};

size_t vg_emulate_args(int kernel)
{
	return kernels[kernel].args;
}

void vg_emulate_kernel(int kernel, const void *args, uint32_t items, int backwards)
{
	kernels[kernel].all(args, items, backwards);
}
