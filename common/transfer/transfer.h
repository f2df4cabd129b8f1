/* transfer.h - copies what one peer has and the other lacks: push and pull.
 *
 * Objects travel first and refs last; in between trees follow the files they name, commits the
 * trees and parents they name, and the records that vouch for the files go along.  Everything is
 * re-hashed where it arrives.  What the destination has lost or finds damaged of the wanted commits
 * is sent again, also where no ref moves.  What was copied before an interruption is whole and
 * stays, so a repeated transfer sends the rest. */
#ifndef COMMON_TRANSFER_TRANSFER_H
#define COMMON_TRANSFER_TRANSFER_H

#include "common/transfer/peer.h"

struct vt_transfer {
	const char *repo; /* NULL: every repo */
	const char *name; /* one branch or tag of it; NULL: all */
	/* what the datums of the wanted heads gave goes along: none is computed again there */
	bool results;
	bool force; /* refs may move elsewhere than forward */
	/* what happened: refs that moved, with their new commits */
	struct vt_refs moved;
	/* "repo@name" whose commit the destination has and goes beyond */
	struct vt_strs ahead;
	size_t n_commits, n_trees, n_objects, n_records, n_erased, n_results, n_signed;
	size_t n_healed; /* files, trees and commits that were lost or damaged there */
	uint64_t bytes;  /* of objects */
};

/* VT_ENOINPUT if the source has nothing of that name; VT_EFAIL if a ref would not move forward
 * (then nothing was copied). */
int vt_transfer_run(struct vt_transfer *transfer, struct vt_peer *from, struct vt_peer *to,
	struct vt_err *err);
void vt_transfer_release(struct vt_transfer *transfer);

#endif
