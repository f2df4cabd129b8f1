/* store.h - the store: blobs, trees and records by digest, data repos by name, one SQLite index
 * that can be rebuilt.
 *
 *      <store>/format            "voxstore 2\n"
 *      <store>/objects/ab/...    blobs, mode 0444, the raw bytes of files (the executable bit
 *                                lives in the tree)
 *      <store>/trees/ab/...      canonical texts of tree.h
 *      <store>/records/ab/...    canonical records of record.h
 *      <store>/scratch/<derivation id>/   what a killed stage resumes from; never part of an output
 *      <store>/tmp/              staging; whatever a killed process left here is garbage
 *      <store>/lock              flock: held while something is published
 *      <store>/in-use            flock: shared by whoever ingests or publishes, exclusive while
 *                                gc sweeps
 *      <store>/pins/             see pin.h
 *      <store>/stat-cache        see stat_cache.h; may be removed
 *      <store>/commits/, refs/   history, see repo.h
 *      <store>/lineage.db        the index of records
 *
 * Publishing order: blobs and trees are written under temporary names, made durable (syncfs),
 * renamed, their directories made durable; then records; then one SQLite transaction, which is
 * the commit point.  A crash before it leaves unreferenced files and nothing else.  Locks are
 * flock(2) only and die with their process. */
#ifndef COMMON_STORE_STORE_H
#define COMMON_STORE_STORE_H

#include "common/base/json.h"
#include "common/content/tree.h"
#include "common/record/record.h"

struct vt_store;

/* VT_STORE_LOOK is VT_STORE_OPEN where the store may be written to, else VT_STORE_READ: for what
 * writes nothing but may mend what it meets.  The last is for rebuild.c only. */
enum vt_store_mode {
	VT_STORE_CREATE = 1,
	VT_STORE_OPEN,
	VT_STORE_READ,
	VT_STORE_LOOK,
	VT_STORE_NO_INDEX
};

/* false on read-only media, and for who may not write there. */
bool vt_store_may_write(const char *dir);
bool vt_store_is_read_only(const struct vt_store *store);

/* Refuses a network file system and a store of another format. dir is made if mode is
 * VT_STORE_CREATE. */
int vt_store_open(struct vt_store **out, const char *dir, enum vt_store_mode mode,
	struct vt_err *err);
void vt_store_close(struct vt_store *store);
const char *vt_store_dir(const struct vt_store *store);

/* As vt_tree_hash_dir; what was hashed is remembered, so taking the directory in afterwards does
 * not read it again. */
int vt_store_hash_dir(struct vt_store *store, struct vt_tree **out, const char *dir,
	struct vt_err *err);

/* How a directory is taken in; all zero: as the files of a stage's output, whose tree is stored
 * too. */
struct vt_take {
	/* leave the files as they are: reflinks or copies instead of links */
	bool copy;
	/* a symbolic link to a file is taken in as a copy of the file, else refused */
	bool follow;
	/* nobody writes to the files any more: a young one is believed to be whole */
	bool finished;
	bool blobs; /* no tree objects: the caller keeps a list of its own */
	/* what is no part of it; NULL: vt_tree_is_lineage */
	bool (*leave_out)(const char *path);
	/* only what lies below these directories of `from`, by relative path; NULL: everything */
	const struct vt_strs *dirs;
	/* `from` is a file, to be known by this name; NULL: a directory */
	const char *name;
};

/* Hashes what is at `from` and takes its files in, durable when it returns; files already there
 * are not stored again.  They are linked (they become read-only: file and object are one), else
 * reflinked, else copied.  Nothing of it is changed and nothing stored if a file is refused:
 * unreadable or changing while it is read (VT_EIO), neither file nor directory, erased by
 * decision before, or with a name that tree.h refuses (VT_EDATA). how may be NULL. */
int vt_store_ingest(struct vt_store *store, struct vt_tree **out, const char *from,
	const struct vt_take *how, struct vt_err *err);

/* The tree that vt_store_ingest would give; only looks. */
int vt_store_hash(struct vt_store *store, struct vt_tree **out, const char *from,
	const struct vt_take *how, struct vt_err *err);

/* From here to vt_store_close nothing is swept: whatever is found in the store may be relied on.
 * In a store that may only be read this holds where whoever sweeps it left a lock to be seen. */
int vt_store_use(struct vt_store *store, struct vt_err *err);

/* A path below tmp/ that no other process has, whatever container it runs in; caller frees. */
char *vt_store_tmp_path(struct vt_store *store);

/* Makes dir and holds it until the store is closed: gc leaves a claimed directory below tmp/ or
 * scratch/ alone. */
int vt_store_claim(struct vt_store *store, const char *dir, struct vt_err *err);

/* Stores tree objects of an already known tree whose blobs are all present (VT_EINTEGRITY names
 * one that is not). */
int vt_store_put_tree(struct vt_store *store, const struct vt_tree *tree, struct vt_err *err);
/* Those of n trees whose blobs were just taken in: nothing is looked for. */
int vt_store_put_trees(struct vt_store *store, const struct vt_tree *const *t, size_t n,
	struct vt_err *err);
int vt_store_get_tree(struct vt_store *store, struct vt_tree **out, const struct vt_digest *id,
	struct vt_err *err);

/* Writes the tree's files into dest, which must not exist or be empty.  A new dest appears
 * whole, by one rename; into an empty directory (it may be a mount point) the entries are moved
 * one by one, from a folder .voxtrail-partial in it that goes last: while it is there the
 * directory is not whole, and the next checkout begins anew.  An object that is missing or has
 * changed since it was taken in is VT_EINTEGRITY, and nothing is written. */
enum vt_checkout {
	/* hard links, read-only; a read-only copy where there can be no link */
	VT_CHECKOUT_LINK = 1,
	VT_CHECKOUT_COPY,    /* writable copies, by reflink where the file system can */
	VT_CHECKOUT_REFLINK, /* writable copies by reflink, or VT_ECANTCREAT */
};
int vt_store_checkout(struct vt_store *store, const struct vt_tree *tree, const char *dest,
	enum vt_checkout how, struct vt_err *err);

/* The same; more(ctx, directory) adds to it before it appears. */
typedef int (*vt_checkout_more)(void *ctx, const char *dir, struct vt_err *err);
int vt_store_checkout_with(struct vt_store *store, const struct vt_tree *tree, const char *dest,
	enum vt_checkout how, vt_checkout_more more, void *ctx, struct vt_err *err);
/* Single files into a directory that is there, each under a relative path whose directories are
 * made: read-only links, copies where there can be no link (another file system, too many links,
 * another executable bit).  A path that is taken stays as it is.  Every object is examined first,
 * as for a checkout. */
struct vt_place {
	const struct vt_tree_file *file;
	const char *to;
};
int vt_store_place(struct vt_store *store, const char *dir, const struct vt_place *place, size_t n,
	struct vt_err *err);

/* The first of n files whose object somebody wrote to, or made writable, since it was taken in;
 * *out is NULL if there is none. */
int vt_store_touched(struct vt_store *store, const struct vt_tree_file *file, size_t n,
	const struct vt_tree_file **out, struct vt_err *err);

/* Bytes as an object, and back; the text of an object of another digest is VT_EINTEGRITY. */
int vt_store_put_blob(struct vt_store *store, const void *bytes, size_t n, struct vt_digest *id,
	struct vt_err *err);
int vt_store_get_blob(struct vt_store *store, struct vt_buf *out, const struct vt_digest *id,
	struct vt_err *err);
/* Where an object lies, or would; caller frees. */
char *vt_store_object_path(const struct vt_store *store, const struct vt_digest *digest);

/* Ingests a record (checked by record.h) and indexes it.  Idempotent. */
int vt_store_put_record(struct vt_store *store, const char *text, size_t n, struct vt_digest *id,
	struct vt_err *err);
/* Many at once, each checked by the caller (vt_record_parse): one batch, one transaction. */
int vt_store_put_records(struct vt_store *store, const struct vt_record_text *record, size_t n,
	struct vt_err *err);
int vt_store_get_record(struct vt_store *store, struct vt_json **out, const char *id_hex,
	struct vt_err *err);

/* A successful record with this derivation that is believed (trust.h): its id in hex (caller
 * frees), NULL if there is none.  VT_EINTEGRITY if there are two of different results.
 * made_only: what this store executed itself alone counts. */
int vt_store_find_derivation(struct vt_store *store, const char *derivation_hex, bool made_only,
	char **id, struct vt_err *err);

/* Ids of the successful records that have tree (hex) among their outputs, or that vouch for an
 * output file with this digest; sorted.  Claims (trust.h) only where no record is believed. */
int vt_store_producers(struct vt_store *store, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err);
/* Records that wrote the bytes of a file or tree and had read them: they copied it. */
int vt_store_copiers(struct vt_store *store, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err);

/* The same for all files of a tree together, once each. */
int vt_store_producers_of_files(struct vt_store *store, const struct vt_tree *tree,
	struct vt_strs *ids, struct vt_err *err);

/* Ids of the records that begin with `prefix` (hex digits, "" for all); sorted. */
int vt_store_records(struct vt_store *store, const char *prefix, struct vt_strs *ids,
	struct vt_err *err);

/* --- verify -------------------------------------------------------------- */

/* Re-hashes every blob, tree and record and trusts no cache; calls found for each damaged or
 * missing one with a sentence, and open (may be NULL) for a blob that is sound but that somebody
 * may write to: checkout mends it.  *n counts what was checked.  Returns 0 if nothing was found,
 * VT_EINTEGRITY otherwise. */
int vt_store_verify(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void (*open)(void *ctx, const char *object), void *ctx, size_t *n, struct vt_err *err);

#endif
