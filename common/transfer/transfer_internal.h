/* transfer_internal.h - for transfer.c and transfer_*.c only. */
#ifndef COMMON_TRANSFER_TRANSFER_INTERNAL_H
#define COMMON_TRANSFER_TRANSFER_INTERNAL_H

#include "common/transfer/peer.h"

/* --- transfer_requests.c --- */
int vt_transfer_ask(struct vt_peer *peer, vt_listing listing, struct vt_strs *out,
	const struct vt_strs *names, struct vt_err *err);
int vt_transfer_missing(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err);
int vt_transfer_get(struct vt_peer *peer, const struct vt_strs *names, vt_sink sink, void *ctx,
	struct vt_err *err);

/* --- transfer_reach.c --- */

/* A peer's word decides what is sent to it: VT_EDATA if it calls something unsound that the starts,
 * "commits ID" and "trees ID" of the source, do not reach. */
int vt_transfer_check_reached(struct vt_peer *from, const struct vt_peer *to,
	const struct vt_strs *starts, const struct vt_strs *unsound, struct vt_err *err);

/* --- transfer_texts.c --- */

struct vt_transfer_text {
	char *name; /* "KIND ID" */
	struct vt_buf text;
	struct vt_strs needs; /* names that must be there before it */
	size_t next;          /* of needs, to look at */
	bool sent, begun;
};

struct vt_transfer_texts {
	struct vt_transfer_text *v;
	size_t n, cap;
};

/* At most VT_PEER_TEXT bytes and what the peer's bounds leave, with a NUL behind. */
int vt_transfer_read_text(struct vt_buf *text, const char *name, uint64_t size,
	struct vt_reader *reader, struct vt_err *err);
/* VT_EINTEGRITY for other bytes than "KIND ID" says. */
int vt_transfer_check_text(const char *name, const struct vt_buf *text, struct vt_err *err);

/* A sink: keeps a text whose bytes are what its name says, in a struct vt_transfer_texts. */
int vt_transfer_keep_text(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err);
void vt_transfer_texts_sort(struct vt_transfer_texts *texts);
/* Of sorted ones; NULL: not there. */
struct vt_transfer_text *vt_transfer_texts_find(const struct vt_transfer_texts *texts,
	const char *name);
/* Puts each behind those it needs. */
int vt_transfer_put_in_order(struct vt_transfer_texts *texts, struct vt_peer *to,
	struct vt_err *err);
void vt_transfer_texts_release(struct vt_transfer_texts *texts);

/* Results that the destination lacks: "results KEY" and the text of each. */
struct vt_lacking_results {
	struct vt_strs name;
	struct vt_buf *text;
	size_t n, cap;
};

/* Those of the datums that the given commits are the union of, as far as the source has them.  Adds
 * the lists of datums to the objects and the results' trees to the roots, which are to be there
 * before them. */
int vt_transfer_find_results(struct vt_lacking_results *out, struct vt_peer *from,
	struct vt_peer *to, const struct vt_strs *commits, struct vt_strs *objects,
	struct vt_strs *roots, struct vt_err *err);
int vt_transfer_put_results(const struct vt_lacking_results *results, struct vt_peer *to,
	struct vt_err *err);
/* Of the names, which are sorted, those that the peer has. */
int vt_transfer_present(struct vt_peer *peer, struct vt_strs *out, struct vt_strs *names,
	struct vt_err *err);
/* A sink that keeps a text, whatever its name, in a struct vt_lacking_results. */
int vt_transfer_keep(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err);

/* transfer_signatures.c: attestations of the records (ids) that the source has and the destination
 * has not, or has others of. */
int vt_transfer_find_signatures(struct vt_lacking_results *out, struct vt_peer *from,
	struct vt_peer *to, const struct vt_strs *records, struct vt_err *err);

void vt_lacking_results_release(struct vt_lacking_results *results);

#endif
