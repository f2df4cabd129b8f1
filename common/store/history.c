#include "common/store/history.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/random.h"
#include "common/store/store_internal.h"

enum { TAIL = 1 << 20 }; /* a line is shorter than this */

int64_t vt_history_clock(void)
{
	return (int64_t)time(NULL);
}

int64_t vt_history_now(void)
{
	const char *fixed = getenv("SOURCE_DATE_EPOCH");
	char *end;
	long long t = fixed ? strtoll(fixed, &end, 10) : 0;

	/* digits and nothing behind them, else the clock */
	return fixed && *fixed && !*end ? t : vt_history_clock();
}

char *vt_history_actor(void)
{
	const char *named = getenv("VOXTRAIL_ACTOR");
	struct passwd p, *found = NULL;
	char room[4096];

	/* a claim of whoever runs the command; signatures prove more */
	if (named && *named)
		return vt_xstrdup(named);
	if (!getpwuid_r(getuid(), &p, room, sizeof(room), &found) && found)
		return vt_xstrdup(p.pw_name);
	return vt_asprintf("uid %lu", (unsigned long)getuid());
}

/* --- append -------------------------------------------------------------- */

struct tail {
	int64_t n; /* of the last line, 0 if there is none */
	char digest[VT_HEX];
	off_t end; /* behind its newline */
};

/* The last whole line, from the end of the file. */
static int read_tail(struct tail *tail, int fd, const char *path, struct vt_err *err)
{
	struct stat st;
	char *bytes = vt_xmalloc(TAIL), *line;
	struct vt_json *j = NULL;
	struct vt_digest d;
	ssize_t n;
	off_t from;
	int rc = 0;

	*tail = (struct tail){ .digest = "" };
	memset(tail->digest, '0', VT_HEX - 1);
	/* A line is shorter than TAIL, so the last whole one lies in the last TAIL bytes. */
	if (fstat(fd, &st) ||
		(from = st.st_size > TAIL ? st.st_size - TAIL : 0,
			n = pread(fd, bytes, TAIL, from)) < 0) {
		free(bytes);
		return vt_err_errno(err, VT_EIO, "%s", path);
	}
	/* What follows the last newline was cut off by a kill: the next line is written over it. */
	while (n > 0 && bytes[n - 1] != '\n')
		n--;
	tail->end = from + n;
	if (n) {
		for (line = bytes + n - 1; line > bytes && line[-1] != '\n'; line--)
			;
		/* the line with its newline, n bytes; its digest goes into the next line's
		 * `prev` */
		n -= line - bytes + 1;
		rc = vt_json_parse(&j, line, (size_t)n, path, err);
		d = vt_digest_bytes(line, (size_t)n);
		vt_digest_hex(tail->digest, &d);
		tail->n = vt_json_integer(vt_json_get(j, "n"), 0);
		if (!rc && tail->n < 1)
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: its last line is not an event; run `voxtrail history --check`",
				path);
		vt_json_free(j);
	}
	free(bytes);
	return rc;
}

static int write_line(int fd, const struct tail *tail, const struct vt_buf *line, const char *path,
	struct vt_err *err)
{
	size_t done = 0;

	assert(line->len < TAIL && line->data[line->len - 1] == '\n');
	/* the cut-off line goes */
	if (ftruncate(fd, tail->end))
		return vt_err_errno(err, VT_EIO, "%s", path);
	while (done < line->len) {
		ssize_t n =
			pwrite(fd, line->data + done, line->len - done, tail->end + (off_t)done);

		if (n < 0 && errno != EINTR)
			return vt_err_errno(err, VT_EIO, "%s", path);
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) ? vt_err_errno(err, VT_EIO, "%s", path) : 0;
}

/* Two stores may begin with one event, in one second. */
static int put_store(struct vt_json *first_line, struct vt_err *err)
{
	char nonce[VT_NONCE];
	int rc = vt_random_nonce(nonce, err);

	vt_json_put_text(first_line, "store", nonce);
	return rc;
}

static int compose(struct vt_buf *line, const struct tail *tail, int64_t lost, const char *event,
	const struct vt_json *detail, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	char *by = vt_history_actor();
	int rc;

	/* n, prev and digest chain the lines */
	vt_json_put_int(j, "n", tail->n + 1);
	vt_json_put_text(j, "prev", tail->digest);
	vt_json_put_text(j, "event", event);
	vt_json_put_text(j, "by", by);
	vt_json_put_int(j, "time", vt_history_now());
	vt_json_put(j, "detail", vt_json_copy(detail));
	if (lost)
		vt_json_put_int(j, "unsettled", lost);
	/* only the first line, whose digest would otherwise be the store's only name */
	rc = tail->n ? 0 : put_store(j, err);
	if (!rc)
		rc = vt_json_canonical(line, j, err);
	vt_buf_char(line, '\n');
	vt_json_free(j);
	free(by);
	if (rc)
		return rc;
	/* read_tail() could not find its end */
	if (line->len >= TAIL)
		return vt_err_set(err, VT_EBUG, "an event of %zu bytes", line->len);
	return 0;
}

enum { MARK = 20 }; /* digits of the mark in the lock's file */

/* For as long as lines stand there whose changes do not: the number of the first of them. */
static int mark_unsettled(struct vt_store *store, int64_t first, struct vt_err *err)
{
	char text[MARK + 1];

	snprintf(text, sizeof(text), "%0*lld", MARK, (long long)first);
	if (pwrite(store->lock_fd, text, MARK, 0) != MARK || fdatasync(store->lock_fd))
		return vt_err_errno(err, VT_EIO, "%s/lock", store->dir);
	store->unsettled = true;
	return 0;
}

void vt_history_settled(struct vt_store *store)
{
	assert(store->lock_depth > 0);
	/* a mark that stays only makes a check more lenient */
	(void)!ftruncate(store->lock_fd, 0);
	store->unsettled = false;
}

int64_t vt_history_unsettled(const struct vt_store *store)
{
	char text[MARK + 1] = "", *end;
	int fd = openat(store->dir_fd, "lock", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : pread(fd, text, MARK, 0);
	int64_t first = strtoll(text, &end, 10);

	if (fd >= 0)
		close(fd);
	return n == MARK && !*end && first > 0 ? first : 0;
}

int vt_history_append(struct vt_store *store, const char *event, struct vt_json *detail,
	struct vt_err *err)
{
	char *path = vt_path_join(store->dir, "history");
	struct vt_buf line = VT_BUF_INIT;
	bool made = !vt_fs_exists(path);
	int64_t lost = 0;
	struct tail t;
	/* read and written under the lock: two processes would write one number */
	int rc = vt_store_lock(store, err), fd = -1;

	if (!rc) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		rc = fd < 0 ? vt_err_errno(err, VT_ECANTCREAT, "%s", path)
			    : read_tail(&t, fd, path, err);
		/* The mark of a process that was killed.  If it names the line that comes now, its
		 * own line was not written either, and no change is lost. */
		if (!rc && !store->unsettled)
			lost = vt_history_unsettled(store);
		if (!rc)
			rc = compose(&line, &t, lost <= t.n ? lost : 0, event, detail, err);
		if (!rc && !store->unsettled)
			rc = mark_unsettled(store, lost && lost <= t.n ? lost : t.n + 1, err);
		if (!rc)
			rc = write_line(fd, &t, &line, path, err);
		/* the file's own name */
		if (!rc && made)
			rc = vt_fs_sync_dir(store->dir, err);
		if (fd >= 0)
			close(fd);
		vt_store_unlock(store);
	}
	/* the detail is ours, whatever happened */
	vt_json_free(detail);
	vt_buf_release(&line);
	free(path);
	return rc;
}

int vt_history_note(struct vt_store *store, const char *event, struct vt_json *detail,
	struct vt_err *err)
{
	int rc = vt_store_lock(store, err);
	bool within = store->unsettled;

	if (rc) {
		vt_json_free(detail);
		return rc;
	}
	rc = vt_history_append(store, event, detail, err);
	if (!rc && !within)
		vt_history_settled(store);
	vt_store_unlock(store);
	return rc;
}

/* --- read ---------------------------------------------------------------- */
static int check_line(const struct vt_json *json, const char *text, size_t n, int64_t number,
	const char *prev, const char *path, struct vt_err *err)
{
	struct vt_buf again = VT_BUF_INIT;
	const char *wrong = NULL;
	struct vt_err none = VT_ERR_INIT;

	/* Canonical again byte for byte, so that no two texts are one line. */
	if (vt_json_canonical(&again, json, &none) || again.len != n || memcmp(again.data, text, n))
		wrong = "is not in canonical form";
	else if (vt_json_integer(vt_json_get(json, "n"), 0) != number)
		wrong = "has another number";
	else if (strcmp(vt_json_text(vt_json_get(json, "prev"), ""), prev))
		wrong = "does not hold the digest of the line before it: one of the two was "
			"changed, or lines were taken out";
	vt_buf_release(&again);
	return wrong
		? vt_err_set(err, VT_EINTEGRITY, "%s: line %lld %s", path, (long long)number, wrong)
		: 0;
}

void vt_history_store(char id[VT_HEX], const struct vt_json *first_line, const char *digest_hex)
{
	/* A store made before ids were drawn is known by its first line's digest. */
	const char *drawn = vt_json_text(vt_json_get(first_line, "store"), "");

	snprintf(id, VT_HEX, "%s", *drawn ? drawn : digest_hex);
}

int vt_history_read(struct vt_store *store, vt_history_fn line, void *ctx, struct vt_err *err)
{
	char *path = vt_path_join(store->dir, "history"), digest[VT_HEX];
	struct vt_buf text = VT_BUF_INIT;
	int64_t number = 1;
	int rc = vt_fs_exists(path) ? vt_fs_read(&text, path, (size_t)1 << 33, err) : 0;

	/* the first line's `prev`: 64 zeros */
	memset(digest, '0', VT_HEX - 1);
	digest[VT_HEX - 1] = '\0';
	/* What follows the last newline was cut off, and is no line. */
	for (char *p = text.data, *end;
		!rc && p && (end = memchr(p, '\n', (size_t)(text.data + text.len - p)));
		p = end + 1, number++) {
		struct vt_json *j = NULL;
		struct vt_digest d;

		if (vt_json_parse(&j, p, (size_t)(end - p), path, err))
			rc = vt_err_set(err, VT_EINTEGRITY, "%s: line %lld cannot be read", path,
				(long long)number);
		if (!rc)
			rc = check_line(j, p, (size_t)(end - p), number, digest, path, err);
		d = vt_digest_bytes(p, (size_t)(end - p));
		vt_digest_hex(digest, &d);
		if (!rc && line)
			rc = line(ctx, j, digest);
		vt_json_free(j);
	}
	vt_buf_release(&text);
	free(path);
	return rc;
}
