#include "common/nn/cpu/bf16.h"

#include "common/base/parallel.h"

enum { PART = 65536 };

/* One pair of `to` and `from`. */
struct rounding {
	const struct vt_kernels *k;
	float *to;
	const float *from;
	uint16_t *to_bits;
	const uint16_t *from_bits;
	size_t n;
};

static void round_part(void *ctx, size_t part)
{
	const struct rounding *r = ctx;
	size_t at = part * PART, n = r->n - at < PART ? r->n - at : PART;

	if (r->to_bits)
		r->k->narrow(r->to_bits + at, r->from + at, n);
	else
		r->k->widen(r->to + at, r->from_bits + at, n);
}

static void all_parts(const struct rounding *rounding)
{
	vt_parallel_for((rounding->n + PART - 1) / PART, round_part, (void *)rounding);
}

void vt_bf16_narrow(const struct vt_kernels *k, uint16_t *to, const float *from, size_t n)
{
	all_parts(&(struct rounding){ .k = k, .to_bits = to, .from = from, .n = n });
}

void vt_bf16_widen(const struct vt_kernels *k, float *to, const uint16_t *from, size_t n)
{
	all_parts(&(struct rounding){ .k = k, .to = to, .from_bits = from, .n = n });
}
