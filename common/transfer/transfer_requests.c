/* transfer_requests.c - requests of any number of names, in pieces that a peer answers at once. */
#include <assert.h>

#include "common/transfer/transfer_internal.h"

enum { BATCH = 20000 }; /* names in one request */

/* The batch of names that begins at `at`, borrowed. */
static struct vt_strs batch(const struct vt_strs *names, size_t at)
{
	const size_t left = names->n - at;

	assert(at < names->n);
	return (struct vt_strs){ names->v + at, left < BATCH ? left : BATCH, 0 };
}

int vt_transfer_ask(struct vt_peer *peer, vt_listing listing, struct vt_strs *out,
	const struct vt_strs *names, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < names->n; i += BATCH) {
		const struct vt_strs part = batch(names, i);

		rc = listing(peer, out, &part, err);
	}
	return rc;
}

int vt_transfer_missing(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	return vt_transfer_ask(peer, peer->ops->missing, out, names, err);
}

int vt_transfer_get(struct vt_peer *peer, const struct vt_strs *names, vt_sink sink, void *ctx,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < names->n; i += BATCH) {
		const struct vt_strs part = batch(names, i);

		rc = peer->ops->get(peer, &part, sink, ctx, err);
	}
	return rc;
}
