/* What a killed process left behind, and whom it shows.
 *
 * tmp/ holds copies that were on their way into the store, runner/work/ the places of datums: both
 * go as soon as nobody uses them.  scratch/ is what a killed training resumes from: a directory in
 * it goes if it holds a file of the subject, by name or by its bytes; else it is named, because
 * what was learned from a subject carries no name. */
#include "common/lineage/erase_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/content/digest_set.h"
#include "common/record/record.h"
#include "common/store/gc.h"
#include "common/store/store_internal.h"

enum { WAIT_SECONDS = 10 }; /* for who uses tmp/ */

static void leave(struct vt_erasure *erasure, char *sentence)
{
	vt_strs_add(&erasure->left, sentence);
	free(sentence);
}

struct looking {
	const struct vt_erasure *e;
	const char *base;
	struct vt_digest_set theirs; /* the subject's bytes */
	bool found;
};

static int look_at(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct looking *l = ctx;
	struct vt_err none = VT_ERR_INIT;
	struct vt_digest d;
	uint64_t size;
	char *path;

	(void)err;
	l->found = l->found || vt_record_names(rel, l->e->subject);
	if (l->found || type != 'f')
		return 0;
	path = vt_path_join(l->base, rel);
	/* one that vanished meanwhile shows nobody */
	if (!vt_digest_file(&d, &size, path, &none) && vt_digest_set_has(&l->theirs, &d))
		l->found = true;
	free(path);
	return 0;
}

bool vt_erase_holds_subject(const struct vt_erasure *erasure, const char *path)
{
	struct looking l = { .e = erasure, .base = path, .theirs = VT_DIGEST_SET_INIT };
	struct vt_err none = VT_ERR_INIT;

	for (size_t i = 0; i < erasure->n_blobs; i++)
		if (!erasure->blob[i].shared)
			vt_digest_set_add(&l.theirs, &erasure->blob[i].digest);
	if (vt_fs_is_dir(path))
		vt_fs_walk(path, look_at, &l, &none);
	vt_digest_set_release(&l.theirs);
	return l.found;
}

static bool is_free(const char *path)
{
	/* a living stage holds a lock on its directory */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool free = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB);

	if (fd >= 0)
		close(fd);
	return free;
}

static int sweep_scratch(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err)
{
	char *base = vt_path_join(store->dir, "scratch");
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(base) ? vt_fs_list(&names, base, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(base, names.v[i]);

		if (!vt_erase_holds_subject(erasure, path))
			leave(erasure,
				vt_asprintf("%s: what a killed stage would resume from; it may "
					    "rest on the subject: `voxtrail gc --scratch --sweep` "
					    "removes it",
					path));
		else if (is_free(path))
			rc = vt_fs_remove_tree(path, err);
		else
			leave(erasure,
				vt_asprintf("%s: in use by a living stage that reads the subject",
					path));
		free(path);
	}
	vt_strs_release(&names);
	free(base);
	return rc;
}

/* Places of datums; the runner holds its lock while it has any. */
static int sweep_work(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err)
{
	char *work = vt_path_join(store->dir, "runner/work"),
	     *lock = vt_path_join(store->dir, "runner/lock");
	struct vt_strs names = VT_STRS_INIT;
	int rc = 0, fd = open(lock, O_RDWR | O_CLOEXEC);

	if (vt_fs_is_dir(work))
		rc = vt_fs_list(&names, work, err);
	/* no lock file, though there are places: nobody can tell whether a run is alive */
	if (!rc && names.n && (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))) {
		leave(erasure,
			vt_asprintf("%s: in use by a run; erase again when it is done", work));
		vt_strs_release(&names);
	}
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(work, names.v[i]);

		rc = vt_fs_remove_tree(path, err);
		free(path);
	}
	if (fd >= 0)
		close(fd);
	vt_strs_release(&names);
	free(lock);
	free(work);
	return rc;
}

struct logs {
	struct vt_erasure *e;
	const char *base;
};

/* Logs are a record of what happened: they are named, not changed. */
static int name_log(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct logs *l = ctx;
	struct vt_err none = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_path_join(l->base, rel);

	(void)err;
	/* larger ones are not read */
	if (type == 'f' && !vt_fs_read(&text, path, 64u << 20, &none) && text.len &&
		vt_record_names(text.data, l->e->subject))
		leave(l->e, vt_asprintf("%s: a log that names the subject", path));
	vt_buf_release(&text);
	free(path);
	return 0;
}

static int name_logs(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err)
{
	char *base = vt_path_join(store->dir, "runner/logs");
	struct logs l = { erasure, base };
	int rc = vt_fs_is_dir(base) ? vt_fs_walk(base, name_log, &l, err) : 0;

	free(base);
	return rc;
}

int vt_erase_leftovers(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err)
{
	struct vt_err busy = VT_ERR_INIT;
	int rc = 0;

	if (vt_gc_tmp(store, WAIT_SECONDS, &busy))
		leave(erasure, vt_asprintf("%s/tmp: %s", store->dir, busy.text));
	rc = sweep_scratch(erasure, store, err);
	if (!rc)
		rc = sweep_work(erasure, store, err);
	return rc ? rc : name_logs(erasure, store, err);
}
