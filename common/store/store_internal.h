/* store_internal.h - for common/store only. */
#ifndef COMMON_STORE_STORE_INTERNAL_H
#define COMMON_STORE_STORE_INTERNAL_H

#include <sys/stat.h>

#include "common/record/record_index.h"
#include "common/content/stat_cache.h"
#include "common/store/store.h"

struct vt_store {
	char *dir;
	int dir_fd, objects_fd, tmp_fd; /* tmp_fd: -1 if opened for reading */
	int lock_fd, lock_depth;        /* <store>/lock */
	bool unsettled;                 /* the mark in it is ours, see history.h */
	int use_fd;                     /* <store>/in-use, once something was published */
	int *claim_fd;                  /* claimed directories */
	size_t n_claims;
	char *tmp_prefix; /* names below tmp/ that no other process takes */
	unsigned long tmp_count;
	bool read_only;
	struct vt_record_index *db;
	struct vt_stat_cache *cache; /* NULL until asked for */
};

/* up to so many files are made durable one by one, more with one syncfs */
enum { VT_SYNC_EACH = 4 };

/* <dir>/<kind>/ab/cdef...; caller frees. */
char *vt_store_path(const struct vt_store *store, const char *kind, const struct vt_digest *digest);

/* The same relative to the folder of the kind: "ab/cdef...". */
enum { VT_STORE_NAME = 66 };
void vt_store_name(char out[VT_STORE_NAME], const struct vt_digest *digest);
/* And back: the hex digits of "ab/cdef..."; false for a name of another length. */
bool vt_store_hex_of_name(char hex[VT_HEX], const char *name);

/* flock; may be taken again by who holds it.  in-use (vt_store_use) comes before it, as in gc. */
int vt_store_lock(struct vt_store *store, struct vt_err *err);
void vt_store_unlock(struct vt_store *store);

struct vt_stat_cache *vt_store_cache(struct vt_store *store);
void vt_store_save_cache(struct vt_store *store); /* a failure is only logged */

/* --- publish.c: names appear only when what they name is durable --------- */

/* Names made in one folder of the store, and what is to be synced for them. */
struct vt_published {
	const char *kind; /* "objects", "trees", "records" */
	/* fan-out directories that got a name; that were made */
	bool touched[256], made;
	size_t n;
};

/* begin takes the lock.  A process that was killed between naming and syncing leaves a mark, and
 * the next one syncs for it; so names that are found while the lock is held are durable ones.
 * end syncs the directories, unless rc, and gives rc or its own. */
int vt_publish_begin(struct vt_store *store, struct vt_published *published, const char *kind,
	struct vt_err *err);
int vt_publish_end(struct vt_store *store, struct vt_published *published, int rc,
	struct vt_err *err);

/* Called before a name is made; makes the fan-out directory. */
int vt_publish_fan_out(struct vt_store *store, struct vt_published *published,
	const struct vt_digest *digest, struct vt_err *err);

char *vt_store_tmp_name(struct vt_store *store); /* relative to tmp/; caller frees */

/* Texts to be stored under their digests: written below tmp/ by add, given their names by
 * publish. */
struct vt_batch {
	const char *kind;
	/* named by a key, not by their bytes: the new text takes the old one's place */
	bool replace;
	struct vt_strs tmp;
	struct vt_digest *id;
	size_t cap;
};

int vt_batch_add(struct vt_store *store, struct vt_batch *batch, const struct vt_digest *id,
	const char *text, size_t n, struct vt_err *err);
int vt_batch_publish(struct vt_store *store, struct vt_batch *batch, struct vt_err *err);
void vt_batch_release(struct vt_store *store, struct vt_batch *batch);

/* One line of a tree's text. */
struct vt_tree_line {
	char type; /* f, x, d */
	struct vt_digest digest;
	uint64_t size;
	const char *name; /* name_len bytes in the text */
	size_t name_len;
};

/* Reads a tree's text, checks it against its id and gives where its lines begin. */
int vt_store_tree_text(struct vt_store *store, struct vt_buf *text, const char **lines,
	const struct vt_digest *id, struct vt_err *err);

/* Reads the line at *at and moves behind it: 1; 0 at the end; -1 and VT_EINTEGRITY. */
int vt_tree_line_next(const char **at, struct vt_tree_line *out, struct vt_err *err);

/* --- objects.c ----------------------------------------------------------- */

enum vt_object_state {
	VT_OBJECT_ABSENT = 1,
	VT_OBJECT_SOUND, /* read-only, and its bytes are what its name says */
	/* right bytes, but somebody may write to it, and that could not be mended here */
	VT_OBJECT_OPEN,
	VT_OBJECT_DAMAGED,
};

struct vt_object {
	struct vt_digest digest;
	uint64_t size;
	enum vt_object_state state;
	mode_t mode;
	struct vt_stamp stamp;
	const char *path; /* a path of the tree that needs it; borrowed */
	size_t first;     /* index of that file */
	char *fault;      /* of a damaged one: what is wrong */
};

/* One entry a digest of the tree's files, in order of the digest. */
struct vt_object *vt_objects_of(const struct vt_tree *tree, size_t *n);
void vt_objects_free(struct vt_object *object, size_t n);

/* Finds the state of each.  An object was sealed when it was taken in: read-only, and its size
 * and modification time noted.  One that looks otherwise is read again; if its owner made it
 * writable and it is sound still, the store gets a copy of its own in its place, and the owner
 * keeps the file. */
int vt_objects_examine(struct vt_store *store, struct vt_object *object, size_t n,
	struct vt_err *err);

/* The same, and one that cannot be handed out is an error with its path: VT_ENOINPUT if it was
 * erased, else VT_EINTEGRITY. */
int vt_objects_need(struct vt_store *store, struct vt_object *object, size_t n, struct vt_err *err);

/* Has anybody written to the object since it was sealed, or made it writable?  It is read only if
 * it does not look as it did. */
int vt_objects_touched(struct vt_store *store, struct vt_object *object, bool *touched,
	struct vt_err *err);

#endif
