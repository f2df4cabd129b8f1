#include "common/nn/cpu/bf16.h"

#include <float.h>
#include <math.h>

#include "common/base/parallel.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <fenv.h>
#endif

/* A result is flushed if it is below the least normal number when rounded to 24 bits with no
 * limit on the exponent. */
static float fused(float a, float b, float c)
{
	float r = fmaf(a, b, c);
	double wide = fma((double)a, (double)b, (double)c);

	if (wide < 0 ? wide > -(double)FLT_MIN * (1 - 0x1p-25)
		     : wide < (double)FLT_MIN * (1 - 0x1p-25))
		return signbit(r) ? -0.0f : 0.0f;
	return r;
}

float vt_bf16_dot(float acc, float x_lo, float x_hi, float w_lo, float w_hi)
{
	acc = fabsf(acc) < FLT_MIN ? copysignf(0.0f, acc) : acc;
	return fused(x_lo, w_lo, fused(x_hi, w_hi, acc));
}

unsigned vt_bf16_flush_begin(void)
{
#if defined(__x86_64__)
	unsigned before = _mm_getcsr();

	_mm_setcsr(before | 0x8040); /* flush results, take operands as zero */
	return before;
#elif defined(__aarch64__)
	fenv_t env;
	unsigned before;

	fegetenv(&env);
	before = (unsigned)env.__fpcr;
	env.__fpcr |= 1u << 24; /* FZ: flush results, take operands as zero */
	fesetenv(&env);
	return before;
#else
	return 0;
#endif
}

void vt_bf16_flush_end(unsigned before)
{
#if defined(__x86_64__)
	_mm_setcsr(before);
#elif defined(__aarch64__)
	fenv_t env;

	fegetenv(&env);
	env.__fpcr = before;
	fesetenv(&env);
#else
	(void)before;
#endif
}

#if defined(__x86_64__)
void vt_tile_avx512_bf16(const struct vt_tile *t);

/* One tap, one pair, one position: lane l adds x . w_l to start_l. */
static void probe(float out[VT_LANES], const float start[VT_LANES], uint32_t x,
	const uint32_t w[VT_LANES])
{
	float xf, wf[2 * VT_LANES];
	struct vt_tap tap = { &xf, wf };
	struct vt_tile t = { .tap = &tap,
		.n_taps = 1,
		.c_in = 1,
		.count = 1,
		.block = 4,
		.step = 4,
		.y = out,
		.y_step = VT_LANES,
		.start = start };

	memcpy(&xf, &x, sizeof(x));
	memcpy(wf, w, VT_LANES * sizeof(*w));
	vt_tile_avx512_bf16(&t);
}

static float value_of(uint32_t upper_half)
{
	float f;

	upper_half &= 0xffff0000u;
	memcpy(&f, &upper_half, sizeof(f));
	return f;
}

/* Random operands of all sizes, among them cancelling and subnormal ones, against the
 * definition. */
static bool instruction_conforms(void)
{
	uint32_t r = 1, x, w[VT_LANES];

	for (int i = 0; i < 4096; i++) {
		float start[VT_LANES], out[VT_LANES];

		r = r * 1664525u + 1013904223u;
		x = (r & 0x8fff8fffu) | (i % 3 ? 0x30003000u : 0);
		for (int l = 0; l < VT_LANES; l++) {
			uint32_t s;

			r = r * 1664525u + 1013904223u;
			w[l] = (r >> 3 & 0x8fff8fffu) | (i % 5 ? 0x30003000u : 0);
			r = r * 1664525u + 1013904223u;
			s = (r & 0x9fffffffu) | (i % 7 ? 0x20000000u : 0);
			memcpy(&start[l], &s, sizeof(s));
			start[l] = fabsf(start[l]) < FLT_MIN ? 0.0f : start[l];
		}
		probe(out, start, x, w);
		for (int l = 0; l < VT_LANES; l++) {
			float want =
				vt_bf16_dot(start[l], value_of(vt_bf16_bits(value_of(x << 16))),
					value_of(vt_bf16_bits(value_of(x))),
					value_of(vt_bf16_bits(value_of(w[l] << 16))),
					value_of(vt_bf16_bits(value_of(w[l]))));

			if (memcmp(&want, &out[l], sizeof(want)))
				return false;
		}
	}
	return true;
}
#endif

vt_tile_fn vt_bf16_tile(const struct vt_kernels *k)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (k == &vt_kernels_avx512 && __builtin_cpu_supports("avx512bf16") &&
		instruction_conforms())
		return vt_tile_avx512_bf16;
#endif
	(void)k;
	return NULL;
}

struct rounding {
	float *to;
	struct vt_view x;
	bool pairs;
	size_t floats, tasks;
};

static void round_task(void *ctx, size_t task)
{
	const struct rounding *r = ctx;
	size_t voxels = r->floats / VT_LANES, from = voxels * task / r->tasks * VT_LANES,
	       end = voxels * (task + 1) / r->tasks * VT_LANES;
	uint32_t *to = (uint32_t *)r->to;

	for (size_t i = from; i < end; i += 2) {
		uint32_t lo = vt_bf16_bits(r->x.p[i]), hi = vt_bf16_bits(r->x.p[i + 1]);

		if (r->pairs) {
			to[i / 2] = lo >> 16 | hi;
		} else {
			to[i] = hi;
			to[i + 1] = lo;
		}
	}
}

void vt_bf16_pack(float *to, struct vt_view x, bool pairs)
{
	struct rounding r = { to, x, pairs, vt_floats(x.s), vt_floats(x.s) / 65536 + 1 };

	vt_parallel_for(r.tasks, round_task, &r);
}

void vt_bf16_pack_weights(float *to, const float *w, int n_out, int n_in, int taps, size_t so,
	size_t si, bool pairs)
{
	size_t even = ((size_t)n_in + 1) / 2 * 2;
	uint32_t *u = (uint32_t *)to;

	memset(to, 0, (size_t)vt_blocks(n_out) * (size_t)taps * even * VT_LANES * sizeof(float));
	for (int o = 0; o < n_out; o++)
		for (int i = 0; i < n_in; i++)
			for (int t = 0; t < taps; t++) {
				size_t at = (size_t)(o / VT_LANES) * (size_t)taps + (size_t)t,
				       lane = (size_t)(o % VT_LANES);
				uint32_t b = vt_bf16_bits(
					w[(size_t)o * so + (size_t)i * si + (size_t)t]);

				if (pairs)
					u[(at * (even / 2) + (size_t)i / 2) * VT_LANES + lane] |=
						i % 2 ? b : b >> 16;
				else
					u[(at * even + ((size_t)i ^ 1)) * VT_LANES + lane] = b;
			}
}
