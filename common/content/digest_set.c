#include "common/content/digest_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

/* The slot of digest, or the free one where it would go.  A digest's bytes are hash enough. */
static size_t slot_of(const struct vt_digest_set *set, const struct vt_digest *digest)
{
	uint64_t h;
	size_t i;

	assert(set->n < set->cap && !(set->cap & (set->cap - 1))); /* a free slot ends the search */
	memcpy(&h, digest->b, sizeof(h));
	for (i = (size_t)h & (set->cap - 1);
		set->used[i] && !vt_digest_equal(&set->slot[i], digest);
		i = (i + 1) & (set->cap - 1))
		;
	return i;
}

static void grow(struct vt_digest_set *set)
{
	struct vt_digest_set bigger = { .cap = set->cap ? 2 * set->cap : 256, .n = set->n };

	bigger.slot = vt_xcalloc(bigger.cap, sizeof(*bigger.slot));
	bigger.used = vt_xcalloc(bigger.cap, sizeof(*bigger.used));
	for (size_t i = 0; i < set->cap; i++)
		if (set->used[i]) {
			size_t k = slot_of(&bigger, &set->slot[i]);

			bigger.slot[k] = set->slot[i];
			bigger.used[k] = true;
		}
	free(set->slot);
	free(set->used);
	*set = bigger;
}

bool vt_digest_set_add(struct vt_digest_set *set, const struct vt_digest *digest)
{
	size_t i;

	/* at most three quarters full: probes stay short, and there is a free slot */
	if (4 * (set->n + 1) > 3 * set->cap)
		grow(set);
	i = slot_of(set, digest);
	if (set->used[i])
		return false;
	set->slot[i] = *digest;
	set->used[i] = true;
	set->n++;
	return true;
}

bool vt_digest_set_has(const struct vt_digest_set *set, const struct vt_digest *digest)
{
	return set->cap && set->used[slot_of(set, digest)];
}

void vt_digest_set_release(struct vt_digest_set *set)
{
	free(set->slot);
	free(set->used);
	*set = (struct vt_digest_set)VT_DIGEST_SET_INIT;
}
