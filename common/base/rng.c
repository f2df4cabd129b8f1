#include "common/base/rng.h"

#include <assert.h>

#define VT_FMATH_FN static inline __attribute__((always_inline))
#include "common/base/fmath_inline.h"

/* Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011): multipliers and Weyl keys of
 * Philox4x32-10 */
static void round_once(uint32_t c[4], const uint32_t k[2])
{
	uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
	uint32_t hi0 = (uint32_t)(a >> 32), lo0 = (uint32_t)a, hi1 = (uint32_t)(b >> 32),
		 lo1 = (uint32_t)b;

	c[0] = hi1 ^ c[1] ^ k[0];
	c[1] = lo1;
	c[2] = hi0 ^ c[3] ^ k[1];
	c[3] = lo0;
}

void vt_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
	uint32_t k[2] = { key[0], key[1] };

	for (int i = 0; i < 4; i++)
		out[i] = counter[i];
	for (int r = 0; r < 10; r++) {
		round_once(out, k);
		k[0] += 0x9E3779B9u;
		k[1] += 0xBB67AE85u;
	}
}

uint64_t vt_rng_hash(const char *text)
{
	/* FNV-1a, 64 bits */
	uint64_t h = 0xcbf29ce484222325u;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	return h;
}

/* Each word goes through a Philox block, so neighboring words give unrelated streams. */
static uint64_t mix(uint64_t h, uint64_t word)
{
	uint32_t c[4] = { (uint32_t)h, (uint32_t)(h >> 32), (uint32_t)word,
		(uint32_t)(word >> 32) },
		 out[4];
	/* any key will do, as long as it stays */
	const uint32_t k[2] = { 0x766f7874u, 0x7261696cu };

	vt_philox(out, c, k);
	return (uint64_t)out[1] << 32 | out[0];
}

uint64_t vt_rng_name(const char *purpose, uint64_t a, uint64_t b, uint64_t c)
{
	return mix(mix(mix(mix(0, vt_rng_hash(purpose)), a), b), c);
}

struct vt_rng vt_rng_named(uint64_t seed, uint64_t name)
{
	return (struct vt_rng){ .key = { (uint32_t)seed, (uint32_t)(seed >> 32) },
		.stream = { (uint32_t)name, (uint32_t)(name >> 32) },
		.block_index = UINT64_MAX }; /* none yet */
}

struct vt_rng vt_rng_stream(uint64_t seed, const char *purpose, uint64_t a, uint64_t b, uint64_t c)
{
	return vt_rng_named(seed, vt_rng_name(purpose, a, b, c));
}

uint32_t vt_rng_u32(struct vt_rng *rng)
{
	uint64_t want = rng->index / 4;

	if (want != rng->block_index) {
		uint32_t c[4] = { (uint32_t)want, (uint32_t)(want >> 32), rng->stream[0],
			rng->stream[1] };

		vt_philox(rng->block, c, rng->key);
		rng->block_index = want;
	}
	return rng->block[rng->index++ % 4];
}

static uint64_t next_u64(struct vt_rng *rng)
{
	uint64_t lo = vt_rng_u32(rng);

	return lo | (uint64_t)vt_rng_u32(rng) << 32;
}

double vt_rng_uniform(struct vt_rng *rng)
{
	/* 53 bits: every value is a multiple of 2^-53 */
	return (double)(next_u64(rng) >> 11) * 0x1p-53;
}

double vt_rng_between(struct vt_rng *rng, double lo, double hi)
{
	return lo + (hi - lo) * vt_rng_uniform(rng);
}

uint32_t vt_rng_below(struct vt_rng *rng, uint32_t n)
{
	uint32_t reject, x;

	assert(n > 0);
	/* 2^32 mod n numbers are drawn again, so that each remainder is as likely */
	reject = (uint32_t)(-n) % n;
	do {
		x = vt_rng_u32(rng);
	} while (x < reject);
	return x % n;
}

VT_FMA_TOO double vt_rng_normal(struct vt_rng *rng)
{
	uint32_t w[4];

	for (int i = 0; i < 4; i++)
		w[i] = vt_rng_u32(rng);
	return vt_in_normal(w);
}

void vt_rng_seek(struct vt_rng *rng, uint64_t word)
{
	rng->index = word;
}
