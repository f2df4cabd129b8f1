/* random.h - bytes that nobody can foresee, for names and nonces; never part of a result (rng.h has
 * the numbers of those). */
#ifndef COMMON_BASE_RANDOM_H
#define COMMON_BASE_RANDOM_H

#include <stddef.h>

#include "common/base/err.h"

enum { VT_NONCE = 33 }; /* 16 bytes in hex digits, and a NUL */

/* At most 256 bytes; VT_EIO where the system has none. */
int vt_random_bytes(void *out, size_t n, struct vt_err *err);
int vt_random_nonce(char hex[VT_NONCE], struct vt_err *err);

#endif
