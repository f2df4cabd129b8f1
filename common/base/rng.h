/* rng.h - counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).
 *
 * A draw is a pure function of (seed, stream, index): no state, hence independent of thread
 * count, order and of how many other draws are made.  A stream is named by words, e.g.
 * vt_rng_stream(seed, "augment", subject, epoch, 0).
 *      struct vt_rng r = vt_rng_stream(seed, "flip", subject_hash, step, 0);
 *      if (vt_rng_uniform(&r) < 0.5) ... */
#ifndef COMMON_BASE_RNG_H
#define COMMON_BASE_RNG_H

#include <stdint.h>

/* One Philox4x32-10 block; known-answer vectors of the Random123 distribution hold. */
void vt_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* A cursor into one stream; plain data, copy freely, may be stored and resumed. */
struct vt_rng {
	uint32_t key[2];
	uint32_t stream[2];
	uint64_t index; /* next 32-bit word */
	uint32_t block[4];
	uint64_t block_index; /* which block is in `block`; UINT64_MAX if none */
};

struct vt_rng vt_rng_stream(uint64_t seed, const char *purpose, uint64_t a, uint64_t b, uint64_t c);
/* The same in two steps: the words as one, which can be handed on, and the stream of that name. */
uint64_t vt_rng_name(const char *purpose, uint64_t a, uint64_t b, uint64_t c);
struct vt_rng vt_rng_named(uint64_t seed, uint64_t name);
uint32_t vt_rng_u32(struct vt_rng *rng);
double vt_rng_uniform(struct vt_rng *rng);                       /* [0, 1), 53 bits */
double vt_rng_between(struct vt_rng *rng, double lo, double hi); /* [lo, hi) */
uint32_t vt_rng_below(struct vt_rng *rng, uint32_t n);           /* [0, n), unbiased; n > 0 */
/* N(0, 1), Box-Muller on fmath.h */
double vt_rng_normal(struct vt_rng *rng);

/* The next 32-bit word is number `word` of the stream. */
void vt_rng_seek(struct vt_rng *rng, uint64_t word);

/* 64-bit FNV-1a of a text, e.g. a subject id, to name a stream. */
uint64_t vt_rng_hash(const char *text);

#endif
