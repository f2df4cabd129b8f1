/* voxtrail plan SPEC: see docs/pipelines.md.
 *
 * Nothing is executed, so a pipeline is planned against what its upstream holds now; where the
 * upstream has datums to run, its output will be another one, and the plan says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/lineage/consent.h"
#include "pipelines/tool/commands.h"
#include "pipelines/spec/glob.h"
#include "pipelines/tool/command.h"
#include "pipelines/runner/job.h"
#include "pipelines/runner/scan.h"

static void row_json(struct vt_buf *buf, const struct vt_job *j, const struct vt_task *task)
{
	char *label = vt_datum_label(task->datum), hash[VT_HEX];
	vt_digest_hex(hash, &task->key);
	vt_buf_str(buf, buf->len > 1 ? ",\n " : "");
	vt_buf_str(buf, "{\"pipeline\":");
	vt_json_quote(buf, j->pipeline->name);
	vt_buf_str(buf, ",\"key\":");
	vt_json_quote(buf, label);
	vt_buf_printf(buf, ",\"id\":\"%s\",\"hash\":\"%s\",\"state\":\"%s\"}", task->datum->id,
		hash, task->state == VT_DATUM_SKIPPED ? "skipped" : "pending");
	free(label);
}

/* The directories above the path whose names only the path tells, for the records beside them. */
static void above(struct vt_buf *buf, const struct vt_input *in, const char *path)
{
	size_t n = 0;

	for (size_t k = 1; vt_glob_level(in->glob, k); k++) {
		char *dir;

		n += path[n] == '/';
		n += strcspn(path + n, "/");
		if (vt_glob_level(in->glob, k) <= vt_glob_literal(in->glob))
			continue;
		dir = vt_xstrndup(path, n);
		vt_buf_printf(buf, ",\"%s-above-%zu\":", in->name, k);
		vt_json_quote(buf, dir);
		free(dir);
	}
}

/* What an Argo fan-out takes as its items: the datum's id and, by input, the path below the
 * repo. */
static void row_item(struct vt_buf *buf, const struct vt_datum *datum)
{
	vt_buf_printf(buf, "%s{\"datum\":\"%s\"", buf->len > 1 ? "," : "", datum->id);
	for (size_t i = 0; i < datum->n; i++) {
		const struct vt_datum_file *f = &datum->file[i];
		const char *path = f->entry ? f->entry->path + 1 : "";
		char *plain =
			vt_xstrndup(path, strlen(path) - (*path && path[strlen(path) - 1] == '/'));
		vt_buf_char(buf, ',');
		vt_json_quote(buf, f->in->name);
		vt_buf_char(buf, ':');
		vt_json_quote(buf, plain);
		above(buf, f->in, plain);
		free(plain);
	}
	vt_buf_char(buf, '}');
}

struct scanning {
	const char *pipeline, *views, *keys, *consent, *store;
	const struct vt_strs *repos;
	long long slice, slices; /* of the items, from 0 */
};

/* Whose data may not be used, as the option, the environment or the store says. */
static int check_consent(const struct vt_scan *s, const struct scanning *how, struct vt_err *err)
{
	const char *named = getenv("VOXTRAIL_CONSENT");
	struct vt_consent consent = { .j = NULL };

	if (how->consent && !vt_fs_exists(how->consent))
		vt_err_set(err, VT_ENOINPUT, "--consent %s: there is no such file", how->consent);
	else if (how->consent)
		vt_consent_read(&consent, how->consent, err);
	else if (named && *named)
		vt_consent_read_named(&consent, named, err);
	else
		vt_consent_read_store(&consent, how->store, err);
	if (!err->code && vt_consent_count(&consent))
		vt_scan_consent(s, &consent, err);
	vt_consent_release(&consent);
	return err->code;
}

static int write_keys(const struct vt_scan *s, const char *path, struct vt_err *err)
{
	struct vt_strs keys = VT_STRS_INIT;
	struct vt_buf b = VT_BUF_INIT;

	for (size_t i = 0; i < vt_scan_datums(s)->n; i++)
		vt_strs_add(&keys, vt_scan_key(s, i));
	vt_strs_sort(&keys);
	for (size_t i = 0; i < keys.n; i++)
		vt_buf_printf(&b, "%s\n", keys.v[i]);
	vt_fs_write_quick(path, b.data ? b.data : "", b.len, 0644, err);
	vt_strs_release(&keys);
	vt_buf_release(&b);
	return err->code;
}

/* Argo keeps the last so many bytes of a task's output, which were no list. */
enum { ITEMS_LIMIT = 256 << 10 };

static int print_items(const struct vt_datums *datums, const struct scanning *how,
	struct vt_err *err)
{
	const size_t k = (size_t)how->slice, n = (size_t)how->slices, from = datums->n * k / n,
		     to = datums->n * (k + 1) / n;
	struct vt_buf b = VT_BUF_INIT;

	vt_buf_char(&b, '[');
	for (size_t i = from; i < to; i++)
		row_item(&b, &datums->v[i]);
	vt_buf_str(&b, "]\n");
	if (b.len > ITEMS_LIMIT)
		vt_err_set(err, VT_EDATA,
			"%zu datums make a list of %zu bytes, and Argo keeps %d of a task's output "
			"(here %zu datums): give the glob a coarser element, or emit the workflow "
			"with --slices %zu",
			to - from, b.len, ITEMS_LIMIT, (to - from) * ITEMS_LIMIT / b.len,
			n * b.len / ITEMS_LIMIT + 1);
	else
		vt_json_say(b.data);
	vt_buf_release(&b);
	return err->code;
}

/* For engines that hold the data themselves: over the directories as they lie, without a store. */
static int scan(const struct vt_spec *spec, const struct scanning *how, struct vt_err *err)
{
	const struct vt_pipeline *p = vt_spec_find(spec, how->pipeline);
	struct vt_scan *s = NULL;

	if (!p)
		return vt_err_set(err, VT_EUSAGE, "%s has no pipeline \"%s\"", spec->path,
			how->pipeline);
	if (!vt_scan_open(&s, p, how->repos, how->views ? VT_SCAN_CONTENT : VT_SCAN_NAMES, err) &&
		!check_consent(s, how, err)) {
		if (!how->views)
			print_items(vt_scan_datums(s), how, err);
		else if (!vt_scan_views(s, how->views, err) && how->keys)
			write_keys(s, how->keys, err);
	}
	vt_scan_close(s);
	return err->code;
}

enum form { TEXT = 1, JSON };

static void rows(struct vt_buf *buf, const struct vt_job *j, bool all, enum form form)
{
	for (size_t i = 0; i < j->n; i++) {
		if (j->task[i].state == VT_DATUM_SKIPPED && !all)
			continue;
		if (form == JSON)
			row_json(buf, j, &j->task[i]);
		if (form != TEXT)
			continue;
		char *label = vt_datum_label(j->task[i].datum);
		vt_buf_say(buf, "  %.16s  %-8s %s\n", j->task[i].datum->id,
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

static int plan(struct vt_run *run, const char *only, bool all, enum form form, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_str(&b, form != TEXT ? "[" : "");
	for (size_t i = 0; i < vt_run_jobs(run) && !err->code; i++) {
		struct vt_job *j = vt_run_job(run, i);
		struct stale s = { run, j, false };
		if (vt_run_prepare(run, j, err))
			break;
		vt_input_leaves(j->pipeline->input, stale_leaf, &s);
		j->changed = s.found;
		if (only && strcmp(only, j->pipeline->name))
			continue;
		if (form == TEXT)
			vt_buf_say(&b, "%s: %zu datum%s, %zu to run%s\n", j->pipeline->name, j->n,
				j->n == 1 ? "" : "s", j->count[VT_DATUM_PENDING],
				s.found ? ", and again what the new output of its inputs changes"
					: "");
		rows(&b, j, all, form);
	}
	if (form != TEXT)
		vt_buf_str(&b, "]\n");
	if (!err->code && b.data && form == TEXT)
		fputs(b.data, stdout);
	else if (!err->code && b.data)
		vt_json_say(b.data);
	vt_buf_release(&b);
	return err->code;
}

static bool parse_slice(struct scanning *how, const char *text)
{
	int end = 0;

	return sscanf(text, "%6lld/%6lld%n", &how->slice, &how->slices, &end) == 2 && !text[end] &&
		how->slice >= 0 && how->slice < how->slices;
}

/* slice: NULL if it was not given. */
static int check_options(struct scanning *how, bool items, const char *slice, struct vt_err *err)
{
	if ((items || how->views) && !how->pipeline)
		vt_err_set(err, VT_EUSAGE, "--items and --views need --pipeline");
	else if ((slice && !items) || (how->keys && !how->views) ||
		(how->consent && !items && !how->views))
		vt_err_set(err, VT_EUSAGE,
			"--slice goes with --items, --keys with --views, --consent with either");
	else if (!parse_slice(how, slice ? slice : "0/1"))
		vt_err_set(err, VT_EUSAGE, "--slice %s: write K/N, K from 0 to N - 1", slice);
	return err->code;
}

int vt_cmd_plan(int argc, char **argv)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct vt_run_opts o = { .planning = true, .jobs = 1, .repos = &repos };
	struct vt_spec *spec = NULL;
	struct vt_run *run = NULL;
	const char *only = NULL;
	const char *slice = NULL;
	struct scanning how = { .repos = &repos };
	int json = 0, items = 0, all = 0;
	const struct vt_opt opts[] = {
		{ 0, "repo", VT_OPT_LIST, &repos, "NAME=DIR",
			"as if DIR were committed to the repo NAME (repeatable)" },
		{ 0, "pipeline", VT_OPT_STRING, &only, "NAME", "this one only" },
		{ 0, "all", VT_OPT_FLAG, &all, NULL, "also datums that would be skipped" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL,
			"[{\"pipeline\",\"key\",\"id\",\"hash\",\"state\"}, ...]" },
		{ 0, "items", VT_OPT_FLAG, &items, NULL,
			"[{\"datum\", <input>: path}, ...] of --pipeline over DIRs as "
			"they lie, no store" },
		{ 0, "slice", VT_OPT_STRING, &slice, "K/N",
			"with --items: the K-th of N parts, from 0" },
		{ 0, "views", VT_OPT_STRING, &how.views, "DIR",
			"the same, each datum's files linked below DIR/<key>" },
		{ 0, "keys", VT_OPT_STRING, &how.keys, "FILE",
			"with --views: the keys of the datums, one a line" },
		{ 0, "consent", VT_OPT_STRING, &how.consent, "FILE",
			"with --items or --views: who withdrew (default $VOXTRAIL_CONSENT, else "
			"consent.json of the store)" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "plan SPEC [--repo NAME=DIR ...]",
		.about = "Prints the datums that a run would execute, without executing "
			 "them.",
		.least = 1,
		.most = 1,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		o.store = c.store;
		how.pipeline = only;
		how.store = c.store;
		if (!check_options(&how, items, slice, &c.err) &&
			!vt_command_spec(&spec, c.args.v[0], &c.err) && (items || how.views))
			scan(spec, &how, &c.err);
		else if (!c.err.code && !vt_run_open(&run, spec, &o, &c.err))
			plan(run, only, all, json ? JSON : TEXT, &c.err);
	}
	vt_run_close(run);
	vt_spec_free(spec);
	return vt_call_end(&c);
}
