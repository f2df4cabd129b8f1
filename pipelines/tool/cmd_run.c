/* voxtrail run SPEC: see docs/pipelines.md */
#include <glob.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/opts.h"
#include "pipelines/tool/commands.h"
#include "pipelines/emit/argo_run.h"
#include "pipelines/tool/command.h"
#include "pipelines/runner/job.h"
#include "pipelines/runner/run_progress.h"
#include "pipelines/runner/watch.h"

static long long count_devices(void)
{
	glob_t g;
	long long n = glob("/dev/nvidia[0-9]*", 0, NULL, &g) ? 0 : (long long)g.gl_pathc;
	globfree(&g);
	return n;
}

static void report_task(const struct vt_job *j, const struct vt_task *task, const char *store)
{
	char *label = vt_datum_label(task->datum);

	vt_say_err("%s: %s of %s ended with %d%s%s; see `voxtrail logs --store %s %s %.16s`\n",
		task->state == VT_DATUM_FAILED ? "failed" : "quarantined", label, j->pipeline->name,
		task->exit_code, task->why ? ": " : "", task->why ? task->why : "", store,
		j->pipeline->name, task->datum->id);
	free(label);
}

static void report_failures(struct vt_run *run, const char *store)
{
	for (size_t i = 0; i < vt_run_jobs(run); i++) {
		const struct vt_job *j = vt_run_job(run, i);

		for (size_t t = 0; t < j->n; t++)
			if (j->task[t].state == VT_DATUM_FAILED ||
				j->task[t].state == VT_DATUM_QUARANTINED)
				report_task(j, &j->task[t], store);
		if (j->because && j->state == VT_JOB_FAILED)
			vt_say_err("failed: %s, because %s\n", j->pipeline->name, j->because);
		if (j->state == VT_JOB_UNRUNNABLE)
			vt_say_err("not run: %s, because %s failed\n", j->pipeline->name,
				j->because);
	}
}

static void run_argo(const char *file, const struct vt_run_opts *opts, const char *view,
	const char *checkout, struct vt_err *err)
{
	struct vt_argo_opts a = { opts->store, opts->repos, opts->jobs, VT_VIEW_PREFIX, checkout };
	if (!vt_view_choose(&a.view, view, opts->jobs, err))
		vt_argo_run(file, &a, err);
}

/* Ends as whoever sent the signal expects of a process that does not catch it. */
static void end_by_signal(int number)
{
	vt_say_err("voxtrail run: stopped by %s; what was finished is kept, run again to go on\n",
		strsignal(number));
	signal(number, SIG_DFL);
	raise(number);
}

struct watching {
	struct vt_buf seen; /* what the inputs hold (watch.h) */
	bool opened;        /* as a run found them */
};

/* watching: NULL, or told of the run as soon as it is open.  Returns the signal that stopped it, or
 * 0. */
static int run_once(const struct vt_spec *spec, const struct vt_run_opts *opts,
	const char *checkout, struct watching *watching, struct vt_err *err)
{
	struct vt_run *run = NULL;
	int stopped = 0;

	if (!vt_run_open(&run, spec, opts, err) &&
		!(checkout && vt_run_checkout_check(run, checkout, err))) {
		if (watching) {
			vt_watch_seen(&watching->seen, run);
			watching->opened = true;
		}
		int rc = vt_run_execute(run, err);

		stopped = vt_run_signal(run);
		report_failures(run, opts->store);
		err->code = rc;
		if (!rc && checkout)
			vt_run_checkout(run, checkout, err);
		if (!err->code && !stopped)
			vt_run_progress_results(run, opts->store, checkout);
	}
	vt_run_close(run);
	return stopped;
}

static void run_spec(const char *file, const struct vt_run_opts *opts, const char *checkout,
	struct vt_err *err)
{
	struct vt_spec *spec = NULL;
	int stopped = 0;

	if (!vt_command_spec(&spec, file, err))
		stopped = run_once(spec, opts, checkout, NULL, err);
	vt_spec_free(spec);
	if (stopped)
		end_by_signal(stopped);
}

/* --- waiting for commits ----------------------------------------------------- */

/* What no commit will mend.  Once a run was opened, what cannot be written is a full disk. */
static bool is_for_good(const struct vt_err *err, bool first)
{
	return err->code == VT_EUSAGE || err->code == VT_ECONFIG ||
		(first && err->code == VT_ECANTCREAT);
}

static void report_run(struct vt_err *err)
{
	if (err->code)
		vt_say_err("voxtrail run: this run ended with %d%s%s; the next commit starts "
			   "another\n",
			err->code, *err->text ? ": " : "", err->text);
	*err = (struct vt_err)VT_ERR_INIT;
}

/* Reads the spec anew; one that became wrong meanwhile stays what it was. */
static void read_again(struct vt_spec **spec, const char *file, struct vt_err *err)
{
	struct vt_spec *new = NULL, *unused = NULL;

	if (!vt_command_spec(&new, file, err)) {
		unused = *spec;
		*spec = new;
	} else {
		unused = new;
		if (*spec)
			report_run(err);
	}
	vt_spec_free(unused);
}

/* One run, and the wait for what starts the next; the signal that ends the watch, or 0. */
static int watch_once(const struct vt_spec *spec, struct vt_run_opts *opts, const char *checkout,
	double every, struct vt_err *err)
{
	struct watching w = { VT_BUF_INIT, false };
	int stopped = 0, waiting = 0;
	bool busy;

	if (!vt_watch_heads(&w.seen, spec, opts->store, err))
		stopped = run_once(spec, opts, checkout, &w, err);
	busy = err->code == VT_EDEVICE && !w.opened;
	if (w.opened)
		opts->repos = NULL;
	if (!stopped && (w.opened || !is_for_good(err, opts->repos != NULL))) {
		if (!busy)
			report_run(err);
		*err = (struct vt_err)VT_ERR_INIT;
		vt_log(VT_LOG_INFO, "watch", "spec=\"%s\" store=\"%s\" note=\"%s\"", spec->path,
			opts->store, busy ? "another run is using the store" : "waits for commits");
		vt_watch_wait(&waiting, busy ? NULL : &w.seen, spec, opts, every, err);
	}
	vt_buf_release(&w.seen);
	if (stopped)
		end_by_signal(stopped);
	if (waiting)
		vt_say_err("voxtrail run: stopped by %s while it waited\n", strsignal(waiting));
	return stopped ? stopped : waiting;
}

/* A run, then another whenever an input has moved, until a signal.  What --repo names is committed
 * by the first run that can start; another run in the store is waited for. */
static void watch(const char *file, struct vt_run_opts *opts, const char *checkout, double every,
	struct vt_err *err)
{
	struct vt_spec *spec = NULL;
	int lock = -1;

	vt_watch_open(&lock, opts->store, err);
	do {
		if (!err->code)
			read_again(&spec, file, err);
	} while (!err->code && !watch_once(spec, opts, checkout, every, err));
	vt_spec_free(spec);
	if (lock >= 0)
		close(lock);
}

/* every: NAN if it was not given. */
static int check_watch(int watching, double every, const char *argo, struct vt_err *err)
{
	if ((!isnan(every) && !watching) || (watching && argo) || every < 0.1 || every > 86400)
		vt_err_set(err, VT_EUSAGE,
			"--watch goes with a spec file, and --every SECONDS (0.1 to 86400) with "
			"--watch");
	return err->code;
}

int vt_cmd_run(int argc, char **argv)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct vt_run_opts o = { .gpus = count_devices(), .repos = &repos };
	int watching = 0;
	double every = NAN;
	const char *memory = NULL, *checkout = NULL, *log = NULL, *view = "auto", *argo = NULL;
	const struct vt_opt opts[] = {
		{ 0, "repo", VT_OPT_LIST, &repos, "NAME=DIR",
			"commit DIR to the repo NAME first (repeatable)" },
		{ 'j', "jobs", VT_OPT_INT, &o.jobs, "N",
			"datums to run at a time (default: number of processors)" },
		{ 0, "mem", VT_OPT_STRING, &memory, "SIZE",
			"limit for the sum of the memory requests of running datums" },
		{ 0, "gpus", VT_OPT_INT, &o.gpus, "N", "number of GPUs to use (default: all)" },
		{ 0, "view", VT_OPT_STRING, &view, "HOW",
			"how /pfs is made: auto, ns, root or prefix (default auto)" },
		{ 0, "secrets-file", VT_OPT_STRING, &o.secrets, "FILE",
			"JSON {secret: {key: value}} for transform.secrets" },
		{ 0, "fail-fast", VT_OPT_FLAG, &o.fail_fast, NULL,
			"start no further datum after a failure" },
		{ 0, "accept-stale", VT_OPT_FLAG, &o.accept_stale, NULL,
			"keep results that another program made from the same data" },
		{ 0, "argo", VT_OPT_STRING, &argo, "FILE",
			"execute an emitted Argo workflow instead of a spec" },
		{ 0, "checkout", VT_OPT_STRING, &checkout, "DIR",
			"link every output to DIR/<pipeline>" },
		{ 0, "watch", VT_OPT_FLAG, &watching, NULL,
			"stay, and run again when an input has a new commit" },
		{ 0, "every", VT_OPT_REAL, &every, "SECONDS",
			"with --watch: between two looks (default 2)" },
		{ 0, "log", VT_OPT_STRING, &log, "FORM", "json or text" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "run SPEC --repo NAME=DIR ... | run --argo FILE --repo NAME=DIR ...",
		.about = "Executes the pipelines of a spec file. Datums that have not "
			 "changed are skipped.",
		.most = 1,
		.opts = opts,
	};

	o.jobs = sysconf(_SC_NPROCESSORS_ONLN);
	if (vt_call_begin(&c, argc, argv)) {
		vt_log_open("voxtrail", vt_log_form_of(log), VT_LOG_INFO);
		o.store = c.store;
		if (memory && !vt_spec_quantity(memory, &o.memory))
			vt_err_set(&c.err, VT_EUSAGE, "--mem %s: write an amount such as 16Gi",
				memory);
		else if ((c.args.n == 1) == (argo != NULL) || o.jobs < 1)
			vt_err_set(&c.err, VT_EUSAGE,
				"give one spec file or --argo FILE, and --jobs of at least 1");
		else if (!check_watch(watching, every, argo, &c.err) && argo)
			run_argo(argo, &o, view, checkout, &c.err);
		else if (!c.err.code && !vt_view_choose(&o.view, view, o.jobs, &c.err) && !watching)
			run_spec(c.args.v[0], &o, checkout, &c.err);
		else if (!c.err.code)
			watch(c.args.v[0], &o, checkout, isnan(every) ? 2 : every, &c.err);
	}
	return vt_call_end(&c);
}
