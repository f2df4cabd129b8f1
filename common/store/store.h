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

/* VT_STORE_LOOK is VT_STORE_OPEN if the store is writable, otherwise VT_STORE_READ: for commands
 * that write nothing themselves but may repair what they find.  VT_STORE_NO_INDEX is for rebuild.c
 * only. */
enum vt_store_mode {
	VT_STORE_CREATE = 1,
	VT_STORE_OPEN,
	VT_STORE_READ,
	VT_STORE_LOOK,
	VT_STORE_NO_INDEX
};

/* False on read-only media and without write permission. */
bool vt_store_may_write(const char *dir);
bool vt_store_is_read_only(const struct vt_store *store);

/* Refuses a network file system and a store of another format.  Creates dir if mode is
 * VT_STORE_CREATE. */
int vt_store_open(struct vt_store **out, const char *dir, enum vt_store_mode mode,
	struct vt_err *err);
void vt_store_close(struct vt_store *store);

/* For a run, which lasts: the index takes a few MiB, however large it is, and questions to it take
 * longer. */
int vt_store_spare_memory(struct vt_store *store, struct vt_err *err);
const char *vt_store_dir(const struct vt_store *store);

/* As vt_tree_hash_dir.  Digests are cached, so a later vt_store_ingest does not read the files
 * again. */
int vt_store_hash_dir(struct vt_store *store, struct vt_tree **out, const char *dir,
	struct vt_err *err);

/* How a directory is ingested.  All zero: as a stage's output, whose tree is stored too. */
struct vt_ingest_opts {
	/* leave the files as they are: reflinks or copies instead of links */
	bool copy;
	/* ingest the target of a symbolic link to a file; otherwise such a link is refused */
	bool follow;
	/* no process writes to the files any more, so recently modified ones are complete */
	bool finished;
	bool blobs; /* store no tree objects: the caller keeps its own list */
	/* true for paths to leave out; NULL: vt_tree_is_lineage */
	bool (*leave_out)(const char *path);
	/* only files below these directories of `from`, by relative path; NULL: all files */
	const struct vt_strs *dirs;
	/* `from` is a file, and this is its name in the tree; NULL: `from` is a directory */
	const char *name;
};

/* Hashes the files at `from` and stores those that the store does not have; they are durable when
 * the function returns.  A file is linked (file and object are then one inode, and read-only),
 * otherwise reflinked, otherwise copied.  Nothing is changed or stored if a file is refused: it is
 * unreadable or changes while it is read (VT_EIO); or it is neither file nor directory, was erased
 * by decision, or has a name that tree.h refuses (VT_EDATA).  how may be NULL. */
int vt_store_ingest(struct vt_store *store, struct vt_tree **out, const char *from,
	const struct vt_ingest_opts *how, struct vt_err *err);

/* The tree that vt_store_ingest would return; stores nothing. */
int vt_store_hash(struct vt_store *store, struct vt_tree **out, const char *from,
	const struct vt_ingest_opts *how, struct vt_err *err);

/* From here to vt_store_close, gc removes nothing, so objects found in the store stay.  In a
 * read-only store this holds only if the process that runs gc uses the same lock file. */
int vt_store_use(struct vt_store *store, struct vt_err *err);

/* A path below tmp/ that no other process uses, in any container; caller frees. */
char *vt_store_tmp_path(struct vt_store *store);

/* Creates dir and claims it until the store is closed: gc does not remove a claimed directory below
 * tmp/ or scratch/. */
int vt_store_claim(struct vt_store *store, const char *dir, struct vt_err *err);

/* Stores the tree objects of a tree whose blobs are all in the store (VT_EINTEGRITY names a missing
 * one). */
int vt_store_put_tree(struct vt_store *store, const struct vt_tree *tree, struct vt_err *err);
/* The same for n trees whose blobs were just ingested: the blobs are not looked up. */
int vt_store_put_trees(struct vt_store *store, const struct vt_tree *const *t, size_t n,
	struct vt_err *err);
int vt_store_get_tree(struct vt_store *store, struct vt_tree **out, const struct vt_digest *id,
	struct vt_err *err);

/* Writes the tree's files into dest, which must be empty or not exist.  A new dest appears by one
 * rename.  In an empty directory (which may be a mount point) the entries are moved one by one from
 * .voxtrail-partial inside it, which is removed last: while it exists, the directory is incomplete,
 * and the next checkout starts again.  An object that is missing or has changed since it was
 * ingested is VT_EINTEGRITY, and nothing is written. */
enum vt_checkout {
	/* hard links, read-only; a read-only copy where there can be no link */
	VT_CHECKOUT_LINK = 1,
	VT_CHECKOUT_COPY,    /* writable copies, by reflink where the file system can */
	VT_CHECKOUT_REFLINK, /* writable copies by reflink, or VT_ECANTCREAT */
};
int vt_store_checkout(struct vt_store *store, const struct vt_tree *tree, const char *dest,
	enum vt_checkout how, struct vt_err *err);

/* The same; more(ctx, directory) adds files before the directory appears. */
typedef int (*vt_checkout_more)(void *ctx, const char *dir, struct vt_err *err);
int vt_store_checkout_with(struct vt_store *store, const struct vt_tree *tree, const char *dest,
	enum vt_checkout how, vt_checkout_more more, void *ctx, struct vt_err *err);
/* Places single files in an existing directory, each under a relative path whose directories are
 * created: as read-only links, or as copies where a link is impossible (another file system, too
 * many links, another executable bit).  An existing path is not changed.  Every object is examined
 * first, as for a checkout. */
struct vt_place {
	const struct vt_tree_file *file;
	const char *to;
};
int vt_store_place(struct vt_store *store, const char *dir, const struct vt_place *place, size_t n,
	struct vt_err *err);

/* The first of n files whose object was written to, or made writable, since it was ingested;
 * *out is NULL if there is none. */
int vt_store_touched(struct vt_store *store, const struct vt_tree_file *file, size_t n,
	const struct vt_tree_file **out, struct vt_err *err);

/* Stores bytes as an object, and reads an object; bytes that do not match the digest are
 * VT_EINTEGRITY. */
int vt_store_put_blob(struct vt_store *store, const void *bytes, size_t n, struct vt_digest *id,
	struct vt_err *err);
int vt_store_get_blob(struct vt_store *store, struct vt_buf *out, const struct vt_digest *id,
	struct vt_err *err);
/* The path of an object, whether it exists or not; caller frees. */
char *vt_store_object_path(const struct vt_store *store, const struct vt_digest *digest);

/* Ingests a record (checked by record.h) and indexes it.  Idempotent. */
int vt_store_put_record(struct vt_store *store, const char *text, size_t n, struct vt_digest *id,
	struct vt_err *err);
/* Many at once, each checked by the caller (vt_record_parse): one batch, one transaction. */
int vt_store_put_records(struct vt_store *store, const struct vt_record_text *record, size_t n,
	struct vt_err *err);
int vt_store_get_record(struct vt_store *store, struct vt_json **out, const char *id_hex,
	struct vt_err *err);

/* The id in hex (caller frees) of a successful, believed record (trust.h) with this derivation;
 * NULL if there is none.  VT_EINTEGRITY if there are two with different results.  made_only:
 * only records that this store executed count. */
int vt_store_find_derivation(struct vt_store *store, const char *derivation_hex, bool made_only,
	char **id, struct vt_err *err);

/* Ids of the successful records that have the tree, or a file with this digest (hex), among their
 * outputs; sorted.  Claims (trust.h) are returned only if no believed record is. */
int vt_store_producers(struct vt_store *store, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err);
/* Records that wrote the bytes of a file or tree and had also read them: they copied it. */
int vt_store_copiers(struct vt_store *store, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err);

/* The same for all files of a tree together, once each. */
int vt_store_producers_of_files(struct vt_store *store, const struct vt_tree *tree,
	struct vt_strs *ids, struct vt_err *err);

/* Ids of the records that begin with `prefix` (hex digits, "" for all); sorted. */
int vt_store_records(struct vt_store *store, const char *prefix, struct vt_strs *ids,
	struct vt_err *err);

/* --- verify -------------------------------------------------------------- */

/* Hashes every blob, tree and record again, without any cache.  Calls found with a sentence for
 * each damaged or missing one, and open (may be NULL) for an intact but writable blob, which the
 * next checkout repairs.  *n counts what was checked.  Returns 0 if nothing was found, otherwise
 * VT_EINTEGRITY. */
int vt_store_verify(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void (*open)(void *ctx, const char *object), void *ctx, size_t *n, struct vt_err *err);

#endif
