/* Mark and sweep.  Marked is everything that can be reached from refs, young commits, records,
 * pins and results, as three sets of digests (commits, trees, blobs); each tree is followed once.
 * Then every file below commits/, trees/ and objects/ whose name is in no set goes, in this order
 * and durably each, so a kill never leaves a name whose content is missing.
 *
 * Locks: <store>/in-use exclusively first, <store>/lock second, as everywhere; both are held from
 * the first mark to the last removal.  A store that can only be read is counted without them. */
#include "common/store/gc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/content/digest_set.h"
#include "common/base/fault.h"
#include "common/store/history.h"
#include "common/store/pin.h"
#include "common/record/record.h"
#include "common/store/repo.h"
#include "common/store/result.h"
#include "common/store/store_internal.h"

struct gc {
	struct vt_store *s;
	const struct vt_gc_opts *opts; /* commits, trees, blobs: what stays */
	struct vt_gc_result *out;
	struct vt_digest_set commits, trees, blobs;
	struct vt_digest_set listed; /* keys of results that heads, tags and pinned commits list */
	struct vt_strs lost_results, old_results; /* names below results/ */
	time_t now; /* so that one run has one idea of what is young */
};

/* --- marking ------------------------------------------------------------- */

static int mark_tree(struct gc *g, const struct vt_digest *id, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_tree_line line;
	const char *at = NULL;
	int rc, more;

	/* Each tree is followed once: a second path to it adds nothing, and recursion is
	 * bounded. */
	if (!vt_digest_set_add(&g->trees, id))
		return 0;
	rc = vt_store_tree_text(g->s, &text, &at, id, err);
	while (!rc && (more = vt_tree_line_next(&at, &line, err)) != 0) {
		if (more < 0)
			rc = err->code;
		else if (line.type == 'd')
			rc = mark_tree(g, &line.digest, err);
		else
			vt_digest_set_add(&g->blobs, &line.digest);
	}
	vt_buf_release(&text);
	return rc;
}

/* A digest of unknown kind: what it names here, if anything, stays. */
static int mark_any(struct gc *g, const struct vt_digest *id, struct vt_err *err)
{
	char *path = vt_store_path(g->s, "trees", id);
	bool tree = vt_fs_exists(path);

	free(path);
	vt_digest_set_add(&g->blobs, id);
	return tree ? mark_tree(g, id, err) : 0;
}

static int mark_json(struct gc *g, const struct vt_json *json, struct vt_err *err)
{
	struct vt_digest d;
	int rc = 0;

	/* Records may name digests in any member: each string that looks like one is taken for
	 * one. */
	if (json && json->type == VT_JSON_STRING && vt_digest_parse(&d, json->string))
		rc = mark_any(g, &d, err);
	for (size_t i = 0; !rc && json && i < json->n; i++)
		rc = mark_json(g, json->item[i], err);
	return rc;
}

static int mark_record(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct gc *g = ctx;
	struct vt_json *j = NULL;
	char hex[VT_HEX];
	int rc = 0;

	/* not a record's name: no business of ours */
	if (type != 'f' || !vt_store_hex_of_name(hex, rel))
		return 0;
	rc = vt_store_get_record(g->s, &j, hex, err);
	if (!rc)
		rc = mark_json(g, j, err);
	vt_json_free(j);
	return rc;
}

static int mark_commit(void *ctx, const struct vt_commit *commit, struct vt_err *err)
{
	struct gc *g = ctx;
	struct vt_digest id, tree;
	struct vt_json *j = NULL;
	int rc = 0;

	if (!vt_digest_parse(&id, commit->id) || !vt_digest_parse(&tree, commit->tree))
		return vt_err_set(err, VT_EINTEGRITY, "commit %s names no tree", commit->id);
	/* Parents are the walk's business, see vt_repo_walk(). */
	if (!vt_digest_set_add(&g->commits, &id))
		return 0;
	rc = mark_tree(g, &tree, err);
	if (!rc && *commit->provenance)
		rc = vt_json_parse(&j, commit->provenance, strlen(commit->provenance), commit->id,
			err);
	if (!rc)
		rc = mark_json(g, j, err);
	vt_json_free(j);
	return rc;
}

/* Commits that no ref reaches, while they are young. */
static int mark_young(void *ctx, const struct vt_commit *commit, struct vt_err *err)
{
	struct gc *g = ctx;
	struct vt_strs tip = VT_STRS_INIT;
	struct vt_digest id;
	struct stat st;
	char *path;
	int rc = 0;

	if (!vt_digest_parse(&id, commit->id) || vt_digest_set_has(&g->commits, &id))
		return 0;
	path = vt_store_path(g->s, "commits", &id);
	vt_strs_add(&tip, commit->id);
	/* A commit is written before the ref that names it: a young one may be just about to get
	 * its name. */
	if (!stat(path, &st) && st.st_mtime > g->now - g->opts->keep_days * 86400)
		rc = vt_repo_walk(g->s, &tip, mark_commit, g, err);
	vt_strs_release(&tip);
	free(path);
	return rc;
}

static int mark_pins(struct gc *g, struct vt_err *err)
{
	struct vt_pins pins;
	int rc = vt_pin_list(&pins, g->s, err);

	for (size_t i = 0; !rc && i < pins.n; i++) {
		const struct vt_pin *p = &pins.v[i];
		struct vt_strs tip = VT_STRS_INIT;
		struct vt_digest id;

		/* Pins that are over hold nothing any more. */
		if (vt_pin_is_over(p) || !vt_digest_parse(&id, p->id))
			continue;
		vt_strs_add(&tip, p->id);
		if (!strcmp(p->kind, "commit"))
			rc = vt_repo_walk(g->s, &tip, mark_commit, g, err);
		else if (!strcmp(p->kind, "tree"))
			rc = mark_tree(g, &id, err);
		else
			vt_digest_set_add(&g->blobs, &id); /* records all stay anyway */
		vt_strs_release(&tip);
	}
	vt_pins_release(&pins);
	return rc;
}

static int list_results(struct gc *g, const char *commit_id, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_digest *key = NULL;
	size_t n = 0;
	int rc = vt_commit_read(g->s, &c, commit_id, err);

	/* a list that a pull left behind names nothing here */
	if (!rc && vt_result_list_get(g->s, c.provenance, &key, &n, err) == VT_ENOINPUT)
		*err = (struct vt_err)VT_ERR_INIT;
	for (size_t i = 0; i < n; i++)
		vt_digest_set_add(&g->listed, &key[i]);
	free(key);
	vt_commit_release(&c);
	return err->code;
}

/* What is the present state of some repo, and must not be computed again. */
static int list_needed(struct gc *g, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_pins pins = { .n = 0 };
	int rc = vt_refs_list(&refs, g->s, NULL, err);

	for (size_t i = 0; !rc && i < refs.n; i++)
		rc = list_results(g, refs.v[i].commit, err);
	if (!rc)
		rc = vt_pin_list(&pins, g->s, err);
	for (size_t i = 0; !rc && i < pins.n; i++)
		if (!vt_pin_is_over(&pins.v[i]) && !strcmp(pins.v[i].kind, "commit"))
			rc = list_results(g, pins.v[i].id, err);
	vt_pins_release(&pins);
	vt_refs_release(&refs);
	return rc;
}

static bool is_old(const struct gc *g, const struct vt_result *result)
{
	/* written is in nanoseconds */
	return g->opts->result_days > 0 && !vt_digest_set_has(&g->listed, &result->key) &&
		result->written / 1000000000 < g->now - g->opts->result_days * 86400;
}

/* A result is kept for the work it saves: one that cannot be followed saves none, and goes. */
static int mark_result(void *ctx, const struct vt_result *result, struct vt_err *err)
{
	struct gc *g = ctx;
	struct vt_err why = VT_ERR_INIT;
	char name[VT_STORE_NAME];

	/* What fails here fails for this result alone. */
	(void)err;
	if (is_old(g, result)) {
		vt_store_name(name, &result->key);
		vt_strs_add(&g->old_results, name);
		return 0;
	}
	if (result->has_transform)
		vt_digest_set_add(&g->blobs, &result->transform);
	/* Half-marked trees stay marked: too much is kept rather than too little. */
	if (mark_tree(g, &result->tree, &why) ||
		(result->has_lineage && mark_tree(g, &result->lineage, &why))) {
		vt_store_name(name, &result->key);
		vt_strs_add(&g->lost_results, name);
	}
	return 0;
}

static int mark(struct gc *g, struct vt_err *err)
{
	char *records = vt_path_join(g->s->dir, "records");
	int rc = vt_repo_walk_all(g->s, mark_commit, g, err);

	if (!rc)
		rc = vt_repo_each_commit(g->s, mark_young, g, err);
	if (!rc)
		rc = vt_fs_walk(records, mark_record, g, err);
	if (!rc)
		rc = mark_pins(g, err);
	if (!rc && g->opts->result_days > 0)
		rc = list_needed(g, err);
	if (!rc)
		rc = vt_result_each(g->s, mark_result, g, err);
	free(records);
	return rc ? vt_err_prefix(err, "nothing was removed") : 0;
}

/* --- sweeping ------------------------------------------------------------ */

struct sweeping {
	struct gc *g;
	const char *kind, *step;
	const struct vt_digest_set *keep;
	size_t *kept, *gone;
};

static int sweep_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct sweeping *w = ctx;
	struct gc *g = w->g;
	char *path, hex[VT_HEX];
	struct vt_digest d;
	struct stat st;
	int rc = 0;

	if (type != 'f' || !vt_store_hex_of_name(hex, rel) || !vt_digest_parse(&d, hex))
		return 0;
	if (vt_digest_set_has(w->keep, &d)) {
		++*w->kept;
		return 0;
	}
	++*w->gone;
	path = vt_asprintf("%s/%s", w->kind, rel);
	/* gone already: nothing is freed, and unlinkat says so below */
	if (fstatat(g->s->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW))
		st.st_size = 0;
	g->out->bytes += (uint64_t)st.st_size;
	if (g->opts->found)
		g->opts->found(g->opts->ctx, path, (uint64_t)st.st_size);
	if (g->opts->sweep && (vt_fault(w->step) || unlinkat(g->s->dir_fd, path, 0)))
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot remove", g->s->dir, path);
	free(path);
	return rc;
}

static int sweep_kind(struct gc *g, const char *kind, const char *step,
	const struct vt_digest_set *keep, size_t *kept, size_t *gone, struct vt_err *err)
{
	struct sweeping w = { g, kind, step, keep, kept, gone };
	char *dir = vt_path_join(g->s->dir, kind);
	/* A store that never had any of the kind has no folder for it. */
	int rc = vt_fs_is_dir(dir) ? vt_fs_walk(dir, sweep_file, &w, err) : 0;

	/* what named is gone for good before what was named goes */
	if (!rc && g->opts->sweep && *gone && syncfs(g->s->dir_fd))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot make removals durable", g->s->dir);
	free(dir);
	return rc;
}

/* Bytes below path; 0 for what cannot be looked at. */
static uint64_t size_of(const char *path)
{
	struct vt_err ignored = VT_ERR_INIT;
	struct vt_strs names = VT_STRS_INIT;
	struct stat st;
	uint64_t sum;

	if (lstat(path, &st))
		return 0;
	if (!S_ISDIR(st.st_mode))
		return (uint64_t)st.st_size;
	sum = 0;
	vt_fs_list(&names, path, &ignored);
	for (size_t i = 0; i < names.n; i++) {
		char *child = vt_path_join(path, names.v[i]);

		sum += size_of(child);
		free(child);
	}
	vt_strs_release(&names);
	return sum;
}

static bool is_claimed(const char *path)
{
	/* No wait for a pipe without a writer, and no link followed. */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	/* a folder in use is locked by who uses it, see vt_store_claim() */
	bool claimed = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;

	if (fd >= 0)
		close(fd);
	return claimed;
}

static int sweep_leftover(struct gc *g, const char *folder, const char *name, struct vt_err *err)
{
	char *relative = *folder ? vt_path_join(folder, name) : vt_xstrdup(name),
	     *path = vt_path_join(g->s->dir, relative);
	uint64_t size = size_of(path);
	int rc = 0;

	if (!is_claimed(path)) {
		g->out->leftovers++;
		g->out->bytes += size;
		if (g->opts->found)
			g->opts->found(g->opts->ctx, relative, size);
		if (g->opts->sweep && vt_fault("gc.leftover"))
			rc = vt_err_errno(err, VT_EIO, "%s: cannot remove", path);
		else if (g->opts->sweep)
			rc = vt_fs_remove_tree(path, err);
	}
	free(path);
	free(relative);
	return rc;
}

static int sweep_old(struct gc *g, const char *name, struct vt_err *err)
{
	char *path = vt_path_join("results", name);
	struct stat st;
	int rc = 0;

	if (fstatat(g->s->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW))
		st.st_size = 0;
	g->out->bytes += (uint64_t)st.st_size;
	if (g->opts->found)
		g->opts->found(g->opts->ctx, path, (uint64_t)st.st_size);
	if (g->opts->sweep && (vt_fault("gc.result") || unlinkat(g->s->dir_fd, path, 0)))
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot remove", g->s->dir, path);
	free(path);
	return rc;
}

enum leftover { EVERYTHING = 1, UNFINISHED };

/* UNFINISHED: what vt_fs_write leaves when it is killed, "name.tmp-<hex digits>". */
static int sweep_folder(struct gc *g, const char *folder, enum leftover what, struct vt_err *err)
{
	char *dir = vt_path_join(g->s->dir, folder);
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		/* as vt_fs_write names its unfinished files */
		const char *tmp = strstr(names.v[i], ".tmp-");

		if (what == EVERYTHING ||
			(tmp && tmp[5] && !tmp[5 + strspn(tmp + 5, "0123456789abcdef")]))
			rc = sweep_leftover(g, folder, names.v[i], err);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

static bool keep_entry(void *ctx, const struct vt_digest *digest)
{
	return vt_digest_set_has(&((struct gc *)ctx)->blobs, digest);
}

static int sweep(struct gc *g, struct vt_err *err)
{
	struct vt_gc_result *r = g->out;
	int rc = 0;

	assert(!g->opts->sweep || g->s->lock_depth);

	/* Results name trees, commits name trees, trees name blobs: what names goes before what is
	 * named. */
	for (size_t i = 0; !rc && i < g->lost_results.n; i++)
		rc = sweep_leftover(g, "results", g->lost_results.v[i], err);
	for (size_t i = 0; !rc && i < g->old_results.n; i++, r->results++)
		rc = sweep_old(g, g->old_results.v[i], err);
	/* as below: before the trees that they name */
	if (!rc && g->opts->sweep && r->results && syncfs(g->s->dir_fd))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot make removals durable", g->s->dir);
	if (!rc)
		rc = sweep_kind(g, "commits", "gc.commit", &g->commits, &r->kept_commits,
			&r->commits, err);

	if (!rc)
		rc = sweep_kind(g, "trees", "gc.tree", &g->trees, &r->kept_trees, &r->trees, err);
	if (!rc)
		rc = sweep_kind(g, "objects", "gc.blob", &g->blobs, &r->kept_blobs, &r->blobs, err);
	/* names that a killed process had not synced are durable with the above or here, so its
	 * mark may go */
	if (!rc && g->opts->sweep && syncfs(g->s->dir_fd))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot make removals durable", g->s->dir);
	if (!rc)
		rc = sweep_folder(g, "tmp", EVERYTHING, err);
	if (!rc)
		rc = sweep_folder(g, "", UNFINISHED, err);
	if (!rc)
		rc = sweep_folder(g, "pins", UNFINISHED, err);
	if (!rc && g->opts->scratch)
		rc = sweep_folder(g, "scratch", EVERYTHING, err);
	if (!rc && g->opts->sweep && r->blobs)
		/* The cache forgets blobs that are gone. */
		rc = vt_stat_cache_save(vt_store_cache(g->s), keep_entry, g, err);
	return rc;
}

/* Finds all that would go, and asks whether it may. */
static bool ask(struct gc *g, struct vt_err *err)
{
	const struct vt_gc_opts *opts = g->opts;
	struct vt_gc_opts look = *opts;
	bool may;

	/* A sweep that only counts, then the question; the counters begin again for the real
	 * one. */
	look.sweep = false;
	g->opts = &look;
	may = !sweep(g, err) && opts->may(opts->ctx, g->out, err);
	g->opts = opts;
	*g->out = (struct vt_gc_result){ 0 };
	return may;
}

/* Alone with the store; with patience. */
static int lock_alone(struct vt_store *store, int seconds, struct vt_err *err)
{
	const struct timespec pause = { 0, 50000000 };
	bool busy = true;

	/* nothing can be published to such a store, so no in-use */
	if (store->read_only)
		return vt_store_lock(store, err);
	/* The lock is the descriptor's: it stays open. */
	if (store->use_fd < 0)
		store->use_fd = openat(store->dir_fd, "in-use", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (store->use_fd < 0)
		return vt_err_errno(err, VT_ECANTCREAT, "%s/in-use: cannot create", store->dir);
	assert(seconds >= 0);
	/* flock has no time limit of its own: twenty tries a second */
	for (int i = 0; busy && i <= seconds * 20; i++) {
		if (i)
			nanosleep(&pause, NULL);
		busy = flock(store->use_fd, LOCK_EX | LOCK_NB) != 0;
		if (busy && errno != EWOULDBLOCK && errno != EINTR)
			return vt_err_errno(err, VT_EIO, "%s/in-use: cannot lock", store->dir);
	}
	return busy ? vt_err_set(err, VT_EDEVICE,
			      "%s: another process has been publishing to this store for %d s; try "
			      "again when it is done",
			      store->dir, seconds)
		    : 0;
}

static void end_alone(struct vt_store *store)
{
	assert(store->use_fd >= 0 && !store->lock_depth); /* the lock goes first */
	flock(store->use_fd, LOCK_UN);
	close(store->use_fd);
	store->use_fd = -1;
}

/* Nobody else uses the store, and nobody writes to it. */
static int lock_both(struct vt_store *store, int wait_seconds, struct vt_err *err)
{
	int rc = lock_alone(store, wait_seconds, err);

	if (!rc) {
		rc = vt_store_lock(store, err);
		if (rc)
			end_alone(store);
	}
	return rc;
}

int vt_gc_tmp(struct vt_store *store, int wait_seconds, struct vt_err *err)
{
	const struct vt_gc_opts opts = { .sweep = true };
	struct vt_gc_result out = { 0 };
	struct gc g = { .s = store, .opts = &opts, .out = &out };
	int rc = lock_both(store, wait_seconds, err);

	if (rc)
		return rc;
	/* what a killed process had named and not synced is durable before its mark goes */
	if (syncfs(store->dir_fd))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot make writes durable", store->dir);
	if (!rc)
		rc = sweep_folder(&g, "tmp", EVERYTHING, err);
	vt_store_unlock(store);
	end_alone(store);
	return rc;
}

static int tell(struct vt_store *store, const struct vt_gc_result *gc_result, struct vt_err *err)
{
	assert(store->lock_depth > 0);
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(detail, "commits", (int64_t)gc_result->commits);
	vt_json_put_int(detail, "trees", (int64_t)gc_result->trees);
	vt_json_put_int(detail, "blobs", (int64_t)gc_result->blobs);
	if (gc_result->results)
		vt_json_put_int(detail, "results", (int64_t)gc_result->results);
	vt_json_put_int(detail, "bytes", (int64_t)gc_result->bytes);
	return vt_history_note(store, "gc", detail, err);
}

int vt_store_gc(struct vt_store *store, const struct vt_gc_opts *opts, struct vt_gc_result *out,
	struct vt_err *err)
{
	struct gc g = { .s = store,
		.opts = opts,
		.out = out,
		.commits = VT_DIGEST_SET_INIT,
		.trees = VT_DIGEST_SET_INIT,
		.blobs = VT_DIGEST_SET_INIT,
		.listed = VT_DIGEST_SET_INIT,
		.now = time(NULL) };
	bool may = true;
	int rc;

	*out = (struct vt_gc_result){ 0 };
	if (store->read_only && !opts->sweep) {
		/* what others write meanwhile is seen or not, and nothing is removed */
		rc = vt_store_use(store, err);
	} else {
		rc = lock_both(store, opts->wait_seconds, err);
	}
	if (rc)
		return rc;
	rc = mark(&g, err);
	if (!rc && opts->may) {
		may = ask(&g, err);
		rc = err->code;
	}
	if (!rc && may)
		rc = sweep(&g, err);
	/* An event only of what changed. */
	if (!rc && opts->sweep && out->commits + out->trees + out->blobs + out->results)
		rc = tell(store, out, err);
	if (store->lock_depth) {
		vt_store_unlock(store);
		end_alone(store);
	}
	vt_digest_set_release(&g.commits);
	vt_digest_set_release(&g.trees);
	vt_digest_set_release(&g.blobs);
	vt_digest_set_release(&g.listed);
	vt_strs_release(&g.lost_results);
	vt_strs_release(&g.old_results);
	return rc;
}
