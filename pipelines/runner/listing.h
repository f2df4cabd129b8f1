/* listing.h - the files of a repo or a result, with hashes; directories are entries of their
 * own.
 *
 * Paths begin with '/', a directory's ends with one, the root is "/" and is there only when
 * there is any file.  Entries are in byte order, so everything below a directory follows it.  A
 * directory's hash covers the names, types and hashes of its children: renaming a file changes
 * it. */
#ifndef PIPELINES_RUNNER_LISTING_H
#define PIPELINES_RUNNER_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct vt_hash {
	unsigned char b[32];
};

struct vt_entry {
	char *path;
	/* origin: key of the datum that wrote the file; zero if none did */
	struct vt_hash hash, origin;
	uint64_t size; /* bytes; of a directory: files below it */
	bool dir;
};

struct vt_listing {
	struct vt_entry *v;
	size_t n, cap;
};

void vt_listing_add(struct vt_listing *l, const char *path, const struct vt_hash *hash,
	uint64_t size, const struct vt_hash *origin);

/* Sorts, adds the directories, computes their hashes.  Two files with one path, or a file where
 * another's directory must be, is VT_EDATA; *first and *second (may be NULL) get the origins. */
int vt_listing_finish(struct vt_listing *l, struct vt_hash *first, struct vt_hash *second,
	struct vt_err *err);
const struct vt_entry *vt_listing_find(const struct vt_listing *l, const char *path);
void vt_listing_release(struct vt_listing *l);

/* Lower-case hex, and back; false if it is not 64 hex digits. */
void vt_hash_hex(char out[65], const struct vt_hash *h);
bool vt_hash_parse(struct vt_hash *out, const char *hex);

/* A lineage record, at the top or beside a checkpoint further down: no part of any listing, tree
 * or hash. */
bool vt_path_is_lineage(const char *relative);

#endif
