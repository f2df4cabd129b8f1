/* voxtrail plan SPEC: see docs/pipelines.md.
 *
 * Nothing is executed, so a pipeline is planned against what its upstream holds now; where the
 * upstream has datums to run, its output will be another one, and the plan says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"
#include "pipelines/runner/job.h"
#include "pipelines/runner/scan.h"

static void row_json(struct vt_buf *b, const struct vt_job *j, const struct vt_task *t)
{
	char *label = vt_datum_label(t->datum), hash[VT_HEX];
	vt_digest_hex(hash, &t->key);
	vt_buf_str(b, b->len > 1 ? ",\n " : "");
	vt_buf_str(b, "{\"pipeline\":");
	vt_json_quote(b, j->pipeline->name);
	vt_buf_str(b, ",\"key\":");
	vt_json_quote(b, label);
	vt_buf_printf(b, ",\"id\":\"%s\",\"hash\":\"%s\",\"state\":\"%s\"}", t->datum->id, hash,
		t->state == VT_DATUM_SKIPPED ? "skipped" : "pending");
	free(label);
}

/* What an Argo fan-out takes as its items: the datum's id and, by input, the path below the
 * repo. */
static void row_item(struct vt_buf *b, const struct vt_datum *d)
{
	vt_buf_printf(b, "%s{\"datum\":\"%s\"", b->len > 1 ? ",\n " : "", d->id);
	for (size_t i = 0; i < d->n; i++) {
		const struct vt_datum_file *f = &d->file[i];
		const char *path = f->entry ? f->entry->path + 1 : "";
		char *plain =
			vt_xstrndup(path, strlen(path) - (*path && path[strlen(path) - 1] == '/'));
		vt_buf_char(b, ',');
		vt_json_quote(b, f->in->name);
		vt_buf_char(b, ':');
		vt_json_quote(b, plain);
		free(plain);
	}
	vt_buf_char(b, '}');
}

/* For engines that hold the data themselves: over the directories as they lie, without a store. */
static int scan(const struct vt_spec *spec, const char *pipeline, const struct vt_strs *repos,
	const char *views, struct vt_err *err)
{
	const struct vt_pipeline *p = vt_spec_find(spec, pipeline);
	struct vt_scan *s = NULL;
	struct vt_buf b = VT_BUF_INIT;
	if (!p)
		return vt_err_set(err, VT_EUSAGE, "%s has no pipeline \"%s\"", spec->path,
			pipeline);
	if (!vt_scan_open(&s, p, repos, err) && !(views && vt_scan_views(s, views, err)) &&
		!views) {
		const struct vt_datums *d = vt_scan_datums(s);
		vt_buf_char(&b, '[');
		for (size_t i = 0; i < d->n; i++)
			row_item(&b, &d->v[i]);
		vt_buf_str(&b, "]\n");
		fputs(b.data, stdout);
	}
	vt_buf_release(&b);
	vt_scan_close(s);
	return err->code;
}

enum form { TEXT = 1, JSON };

static void rows(struct vt_buf *b, const struct vt_job *j, bool all, enum form form)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->task[i].state == VT_DATUM_SKIPPED && !all)
			continue;
		if (form == JSON)
			row_json(b, j, &j->task[i]);
		if (form != TEXT)
			continue;
		char *label = vt_datum_label(j->task[i].datum);
		vt_buf_printf(b, "  %.16s  %-8s %s\n", j->task[i].datum->id,
			j->task[i].state == VT_DATUM_SKIPPED ? "skipped" : "pending", label);
		free(label);
	}
}

struct stale {
	struct vt_run *r;
	const struct vt_job *self;
	bool found;
};

static void stale_leaf(void *ctx, const struct vt_input *leaf)
{
	struct stale *s = ctx;
	for (size_t i = 0; i < vt_run_jobs(s->r) && vt_run_job(s->r, i) != s->self; i++) {
		const struct vt_job *up = vt_run_job(s->r, i);
		s->found |= !strcmp(up->pipeline->name, leaf->repo) &&
			(up->count[VT_DATUM_PENDING] || up->changed);
	}
}

static int plan(struct vt_run *r, const char *only, bool all, enum form form, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_str(&b, form != TEXT ? "[" : "");
	for (size_t i = 0; i < vt_run_jobs(r) && !err->code; i++) {
		struct vt_job *j = vt_run_job(r, i);
		struct stale s = { r, j, false };
		if (vt_run_prepare(r, j, err))
			break;
		vt_input_leaves(j->pipeline->input, stale_leaf, &s);
		j->changed = s.found;
		if (only && strcmp(only, j->pipeline->name))
			continue;
		if (form == TEXT)
			vt_buf_printf(&b, "%s: %zu datum%s, %zu to run%s\n", j->pipeline->name,
				j->n, j->n == 1 ? "" : "s", j->count[VT_DATUM_PENDING],
				s.found ? ", and again what the new output of its inputs changes"
					: "");
		rows(&b, j, all, form);
	}
	if (!err->code)
		fputs(form != TEXT       ? (vt_buf_str(&b, "]\n"), b.data)
				: b.data ? b.data
					 : "",
			stdout);
	vt_buf_release(&b);
	return err->code;
}

int vt_cmd_plan(int argc, char **argv)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct vt_run_opts o = { .planning = true, .jobs = 1, .repos = &repos };
	struct vt_spec *spec = NULL;
	struct vt_run *run = NULL;
	const char *only = NULL, *views = NULL;
	int json = 0, items = 0, all = 0;
	const struct vt_opt opts[] = {
		{ 0, "repo", VT_OPT_LIST, &repos, "NAME=DIR",
			"commit DIR to the repo NAME first (again and again)" },
		{ 0, "pipeline", VT_OPT_STRING, &only, "NAME", "this one only" },
		{ 0, "all", VT_OPT_FLAG, &all, NULL, "datums that would be skipped, too" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL,
			"[{\"pipeline\",\"key\",\"id\",\"hash\",\"state\"}, ...]" },
		{ 0, "items", VT_OPT_FLAG, &items, NULL,
			"[{\"datum\", <input>: path}, ...] of --pipeline over DIRs as "
			"they lie, no store" },
		{ 0, "views", VT_OPT_STRING, &views, "DIR",
			"the same, each datum's files linked below DIR/<datum id>" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "plan SPEC [--repo NAME=DIR ...]",
		.about = "Prints the datums that a run would execute; executes none.",
		.least = 1,
		.most = 1,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		o.store = c.store;
		if ((items || views) && !only)
			vt_err_set(&c.err, VT_EUSAGE, "--items and --views need --pipeline");
		else if (vt_command_spec(&spec, c.args.v[0], &c.err))
			;
		else if (items || views)
			scan(spec, only, &repos, views, &c.err);
		else if (!vt_run_open(&run, spec, &o, &c.err))
			plan(run, only, all, json ? JSON : TEXT, &c.err);
	}
	vt_run_close(run);
	vt_spec_free(spec);
	vt_strs_release(&repos);
	return vt_call_end(&c);
}
