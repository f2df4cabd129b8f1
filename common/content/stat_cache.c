/* The file is a header and entries sorted by (device, inode), mapped and searched by halves.  What
 * is added stays in memory, behind a hash of inodes that gives the newest, until save merges both
 * and replaces the file.  The header holds a digest of the entries: a file that is cut short or
 * was written by another machine is as good as none.
 *
 * An entry is only added when the file had been at rest for a tick of the file system's clock when
 * it was hashed; a later write then moves its times.  Not for several threads at once; processes
 * are kept apart by the store's lock, which the caller of save holds. */
#include "common/content/stat_cache.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/fault.h"

static const char magic[16] = "voxstat 1\n";
/* entries; beyond them it begins anew, for it has no way to tell which files are gone */
static const size_t most = 4u << 20;
static const size_t least = 4096; /* entries worth a save of their own */
/* ns that a file must have been at rest: where times have fractions, and where they count whole
 * seconds, as on FAT */
static const int64_t tick = 20000000, whole_second = 2000000000;

/* Written as it is in memory: a machine of other byte order finds no inode and starts anew. */
struct entry {
	struct vt_stamp stamp;
	struct vt_digest digest;
};

struct header {
	char magic[16];
	uint64_t n;
	struct vt_digest sum;
};

struct vt_stat_cache {
	char *path;
	struct vt_map map;
	const struct entry *entry; /* in the map */
	size_t n;
	struct entry *added; /* not in the file yet */
	size_t n_added, cap_added;
	size_t *slot,
		n_slots; /* open addressing: 1 + index of the newest added entry of an inode */
};

static void load(struct vt_stat_cache *cache)
{
	struct vt_err ignored = VT_ERR_INIT;
	struct header h;
	struct vt_digest sum;

	cache->n = 0;
	cache->entry = NULL;
	if (vt_fs_map(&cache->map, cache->path, &ignored) || cache->map.size < sizeof(h))
		return;
	memcpy(&h, cache->map.data, sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)) ||
		/* divided, and multiplied: neither side can overflow */
		h.n != (cache->map.size - sizeof(h)) / sizeof(struct entry) ||
		h.n * sizeof(struct entry) != cache->map.size - sizeof(h))
		return;
	sum = vt_digest_bytes(cache->map.data + sizeof(h), cache->map.size - sizeof(h));
	/* little of it is looked up: what was read leaves this process's memory */
	madvise((void *)(uintptr_t)cache->map.data, cache->map.size, MADV_DONTNEED);
	if (!vt_digest_equal(&sum, &h.sum))
		return;
	assert(!((uintptr_t)cache->map.data % _Alignof(struct entry)));
	cache->entry = (const struct entry *)(const void *)(cache->map.data + sizeof(h));
	cache->n = (size_t)h.n;
}

struct vt_stat_cache *vt_stat_cache_open(const char *path)
{
	struct vt_stat_cache *c = vt_xcalloc(1, sizeof(*c));

	c->path = vt_xstrdup(path);
	load(c);
	return c;
}

void vt_stat_cache_close(struct vt_stat_cache *cache)
{
	if (!cache)
		return;
	vt_fs_unmap(&cache->map);
	free(cache->added);
	free(cache->slot);
	free(cache->path);
	free(cache);
}

static int order(const struct vt_stamp *one, const struct vt_stamp *other)
{
	if (one->dev != other->dev)
		return one->dev < other->dev ? -1 : 1;
	if (one->ino != other->ino)
		return one->ino < other->ino ? -1 : 1;
	return 0;
}

/* The slot of an inode, or the free one where it would be. */
static size_t slot_of(const struct vt_stat_cache *cache, const struct vt_stamp *stamp)
{
	size_t i;

	assert(cache->n_added < cache->n_slots && !(cache->n_slots & (cache->n_slots - 1)));
	/* inodes come in runs; the odd factor is 2^64 / golden ratio */
	i = (stamp->ino * 0x9e3779b97f4a7c15u ^ stamp->dev) >> 7 & (cache->n_slots - 1);
	while (cache->slot[i] && order(&cache->added[cache->slot[i] - 1].stamp, stamp))
		i = (i + 1) & (cache->n_slots - 1);
	return i;
}

static const struct entry *entry_of(const struct vt_stat_cache *cache, const struct vt_stamp *stamp)
{
	size_t lo = 0, hi = cache->n, slot = cache->n_added ? slot_of(cache, stamp) : 0;

	assert(!cache->n || cache->entry);
	/* what was added since is newer than what the file says */
	if (cache->n_added && cache->slot[slot])
		return &cache->added[cache->slot[slot] - 1];

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int o = order(&cache->entry[mid].stamp, stamp);

		if (!o)
			return &cache->entry[mid];
		if (o < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool vt_stat_cache_find(const struct vt_stat_cache *cache, struct vt_digest *out,
	const struct vt_stamp *stamp, enum vt_stat_trust trust)
{
	const struct entry *e = entry_of(cache, stamp);

	if (!e || !vt_stamp_same(&e->stamp, stamp) ||
		(trust == VT_STAT_EXACT && e->stamp.ctime != stamp->ctime))
		return false;
	*out = e->digest;
	return true;
}

bool vt_stat_cache_was(const struct vt_stat_cache *cache, struct vt_digest *out,
	const struct vt_stamp *stamp)
{
	const struct entry *e = entry_of(cache, stamp);

	if (e)
		*out = e->digest;
	return e != NULL;
}

int64_t vt_stat_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

bool vt_stat_is_racy(const struct vt_stamp *stamp, int64_t hashed_at)
{
	/* a time without a fraction is of a file system that counts in seconds */
	return stamp->mtime > hashed_at - (stamp->mtime % 1000000000 ? tick : whole_second);
}

static void fill_slots(struct vt_stat_cache *cache)
{
	cache->n_slots = cache->n_slots ? 4 * cache->n_slots : 1024;
	free(cache->slot);
	cache->slot = vt_xcalloc(cache->n_slots, sizeof(*cache->slot));
	for (size_t i = 0; i < cache->n_added; i++)
		cache->slot[slot_of(cache, &cache->added[i].stamp)] = i + 1;
}

void vt_stat_cache_add(struct vt_stat_cache *cache, const struct vt_stamp *stamp,
	const struct vt_digest *digest, int64_t hashed_at)
{
	assert(cache->n_added <= cache->cap_added);
	if (vt_stat_is_racy(stamp, hashed_at))
		return;
	if (cache->n_added == cache->cap_added) {
		cache->cap_added = cache->cap_added ? 2 * cache->cap_added : 256;
		cache->added = vt_xrealloc(cache->added, cache->cap_added * sizeof(*cache->added));
	}
	cache->added[cache->n_added++] = (struct entry){ *stamp, *digest };
	/* fill_slots() puts the entry in as well */
	if (2 * cache->n_added > cache->n_slots)
		fill_slots(cache);
	else
		cache->slot[slot_of(cache, stamp)] = cache->n_added;
}

bool vt_stat_cache_is_due(const struct vt_stat_cache *cache)
{
	/* the file is written whole: not for every few entries */
	return cache->n_added >= least && cache->n_added >= cache->n / 4;
}

static int by_inode(const void *a, const void *b)
{
	return order(&((const struct entry *)a)->stamp, &((const struct entry *)b)->stamp);
}

/* Both lists in order; an added entry takes the place of an old one of the same inode. */
static struct entry *merge(struct vt_stat_cache *cache, size_t *n,
	bool (*keep)(void *ctx, const struct vt_digest *d), void *ctx)
{
	struct entry *out = vt_xcalloc(cache->n + cache->n_added + 1, sizeof(*out));
	size_t a = 0, b = 0, k = 0;

	if (cache->n_added > 1)
		qsort(cache->added, cache->n_added, sizeof(*cache->added), by_inode);
	while (a < cache->n || b < cache->n_added) {
		int o;

		if (a == cache->n)
			o = 1;
		else if (b == cache->n_added)
			o = -1;
		else
			o = order(&cache->entry[a].stamp, &cache->added[b].stamp);

		/* entries of files that are gone go with what keep() refuses */
		if (o < 0) {
			if (!keep || keep(ctx, &cache->entry[a].digest))
				out[k++] = cache->entry[a];
			a++;
		} else {
			a += !o;
			while (b + 1 < cache->n_added &&
				!order(&cache->added[b].stamp, &cache->added[b + 1].stamp))
				b++;
			out[k++] = cache->added[b++];
		}
	}
	*n = k;
	return out;
}

int vt_stat_cache_save(struct vt_stat_cache *cache,
	bool (*keep)(void *ctx, const struct vt_digest *d), void *ctx, struct vt_err *err)
{
	struct header h = { .n = 0 };
	struct vt_part part[2];
	struct entry *all;
	size_t n;
	int rc;

	if (!cache->n_added && !keep)
		return 0;
	/* another process may have saved its own meanwhile */
	vt_fs_unmap(&cache->map);
	load(cache);
	if (cache->n > most)
		cache->n = 0;
	all = merge(cache, &n, keep, ctx);
	memcpy(h.magic, magic, sizeof(magic));
	h.n = n;
	h.sum = vt_digest_bytes(all, n * sizeof(*all));
	part[0] = (struct vt_part){ &h, sizeof(h) };
	part[1] = (struct vt_part){ all, n * sizeof(*all) };
	rc = vt_fault("cache.save") ? vt_err_errno(err, VT_EIO, "%s: cannot write", cache->path)
				    : vt_fs_write_parts(cache->path, part, 2, 0644, err);
	free(all);
	/* also where the write failed: what it would have spared is hashed again */
	cache->n_added = 0;
	if (cache->n_slots)
		memset(cache->slot, 0, cache->n_slots * sizeof(*cache->slot));
	vt_fs_unmap(&cache->map);
	load(cache);
	return rc;
}
