/* transfer_requests.c - requests of any number of names, in pieces that a peer answers at once. */
#include "common/transfer/transfer_internal.h"

int vt_transfer_missing(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < names->n; i += VT_TRANSFER_BATCH) {
		const struct vt_strs part = { names->v + i,
			names->n - i < VT_TRANSFER_BATCH ? names->n - i : VT_TRANSFER_BATCH, 0 };

		rc = peer->ops->missing(peer, out, &part, err);
	}
	return rc;
}

int vt_transfer_get(struct vt_peer *peer, const struct vt_strs *names, vt_sink sink, void *ctx,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < names->n; i += VT_TRANSFER_BATCH) {
		const struct vt_strs part = { names->v + i,
			names->n - i < VT_TRANSFER_BATCH ? names->n - i : VT_TRANSFER_BATCH, 0 };

		rc = peer->ops->get(peer, &part, sink, ctx, err);
	}
	return rc;
}
