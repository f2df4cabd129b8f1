#include "pipelines/runner/blake2b.h"

#include <string.h>

static const uint64_t iv[8] = {
	0x6a09e667f3bcc908u,
	0xbb67ae8584caa73bu,
	0x3c6ef372fe94f82bu,
	0xa54ff53a5f1d36f1u,
	0x510e527fade682d1u,
	0x9b05688c2b3e6c1fu,
	0x1f83d9abfb41bd6bu,
	0x5be0cd19137e2179u,
};

/* RFC 7693 section 2.7; rounds 10 and 11 use rows 0 and 1 again. */
static const unsigned char sigma[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x >> n | x << (64 - n);
}

static void mix(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate(v[d] ^ v[a], 32);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 24);
	v[a] += v[b] + y;
	v[d] = rotate(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate(v[b] ^ v[c], 63);
}

static uint64_t load(const unsigned char *p)
{
	uint64_t x = 0;
	for (int i = 7; i >= 0; i--)
		x = x << 8 | p[i];
	return x;
}

static void compress(struct vt_blake2b *blake2b, int last)
{
	uint64_t v[16], m[16];
	for (int i = 0; i < 16; i++)
		m[i] = load(blake2b->block + 8 * i);
	for (int i = 0; i < 8; i++) {
		v[i] = blake2b->h[i];
		v[i + 8] = iv[i];
	}
	v[12] ^= blake2b->total;
	if (last)
		v[14] = ~v[14];
	for (int r = 0; r < 12; r++) {
		const unsigned char *s = sigma[r % 10];
		for (int i = 0; i < 4; i++)
			mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
		for (int i = 0; i < 4; i++)
			mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4,
				m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
	}
	for (int i = 0; i < 8; i++)
		blake2b->h[i] ^= v[i] ^ v[i + 8];
}

void vt_blake2b_init(struct vt_blake2b *state)
{
	memset(state, 0, sizeof *state);
	memcpy(state->h, iv, sizeof iv);
	state->h[0] ^= 0x01010000u ^ 32u;
}

void vt_blake2b_update(struct vt_blake2b *state, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	while (n) {
		/* A full block waits until more bytes come: the last block is compressed with
		 * the final flag. */
		if (state->used == sizeof state->block) {
			state->total += sizeof state->block;
			compress(state, 0);
			state->used = 0;
		}
		size_t take = sizeof state->block - state->used < n
			? sizeof state->block - state->used
			: n;
		memcpy(state->block + state->used, p, take);
		state->used += take;
		p += take;
		n -= take;
	}
}

void vt_blake2b_final(struct vt_blake2b *state, unsigned char out[32])
{
	state->total += state->used;
	memset(state->block + state->used, 0, sizeof state->block - state->used);
	compress(state, 1);
	for (int i = 0; i < 32; i++)
		out[i] = (unsigned char)(state->h[i / 8] >> 8 * (i % 8));
}
