/* Many files at once: every thread keeps as many of them open as the processor hashes side by
 * side. */
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
static const uint64_t large = 1 << 20;

struct work {
	struct vt_fileset *s;
	/* indices of the wanted files: large ones first, so that no thread ends long after the
	 * rest */
	size_t *order, n;
	int copies_fd;
	const char *prefix;
	enum vt_fileset_until until;
	vt_sha256_blocks *blocks; /* NULL: OpenSSL's streams */
	bool heeds;               /* there is so much to read that a stop is looked for */
	atomic_bool stopped;
	atomic_size_t next, failed; /* failed: least index of a file that failed */
};

struct lane {
	struct vt_fileset_file *f; /* NULL: idle */
	int in, out;
	uint64_t got; /* bytes read so far */
	/* CHUNK and two blocks; what is not hashed begins at `at` */
	unsigned char *buf;
	size_t at, n_blocks; /* whole blocks from `at` */
	size_t n_bytes;      /* bytes of the chunk that was read last */
	struct vt_sha256 sha;
};

static void fail(struct work *w, struct vt_fileset_file *f, int code, const char *what)
{
	struct vt_err err = VT_ERR_INIT;
	size_t i = (size_t)(f - w->s->file), least = atomic_load(&w->failed);

	if (code == VT_EDATA || (code == VT_EIO && !errno))
		vt_err_set(&err, code, "%s/%s: %s", w->s->root, f->path, what);
	else
		vt_err_errno(&err, code, "%s/%s: %s", w->s->root, f->path, what);
	f->code = err.code;
	f->fault = vt_xstrdup(err.text);
	f->wanted = false;
	while (i < least && !atomic_compare_exchange_weak(&w->failed, &least, i))
		;
}

/* Opens the copy.  A reflink is whole at once: it is then what is read, and nothing is written. */
static int open_copy(struct work *w, struct lane *l)
{
	struct vt_fileset_file *f = l->f;

	f->copied = vt_asprintf("%s.%zu", w->prefix, (size_t)(f - w->s->file));
	l->out = vt_fault("copy.open")
		? -1
		: openat(w->copies_fd, f->copied,
			  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->out < 0)
		return -1;
	if (!f->stamp.size || ioctl(l->out, FICLONE, l->in))
		return 0;
	if (dup3(l->out, l->in, O_CLOEXEC) < 0)
		return -1;
	close(l->out);
	l->out = -1;
	return 0;
}

static void close_lane(struct lane *l)
{
	if (l->in >= 0)
		close(l->in);
	if (l->out >= 0)
		close(l->out);
	l->in = l->out = -1;
	l->f = NULL;
}

static void drop(struct work *w, struct lane *l, int code, const char *what)
{
	fail(w, l->f, code, what);
	close_lane(l);
}

static const char changed[] = "changed while it was read; commit it when nothing writes to it";

/* Reads the next chunk behind what is left of the last block; false if the file failed. */
static bool fill(struct work *w, struct lane *l)
{
	size_t have = 0;
	uint64_t left = l->f->stamp.size - l->got, want = left < CHUNK ? left : CHUNK;

	if (w->heeds && l->got % large == 0 && vt_stop_asked()) {
		atomic_store(&w->stopped, true);
		errno = ECANCELED;
		drop(w, l, VT_EFAIL, "hashing");
		return false;
	}
	while (have < want) {
		ssize_t k = vt_fault("hash.read") ? -1
						  : read(l->in, l->buf + have, (size_t)want - have);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			errno = k ? errno : 0;
			drop(w, l, VT_EIO, k ? "cannot read" : changed);
			return false;
		}
		have += (size_t)k;
	}
	if (l->out >= 0 &&
		(vt_fault("copy.write") || vt_fs_put(l->out, l->buf, have) ||
			(l->got + have == l->f->stamp.size && vt_fs_put_end(l->out)))) {
		drop(w, l, VT_EIO, "cannot copy into the store");
		return false;
	}
	l->got += have;
	l->n_bytes = have;
	return true;
}

/* The file that was read is still the one that was found? */
static bool settled(struct work *w, struct lane *l)
{
	struct stat st;
	struct vt_stamp now;
	int rc;

	/* a reflink is a file of its own; the source is looked at again by name */
	if (l->f->copied && l->out < 0)
		rc = fstatat(w->s->root_fd, l->f->path, &st,
			l->f->linked ? 0 : AT_SYMLINK_NOFOLLOW);
	else
		rc = fstat(l->in, &st);
	now = rc ? (struct vt_stamp){ 0 } : vt_stamp_of(&st);
	if (!rc && vt_stamp_same(&now, &l->f->stamp))
		return true;
	errno = 0;
	drop(w, l, VT_EIO, changed);
	return false;
}

/* Takes the next file; false when there is none left. */
static bool take(struct work *w, struct lane *l)
{
	size_t i;

	while (!atomic_load(&w->stopped) && (i = atomic_fetch_add(&w->next, 1)) < w->n) {
		struct vt_fileset_file *f = &w->s->file[w->order[i]];

		if (w->until == VT_FILESET_FIRST_FAULT && w->order[i] > atomic_load(&w->failed)) {
			f->wanted = false;
			continue;
		}
		l->f = f;
		l->got = 0;
		l->out = -1;
		/* not blocked by a fifo, nor led elsewhere by a link, that took the file's place
		 * since */
		l->in = vt_fault("hash.open")
			? -1
			: openat(w->s->root_fd, f->path,
				  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
					  (f->linked ? 0 : O_NOFOLLOW));
		if (l->in < 0)
			drop(w, l, errno == EIO ? VT_EIO : VT_ENOINPUT, "cannot open");
		else if (f->copy && open_copy(w, l))
			drop(w, l, VT_ECANTCREAT, "cannot copy into the store");
		else
			return true;
	}
	return false;
}

/* --- lanes --------------------------------------------------------------- */

/* The blocks of the next chunk; the last has the padding behind it. */
static bool fill_blocks(struct work *w, struct lane *l)
{
	if (!fill(w, l))
		return false;
	l->at = 0;
	l->n_blocks = l->n_bytes / VT_SHA_BLOCK;
	if (l->got == l->f->stamp.size)
		l->n_blocks += vt_sha256_pad(l->buf + l->n_blocks * VT_SHA_BLOCK, l->got);
	return true;
}

/* Sees to it that the lane has blocks to hash; false when there is no file left. */
static bool supply(struct work *w, struct lane *l)
{
	for (;;) {
		if (l->f && l->n_blocks)
			return true;
		if (l->f && l->got == l->f->stamp.size && settled(w, l)) {
			vt_sha256_end(&l->f->digest, &l->sha);
			close_lane(l);
		}
		if (l->f && fill_blocks(w, l))
			return true;
		if (l->f)
			continue;
		if (!take(w, l))
			return false;
		vt_sha256_begin(&l->sha);
		l->n_blocks = 0;
		if (fill_blocks(w, l))
			return true;
	}
}

static void hash_side_by_side(struct work *w, struct lane lane[VT_SHA_LANES])
{
	for (;;) {
		struct vt_sha256 *state[VT_SHA_LANES];
		const unsigned char *p[VT_SHA_LANES];
		struct lane *active[VT_SHA_LANES];
		size_t least = SIZE_MAX;
		unsigned n = 0;

		for (int i = 0; i < VT_SHA_LANES; i++)
			if (supply(w, &lane[i])) {
				state[n] = &lane[i].sha;
				p[n] = lane[i].buf + lane[i].at;
				least = lane[i].n_blocks < least ? lane[i].n_blocks : least;
				active[n++] = &lane[i];
			}
		if (!n)
			return;
		w->blocks(n, state, p, least);
		for (unsigned i = 0; i < n; i++) {
			active[i]->at += least * VT_SHA_BLOCK;
			active[i]->n_blocks -= least;
		}
	}
}

/* --- OpenSSL ------------------------------------------------------------- */

static void hash_in_turn(struct work *w, struct lane *l)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_digest_stream *stream = NULL;

	while (take(w, l)) {
		bool good = true;

		if (vt_digest_stream_new(&stream, &err)) {
			errno = 0;
			drop(w, l, VT_EIO, err.text);
			continue;
		}
		while (good && l->got < l->f->stamp.size)
			if ((good = fill(w, l)))
				vt_digest_stream_add(stream, l->buf, l->n_bytes);
		if (good && settled(w, l)) {
			vt_digest_stream_end(&l->f->digest, stream);
			close_lane(l);
		}
		vt_digest_stream_free(stream);
	}
}

/* --- threads ------------------------------------------------------------- */

static void worker(void *ctx, size_t index)
{
	const size_t room = CHUNK + 2 * VT_SHA_BLOCK;
	struct work *w = ctx;
	struct lane lane[VT_SHA_LANES];
	unsigned n = w->blocks ? VT_SHA_LANES : 1;
	unsigned char *buffers = vt_xmalloc(n * room);

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
	uint64_t p = x->size >= large ? x->size : 0, q = y->size >= large ? y->size : 0;

	if (p != q)
		return p < q ? 1 : -1;
	return x->index > y->index ? 1 : -1;
}

/* Fills w->order; returns the bytes to read. */
static uint64_t arrange(struct work *w)
{
	struct rank *r = vt_xcalloc(w->s->n + 1, sizeof(*r));
	uint64_t sum = 0;

	for (size_t i = 0; i < w->s->n; i++)
		if (w->s->file[i].wanted) {
			r[w->n++] = (struct rank){ w->s->file[i].stamp.size, i };
			sum += w->s->file[i].stamp.size;
		}
	if (w->n > 1)
		qsort(r, w->n, sizeof(*r), by_size_then_index);
	w->order = vt_xcalloc(w->n + 1, sizeof(*w->order));
	for (size_t i = 0; i < w->n; i++)
		w->order[i] = r[i].index;
	free(r);
	return sum;
}

int vt_fileset_hash(struct vt_fileset *s, int copies_fd, const char *prefix,
	enum vt_fileset_until until, struct vt_err *err)
{
	struct work w = { .s = s, .copies_fd = copies_fd, .prefix = prefix, .until = until };
	size_t workers = vt_parallel_threads();
	uint64_t sum;
	int rc = vt_sha256_engine(&w.blocks, err);

	if (rc)
		return rc;
	atomic_store(&w.failed, SIZE_MAX);
	sum = arrange(&w);
	w.heeds = sum > VT_STOP_BYTES;
	workers = workers > MOST_WORKERS ? MOST_WORKERS : workers;
	workers = workers > w.n ? w.n : workers;
	if (w.n)
		vt_parallel_for(sum < large ? 1 : workers, worker, &w);
	free(w.order);
	return atomic_load(&w.stopped) ? vt_err_set(err, VT_EFAIL, "%s: stopped", s->root) : 0;
}
