#include "common/nn/cpu/bf16.h"

#include "common/base/parallel.h"

enum { PART = 65536 };

struct rounding {
	const struct vt_kernels *k;
	float *to;
	const float *from;
	size_t n;
};

static void round_part(void *ctx, size_t part)
{
	const struct rounding *r = ctx;
	size_t at = part * PART;

	r->k->to_bf16(r->to + at, r->from + at, r->n - at < PART ? r->n - at : PART);
}

void vt_bf16_round(const struct vt_kernels *k, float *to, const float *from, size_t n)
{
	vt_parallel_for((n + PART - 1) / PART, round_part, &(struct rounding){ k, to, from, n });
}
