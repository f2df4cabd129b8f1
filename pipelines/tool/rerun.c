#include "pipelines/tool/rerun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/record/record_dir.h"
#include "common/record/record.h"
#include "common/content/tree_diff.h"
#include "common/stage/build.h"
#include "pipelines/lint/lint.h"
#include "pipelines/runner/datum.h"
#include "pipelines/runner/process.h"
#include "pipelines/tool/tensor_diff.h"
#include "pipelines/runner/programs.h"

struct rerun {
	struct vt_rerun *out;
	struct vt_store *s;
	const struct vt_rerun_opts *opts;
	struct vt_json *record;
	const char *stage;
	char *program, *result; /* result: the new output */
};

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

/* --- the same binary ----------------------------------------------------- */

static int find_program(struct rerun *r, struct vt_err *err)
{
	const char *recorded = text(r->record, "binary");
	struct vt_digest d;
	uint64_t size;

	if (!strcmp(text(r->record, "version"), "command"))
		return vt_err_set(err, VT_ENOINPUT,
			"%s: made by a pipeline's own command, which runs again from its spec: "
			"`voxtrail datum verify SPEC %s`",
			r->stage, r->stage);
	/* a record may come from anywhere: it chooses among the stages of this build, and no other
	 * program, wherever that lies */
	if (!vt_build_has_stage(r->stage))
		return vt_err_set(err, VT_EDATA,
			"the record names \"%.64s\", which is no stage of this build: it is not "
			"run",
			r->stage);
	r->program =
		r->opts->bin ? vt_path_join(r->opts->bin, r->stage) : vt_program_beside(r->stage);
	if (!r->program || !vt_fs_exists(r->program))
		return vt_err_set(err, VT_ENOINPUT,
			"%s: the program of this stage is not %s%s; give --bin DIR", r->stage,
			r->opts->bin ? "in " : "beside this one", r->opts->bin ? r->opts->bin : "");
	if (vt_digest_file(&d, &size, r->program, err))
		return err->code;
	vt_digest_hex(r->out->binary, &d);
	r->out->other_binary = strcmp(r->out->binary, recorded) != 0;
	if (r->out->other_binary && !r->opts->any_binary)
		return vt_err_set(err, VT_ECONFIG,
			"%s has the digest %s, but the record was made by %s (code %s%s); "
			"give --bin DIR with that program, or "
			"--any-binary to see whether this one does the same",
			r->program, r->out->binary, recorded,
			text(vt_json_get(r->record, "code"), "commit"),
			vt_json_true(vt_json_pointer(r->record, "/code/dirty"), false)
				? ", modified"
				: "");
	return 0;
}

/* --- only what the stage's table allows ---------------------------------- */

static bool lists(const struct vt_json *table, const char *list, const char *name)
{
	const struct vt_json *entries = vt_json_get(table, list);

	for (size_t i = 0; entries && i < entries->n; i++)
		if (!strcmp(text(entries->item[i], "name"), name))
			return true;
	return false;
}

/* Ports become directories and flags, params become flags: each must be one of the stage's own. */
static int check_table(struct rerun *r, struct vt_err *err)
{
	const struct vt_json *inputs = vt_json_get(r->record, "inputs"),
			     *params = vt_json_get(r->record, "params");
	char *beside = vt_program_beside(r->stage);
	struct vt_json *table = vt_stage_describe(r->program);
	int rc;

	/* an old or broken program of --bin that does not say: what ours takes */
	if (!table && beside)
		table = vt_stage_describe(beside);
	free(beside);
	rc = table ? 0
		   : vt_err_set(err, VT_ECONFIG, "%s: does not say what it takes (--describe)",
			     r->program);

	for (size_t i = 0; !rc && inputs && i < inputs->n; i++)
		if (!lists(table, "inputs", text(inputs->item[i], "port")))
			rc = vt_err_set(err, VT_EDATA,
				"the record has the input \"%.64s\", which %s "
				"does not have: it is not run",
				text(inputs->item[i], "port"), r->stage);
	for (size_t i = 0; !rc && params && i < params->n; i++)
		if (!lists(table, "params", params->key[i]) ||
			params->item[i]->type != VT_JSON_STRING)
			rc = vt_err_set(err, VT_EDATA,
				"the record has the param \"%.64s\", which %s "
				"does not have: it is not run",
				params->key[i], r->stage);
	vt_json_free(table);
	return rc;
}

/* What the stage may see of our environment. */
static void sandbox(struct rerun *r, struct vt_process *p)
{
	static const char *const kept[] = { "VOXTRAIL_THREADS", "VOXTRAIL_ISA", "VOXTRAIL_PLUGIN",
		"VOXTRAIL_CONSENT", "VOXTRAIL_EMULATED_CARDS", "CUDA_VISIBLE_DEVICES",
		"LD_LIBRARY_PATH" };
	char *home = vt_asprintf("HOME=%s", r->opts->work),
	     *tmp = vt_asprintf("TMPDIR=%s", r->opts->work);

	vt_strs_add(&p->env, "PATH=/usr/bin:/bin");
	vt_strs_add(&p->env, "LC_ALL=C");
	vt_strs_add(&p->env, home);
	vt_strs_add(&p->env, tmp);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const char *value = getenv(kept[i]);
		char *line = value ? vt_asprintf("%s=%s", kept[i], value) : NULL;

		if (line)
			vt_strs_add(&p->env, line);
		free(line);
	}
	p->no_network = true;
	free(home);
	free(tmp);
}

/* --- inputs -------------------------------------------------------------- */

/* The records that stood beside the input, so that the new record can be the same. */
static int place_parents(struct rerun *r, const struct vt_json *parents, const char *dir,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && parents && i < parents->n; i++) {
		const char *id = vt_json_text(parents->item[i], "");
		struct vt_err none = VT_ERR_INIT;
		struct vt_buf bytes = VT_BUF_INIT;
		struct vt_json *j = NULL;

		if (!vt_store_get_record(r->s, &j, id, &none) &&
			!vt_json_canonical(&bytes, j, &none)) {
			const char *result = text(j, "result");
			char *base = vt_asprintf("%s/.lineage/%s%s", dir, *result ? "" : "failed-",
				     *result ? result : id),
			     *path = vt_path_join(base, "record.json");

			rc = vt_fs_mkdirs(base, err);
			if (!rc)
				rc = vt_fs_write_quick(path, bytes.data, bytes.len, 0644, err);
			free(path);
			free(base);
		}
		vt_buf_release(&bytes);
		vt_json_free(j);
	}
	return rc;
}

static int place_input(struct rerun *r, const struct vt_json *port, struct vt_strs *argv,
	struct vt_err *err)
{
	char *dir = vt_asprintf("%s/in/%s", r->opts->work, text(port, "port")),
	     *flag = vt_asprintf("--%s", text(port, "port"));
	struct vt_tree *t = NULL;
	int rc = vt_record_tree(&t, port, err);

	if (!rc)
		rc = vt_store_checkout(r->s, t, dir, VT_CHECKOUT_LINK, err);
	if (!rc)
		rc = place_parents(r, vt_json_get(port, "parents"), dir, err);
	vt_strs_add(argv, flag);
	vt_strs_add(argv, dir);
	vt_tree_free(t);
	free(flag);
	free(dir);
	return rc ? vt_err_prefix(err, "input %s", text(port, "port")) : 0;
}

static int arguments(struct rerun *r, struct vt_strs *argv, struct vt_err *err)
{
	const struct vt_json *inputs = vt_json_get(r->record, "inputs"),
			     *params = vt_json_get(r->record, "params");
	int rc = 0;

	vt_strs_add(argv, r->program);
	for (size_t i = 0; !rc && inputs && i < inputs->n; i++)
		rc = place_input(r, inputs->item[i], argv, err);
	for (size_t i = 0; params && i < params->n; i++) {
		char *flag =
			vt_asprintf("--%s=%s", params->key[i], vt_json_text(params->item[i], ""));

		vt_strs_add(argv, flag);
		free(flag);
	}
	vt_strs_add(argv, "--out");
	vt_strs_add(argv, r->result);
	return rc;
}

/* --- the run ------------------------------------------------------------- */

static void last_line(struct vt_buf *out, const char *path)
{
	struct vt_buf log = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	char *from;

	if (!vt_fs_exists(path) || vt_fs_read(&log, path, 64u << 20, &none) || !log.len) {
		vt_buf_release(&log);
		return;
	}
	while (log.len && log.data[log.len - 1] == '\n')
		log.data[--log.len] = '\0';
	from = strrchr(log.data, '\n');
	vt_buf_printf(out, ": %.600s", from ? from + 1 : log.data);
	vt_buf_release(&log);
}

/* Exit 65 is the end of a run that put subjects into quarantine, or saw none, if the first one
 * did. */
static bool ended_well(const struct rerun *r, int status)
{
	return WIFEXITED(status) &&
		(WEXITSTATUS(status) == 0 ||
			(WEXITSTATUS(status) == VT_EDATA &&
				(vt_json_pointer(r->record, "/notes/quarantined") ||
					vt_json_pointer(r->record, "/notes/passed_over"))));
}

static int execute(struct rerun *r, bool *well, struct vt_err *err)
{
	char *log = vt_path_join(r->opts->work, "log");
	struct vt_process p = { .path = r->program, .cwd = r->opts->work, .log = log };
	int status = 0, rc = arguments(r, &p.argv, err);
	pid_t pid = 0;

	sandbox(r, &p);
	if (!rc && !(pid = vt_process_start(&p, err)))
		rc = err->code;
	if (!rc) {
		status = vt_process_wait(pid, err);
		rc = err->code;
	}
	*well = !rc && ended_well(r, status);
	if (!rc && !*well) {
		r->out->verdict = VT_RUN_FAILED;
		if (WIFEXITED(status))
			vt_buf_printf(&r->out->difference, "it ended with status %d",
				WEXITSTATUS(status));
		else
			vt_buf_printf(&r->out->difference, "it was stopped by signal %d",
				WTERMSIG(status));
		last_line(&r->out->difference, log);
	}
	vt_process_release(&p);
	free(log);
	return rc;
}

/* --- the comparison ------------------------------------------------------ */

static bool is_safetensors(const char *path)
{
	size_t n = strlen(path);

	return n > 12 && !strcmp(path + n - 12, ".safetensors");
}

static void first_byte(struct vt_buf *out, const char *a, const char *b)
{
	struct vt_map x = { NULL, 0 }, y = { NULL, 0 };
	struct vt_err none = VT_ERR_INIT;
	size_t i = 0;

	if (!vt_fs_map(&x, a, &none) && !vt_fs_map(&y, b, &none)) {
		while (i < x.size && i < y.size && x.data[i] == y.data[i])
			i++;
		vt_buf_printf(out, "; they part at byte %zu", i);
	}
	vt_fs_unmap(&x);
	vt_fs_unmap(&y);
}

static void describe_change(struct rerun *r, const struct vt_tree_change *c)
{
	struct vt_buf *out = &r->out->difference;
	char *was = vt_store_object_path(r->s, &c->before->digest),
	     *is = vt_path_join(r->result, c->after->path), was_hex[VT_HEX], is_hex[VT_HEX];
	struct vt_buf tensors = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;

	vt_digest_hex(was_hex, &c->before->digest);
	vt_digest_hex(is_hex, &c->after->digest);
	vt_buf_printf(out, "%s: %.16s, was %.16s", c->after->path, is_hex, was_hex);
	if (!strcmp(is_hex, was_hex))
		vt_buf_str(out, "; the executable bit differs");
	else if (!vt_fs_exists(was))
		vt_buf_str(out, "; the first result's bytes are not in the store");
	else if (is_safetensors(c->after->path) && !vt_tensor_diff(&tensors, was, is, &none) &&
		tensors.len)
		vt_buf_printf(out, "; %s", tensors.data);
	else
		first_byte(out, was, is);
	vt_buf_release(&tensors);
	free(was);
	free(is);
}

/* Files of tensors say most, so they are named before others that differ. */
static const struct vt_tree_change *telling(const struct vt_tree_diff *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].change == VT_CHANGED && is_safetensors(d->v[i].after->path))
			return &d->v[i];
	return &d->v[0];
}

static void describe(struct rerun *r, const struct vt_tree_diff *d)
{
	const struct vt_tree_change *first = &d->v[0], *best = telling(d);
	struct vt_buf *out = &r->out->difference;

	if (first->change == VT_CHANGED)
		describe_change(r, first);
	else if (first->change == VT_RENAMED)
		vt_buf_printf(out, "%s is now %s", first->before->path, first->after->path);
	else
		vt_buf_printf(out, "%s is %s", (first->after ? first->after : first->before)->path,
			first->after ? "new" : "missing");
	if (best != first) {
		vt_buf_str(out, "\n");
		describe_change(r, best);
	}
	vt_buf_printf(out, "\n%zu files differ, %zu are equal", d->n, d->n_same);
}

static void take_new_record(struct rerun *r)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_record_dir c;

	if (vt_record_dir_read_top(&c, r->result, &none))
		return;
	for (size_t i = 0; i < c.n; i++)
		if (c.v[i].own && !strcmp(text(c.v[i].record, "status"), "ok")) {
			const struct vt_json *device =
				vt_json_pointer(c.v[i].record, "/notes/device");

			memcpy(r->out->record, c.v[i].id, VT_HEX);
			r->out->device =
				device && !r->out->device ? vt_json_copy(device) : r->out->device;
		}
	vt_record_dir_release(&c);
}

static int compare(struct rerun *r, struct vt_err *err)
{
	struct vt_tree *was = NULL, *is = NULL;
	struct vt_tree_diff d;
	int rc = vt_record_tree(&was, vt_json_pointer(r->record, "/outputs/0"), err);

	if (!rc)
		rc = vt_tree_hash_dir(&is, r->result, err);
	if (!rc) {
		vt_digest_hex(r->out->tree, &is->id);
		r->out->verdict = vt_digest_equal(&was->id, &is->id) ? VT_SAME : VT_DIFFERENT;
		vt_tree_diff(&d, was, is);
		if (d.n)
			describe(r, &d);
		vt_tree_diff_release(&d);
		take_new_record(r);
	}
	vt_tree_free(was);
	vt_tree_free(is);
	return rc;
}

int vt_rerun(struct vt_rerun *out, struct vt_store *store, const char *record_id,
	const struct vt_rerun_opts *opts, struct vt_err *err)
{
	struct rerun r = { .out = out, .s = store, .opts = opts };
	struct vt_err ignored = VT_ERR_INIT;
	bool well = false;
	int rc;

	*out = (struct vt_rerun){ .binary = "" };
	rc = vt_store_get_record(store, &r.record, record_id, err);
	r.stage = text(r.record, "stage");
	r.result = vt_path_join(opts->work, "out");
	if (!rc && strcmp(text(r.record, "status"), "ok"))
		rc = vt_err_set(err, VT_EUSAGE,
			"record %s is of an execution that failed: there is nothing to compare "
			"with",
			record_id);
	if (!rc)
		rc = find_program(&r, err);
	if (!rc)
		rc = check_table(&r, err);
	if (!rc)
		rc = vt_fs_mkdirs(opts->work, err);
	if (!rc)
		rc = execute(&r, &well, err);
	if (!rc && well)
		rc = compare(&r, err);
	if (!opts->keep)
		vt_fs_remove_tree(opts->work, &ignored);
	vt_json_free(r.record);
	free(r.program);
	free(r.result);
	if (rc)
		vt_rerun_release(out);
	return rc;
}

void vt_rerun_release(struct vt_rerun *rerun)
{
	vt_buf_release(&rerun->difference);
	vt_json_free(rerun->device);
	*rerun = (struct vt_rerun){ .binary = "" };
}
