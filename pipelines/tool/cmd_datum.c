/* voxtrail datum list|exec|shell|verify: see docs/pipelines.md */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/base/fs.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/explain_key.h"
#include "pipelines/tool/command.h"
#include "pipelines/runner/job.h"

static void list(const struct vt_job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		char *label = vt_datum_label(j->task[i].datum);
		vt_say("%s  %-8s %s\n", j->task[i].datum->id,
			j->task[i].state == VT_DATUM_SKIPPED ? "done" : "pending", label);
		free(label);
	}
}

/* Runs the datum once more in a view of its own; nothing is published.  *status gets the
 * process's. */
static int execute(struct vt_run *run, struct vt_job *j, struct vt_task *task,
	enum vt_attempt_program what, struct vt_attempt *attempt, int *status, struct vt_err *err)
{
	struct vt_attempt_of of = vt_run_attempt(run, j, task);
	/* no job's id: nothing that it reaches may count as output */
	of.job = "00000000000040008000000000000000";
	if (vt_store_is_read_only(vt_run_store(run)))
		return vt_err_set(err, VT_ECANTCREAT,
			"%s: the store may only be read here; run datums in a copy (`voxtrail "
			"pull --results`)",
			vt_store_dir(vt_run_store(run)));
	char *dir = vt_asprintf("%s/work/again.%.16s", vt_runner_dir(vt_run_runner(run)),
		task->datum->id);
	if (!vt_attempt_possible(of.pipeline, of.secrets, of.view, err) &&
		!vt_attempt_view(attempt, &of, dir, err) &&
		!vt_attempt_start(attempt, &of, what, err)) {
		signal(SIGINT, SIG_IGN); /* the shell's, not ours */
		if (what == VT_ATTEMPT_SHELL)
			waitpid(attempt->pid, status, 0);
		else
			*status = vt_process_wait(attempt->pid, err);
		signal(SIGINT, SIG_DFL);
		attempt->pid = 0;
	}
	free(dir);
	return err->code;
}

static int exec_one(struct vt_run *run, struct vt_job *j, struct vt_task *task,
	enum vt_attempt_program what, struct vt_err *err)
{
	struct vt_attempt a = { .dir = NULL };
	struct vt_buf log = VT_BUF_INIT;
	int status = 0;
	if (!execute(run, j, task, what, &a, &status, err)) {
		if (what == VT_ATTEMPT_CMD && !vt_fs_read(&log, a.log, 1u << 30, err))
			fwrite(log.data ? log.data : "", 1, log.len, stdout);
		vt_say("exit %d; nothing was published\n",
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	vt_buf_release(&log);
	vt_attempt_remove(&a);
	return err->code;
}

/* Does a done datum, run again under another job id, time zone and directory, write the same
 * files? */
static int verify_one(struct vt_run *run, struct vt_job *j, struct vt_task *task, bool *same,
	struct vt_err *err)
{
	const struct vt_ingest_opts how = { .follow = true };
	struct vt_attempt a = { .dir = NULL };
	struct vt_tree *again = NULL;
	struct vt_result then;
	int status;
	setenv("TZ", "Pacific/Chatham", 1);
	if (!execute(run, j, task, VT_ATTEMPT_CMD, &a, &status, err) &&
		!vt_result_get(vt_run_store(run), &then, &task->key, err) &&
		!vt_store_hash(vt_run_store(run), &again, a.out, &how, err))
		*same = vt_digest_equal(&again->id, &then.tree);
	vt_tree_free(again);
	vt_attempt_remove(&a);
	return err->code;
}

static int verify(struct vt_run *run, struct vt_job *j, long long most, struct vt_err *err)
{
	long long tried = 0, differ = 0;
	for (size_t i = 0; i < j->n && tried < most && !err->code; i++) {
		bool same = false;
		if (j->task[i].state != VT_DATUM_SKIPPED)
			continue;
		tried++;
		if (verify_one(run, j, &j->task[i], &same, err) || same)
			continue;
		char *label = vt_datum_label(j->task[i].datum);
		vt_say("%.16s %s: other files than before; the stage lets an id, a path, a time or "
		       "the host into its output\n",
			j->task[i].datum->id, label);
		free(label);
		differ++;
	}
	if (!err->code)
		vt_say("%lld datums of %s run again, %lld differ\n", tried, j->pipeline->name,
			differ);
	if (err->code)
		return err->code;
	if (differ)
		return err->code = VT_EFAIL;
	return 0;
}

static int datum(struct vt_run *run, const struct vt_strs *rest, long long most, struct vt_err *err)
{
	const char *verb = rest->v[0];
	struct vt_job *j = vt_datum_job(run, rest->v[2], err);
	struct vt_task *t = NULL;
	if (!j)
		return err->code;
	if (!strcmp(verb, "list") && rest->n == 3)
		list(j);
	else if (!strcmp(verb, "verify") && rest->n == 3)
		return verify(run, j, most, err);
	else if ((!strcmp(verb, "exec") || !strcmp(verb, "shell")) && rest->n == 4)
		return (t = vt_datum_task(j, rest->v[3], err))
			? exec_one(run, j, t, *verb == 'e' ? VT_ATTEMPT_CMD : VT_ATTEMPT_SHELL, err)
			: err->code;
	else
		return vt_err_set(err, VT_EUSAGE,
			"write datum list|verify SPEC PIPELINE, or datum exec|shell SPEC "
			"PIPELINE DATUM");
	return 0;
}

int vt_cmd_datum(int argc, char **argv)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct vt_run_opts o = { .planning = true, .jobs = 1, .repos = &repos };
	struct vt_spec *spec = NULL;
	struct vt_run *run = NULL;
	long long most = 4;
	const char *view = "auto";
	const struct vt_opt opts[] = {
		{ 0, "repo", VT_OPT_LIST, &repos, "NAME=DIR",
			"commit DIR to the repo NAME first; list: as if it were committed "
			"(repeatable)" },
		{ 0, "view", VT_OPT_STRING, &view, "HOW",
			"how /pfs is made: auto, ns, root or prefix (default auto)" },
		{ 0, "secrets-file", VT_OPT_STRING, &o.secrets, "FILE",
			"JSON {secret: {key: value}} for transform.secrets" },
		{ 'n', "number", VT_OPT_INT, &most, "N", "verify: at most N datums (default 4)" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "datum list|verify SPEC PIPELINE | datum exec|shell SPEC PIPELINE DATUM",
		.about = "Lists datums, runs some again and compares their outputs, runs "
			 "one again, or opens a shell in its view.",
		.least = 3,
		.most = 4,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		o.store = c.store;
		o.binding = strcmp(c.args.v[0], "list") != 0;
		if (!vt_view_choose(&o.view, view, 1, &c.err) &&
			!vt_command_spec(&spec, c.args.v[1], &c.err) &&
			!vt_run_open(&run, spec, &o, &c.err))
			datum(run, &c.args, most, &c.err);
	}
	vt_run_close(run);
	vt_spec_free(spec);
	return vt_call_end(&c);
}
