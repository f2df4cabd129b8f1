#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/opts.h"
#include "common/base/parallel.h"
#include "common/base/stop.h"
#include "common/stage/stage_internal.h"
#include "common/store/policy.h"

static const char partial[] = ".voxtrail-partial";

/* The signal that asked the stage to stop, or 0. */
static volatile sig_atomic_t stopping;

static void on_signal(int sig)
{
	stopping = sig;
}

bool vt_stage_stopping(void)
{
	return stopping != 0;
}

const void *vt_stage_params(const struct vt_stage_run *run)
{
	return run->params;
}

const char *vt_stage_out(const struct vt_stage_run *run)
{
	return run->work;
}

int vt_stage_write(const struct vt_stage_run *run, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	char *path = vt_path_join(vt_stage_out(run), name);
	int rc = vt_fs_write_quick(path, text->data, text->len, 0644, err);

	free(path);
	return rc;
}

int vt_stage_write_json(const struct vt_stage_run *run, const char *name, struct vt_json *j,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	vt_json_pretty(&text, j);
	rc = vt_stage_write(run, name, &text, err);
	vt_buf_release(&text);
	vt_json_free(j);
	return rc;
}

const char *vt_stage_scratch(const struct vt_stage_run *run)
{
	return run->scratch;
}

void vt_stage_note(struct vt_stage_run *run, const char *key, struct vt_json *value)
{
	vt_json_put(run->notes, key, value);
}

static int quarantine(struct vt_stage_run *run, const char *subject, const struct vt_err *why,
	struct vt_err *err)
{
	char *dir = vt_path_join(run->work, "quarantine"),
	     *path = vt_asprintf("%s/%s.json", dir, subject);
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *list;
	char *reason = vt_stage_portable(run, why->text);
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_mkdirs(dir, err);

	vt_json_put_text(j, "subject", subject);
	vt_json_put_text(j, "stage", run->stage->name);
	vt_json_put_int(j, "code", why->code);
	vt_json_put_text(j, "reason", reason);
	vt_json_pretty(&text, j);
	if (!rc)
		rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_log(VT_LOG_ERROR, "quarantine", "subject=\"%s\" reason=\"%s\"", subject, why->text);
	if (!vt_json_get(run->notes, "quarantined"))
		vt_json_put(run->notes, "quarantined", vt_json_new(VT_JSON_ARRAY));
	for (size_t i = 0; i < run->notes->n; i++)
		if (!strcmp(run->notes->key[i], "quarantined")) {
			list = run->notes->item[i];
			vt_json_push(list, vt_json_new_text(subject));
		}
	run->n_quarantined++;
	vt_buf_release(&text);
	vt_json_free(j);
	free(reason);
	free(path);
	free(dir);
	return rc;
}

int vt_stage_refuse(struct vt_stage_run *run, const char *subject, const struct vt_err *why,
	struct vt_err *err)
{
	char *made = vt_path_join(run->work, subject);
	int rc;

	if (why->code == VT_EDATA || why->code == VT_ENOINPUT) {
		rc = vt_fs_remove_tree(made, err);
		if (!rc)
			rc = quarantine(run, subject, why, err);
	} else {
		*err = *why;
		rc = why->code;
	}
	free(made);
	return rc;
}

int vt_stage_each(struct vt_stage_run *run, const struct vt_strs *subjects,
	int (*one)(void *ctx, const char *subject, struct vt_err *why), void *ctx,
	struct vt_err *err)
{
	int rc = 0;

	vt_progress_begin(run->stage->name, "subject", subjects->n);
	for (size_t i = 0; !rc && i < subjects->n; i++) {
		const char *subject = subjects->v[i];
		struct vt_err why = VT_ERR_INIT;

		if (vt_stage_stopping())
			rc = vt_err_set(err, VT_EFAIL, "stopped after %zu of %zu subjects", i,
				subjects->n);
		else if (one(ctx, subject, &why))
			rc = vt_stage_refuse(run, subject, &why, err);
		vt_progress_step(i + 1, "subject=\"%s\"", subject);
	}
	vt_progress_end();
	return rc;
}

int vt_stage_listed(struct vt_stage_run *run, const struct vt_err *why, struct vt_err *err)
{
	char *reason;

	if (why->code != VT_EDATA) {
		*err = *why;
		return why->code;
	}
	reason = vt_stage_portable(run, why->text);
	vt_json_put_text(run->notes, "passed_over", reason);
	free(reason);
	free(run->passed_over);
	run->passed_over = vt_xstrdup(why->text);
	return 0;
}

bool vt_stage_is_stray(const struct vt_stage_run *run, const char *input)
{
	const char *dir = vt_stage_input(run, input);
	bool only = vt_fs_only_stray(dir);

	if (only)
		vt_log(VT_LOG_WARN, "stray",
			"input=\"%s\" note=\"%s holds only files of an operating system: there is "
			"nothing to do\"",
			input, dir);
	return only;
}

/* --- command line -------------------------------------------------------- */

struct command_line {
	const char *param[VT_MAX_PARAMS];
	const char *out, *store, *scratch, *log, *describe;
	long long threads;
	int help, version, plan, follow_links;
};

/* Port `name` given once more is the port "name-2", then "name-3", where a stage has them. */
static void number_again(const struct vt_stage_run *run, int argc, char **argv,
	struct vt_strs *made)
{
	for (int p = 0; p < vt_stage_n_ports(run->stage); p++) {
		const char *name = run->stage->in[p].name;
		size_t n = strlen(name);
		int seen = 0;

		for (int i = 1; i < argc; i++) {
			char *port;

			if (strncmp(argv[i], "--", 2) || strncmp(argv[i] + 2, name, n) ||
				(argv[i][2 + n] && argv[i][2 + n] != '='))
				continue;
			port = vt_asprintf("%s-%d", name, ++seen);
			if (seen > 1 && vt_stage_port(run, port) >= 0) {
				char *flag = vt_asprintf("--%s%s", port, argv[i] + 2 + n);

				vt_strs_add(made, flag);
				argv[i] = made->v[made->n - 1];
				free(flag);
			}
			free(port);
		}
	}
}

static int parse(struct vt_stage_run *run, struct command_line *c, int argc, char **argv,
	struct vt_err *err)
{
	struct vt_opt opts[VT_MAX_PORTS + VT_MAX_PARAMS + 13];
	struct vt_strs rest = VT_STRS_INIT;
	int n = 0, rc;

	for (int i = 0; i < vt_stage_n_ports(run->stage); i++)
		opts[n++] = (struct vt_opt){ 0, run->stage->in[i].name, VT_OPT_STRING,
			&run->given[i], "DIR", "" };
	for (int i = 0; i < vt_stage_n_params(run->stage); i++)
		opts[n++] = (struct vt_opt){ 0, run->stage->params[i].name, VT_OPT_STRING,
			&c->param[i], "VALUE", "" };
	opts[n++] = (struct vt_opt){ 'o', "out", VT_OPT_STRING, &c->out, "DIR", "" };
	opts[n++] = (struct vt_opt){ 0, "recipe", VT_OPT_STRING, &run->recipe, "FILE", "" };
	opts[n++] = (struct vt_opt){ 0, "store", VT_OPT_STRING, &c->store, "DIR", "" };
	opts[n++] = (struct vt_opt){ 0, "scratch", VT_OPT_STRING, &c->scratch, "DIR", "" };
	opts[n++] = (struct vt_opt){ 0, "threads", VT_OPT_INT, &c->threads, "N", "" };
	opts[n++] = (struct vt_opt){ 0, "follow-links", VT_OPT_FLAG, &c->follow_links, NULL, "" };
	opts[n++] = (struct vt_opt){ 0, "log", VT_OPT_STRING, &c->log, "FORM", "" };
	opts[n++] = (struct vt_opt){ 0, "describe", VT_OPT_STRING, &c->describe, "FORM", "" };
	opts[n++] = (struct vt_opt){ 'h', "help", VT_OPT_FLAG, &c->help, NULL, "" };
	opts[n++] = (struct vt_opt){ 0, "version", VT_OPT_FLAG, &c->version, NULL, "" };
	if (run->stage->plan)
		opts[n++] = (struct vt_opt){ 0, "plan", VT_OPT_FLAG, &c->plan, NULL, "" };
	opts[n] = (struct vt_opt){ 0, NULL, VT_OPT_END, NULL, NULL, NULL };
	rc = vt_opts_parse(opts, argc, argv, &rest, err);
	if (!rc && rest.n)
		rc = vt_err_set(err, VT_EUSAGE, "\"%s\": every input has a flag; see --help",
			rest.v[0]);
	if (!rc && (c->threads < 0 || c->threads > 256))
		rc = vt_err_set(err, VT_EUSAGE, "--threads=%lld: must be from 0 to 256",
			c->threads);
	if (!rc && c->log && strcmp(c->log, "json") && strcmp(c->log, "text"))
		rc = vt_err_set(err, VT_EUSAGE, "--log=%s: give text or json", c->log);
	vt_strs_release(&rest);
	return rc;
}

/* --help, --describe and --version; true if one was asked for. */
static bool answered(const struct vt_stage *stage, const struct command_line *c, int *rc,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;

	if (c->help)
		vt_stage_help(&text, stage);
	else if (c->describe)
		*rc = vt_stage_describe(&text, stage, c->describe, err);
	else if (c->version)
		vt_buf_printf(&text, "%s %s (voxtrail %s%s)\n", stage->name, stage->version,
			vt_build_commit(), vt_build_dirty() ? ", modified" : "");
	else
		return false;
	if (text.len)
		fwrite(text.data, 1, text.len, stdout);
	if (!*rc)
		*rc = vt_standard_end(err);
	vt_buf_release(&text);
	return true;
}

/* --- places -------------------------------------------------------------- */

/* --out must be empty or absent; what a killed execution left behind (its partial directory says
 * so) is cleared. */
static int prepare_out(struct vt_stage_run *run, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	char *left = vt_path_join(run->out, partial);
	bool ours = vt_fs_exists(left);
	int rc = vt_fs_mkdirs(run->out, err);

	free(left);
	if (!rc)
		rc = vt_fs_list(&names, run->out, err);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(run->out, names.v[i]);

		if (!strcmp(names.v[i], ".lineage") || !strcmp(names.v[i], "lost+found"))
			;
		else if (ours)
			rc = vt_fs_remove_tree(path, err);
		else
			rc = vt_err_set(err, VT_ECANTCREAT,
				"%s: not empty (%s); give a new directory", run->out, names.v[i]);
		free(path);
	}
	vt_strs_release(&names);
	return rc;
}

/* An output that is there already is left as it is; a store still takes the result. */
static int find_or_prepare_out(struct vt_stage_run *run, bool *found, struct vt_err *err)
{
	char *left = vt_path_join(run->out, partial);
	int rc = vt_fs_exists(left) ? 0 : vt_stage_find_in_out(run, found, err);

	free(left);
	if (!rc && !*found)
		return prepare_out(run, err);
	if (!rc && run->store) {
		free(run->out);
		run->out = NULL;
	}
	return rc;
}

static int prepare_work(struct vt_stage_run *run, struct vt_err *err)
{
	run->work = run->store ? vt_store_tmp_path(run->store) : vt_path_join(run->out, partial);
	return run->store ? vt_store_claim(run->store, run->work, err)
			  : vt_fs_mkdirs(run->work, err);
}

static void prepare_scratch(struct vt_stage_run *run, const struct command_line *c)
{
	const char *shared = getenv("VOXTRAIL_SCRATCH");
	struct vt_err err = VT_ERR_INIT;

	if (c->scratch)
		run->scratch = vt_asprintf("%s/%s", c->scratch, run->derivation_hex);
	else if (shared && *shared)
		run->scratch = vt_asprintf("%s/%s", shared, run->derivation_hex);
	else if (run->store)
		run->scratch =
			vt_asprintf("%s/scratch/%s", vt_store_dir(run->store), run->derivation_hex);
	if (run->scratch &&
		(run->store ? vt_store_claim(run->store, run->scratch, &err)
			    : vt_fs_mkdirs(run->scratch, &err))) {
		vt_log(VT_LOG_WARN, "scratch", "note=\"a killed execution will start over: %s\"",
			err.text);
		free(run->scratch);
		run->scratch = NULL;
	}
}

/* --plan: what an execution would take, on stdout; nothing is run or written. */
static int show_plan(struct vt_stage_run *run, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = run->stage->plan(run, &text, err);

	if (!rc) {
		fwrite(text.data, 1, text.len, stdout);
		rc = vt_standard_end(err);
	}
	vt_buf_release(&text);
	return rc;
}

/* --- the execution ------------------------------------------------------- */

/* What a whole output is the end of. */
static int ended(const struct vt_stage_run *run, struct vt_err *err)
{
	if (run->passed_over)
		return vt_err_set(err, VT_EDATA, "%s", run->passed_over);
	return run->n_quarantined
		? vt_err_set(err, VT_EDATA,
			  "%zu subject%s quarantined; see quarantine/ in the output",
			  run->n_quarantined, run->n_quarantined == 1 ? " was" : "s were")
		: 0;
}

static int work(struct vt_stage_run *run, const struct command_line *c, struct vt_err *err)
{
	struct vt_err ignored = VT_ERR_INIT, why;
	int rc = prepare_work(run, err);

	if (rc)
		return rc;
	prepare_scratch(run, c);
	rc = run->stage->run(run, err);
	if (!rc)
		rc = vt_stage_seal(run, err);
	if (rc) {
		why = *err;
		if (!run->store && run->out)
			prepare_out(run, &ignored); /* what was moved there already goes too */
		ignored = (struct vt_err)VT_ERR_INIT;
		vt_fs_remove_tree(run->work, &ignored);
		if (!vt_stage_stopping())
			vt_stage_record_failure(run, &why);
		return rc;
	}
	if (run->scratch)
		vt_fs_remove_tree(run->scratch, &ignored);
	return ended(run, err);
}

static int execute(struct vt_stage_run *run, const struct command_line *c, struct vt_err *err)
{
	bool reused = false, found = false;
	int rc = vt_stage_identify(run, err);

	if (!rc && !c->out && !c->store && !c->plan)
		rc = vt_err_set(err, VT_EUSAGE, "--out is missing: where the result goes");
	if (!rc)
		rc = vt_stage_set_params(run, c->param, err);
	if (!rc)
		rc = vt_stage_read_consent(run, c->store, err);
	if (!rc)
		rc = vt_stage_open_inputs(run, err);
	if (c->plan)
		return rc ? rc : show_plan(run, err);
	if (!rc && c->store)
		rc = vt_store_open(&run->store, c->store, VT_STORE_CREATE, err);
	/* before the work, not behind it */
	if (!rc && run->store)
		rc = vt_policy_check(run->store, err);
	if (!rc && c->out) {
		run->out = vt_stage_real_place(c->out);
		rc = find_or_prepare_out(run, &found, err);
	}
	if (!rc && found && !run->store)
		return ended(run, err);
	if (!rc)
		rc = vt_stage_reuse(run, &reused, err);
	if (rc || reused)
		return rc ? rc : ended(run, err);
	vt_log(VT_LOG_INFO, "begin", "version=%s derivation=%s threads=%u", run->stage->version,
		run->derivation_hex, vt_parallel_threads());
	return work(run, c, err);
}

static void release(struct vt_stage_run *run)
{
	for (int i = 0; i < VT_MAX_PORTS; i++) {
		free(run->root[i]);
		vt_tree_free(run->tree[i]);
		vt_strs_release(&run->parents[i]);
	}
	vt_store_close(run->store);
	vt_consent_release(&run->consent);
	vt_strs_release(&run->ancestors);
	vt_strs_release(&run->numbered);
	vt_json_free(run->params_json);
	vt_json_free(run->notes);
	free(run->params);
	free(run->out);
	free(run->work);
	free(run->scratch);
	free(run->passed_over);
}

int vt_stage_main(const struct vt_stage *stage, int argc, char **argv)
{
	struct vt_stage_run r = { .stage = stage };
	struct command_line c = { .out = NULL };
	struct vt_err err = VT_ERR_INIT;
	struct timespec t;
	int rc;

	vt_standard_open();
	clock_gettime(CLOCK_MONOTONIC, &t);
	r.begun = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
	r.notes = vt_json_new(VT_JSON_OBJECT);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	vt_stop_when(vt_stage_stopping);
	number_again(&r, argc, argv, &r.numbered);
	rc = parse(&r, &c, argc, argv, &err);
	r.follow_links = c.follow_links != 0;
	vt_log_open(stage->name, vt_log_form_of(c.log), VT_LOG_INFO);
	if (!rc && answered(stage, &c, &rc, &err)) {
		release(&r);
		if (rc)
			vt_log(VT_LOG_ERROR, "failed", "code=%d reason=\"%s\"", rc, err.text);
		return rc;
	}
	if (!rc) {
		vt_parallel_set_threads((unsigned)c.threads);
		rc = execute(&r, &c, &err);
	}
	if (rc)
		vt_log(VT_LOG_ERROR, "failed", "code=%d reason=\"%s\"", rc, err.text);
	release(&r);
	return rc == VT_EFAIL && stopping ? 128 + stopping : rc;
}
