/* The runner's folder, and the way of an output into the store.
 *
 * Outputs are published in groups: one walk over all of them and one hashing pass, one barrier for
 * their bytes, one for their trees, one for their records and one for their results, in this order,
 * so that whatever is named is durable before its name.  If a group cannot be taken in, each output
 * is tried alone, and only the one at fault fails.
 *
 * Locks: <store>/in-use (shared) from open to close, then runner/lock (exclusive), then the store's
 * own lock inside its functions. */
#include "pipelines/runner/runner.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fs.h"
#include "common/lineage/import.h"
#include "common/store/repo.h"
#include "pipelines/runner/leftover.h"

struct vt_runner {
	char *dir, *work;
	struct vt_store *store;
	int lock;
};

const char *vt_runner_dir(const struct vt_runner *runner)
{
	return runner->dir;
}

struct vt_store *vt_runner_store(const struct vt_runner *runner)
{
	return runner->store;
}

/* --- opening ------------------------------------------------------------- */

bool vt_runner_flock(int fd)
{
	const struct timespec pause = { 0, 50000000 };
	bool busy = true;

	/* a second in all: the run before may be just about to end */
	for (int i = 0; busy && i <= 20; i++) {
		if (i)
			nanosleep(&pause, NULL);
		busy = flock(fd, LOCK_EX | LOCK_NB) != 0;
	}
	return !busy;
}

static int take_lock(struct vt_runner *runner, struct vt_err *err)
{
	char *path = vt_path_join(runner->dir, "lock");

	runner->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (runner->lock < 0)
		vt_err_errno(err, VT_ECANTCREAT, "%s", path);
	else if (!vt_runner_flock(runner->lock))
		vt_err_set(err, VT_EDEVICE,
			"%s: another run is using this store; wait for it, or give another --store",
			path);
	free(path);
	return err->code;
}

/* The tries of a runner that was killed.  A process it left behind may still write there: the
 * directory is moved away first, and what cannot be removed now is removed next time. */
static int clear_work(const struct vt_runner *runner, struct vt_err *err)
{
	struct vt_err ignored = VT_ERR_INIT;
	char *gone = vt_path_join(runner->dir, "work.gone");

	/* what the last one could not remove */
	vt_fs_remove_tree(gone, &ignored);
	if (!vt_fs_mkdirs(gone, err) && vt_fs_is_dir(runner->work)) {
		char *to = vt_asprintf("%s/old.%ld", gone, (long)getpid());

		vt_fs_rename(runner->work, to, err);
		free(to);
	}
	ignored = (struct vt_err)VT_ERR_INIT;
	vt_fs_remove_tree(gone, &ignored);
	if (!err->code)
		vt_fs_mkdirs(runner->work, err);
	free(gone);
	return err->code;
}

static const char format_line[] = "voxrunner 2\n";

/* Triggered inputs that saw a head of the former runner are due: they see the newest commit at the
 * next look. */
static int carry_triggers(struct vt_runner *runner, struct vt_err *err)
{
	const struct vt_trigger due = { .commits = 1 << 30 };
	char *dir = vt_path_join(runner->dir, "triggers");
	struct vt_strs names = VT_STRS_INIT;

	if (vt_fs_is_dir(dir) && !vt_fs_list(&names, dir, err))
		for (size_t i = 0; i < names.n && !err->code; i++) {
			size_t n = strlen(names.v[i]);
			char *path = vt_path_join(dir, names.v[i]);

			/* the former runner's "PIPELINE.head" */
			if (n > 5 && !strcmp(names.v[i] + n - 5, ".head")) {
				vt_fs_remove_tree(path, err);
				names.v[i][n - 5] = '\0';
				if (!err->code)
					vt_runner_set_trigger(runner, names.v[i], &due, err);
			}
			free(path);
		}
	vt_strs_release(&names);
	free(dir);
	return err->code;
}

/* A runner of 0.3 kept heads and results of its own here, under keys that nothing has any more. */
static int clear_former(struct vt_runner *runner, struct vt_err *err)
{
	static const char *const former[] = { "heads", "results", "data" };
	char *format = vt_path_join(runner->dir, "format");

	if (!vt_fs_exists(format) && !carry_triggers(runner, err)) {
		for (size_t i = 0; !err->code && i < sizeof(former) / sizeof(former[0]); i++) {
			char *path = vt_path_join(runner->dir, former[i]);

			vt_fs_remove_tree(path, err);
			free(path);
		}
		if (!err->code)
			vt_fs_write(format, format_line, sizeof(format_line) - 1, 0644, err);
	}
	free(format);
	return err->code;
}

static int make_parts(const struct vt_runner *runner, struct vt_err *err)
{
	static const char *const part[] = { "logs", "triggers" };

	for (size_t i = 0; !err->code && i < sizeof(part) / sizeof(part[0]); i++) {
		char *path = vt_path_join(runner->dir, part[i]);

		vt_fs_mkdirs(path, err);
		free(path);
	}
	return err->code;
}

static int take_place(struct vt_runner *runner, struct vt_err *err)
{
	assert(runner->lock < 0);
	if (vt_fs_mkdirs(runner->dir, err) || take_lock(runner, err))
		return err->code;
	/* before its directories are moved: what runs there is found by its path */
	vt_leftovers_end(runner->work);
	return clear_former(runner, err) || make_parts(runner, err) || clear_work(runner, err)
		? err->code
		: 0;
}

int vt_runner_open(struct vt_runner **out, const char *store, enum vt_runner_aim aim,
	struct vt_err *err)
{
	struct vt_runner *r = vt_xcalloc(1, sizeof(*r));
	/* a plan of a store that may not be written to only looks */
	const bool reads = aim == VT_RUNNER_LOOK ||
		(aim == VT_RUNNER_PLAN && vt_fs_exists(store) && !vt_store_may_write(store));
	const enum vt_store_mode mode = reads ? VT_STORE_READ : VT_STORE_CREATE;

	r->lock = -1;
	if (!vt_store_open(&r->store, store, mode, err)) {
		r->dir = vt_path_join(vt_store_dir(r->store), "runner");
		r->work = vt_path_join(r->dir, "work");
		/* in-use before runner/lock, see above */
		if (!vt_store_use(r->store, err) && !vt_store_spare_memory(r->store, err) &&
			mode == VT_STORE_CREATE)
			take_place(r, err);
	}
	if (err->code) {
		vt_runner_close(r);
		return err->code;
	}
	*out = r;
	return 0;
}

void vt_runner_close(struct vt_runner *runner)
{
	if (!runner)
		return;
	/* closing gives it up */
	if (runner->lock >= 0)
		close(runner->lock);
	vt_store_close(runner->store);
	free(runner->work);
	free(runner->dir);
	free(runner);
}

/* --- the user's directories ---------------------------------------------- */

static struct vt_ingest_opts taking(const char *from)
{
	return (struct vt_ingest_opts){ .copy = true,
		.follow = true,
		/* a single file is taken in under this name */
		.name = vt_fs_is_dir(from) ? NULL : "manifest.json" };
}

int vt_runner_hash(struct vt_runner *runner, struct vt_tree **out, const char *from,
	struct vt_err *err)
{
	const struct vt_ingest_opts how = taking(from);

	return vt_store_hash(runner->store, out, from, &how, err);
}

static int find_file(void *ctx, const char *relative, char type, struct vt_err *err)
{
	(void)relative;
	(void)err;
	*(bool *)ctx |= type != 'd';
	/* any value but 0 ends the walk */
	return type != 'd';
}

static bool holds_files(const char *from)
{
	struct vt_err none = VT_ERR_INIT;
	bool found = false;

	vt_fs_walk(from, find_file, &found, &none);
	/* what cannot be looked at may hold files */
	return found || none.code;
}

static int refuse_emptying(struct vt_runner *runner, const struct vt_bind *to, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_commit head = { .id = "" };
	struct vt_tree *t = NULL;
	struct vt_digest id;
	char *what = vt_asprintf("%s@heads/%s", to->repo, to->branch);

	if (!vt_repo_resolve(runner->store, &head, what, &none) &&
		vt_digest_parse(&id, head.tree) &&
		!vt_store_get_tree(runner->store, &t, &id, &none) && t->n_files)
		vt_err_set(err, VT_ENOINPUT,
			"%s holds no file, and %s@%s has %zu: is its disk mounted? `voxtrail "
			"commit %s@%s DIR` of an empty DIR takes them out",
			to->from, to->repo, to->branch, t->n_files, to->repo, to->branch);
	vt_tree_free(t);
	vt_commit_release(&head);
	free(what);
	return err->code;
}

int vt_runner_may_commit(struct vt_runner *runner, const struct vt_bind *to, struct vt_err *err)
{
	if (!vt_fs_exists(to->from))
		return vt_err_set(err, VT_ENOINPUT, "repo %s: %s does not exist", to->repo,
			to->from);
	if (vt_fs_is_dir(to->from) && !holds_files(to->from) && refuse_emptying(runner, to, err))
		return vt_err_prefix(err, "commit to %s", to->repo);
	return 0;
}

/* What a commit would do where none can be made. */
static int demand_same(struct vt_runner *runner, const struct vt_bind *to, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_commit head = { .id = "" };
	struct vt_tree *t = NULL;
	char *what = vt_asprintf("%s@heads/%s", to->repo, to->branch), hex[VT_HEX];

	if (!vt_runner_hash(runner, &t, to->from, err)) {
		vt_digest_hex(hex, &t->id);
		if (vt_repo_resolve(runner->store, &head, what, &none) || strcmp(head.tree, hex))
			vt_err_set(err, VT_ECANTCREAT,
				"%s is not what %s@%s holds, and it cannot be committed: %s may "
				"only be read here",
				to->from, to->repo, to->branch, vt_store_dir(runner->store));
	}
	vt_tree_free(t);
	vt_commit_release(&head);
	free(what);
	return err->code;
}

/* With the records beside what lies there, as `voxtrail commit` takes them: else the lineage of a
 * checkpoint or a prediction that somebody binds would end here. */
static int take_in(struct vt_runner *runner, struct vt_tree **out, const char *from,
	struct vt_err *err)
{
	const struct vt_ingest_opts how = taking(from);
	const struct vt_import_opts opts = { .extent = VT_RECORD_DIR_PART,
		.copy = how.copy,
		.follow = how.follow };
	struct vt_import got;

	if (how.name)
		return vt_store_ingest(runner->store, out, from, &how, err);
	if (vt_store_import_dir(runner->store, from, &opts, &got, err))
		return err->code;
	*out = got.tree;
	got.tree = NULL;
	/* the tree is the caller's now */
	vt_import_release(&got);
	return 0;
}

int vt_runner_commit(struct vt_runner *runner, const struct vt_bind *to, bool *changed,
	struct vt_err *err)
{
	char *mark = to->by_default ? vt_commit_default_mark(to->by_default) : NULL;
	const struct vt_commit_note note = {
		.message = to->by_default ? "the spec's default, committed for a run"
					  : "committed for a run",
		.source = mark,
	};
	struct vt_commit c = { .id = "" };
	struct vt_tree *t = NULL;

	*changed = false;
	if (vt_store_is_read_only(runner->store)) {
		demand_same(runner, to, err);
	} else if (!vt_runner_may_commit(runner, to, err) && !take_in(runner, &t, to->from, err) &&
		!(t->n_files == 0 && refuse_emptying(runner, to, err)) &&
		!vt_repo_commit(runner->store, &c, changed, to->repo, to->branch, &t->id, &note,
			err)) {
		vt_commit_release(&c);
		if (*changed)
			vt_fault("commit");
	}
	vt_tree_free(t);
	free(mark);
	return err->code ? vt_err_prefix(err, "commit to %s", to->repo) : 0;
}

/* --- outputs ------------------------------------------------------------- */

static bool keep_all(const char *path)
{
	(void)path;
	/* lineage files are kept: they become trees of their own */
	return false;
}

/* The output's trees, made of the files [from, to) of `all` that lie below its directory. */
struct parts {
	struct vt_tree *files, *lineage;
};

static int make_parts_of(struct parts *parts, const struct vt_tree *all, size_t from, size_t to,
	size_t prefix, struct vt_err *err)
{
	struct vt_tree_file *file = vt_xcalloc(to - from + 1, sizeof(*file));
	struct vt_tree_file *beside = vt_xcalloc(to - from + 1, sizeof(*beside));
	size_t n = 0, k = 0;

	assert(from <= to && to <= all->n_files);
	for (size_t i = from; i < to; i++) {
		struct vt_tree_file f = all->file[i];

		/* prefix: the length of "DIR/" */
		f.path += prefix;
		if (vt_tree_is_lineage(f.path))
			beside[k++] = f;
		else
			file[n++] = f;
	}
	if (!vt_tree_from_files(&parts->files, file, n, err) && k)
		vt_tree_from_files(&parts->lineage, beside, k, err);
	free(file);
	free(beside);
	return err->code;
}

/* The first file of `all` that does not stand before `path`. */
static size_t lower_bound(const struct vt_tree *all, const char *path)
{
	size_t lo = 0, hi = all->n_files;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(all->file[mid].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int split(struct parts *parts, const struct vt_tree *all, const char *dir,
	struct vt_err *err)
{
	char *below = vt_asprintf("%s/", dir);
	size_t n = strlen(below), from = lower_bound(all, below), to = from;

	/* sorted by path, so the files of a directory lie together */
	while (to < all->n_files && !strncmp(all->file[to].path, below, n))
		to++;
	make_parts_of(parts, all, from, to, n, err);
	free(below);
	return err->code;
}

/* The directories whose .lineage holds records: a datum may write the outputs of several stages,
 * each in a directory of its own. */
static void add_record_dirs(struct vt_strs *dirs, const char *root, const struct vt_tree *lineage)
{
	for (size_t i = 0; lineage && i < lineage->n_files; i++) {
		const char *path = lineage->file[i].path, *at = vt_tree_lineage_part(path);
		char *dir = vt_asprintf("%s/%.*s", root, at ? (int)(at - path) : 0, path);

		vt_strs_add(dirs, dir);
		free(dir);
	}
}

static int put_records(struct vt_runner *runner, const struct vt_output *output,
	const struct parts *parts, size_t n, struct vt_err *err)
{
	struct vt_strs dirs = VT_STRS_INIT;

	for (size_t i = 0; i < n; i++)
		add_record_dirs(&dirs, output[i].dir, parts[i].lineage);
	vt_strs_unique(&dirs);
	if (dirs.n && vt_store_import_made(runner->store, &dirs, err))
		vt_err_prefix(err, "lineage records");
	vt_strs_release(&dirs);
	return err->code;
}

static int put_trees(struct vt_runner *runner, const struct parts *parts, size_t n,
	struct vt_err *err)
{
	const struct vt_tree **t = vt_xcalloc(2 * n + 1, sizeof(*t));
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		t[k++] = parts[i].files;
		if (parts[i].lineage)
			t[k++] = parts[i].lineage;
	}
	vt_store_put_trees(runner->store, t, k, err);
	free(t);
	return err->code;
}

static int put_results(struct vt_runner *runner, struct vt_output *output,
	const struct parts *parts, size_t n, struct vt_err *err)
{
	struct vt_result *result = vt_xcalloc(n + 1, sizeof(*result));

	for (size_t i = 0; i < n; i++) {
		output[i].result.tree = parts[i].files->id;
		output[i].result.has_lineage = parts[i].lineage != NULL;
		if (parts[i].lineage)
			output[i].result.lineage = parts[i].lineage->id;
		result[i] = output[i].result;
	}
	vt_result_put(runner->store, result, n, err);
	free(result);
	return err->code;
}

static int publish(struct vt_runner *runner, struct vt_output *output, size_t n, struct vt_err *err)
{
	struct parts *p = vt_xcalloc(n + 1, sizeof(*p));
	struct vt_strs dirs = VT_STRS_INIT;
	/* links were looked at by vt_out_links() */
	const struct vt_ingest_opts how = { .follow = true,
		.finished = true,
		.blobs = true,
		.leave_out = keep_all,
		.dirs = &dirs };
	struct vt_tree *all = NULL;

	for (size_t i = 0; i < n; i++)
		/* relative to work/, as `all` has them */
		vt_strs_add(&dirs, output[i].dir + strlen(runner->work) + 1);
	if (!vt_store_ingest(runner->store, &all, runner->work, &how, err)) {
		for (size_t i = 0; !err->code && i < n; i++)
			/* One listing and one hashing pass over all outputs, then cut up again. */
			split(&p[i], all, dirs.v[i], err);
		vt_fault("adopted");
		/* trees before the records and results that name them */
		if (!err->code && !put_trees(runner, p, n, err) &&
			!put_records(runner, output, p, n, err) &&
			!put_results(runner, output, p, n, err))
			vt_fault("published");
	}
	for (size_t i = 0; i < n; i++) {
		vt_tree_free(p[i].files);
		vt_tree_free(p[i].lineage);
	}
	vt_tree_free(all);
	vt_strs_release(&dirs);
	free(p);
	return err->code;
}

int vt_runner_publish(struct vt_runner *runner, struct vt_output *outputs, size_t n,
	struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;

	for (size_t i = 0; i < n; i++)
		outputs[i].err = (struct vt_err)VT_ERR_INIT;
	/* together first; one by one if that fails */
	if (!n || !publish(runner, outputs, n, &why))
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (n == 1)
			outputs[i].err = why;
		else
			publish(runner, &outputs[i], 1, &outputs[i].err);
		/* the disk: the others would fail likewise */
		if (outputs[i].err.code == VT_EIO || outputs[i].err.code == VT_ECANTCREAT)
			return *err = outputs[i].err, err->code;
	}
	return 0;
}

/* --- triggers ------------------------------------------------------------ */

/* "SEEN NEWEST COMMITS TIME", with - for no commit. */
int vt_runner_trigger(const struct vt_runner *runner, const char *name, struct vt_trigger *out,
	struct vt_err *err)
{
	char *path = vt_asprintf("%s/triggers/%s", runner->dir, name);
	struct vt_buf text = VT_BUF_INIT;

	*out = (struct vt_trigger){ .seen = "" };
	/* 256 bytes hold two ids and two numbers */
	if (vt_fs_exists(path) && !vt_fs_read(&text, path, 256, err) &&
		sscanf(text.data, "%64s %64s %lld %lld", out->seen, out->newest, &out->commits,
			&out->time) != 4)
		vt_err_set(err, VT_EINTEGRITY, "%s: cannot be read; remove it", path);
	if (*out->seen == '-')
		*out->seen = '\0';
	if (*out->newest == '-')
		*out->newest = '\0';
	vt_buf_release(&text);
	free(path);
	return err->code;
}

int vt_runner_set_trigger(struct vt_runner *runner, const char *name,
	const struct vt_trigger *trigger, struct vt_err *err)
{
	char *path = vt_asprintf("%s/triggers/%s", runner->dir, name);
	struct vt_buf text = VT_BUF_INIT;

	vt_buf_printf(&text, "%s %s %lld %lld\n", *trigger->seen ? trigger->seen : "-",
		*trigger->newest ? trigger->newest : "-", trigger->commits, trigger->time);
	vt_fs_write(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	free(path);
	return err->code;
}
