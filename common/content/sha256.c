#include "common/content/sha256.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fault.h"

void vt_sha256_begin(struct vt_sha256 *state)
{
	/* FIPS 180-4, 5.3.3 */
	static const struct vt_sha256 first = { { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };

	*state = first;
}

size_t vt_sha256_pad(unsigned char *tail, uint64_t size)
{
	/* 0x80 and the length in bits need nine bytes */
	size_t rest = size % VT_SHA_BLOCK, blocks = rest + 9 > VT_SHA_BLOCK ? 2 : 1,
	       end = blocks * VT_SHA_BLOCK;

	tail[rest] = 0x80;
	memset(tail + rest + 1, 0, end - 8 - rest - 1);
	for (int i = 0; i < 8; i++)
		tail[end - 1 - (size_t)i] = (unsigned char)(size * 8 >> 8 * i); /* big-endian */
	return blocks;
}

void vt_sha256_end(struct vt_digest *out, const struct vt_sha256 *state)
{
	for (int i = 0; i < 32; i++)
		out->b[i] = (unsigned char)(state->h[i / 4] >> (24 - 8 * (i % 4)));
}

/* Texts of n different lengths around `size` bytes, side by side, as OpenSSL has them? */
static bool agrees(vt_sha256_blocks *f, unsigned n, size_t blocks)
{
	unsigned char text[VT_SHA_LANES][8 * VT_SHA_BLOCK], tail[VT_SHA_LANES][2 * VT_SHA_BLOCK];
	struct vt_sha256 state[VT_SHA_LANES], *s[VT_SHA_LANES] = { NULL };
	const unsigned char *p[VT_SHA_LANES] = { NULL };
	bool good = true;

	/* any bytes will do, as long as streams differ */
	for (unsigned i = 0; i < n; i++) {
		for (size_t k = 0; k < sizeof(text[i]); k++)
			text[i][k] = (unsigned char)(k * 31 + i * 7 + (k >> 8));
		vt_sha256_begin(&state[i]);
		s[i] = &state[i];
		p[i] = text[i];
	}
	f(n, s, p, blocks);
	for (unsigned i = 0; i < n; i++) {
		/* 0, 21, 42 and 63 bytes after the last block: one and two blocks of padding */
		size_t size = blocks * VT_SHA_BLOCK + 21 * i;
		struct vt_digest d, want = vt_digest_bytes(text[i], size);

		memcpy(tail[i], text[i] + blocks * VT_SHA_BLOCK, 21 * i);
		p[i] = tail[i];
		f(1, &s[i], &p[i], vt_sha256_pad(tail[i], size));
		vt_sha256_end(&d, &state[i]);
		good = good && vt_digest_equal(&d, &want);
	}
	return good;
}

static vt_sha256_blocks *chosen;
static bool wrong;

static void choose(void)
{
	const char *isa = getenv("VOXTRAIL_ISA");

	/* OpenSSL's streams, then */
	if ((isa && !strcmp(isa, "portable")) || !vt_sha256_shani_here())
		return;
	chosen = vt_sha256_shani;
	for (unsigned n = 1; n <= VT_SHA_LANES && !wrong; n++)
		wrong = !agrees(chosen, n, 1) || !agrees(chosen, n, 7) || vt_fault("sha256");
}

int vt_sha256_engine(vt_sha256_blocks **out, struct vt_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, choose);
	/* results of this engine would name files that nobody else can find */
	if (wrong)
		return vt_err_set(err, VT_EBUG,
			"the SHA instructions of this processor and OpenSSL give different "
			"digests; set VOXTRAIL_ISA=portable");
	*out = chosen;
	return 0;
}
