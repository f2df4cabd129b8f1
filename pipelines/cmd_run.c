/* voxtrail run SPEC: see docs/pipelines.md */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/opts.h"
#include "pipelines/commands.h"
#include "pipelines/runner/argo_run.h"
#include "pipelines/runner/command.h"
#include "pipelines/runner/job.h"

static long long count_devices(void)
{
	glob_t g;
	long long n = glob("/dev/nvidia[0-9]*", 0, NULL, &g) ? 0 : (long long)g.gl_pathc;
	globfree(&g);
	return n;
}

static void report_failures(struct vt_run *r, const char *store)
{
	for (size_t i = 0; i < vt_run_jobs(r); i++) {
		const struct vt_job *j = vt_run_job(r, i);
		for (size_t t = 0; t < j->n; t++)
			if (j->task[t].state == VT_DATUM_FAILED || j->task[t].state == VT_DATUM_QUARANTINED) {
				char *label = vt_datum_label(j->task[t].datum);
				fprintf(stderr, "%s: %s of %s ended with %d; see `voxtrail logs --store %s %s %.16s`\n",
					j->task[t].state == VT_DATUM_FAILED ? "failed" : "quarantined", label,
					j->pipeline->name,
					j->task[t].exit_code, store, j->pipeline->name, j->task[t].datum->id);
				free(label);
			}
		if (j->state == VT_JOB_UNRUNNABLE)
			fprintf(stderr, "not run: %s, because %s failed\n", j->pipeline->name, j->because);
	}
}

int vt_cmd_run(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs repos = VT_STRS_INIT, rest = VT_STRS_INIT;
	struct vt_run_opts o = { .store = vt_default_store(), .gpus = count_devices(), .mode = VT_DEPOT_WRITE };
	struct vt_spec *spec = NULL;
	struct vt_run *run = NULL;
	const char *memory = NULL, *checkout = NULL, *log = NULL, *view = "auto", *argo = NULL;
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "repo", VT_OPT_LIST, &repos, "NAME=DIR", "commit DIR to the repo NAME first (again and again)" },
		{ 0, "store", VT_OPT_STRING, &o.store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 'j', "jobs", VT_OPT_INT, &o.jobs, "N", "processes at a time (default: processors)" },
		{ 0, "mem", VT_OPT_STRING, &memory, "SIZE", "memory that running datums may ask for together" },
		{ 0, "gpus", VT_OPT_INT, &o.gpus, "N", "devices (default: those present)" },
		{ 0, "view", VT_OPT_STRING, &view, "HOW", "how /pfs is made: auto, ns, root or prefix (default auto)" },
		{ 0, "secrets-file", VT_OPT_STRING, &o.secrets, "FILE",
			"JSON {secret: {key: value}} for transform.secrets" },
		{ 0, "fail-fast", VT_OPT_FLAG, &o.fail_fast, NULL, "start nothing more after a failure" },
		{ 0, "accept-stale", VT_OPT_FLAG, &o.accept_stale, NULL,
			"keep results that another program made of the same data" },
		{ 0, "argo", VT_OPT_STRING, &argo, "FILE", "execute an emitted Argo workflow instead of a spec" },
		{ 0, "checkout", VT_OPT_STRING, &checkout, "DIR", "link every output to DIR/<pipeline>" },
		{ 0, "log", VT_OPT_STRING, &log, "FORM", "json or text" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};
	o.jobs = sysconf(_SC_NPROCESSORS_ONLN);
	if (vt_opts_parse(opts, argc, argv, &rest, &err))
		goto out;
	if (help) {
		vt_command_help("run SPEC --repo NAME=DIR ... | run --argo FILE --repo NAME=DIR ...", "Executes the "
			"pipelines of a spec file; what is unchanged is skipped.", opts);
		goto out;
	}
	vt_log_open("voxtrail", !log ? VT_LOG_AUTO : !strcmp(log, "json") ? VT_LOG_JSON : VT_LOG_TEXT, VT_LOG_INFO);
	o.repos = &repos;
	if (memory && !vt_spec_quantity(memory, &o.memory))
		vt_err_set(&err, VT_EUSAGE, "--mem %s: write an amount such as 16Gi", memory);
	else if (argo && !rest.n && o.jobs > 0) {
		struct vt_argo_opts a = { o.store, &repos, o.jobs, VT_VIEW_PREFIX, checkout };
		if (!vt_view_choose(&a.view, view, o.jobs, &err))
			vt_argo_run(argo, &a, &err);
	} else if (rest.n != 1 || o.jobs < 1)
		vt_err_set(&err, VT_EUSAGE, "give one spec file, and --jobs of at least 1");
	else if (vt_view_choose(&o.view, view, o.jobs, &err))
		;
	else if (!vt_command_spec(&spec, rest.v[0], &err) && !vt_run_open(&run, spec, &o, &err)) {
		int rc = vt_run_execute(run, &err);
		report_failures(run, o.store);
		if (!rc && checkout)
			vt_run_checkout(run, checkout, &err);
		err.code = rc;
	}
out:
	vt_run_close(run);
	vt_spec_free(spec);
	vt_strs_release(&repos);
	vt_strs_release(&rest);
	return vt_command_end("run", &err);
}
