/* Many files at once: every thread keeps as many of them open as the processor hashes side by
 * side. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/parallel.h"
#include "common/base/stop.h"
#include "common/base/fault.h"
#include "common/content/fileset.h"
#include "common/content/sha256.h"

/* The buffers of a thread's lanes together are 64 KiB: what read(2) puts there is hashed while
 * it is still near.  Measured on Zen 3, 4 GiB in the page cache, medians: 8 KiB each 0.85 CPU s
 * of reading, 16 KiB 0.55, 64 KiB
 * 0.75, 128 KiB 0.80. */
enum { CHUNK = 16 << 10, MOST_WORKERS = 32 };
static const uint64_t large = 1 << 20; /* a file from here on counts by its size in the order */

struct work {
	struct vt_fileset *s;
	/* indices of the wanted files: large ones first, so that no thread ends long after the
	 * rest */
	size_t *order, n;
	int copies_fd; /* where copies go, and what their names begin with; -1: none are made */
	const char *prefix;
	enum vt_fileset_until until;
	vt_sha256_blocks *blocks; /* NULL: OpenSSL's streams */
	bool heeds;               /* there is so much to read that a stop is looked for */
	atomic_bool stopped;
	atomic_size_t next, failed; /* failed: least index of a file that failed */
};

struct lane {
	struct vt_fileset_file *f; /* NULL: idle */
	int in, out;               /* out: the copy that is written; -1: none, or a reflink */
	uint64_t got;              /* bytes read so far */
	/* CHUNK and two blocks; what is not hashed begins at `at` */
	unsigned char *buf;
	size_t at, n_blocks; /* whole blocks from `at` */
	size_t n_bytes;      /* bytes of the chunk that was read last */
	struct vt_sha256 sha;
};

static void fail(struct work *work, struct vt_fileset_file *file, int code, const char *what)
{
	struct vt_err err = VT_ERR_INIT;
	size_t i = (size_t)(file - work->s->file), least = atomic_load(&work->failed);

	assert(file >= work->s->file && i < work->s->n);
	/* these are told without errno, which says nothing of them */
	if (code == VT_EDATA || (code == VT_EIO && !errno))
		vt_err_set(&err, code, "%s/%s: %s", work->s->root, file->path, what);
	else
		vt_err_errno(&err, code, "%s/%s: %s", work->s->root, file->path, what);
	file->code = err.code;
	file->fault = vt_xstrdup(err.text);
	file->wanted = false;
	/* the least index, whatever order the threads get there in */
	while (i < least && !atomic_compare_exchange_weak(&work->failed, &least, i))
		;
}

/* Opens the copy.  A reflink is whole at once: it is then what is read, and nothing is written. */
static int open_copy(struct work *work, struct lane *lane)
{
	struct vt_fileset_file *f = lane->f;

	assert(lane->f && lane->in >= 0);
	f->copied = vt_asprintf("%s.%zu", work->prefix, (size_t)(f - work->s->file));
	lane->out = vt_fault("copy.open")
		? -1
		: openat(work->copies_fd, f->copied,
			  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lane->out < 0)
		return -1;
	/* an empty file has nothing to share */
	if (!f->stamp.size || ioctl(lane->out, FICLONE, lane->in))
		return 0;
	/* what was cloned is what is hashed, and the source may change from here on */
	if (dup3(lane->out, lane->in, O_CLOEXEC) < 0)
		return -1;
	close(lane->out);
	lane->out = -1;
	return 0;
}

static void close_lane(struct lane *lane)
{
	if (lane->in >= 0)
		close(lane->in);
	if (lane->out >= 0)
		close(lane->out);
	lane->in = lane->out = -1;
	lane->f = NULL;
}

static void drop(struct work *work, struct lane *lane, int code, const char *what)
{
	assert(lane->f);
	fail(work, lane->f, code, what);
	close_lane(lane);
}

static const char changed[] = "changed while it was read; commit it when nothing writes to it";

/* Reads the next chunk behind what is left of the last block; false if the file failed. */
static bool fill(struct work *work, struct lane *lane)
{
	size_t have = 0;
	uint64_t left = lane->f->stamp.size - lane->got, want = left < CHUNK ? left : CHUNK;

	/* a stop is looked for once a MiB of a file, not at every chunk */
	if (work->heeds && lane->got % large == 0 && vt_stop_asked()) {
		atomic_store(&work->stopped, true);
		errno = ECANCELED;
		drop(work, lane, VT_EFAIL, "hashing");
		return false;
	}
	while (have < want) {
		ssize_t k = vt_fault("hash.read")
			? -1
			: read(lane->in, lane->buf + have, (size_t)want - have);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			/* no errno: the end came too early, so the file has shrunk */
			errno = k ? errno : 0;
			drop(work, lane, VT_EIO, k ? "cannot read" : changed);
			return false;
		}
		have += (size_t)k;
	}
	if (lane->out >= 0 &&
		(vt_fault("copy.write") || vt_fs_put(lane->out, lane->buf, have) ||
			(lane->got + have == lane->f->stamp.size && vt_fs_put_end(lane->out)))) {
		drop(work, lane, VT_EIO, "cannot copy into the store");
		return false;
	}
	lane->got += have;
	lane->n_bytes = have;
	return true;
}

/* The file that was read is still the one that was found? */
static bool settled(struct work *work, struct lane *lane)
{
	struct stat st;
	struct vt_stamp now;
	int rc;

	/* a reflink is a file of its own; the source is looked at again by name */
	if (lane->f->copied && lane->out < 0)
		rc = fstatat(work->s->root_fd, lane->f->path, &st,
			lane->f->linked ? 0 : AT_SYMLINK_NOFOLLOW);
	else
		rc = fstat(lane->in, &st);
	now = rc ? (struct vt_stamp){ 0 } : vt_stamp_of(&st);
	if (!rc && vt_stamp_same(&now, &lane->f->stamp))
		return true;
	errno = 0;
	drop(work, lane, VT_EIO, changed);
	return false;
}

/* Takes the next file; false when there is none left. */
static bool take(struct work *work, struct lane *lane)
{
	size_t i;

	while (!atomic_load(&work->stopped) && (i = atomic_fetch_add(&work->next, 1)) < work->n) {
		struct vt_fileset_file *f = &work->s->file[work->order[i]];

		/* a fault at a lower index is what will be told */
		if (work->until == VT_FILESET_FIRST_FAULT &&
			work->order[i] > atomic_load(&work->failed)) {
			f->wanted = false;
			continue;
		}
		lane->f = f;
		lane->got = 0;
		lane->out = -1;
		/* not blocked by a fifo, nor led elsewhere by a link, that took the file's place
		 * since */
		lane->in = vt_fault("hash.open")
			? -1
			: openat(work->s->root_fd, f->path,
				  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
					  (f->linked ? 0 : O_NOFOLLOW));
		if (lane->in < 0)
			drop(work, lane, errno == EIO ? VT_EIO : VT_ENOINPUT, "cannot open");
		else if (f->copy && open_copy(work, lane))
			drop(work, lane, VT_ECANTCREAT, "cannot copy into the store");
		else
			return true;
	}
	return false;
}

/* --- lanes --------------------------------------------------------------- */

/* The blocks of the next chunk; the last has the padding behind it. */
static bool fill_blocks(struct work *work, struct lane *lane)
{
	assert(!lane->n_blocks);
	if (!fill(work, lane))
		return false;
	lane->at = 0;
	lane->n_blocks = lane->n_bytes / VT_SHA_BLOCK;
	if (lane->got == lane->f->stamp.size)
		lane->n_blocks +=
			vt_sha256_pad(lane->buf + lane->n_blocks * VT_SHA_BLOCK, lane->got);
	return true;
}

/* Sees to it that the lane has blocks to hash; false when there is no file left. */
static bool supply(struct work *work, struct lane *lane)
{
	for (;;) {
		if (lane->f && lane->n_blocks)
			return true;
		/* the last blocks are through */
		if (lane->f && lane->got == lane->f->stamp.size && settled(work, lane)) {
			vt_sha256_end(&lane->f->digest, &lane->sha);
			close_lane(lane);
		}
		if (lane->f && fill_blocks(work, lane))
			return true;
		/* dropped by settled() or fill_blocks(): the next file */
		if (lane->f)
			continue;
		if (!take(work, lane))
			return false;
		vt_sha256_begin(&lane->sha);
		lane->n_blocks = 0;
		/* an empty file has its padding alone */
		if (fill_blocks(work, lane))
			return true;
	}
}

static void hash_side_by_side(struct work *work, struct lane lane[VT_SHA_LANES])
{
	for (;;) {
		struct vt_sha256 *state[VT_SHA_LANES];
		const unsigned char *p[VT_SHA_LANES];
		struct lane *active[VT_SHA_LANES];
		size_t least = SIZE_MAX;
		unsigned n = 0;

		for (int i = 0; i < VT_SHA_LANES; i++)
			if (supply(work, &lane[i])) {
				state[n] = &lane[i].sha;
				p[n] = lane[i].buf + lane[i].at;
				least = lane[i].n_blocks < least ? lane[i].n_blocks : least;
				active[n++] = &lane[i];
			}
		if (!n)
			return;
		/* all lanes go as far as the shortest: a block of each at a time */
		work->blocks(n, state, p, least);
		for (unsigned i = 0; i < n; i++) {
			active[i]->at += least * VT_SHA_BLOCK;
			active[i]->n_blocks -= least;
		}
	}
}

/* --- OpenSSL ------------------------------------------------------------- */
static void hash_in_turn(struct work *work, struct lane *lane)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_digest_stream *stream = NULL;

	while (take(work, lane)) {
		bool good = true;

		if (vt_digest_stream_new(&stream, &err)) {
			errno = 0;
			drop(work, lane, VT_EIO, err.text);
			continue;
		}
		while (good && lane->got < lane->f->stamp.size)
			if ((good = fill(work, lane)))
				vt_digest_stream_add(stream, lane->buf, lane->n_bytes);
		if (good && settled(work, lane)) {
			vt_digest_stream_end(&lane->f->digest, stream);
			close_lane(lane);
		}
		vt_digest_stream_free(stream);
	}
}

/* --- threads ------------------------------------------------------------- */

static void worker(void *ctx, size_t index)
{
	/* the last block of a chunk may be padded to two */
	const size_t room = CHUNK + 2 * VT_SHA_BLOCK;
	struct work *w = ctx;
	struct lane lane[VT_SHA_LANES];
	unsigned n = w->blocks ? VT_SHA_LANES : 1;
	unsigned char *buffers = vt_xmalloc(n * room); /* borrowed by the lanes */

	(void)index;
	for (unsigned i = 0; i < n; i++)
		lane[i] = (struct lane){ .in = -1, .out = -1, .buf = buffers + i * room };
	if (w->blocks)
		hash_side_by_side(w, lane);
	else
		hash_in_turn(w, lane);
	free(buffers);
}

struct rank {
	uint64_t size;
	size_t index;
};

static int by_size_then_index(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;
	/* small ones stay in the order of paths, which is near that of the disk */
	uint64_t p = x->size >= large ? x->size : 0, q = y->size >= large ? y->size : 0;

	if (p != q)
		return p < q ? 1 : -1;
	return x->index > y->index ? 1 : -1; /* indices differ */
}

/* Fills work->order; returns the bytes to read. */
static uint64_t arrange(struct work *work)
{
	struct rank *r = vt_xcalloc(work->s->n + 1, sizeof(*r));
	uint64_t sum = 0;

	assert(!work->order && !work->n);
	for (size_t i = 0; i < work->s->n; i++)
		if (work->s->file[i].wanted) {
			r[work->n++] = (struct rank){ work->s->file[i].stamp.size, i };
			sum += work->s->file[i].stamp.size;
		}
	if (work->n > 1)
		qsort(r, work->n, sizeof(*r), by_size_then_index);
	work->order = vt_xcalloc(work->n + 1, sizeof(*work->order));
	for (size_t i = 0; i < work->n; i++)
		work->order[i] = r[i].index;
	free(r);
	return sum;
}

int vt_fileset_hash(struct vt_fileset *fileset, int copies_fd, const char *prefix,
	enum vt_fileset_until until, struct vt_err *err)
{
	struct work w = { .s = fileset, .copies_fd = copies_fd, .prefix = prefix, .until = until };
	size_t workers = vt_parallel_threads();
	uint64_t sum;
	int rc = vt_sha256_engine(&w.blocks, err);

	if (rc)
		return rc;
	atomic_store(&w.failed, SIZE_MAX);
	sum = arrange(&w);
	w.heeds = sum > VT_STOP_BYTES; /* else it is done before anybody could stop it */
	workers = workers > MOST_WORKERS ? MOST_WORKERS : workers;
	workers = workers > w.n ? w.n : workers;
	if (w.n)
		/* a few bytes are hashed before a thread has started */
		vt_parallel_for(sum < large ? 1 : workers, worker, &w);
	free(w.order);
	return atomic_load(&w.stopped) ? vt_err_set(err, VT_EFAIL, "%s: stopped", fileset->root)
				       : 0;
}
