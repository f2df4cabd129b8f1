/* stat_cache.h - which digest a file had that was hashed before, by device and inode; for
 * common/store only.
 *
 * <store>/stat-cache: "voxstat 1\n", 6 zero bytes, the number of entries (8 bytes), the SHA-256
 * of the entries, the entries in order of (device, inode): device, inode, size, mtime, ctime (8
 * bytes each, little-endian, times in ns) and digest.  The file may be removed at any time, and
 * one that is damaged is none: it saves work and decides nothing that verify would believe.
 *
 * git's racy rule: a file that was modified less than 20 ms before it was hashed (2 s where
 * times are whole seconds) is not remembered, because it may have been written to again without
 * a new time. */
#ifndef COMMON_CONTENT_STAT_CACHE_H
#define COMMON_CONTENT_STAT_CACHE_H

#include "common/content/fileset.h"

struct vt_stat_cache;

/* Never fails: an absent, unreadable or damaged file is an empty one. */
struct vt_stat_cache *vt_stat_cache_open(const char *path);
void vt_stat_cache_close(struct vt_stat_cache *cache);

enum vt_stat_trust {
	/* nothing moved, not even the change time: for files of others */
	VT_STAT_EXACT = 1,
	/* size and modification time: for the store's objects, whose links come and go */
	VT_STAT_SEALED,
};

bool vt_stat_cache_find(const struct vt_stat_cache *cache, struct vt_digest *out,
	const struct vt_stamp *stamp, enum vt_stat_trust trust);

/* The digest that the inode had when it was last remembered, whatever became of it since. */
bool vt_stat_cache_was(const struct vt_stat_cache *cache, struct vt_digest *out,
	const struct vt_stamp *stamp);

/* hashed_at: the clock (vt_stat_clock) before its bytes were read. */
void vt_stat_cache_add(struct vt_stat_cache *cache, const struct vt_stamp *stamp,
	const struct vt_digest *digest, int64_t hashed_at);
/* Has so much been added since the last save that a process that is killed now would cost much
 * reading?  Whoever saves then writes each entry a few times, however many there will be. */
bool vt_stat_cache_is_due(const struct vt_stat_cache *cache);
int64_t vt_stat_clock(void);
bool vt_stat_is_racy(const struct vt_stamp *stamp, int64_t hashed_at);

/* Merges what was added into the file; the caller holds the store's lock. keep, if not NULL,
 * says of each entry that was there before whether it stays. */
int vt_stat_cache_save(struct vt_stat_cache *cache,
	bool (*keep)(void *ctx, const struct vt_digest *d), void *ctx, struct vt_err *err);

#endif
