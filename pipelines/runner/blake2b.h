/* blake2b.h - BLAKE2b with a 32-byte digest and no key (RFC 7693), the hash of datum ids. */
#ifndef PIPELINES_RUNNER_BLAKE2B_H
#define PIPELINES_RUNNER_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

struct vt_blake2b {
	uint64_t h[8], total;
	unsigned char block[128];
	size_t used;
};

void vt_blake2b_init(struct vt_blake2b *state);
void vt_blake2b_update(struct vt_blake2b *state, const void *bytes, size_t n);
void vt_blake2b_final(struct vt_blake2b *state, unsigned char out[32]);

#endif
