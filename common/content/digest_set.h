/* digest_set.h - a set of digests; for common/store only. */
#ifndef COMMON_CONTENT_DIGEST_SET_H
#define COMMON_CONTENT_DIGEST_SET_H

#include "common/content/digest.h"

struct vt_digest_set {
	struct vt_digest *slot; /* open addressing; cap is 0 or a power of two */
	bool *used;
	size_t n, cap;
};

#define VT_DIGEST_SET_INIT                                                                         \
	{                                                                                          \
		(struct vt_digest *)0, (bool *)0, 0, 0                                             \
	}

/* false if it was there */
bool vt_digest_set_add(struct vt_digest_set *set, const struct vt_digest *digest);
bool vt_digest_set_has(const struct vt_digest_set *set, const struct vt_digest *digest);
void vt_digest_set_release(struct vt_digest_set *set);

#endif
