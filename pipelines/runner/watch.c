/* An input is one line, "REPO@BRANCH=COMMIT"; of a trigger that asks for the time a second one
 * says which commit it sees.  A run and a look write the same lines in the same order, so equal
 * texts mean that a run would find what the last one found.  No lock is held while waiting but
 * that of the watch, and a look takes none of the runner's: commits, gc and other runs come
 * between. */
#include "pipelines/runner/watch.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/repo.h"
#include "pipelines/runner/job_internal.h"

enum { LOOK_SECONDS = 60 };

int vt_watch_open(int *lock, const char *store, struct vt_err *err)
{
	struct vt_runner *runner = NULL;
	char *path = NULL;

	*lock = -1;
	/* Who runs at the moment has made the place. */
	if (vt_runner_open(&runner, store, VT_RUNNER_RUN, err) == VT_EDEVICE)
		*err = (struct vt_err)VT_ERR_INIT;
	vt_runner_close(runner);
	if (err->code)
		return err->code;
	path = vt_asprintf("%s/runner/watch", store);
	*lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (*lock < 0)
		vt_err_errno(err, VT_ECANTCREAT, "%s", path);
	else if (!vt_runner_flock(*lock))
		vt_err_set(err, VT_EDEVICE,
			"%s: another `voxtrail run --watch` is waiting on this store; stop it, or "
			"give another --store",
			path);
	free(path);
	return err->code;
}

/* --- what the inputs hold ---------------------------------------------------- */

static bool asks_time(const struct vt_input *leaf)
{
	return leaf->trigger &&
		(vt_json_get(leaf->trigger, "cronSpec") ||
			vt_json_get(leaf->trigger, "rateLimitSpec"));
}

static bool is_watched(const struct vt_spec *spec, const struct vt_input *leaf)
{
	return (leaf->kind == VT_INPUT_PFS || leaf->kind == VT_INPUT_CRON) &&
		!vt_spec_find(spec, leaf->repo);
}

static void add_line(struct vt_buf *out, const struct vt_input *leaf, const char *commit)
{
	vt_buf_printf(out, "%s@%s=%s\n", leaf->repo, leaf->branch, commit);
}

struct seeing {
	struct vt_buf *out;
	struct vt_run *run;
	bool triggers; /* their lines, else the heads' */
};

static void see_leaf(void *ctx, const struct vt_input *leaf)
{
	const struct seeing *s = ctx;
	const struct vt_snapshot *at;

	if (s->triggers && asks_time(leaf)) {
		at = vt_run_trigger(s->run, leaf);
		vt_buf_printf(s->out, "@%s.%s=%s\n", leaf->pipeline, leaf->name,
			at ? at->commit.id : "");
	} else if (!s->triggers && is_watched(s->run->spec, leaf)) {
		at = vt_run_head(s->run, leaf->repo, leaf->branch);
		add_line(s->out, leaf, at ? at->commit.id : "");
	}
}

/* Heads come first, so that a look at them alone compares with the beginning. */
void vt_watch_seen(struct vt_buf *out, struct vt_run *run)
{
	struct seeing s = { out, run, false };

	vt_buf_clear(out);
	for (int pass = 0; pass < 2; pass++) {
		s.triggers = pass == 1;
		for (size_t i = 0; i < run->spec->n; i++)
			vt_input_leaves(run->spec->pipeline[i].input, see_leaf, &s);
	}
}

struct looking {
	struct vt_buf out;
	const struct vt_spec *spec;
	struct vt_store *store;
	bool asks_time;
	struct vt_err *err;
};

static void look_leaf(void *ctx, const struct vt_input *leaf)
{
	struct looking *l = ctx;
	char *name, commit[VT_HEX];

	assert(vt_ref_name_is_good(leaf->branch)); /* by lint */
	l->asks_time |= asks_time(leaf);
	if (l->err->code || !is_watched(l->spec, leaf))
		return;
	name = vt_asprintf("heads/%s", leaf->branch);
	if (vt_ref_read(l->store, commit, leaf->repo, name, l->err))
		*commit = '\0';
	if (!l->err->code)
		add_line(&l->out, leaf, commit);
	free(name);
}

static int look_at_heads(struct looking *looking)
{
	vt_buf_clear(&looking->out);
	for (size_t i = 0; i < looking->spec->n; i++)
		vt_input_leaves(looking->spec->pipeline[i].input, look_leaf, looking);
	return looking->err->code;
}

int vt_watch_heads(struct vt_buf *out, const struct vt_spec *spec, const char *store,
	struct vt_err *err)
{
	struct looking l = { .out = VT_BUF_INIT, .spec = spec, .err = err };

	if (!vt_store_open(&l.store, store, VT_STORE_READ, err) && !look_at_heads(&l) && !l.out.len)
		vt_err_set(err, VT_EUSAGE, "%s: --watch: it reads no repo that a commit could move",
			spec->path);
	vt_store_close(l.store);
	vt_buf_clear(out);
	vt_buf_add(out, l.out.data, l.out.len);
	vt_buf_release(&l.out);
	return err->code;
}

/* Whether a run would see something else.  One that cannot be opened now can be later. */
static bool trigger_moves(const struct vt_buf *seen, const struct vt_spec *spec,
	const struct vt_run_opts *opts)
{
	struct vt_run_opts look = *opts;
	struct vt_err none = VT_ERR_INIT;
	struct vt_buf now = VT_BUF_INIT;
	struct vt_run *run = NULL;
	bool moves = false;

	look.planning = look.looking = true;
	look.repos = NULL;
	if (!vt_run_open(&run, spec, &look, &none)) {
		vt_watch_seen(&now, run);
		moves = now.len != seen->len || memcmp(now.data, seen->data, now.len) != 0;
	}
	vt_run_close(run);
	vt_buf_release(&now);
	return moves;
}

/* --- waiting ------------------------------------------------------------------ */

void vt_run_ending_signals(sigset_t *set)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old;

	sigemptyset(set);
	for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
		if (!sigaction(ending[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaddset(set, ending[i]);
}

static int pause_for(double seconds, const sigset_t *ending)
{
	const struct timespec wait = { (time_t)seconds,
		(long)(1e9 * (seconds - (double)(time_t)seconds)) };
	int got = sigtimedwait(ending, NULL, &wait);

	return got > 0 ? got : 0;
}

static void wait_for(int *signal, const struct vt_buf *seen, struct looking *looking,
	const struct vt_run_opts *opts, double seconds, const sigset_t *ending)
{
	struct timespec began;

	clock_gettime(CLOCK_MONOTONIC, &began);
	while (!looking->err->code && !look_at_heads(looking)) {
		if (looking->out.len > seen->len ||
			(looking->out.len &&
				memcmp(looking->out.data, seen->data, looking->out.len)))
			return;
		if (looking->asks_time && vt_seconds_since(&began) >= LOOK_SECONDS) {
			clock_gettime(CLOCK_MONOTONIC, &began);
			if (trigger_moves(seen, looking->spec, opts))
				return;
		}
		*signal = pause_for(seconds, ending);
		if (*signal)
			return;
	}
}

int vt_watch_wait(int *signal, const struct vt_buf *seen, const struct vt_spec *spec,
	const struct vt_run_opts *opts, double seconds, struct vt_err *err)
{
	struct looking l = { .out = VT_BUF_INIT, .spec = spec, .err = err };
	sigset_t ending, before;

	*signal = 0;
	vt_run_ending_signals(&ending);
	sigprocmask(SIG_BLOCK, &ending, &before);
	if (!seen)
		*signal = pause_for(seconds, &ending);
	else if (!vt_store_open(&l.store, opts->store, VT_STORE_READ, err))
		wait_for(signal, seen, &l, opts, seconds, &ending);
	vt_store_close(l.store);
	vt_buf_release(&l.out);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err->code;
}
