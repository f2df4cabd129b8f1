/* Compiled with the SHA instructions switched on; reached only after a run-time check. */
#include "common/content/sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

bool vt_sha256_shani_here(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29); /* SHA */
}

/* FIPS 180-4, 4.2.2. */
static const uint32_t k[64] = { 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
	0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6,
	0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
	0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585,
	0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa,
	0xa4506ceb, 0xbef9a3f7, 0xc67178f2 };

/* The instructions want the state as (a b e f) and (c d g h), high word first. */
static inline void load(__m128i s[2], const uint32_t h[8])
{
	s[0] = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
	s[1] = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
}

static inline void store(uint32_t h[8], const __m128i s[2])
{
	uint32_t x[4], y[4];

	_mm_storeu_si128((__m128i *)x, s[0]);
	_mm_storeu_si128((__m128i *)y, s[1]);
	h[0] = x[3], h[1] = x[2], h[4] = x[1], h[5] = x[0];
	h[2] = y[3], h[3] = y[2], h[6] = y[1], h[7] = y[0];
}

/* Four rounds of one stream; r (0 to 15) is a constant wherever this is inlined. m is a ring of
 * the last 16 words. */
static inline __attribute__((always_inline)) void four_rounds(__m128i s[2], __m128i m[4], int r)
{
	__m128i w = m[r & 3], x;

	/* the first 16 words are the block itself; then w[i] = s1(w[i-2]) + w[i-7] + s0(w[i-15]) +
	 * w[i-16] */
	if (r >= 4) {
		x = _mm_add_epi32(_mm_sha256msg1_epu32(w, m[(r + 1) & 3]),
			_mm_alignr_epi8(m[(r + 3) & 3], m[(r + 2) & 3], 4));
		w = m[r & 3] = _mm_sha256msg2_epu32(x, m[(r + 3) & 3]);
	}
	x = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(k + 4 * r)));
	/* two rounds each: (c d g h) becomes (a b e f), and the other way round */
	s[1] = _mm_sha256rnds2_epu32(s[1], s[0], x);
	s[0] = _mm_sha256rnds2_epu32(s[0], s[1], _mm_shuffle_epi32(x, 0x0e));
}

static inline __attribute__((always_inline)) void streams(int n, struct vt_sha256 *const state[],
	const unsigned char *const p[], size_t blocks)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	__m128i s[VT_SHA_LANES][2], begun[VT_SHA_LANES][2], m[VT_SHA_LANES][4];

	for (int i = 0; i < n; i++)
		load(s[i], state[i]->h);
	for (size_t b = 0; b < blocks; b++) {
		for (int i = 0; i < n; i++) {
			begun[i][0] = s[i][0];
			begun[i][1] = s[i][1];
			for (int j = 0; j < 4; j++)
				m[i][j] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p[i] +
								   VT_SHA_BLOCK * b +
								   16 * (size_t)j)),
					big_endian);
		}
#pragma GCC unroll 16
		for (int r = 0; r < 16; r++)
			for (int i = 0; i < n; i++)
				four_rounds(s[i], m[i], r);
		for (int i = 0; i < n; i++) {
			s[i][0] = _mm_add_epi32(s[i][0], begun[i][0]);
			s[i][1] = _mm_add_epi32(s[i][1], begun[i][1]);
		}
	}
	for (int i = 0; i < n; i++)
		store(state[i]->h, s[i]);
}

/* One body a count, so that the loops over streams unroll. */
void vt_sha256_shani(unsigned n, struct vt_sha256 *const state[], const unsigned char *const p[],
	size_t blocks)
{
	if (n == 1)
		streams(1, state, p, blocks);
	else if (n == 2)
		streams(2, state, p, blocks);
	else if (n == 3)
		streams(3, state, p, blocks);
	else
		streams(4, state, p, blocks);
}
#else
bool vt_sha256_shani_here(void)
{
	return false;
}

void vt_sha256_shani(unsigned n, struct vt_sha256 *const state[], const unsigned char *const p[],
	size_t blocks)
{
	(void)n, (void)state, (void)p, (void)blocks;
}
#endif
