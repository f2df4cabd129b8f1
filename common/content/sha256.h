/* sha256.h - the block function of SHA-256 (FIPS 180-4) for several independent streams at once;
 * for common/store only.
 *
 * The rounds of one stream wait for each other; those of two to four streams fill the gaps, so
 * one core hashes about twice as fast.  Every stream's digest is the plain SHA-256 of its bytes. */
#ifndef COMMON_CONTENT_SHA256_H
#define COMMON_CONTENT_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/content/digest.h"

enum { VT_SHA_LANES = 4, VT_SHA_BLOCK = 64 };

struct vt_sha256 {
	uint32_t h[8];
};

/* Advances n (1 to VT_SHA_LANES) streams by `blocks` blocks; p[i] is where those of state[i]
 * begin. */
typedef void vt_sha256_blocks(unsigned n, struct vt_sha256 *const state[],
	const unsigned char *const p[], size_t blocks);

/* The block function of this processor; NULL where it has no SHA instructions or
 * VOXTRAIL_ISA=portable asks for none: the streams of digest.h (OpenSSL) are then the way.
 * Compared with OpenSSL at the first call; a difference is VT_EBUG. */
int vt_sha256_engine(vt_sha256_blocks **out, struct vt_err *err);

void vt_sha256_begin(struct vt_sha256 *state);

/* Writes what follows the last whole block of a stream of `size` bytes: the rest (0 to 63 bytes,
 * which stand at tail already), the padding and the length. tail has room for two blocks;
 * returns how many there are. */
size_t vt_sha256_pad(unsigned char *tail, uint64_t size);
void vt_sha256_end(struct vt_digest *out, const struct vt_sha256 *state);

bool vt_sha256_shani_here(void);
vt_sha256_blocks vt_sha256_shani;

#endif
