/* peer.h - one end of a transfer: a store on this machine, or one behind a pipe.
 *
 * push copies from the store here to a peer, pull from a peer to the store here; transfer.h does
 * both with two peers and does not know which is which.  A name is "KIND ID" with KIND one of
 * objects, trees, records, results, commits, signatures (of a record, by its id).
 *
 * Over a pipe (stdin and stdout of `voxtrail serve`) every request is lines, ended by LF; the
 * server says "voxtrail 2" first.
 *      refs REPO|*              ok N, then N lines "REPO NAME ID"
 *      history N + N ids        ok M, then M commit ids: those and all their ancestors
 *      missing N + N names      ok M, then the M names that are not there
 *      unsound N + N names      ok M, then the M names of what these commits and trees, themselves
 *                               included, name and what is lost or damaged there (as far as it
 *                               shows without reading files that look untouched)
 *      vouchers N + N tree ids  ok M, then M ids of the records that vouch for the trees or
 *                               their files, and of their ancestors
 *      erased N + N names       ok M, then "ID SIZE REASON" of those that were erased there by
 *                               decision
 *      bury ID SIZE REASON      ok: there it is known as a proposal (erased.h) now
 *      get N + N names          N times "object KIND ID SIZE" and SIZE bytes
 *      put KIND ID SIZE + bytes no answer until
 *      flush                    ok: everything put since the last flush was checked and is durable
 *      move REPO NAME FROM|- TO force|forward    ok: the ref was at FROM and is at TO
 * "no CODE TEXT" in place of an answer says why not (err.h); the session then ends. */
#ifndef COMMON_TRANSFER_PEER_H
#define COMMON_TRANSFER_PEER_H

#include "common/store/repo.h"
#include "common/transfer/bounds.h"

/* Bytes to come: from memory first, then from fd (-1: none). */
struct vt_reader {
	const char *next;
	size_t left; /* bytes at next */
	int fd;
	/* buffer that next points into; NULL if it is the caller's memory */
	char *own;
	/* NULL: a file, which nobody keeps waiting */
	struct vt_peer_bounds *bounds;
};

#define VT_READER_INIT                                                                             \
	{                                                                                          \
		(const char *)0, 0, -1, (char *)0, (struct vt_peer_bounds *)0                      \
	}

/* n bytes to a file */
int vt_reader_copy(struct vt_reader *reader, uint64_t n, int to, const char *what,
	struct vt_err *err);
int vt_reader_bytes(struct vt_reader *reader, uint64_t n, struct vt_buf *to, const char *what,
	struct vt_err *err);
/* without its LF; VT_EIO at the end */
int vt_reader_line(struct vt_reader *reader, struct vt_buf *line, struct vt_err *err);
void vt_reader_release(struct vt_reader *reader);

/* Takes exactly `size` bytes from r. */
typedef int (*vt_sink)(void *ctx, const char *name, uint64_t size, struct vt_reader *r,
	struct vt_err *err);

struct vt_peer;
/* Adds to out what the peer answers to what it is asked. */
typedef int (*vt_listing)(struct vt_peer *p, struct vt_strs *out, const struct vt_strs *asked,
	struct vt_err *err);

struct vt_peer_ops {
	int (*refs)(struct vt_peer *p, struct vt_refs *out, const char *repo, struct vt_err *err);
	vt_listing history;          /* of tips: the commits they reach */
	vt_listing missing, unsound; /* of names: those not there; what is wrong behind them */
	vt_listing vouchers;         /* of trees: the records they were made by, and theirs */
	vt_listing erased;           /* of names: "ID SIZE REASON" of each erased object */
	/* who: where that was decided */
	int (*bury)(struct vt_peer *p, const char *line, const char *who, struct vt_err *err);
	int (*get)(struct vt_peer *p, const struct vt_strs *names, vt_sink sink, void *ctx,
		struct vt_err *err);
	int (*put)(struct vt_peer *p, const char *name, uint64_t size, struct vt_reader *r,
		struct vt_err *err);
	int (*flush)(struct vt_peer *p, struct vt_err *err);
	int (*move)(struct vt_peer *p, const char *repo, const char *name, const char *from,
		const char *to, bool force, struct vt_err *err);
	void (*close)(struct vt_peer *p);
};

struct vt_peer {
	const struct vt_peer_ops *ops;
	const char *said; /* how messages name it */
	bool foreign;     /* behind a pipe: what it says is a claim */
};

/* The store stays the caller's. */
struct vt_peer *vt_peer_local(struct vt_store *store);

/* `remote`: a directory, HOST:PATH, USER@HOST:PATH or ssh://[USER@]HOST[:PORT]/PATH.  The latter
 * run $VOXTRAIL_SSH (default "ssh") and there $VOXTRAIL_REMOTE (default "voxtrail") serve.
 * writing: it will be pushed to, and is made if it is a directory that does not exist. */
int vt_peer_open(struct vt_peer **out, const char *remote, bool writing, struct vt_err *err);
void vt_peer_close(struct vt_peer *peer);

/* What the other end may do, besides what the store's mode allows. */
struct vt_peer_limits {
	/* these repos alone are shown and moved, and only what they reach is handed out; NULL or
	 * empty: all */
	const struct vt_strs *repos;
	/* branches move forward only, tags stay where they are, nothing is buried or replaced */
	bool append_only;
};

/* Answers requests from `in` on `out` until `in` ends. */
int vt_peer_serve(struct vt_store *store, const struct vt_peer_limits *limits, int in, int out,
	struct vt_err *err);

#endif
