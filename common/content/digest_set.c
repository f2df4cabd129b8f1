#include "common/content/digest_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

/* The slot of d, or the free one where it would go.  A digest's bytes are hash enough. */
static size_t slot_of(const struct vt_digest_set *s, const struct vt_digest *d)
{
	uint64_t h;
	size_t i;

	memcpy(&h, d->b, sizeof(h));
	for (i = (size_t)h & (s->cap - 1); s->used[i] && !vt_digest_equal(&s->slot[i], d);
		i = (i + 1) & (s->cap - 1))
		;
	return i;
}

static void grow(struct vt_digest_set *s)
{
	struct vt_digest_set bigger = { .cap = s->cap ? 2 * s->cap : 256, .n = s->n };

	bigger.slot = vt_xcalloc(bigger.cap, sizeof(*bigger.slot));
	bigger.used = vt_xcalloc(bigger.cap, sizeof(*bigger.used));
	for (size_t i = 0; i < s->cap; i++)
		if (s->used[i]) {
			size_t k = slot_of(&bigger, &s->slot[i]);

			bigger.slot[k] = s->slot[i];
			bigger.used[k] = true;
		}
	free(s->slot);
	free(s->used);
	*s = bigger;
}

bool vt_digest_set_add(struct vt_digest_set *s, const struct vt_digest *d)
{
	size_t i;

	if (4 * (s->n + 1) > 3 * s->cap)
		grow(s);
	i = slot_of(s, d);
	if (s->used[i])
		return false;
	s->slot[i] = *d;
	s->used[i] = true;
	s->n++;
	return true;
}

bool vt_digest_set_has(const struct vt_digest_set *s, const struct vt_digest *d)
{
	return s->cap && s->used[slot_of(s, d)];
}

void vt_digest_set_release(struct vt_digest_set *s)
{
	free(s->slot);
	free(s->used);
	*s = (struct vt_digest_set)VT_DIGEST_SET_INIT;
}
