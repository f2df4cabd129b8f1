/* peer_local.h - for peer_local*.c only. */
#ifndef COMMON_TRANSFER_PEER_LOCAL_H
#define COMMON_TRANSFER_PEER_LOCAL_H

#include "common/store/tree_check.h"
#include "common/transfer/peer_internal.h"

struct local {
	struct vt_peer peer;
	struct vt_store *s;
	bool owns;                /* the store was opened for this peer */
	struct vt_strs name, tmp; /* what waits for flush */
	uint64_t texts;           /* bytes of what is no object of that */
	struct vt_tree_sums sums; /* trees that were checked */
	struct vt_buf said;
};

/* --- peer_local_put.c --- */

/* Takes "KIND ID" apart; false if it is neither. */
bool vt_local_parse_name(const char *name, const char **kind, struct vt_digest *id);
/* Path of a name in the store, caller frees; NULL (VT_EDATA) if it is no name. */
char *vt_local_path(struct vt_store *store, const char *name, struct vt_err *err);
int vt_local_missing(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err);
int vt_local_put(struct vt_peer *peer, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err);
int vt_local_flush(struct vt_peer *peer, struct vt_err *err);
/* Removes what waits. */
void vt_local_forget(struct local *local);

#endif
