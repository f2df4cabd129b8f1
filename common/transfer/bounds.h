/* bounds.h - what one session with a peer may cost; for common/transfer only.
 *
 * Time: only waiting counts, not what this end does itself.  When it waited `seconds` and less than
 * VT_PEER_LEAST bytes went either way since the last request, the session ends (VT_EIO): silence
 * and a byte now and then are one thing.  Memory: lists and texts that are kept are counted as
 * VT_PEER_COPIES times their length before they are stored, for what is made of them. */
#ifndef COMMON_TRANSFER_BOUNDS_H
#define COMMON_TRANSFER_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

enum {
	VT_PEER_SECONDS = 900,     /* $VOXTRAIL_PEER_TIMEOUT */
	VT_PEER_MIB = 512,         /* $VOXTRAIL_PEER_MEMORY */
	VT_PEER_LEAST = 64 * 1024, /* bytes in one time-out */
	VT_PEER_COPIES = 6,
	VT_PEER_TEXT = 128 << 20, /* bytes of one tree, commit, record, result or attestation */
};

struct vt_peer_bounds {
	int64_t seconds;
	int64_t waited_ms; /* since the last request, or since VT_PEER_LEAST bytes came */
	uint64_t moved;    /* bytes since then */
	bool expired;
	uint64_t memory, kept;
};

/* From the environment; VT_EUSAGE for what is no number there. */
int vt_peer_bounds_init(struct vt_peer_bounds *bounds, struct vt_err *err);
/* A request begins. */
void vt_peer_bounds_begin(struct vt_peer_bounds *bounds);
/* Until fd can be read (POLLIN) or written (POLLOUT) without waiting. */
int vt_peer_bounds_wait(struct vt_peer_bounds *bounds, int fd, short events, const char *what,
	struct vt_err *err);
/* n bytes of a list or a text are about to be kept. */
int vt_peer_bounds_keep(struct vt_peer_bounds *bounds, uint64_t n, const char *what,
	struct vt_err *err);

#endif
