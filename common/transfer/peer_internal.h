/* peer_internal.h - for peer_*.c, reader.c, serve.c and transfer.c only. */
#ifndef COMMON_TRANSFER_PEER_INTERNAL_H
#define COMMON_TRANSFER_PEER_INTERNAL_H

#include "common/transfer/peer.h"

enum {
	LINE_LIMIT = 4096,
	BATCH_NAMES = 1 << 20, /* most names in one request */
	REQUEST_BYTES = 1 << 27,
	ANSWER_LINES = 1 << 22, /* most in one answer; bounds.h says how many bytes */
};

extern const char vt_peer_greeting[]; /* "voxtrail 2" */

/* reader.c: to the other end */
int vt_peer_send(int fd, const void *bytes, size_t n, struct vt_peer_bounds *bounds,
	const char *what, struct vt_err *err);
int vt_reader_send(struct vt_reader *reader, uint64_t n, int to, struct vt_peer_bounds *bounds,
	const char *what, struct vt_err *err);
/* Digits and nothing else; false otherwise, and above `most`. */
bool vt_peer_count(uint64_t *out, const char *text, uint64_t most);

/* vouchers.c: ids of the records that made the trees or their files, and of all their ancestors, as
 * far as the store has them; sorted. */
int vt_transfer_vouchers(struct vt_store *store, struct vt_strs *out, const struct vt_strs *trees,
	struct vt_err *err);

/* received.c: is "records 3f.." of the kind "records"? */
bool vt_transfer_is_kind(const char *name, const char *kind);
/* An event for what arrived of one kind. */
int vt_received_tell(struct vt_store *store, const struct vt_strs *names, const char *kind,
	struct vt_err *err);

/* Takes inner over. */
struct vt_peer *vt_peer_limited(struct vt_peer *inner, struct vt_store *store,
	const struct vt_peer_limits *limits);

/* A directory remote: opens its store, and closes it with the peer. */
int vt_peer_directory(struct vt_peer **out, const char *dir, bool writing, struct vt_err *err);

#endif
