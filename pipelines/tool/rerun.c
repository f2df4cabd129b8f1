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

static int find_program(struct rerun *rerun, struct vt_err *err)
{
	const char *recorded = text(rerun->record, "binary");
	struct vt_digest d;
	uint64_t size;

	if (!strcmp(text(rerun->record, "version"), "command"))
		return vt_err_set(err, VT_ENOINPUT,
			"%s: made by a pipeline's own command, which runs again from its spec: "
			"`voxtrail datum verify SPEC %s`",
			rerun->stage, rerun->stage);
	/* a record may come from anywhere: it chooses among the stages of this build, and no other
	 * program, wherever that lies */
	if (!vt_build_has_stage(rerun->stage))
		return vt_err_set(err, VT_EDATA,
			"the record names \"%.64s\", which is no stage of this build: it is not "
			"run",
			rerun->stage);
	rerun->program = rerun->opts->bin ? vt_path_join(rerun->opts->bin, rerun->stage)
					  : vt_program_beside(rerun->stage);
	if (!rerun->program || !vt_fs_exists(rerun->program))
		return vt_err_set(err, VT_ENOINPUT,
			"%s: the program of this stage is not %s%s; give --bin DIR", rerun->stage,
			rerun->opts->bin ? "in " : "beside this one",
			rerun->opts->bin ? rerun->opts->bin : "");
	if (vt_digest_file(&d, &size, rerun->program, err))
		return err->code;
	vt_digest_hex(rerun->out->binary, &d);
	rerun->out->other_binary = strcmp(rerun->out->binary, recorded) != 0;
	if (rerun->out->other_binary && !rerun->opts->any_binary)
		return vt_err_set(err, VT_ECONFIG,
			"%s has the digest %s, but the record was made by %s (code %s%s); "
			"give --bin DIR with that program, or "
			"--any-binary to see whether this one does the same",
			rerun->program, rerun->out->binary, recorded,
			text(vt_json_get(rerun->record, "code"), "commit"),
			vt_json_true(vt_json_pointer(rerun->record, "/code/dirty"), false)
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
static int check_table(struct rerun *rerun, struct vt_err *err)
{
	const struct vt_json *inputs = vt_json_get(rerun->record, "inputs"),
			     *params = vt_json_get(rerun->record, "params");
	char *beside = vt_program_beside(rerun->stage);
	struct vt_json *table = vt_stage_describe(rerun->program);
	int rc;

	/* an old or broken program of --bin that does not say: what ours takes */
	if (!table && beside)
		table = vt_stage_describe(beside);
	free(beside);
	rc = table ? 0
		   : vt_err_set(err, VT_ECONFIG, "%s: does not say what it takes (--describe)",
			     rerun->program);

	for (size_t i = 0; !rc && inputs && i < inputs->n; i++)
		if (!lists(table, "inputs", text(inputs->item[i], "port")))
			rc = vt_err_set(err, VT_EDATA,
				"the record has the input \"%.64s\", which %s "
				"does not have: it is not run",
				text(inputs->item[i], "port"), rerun->stage);
	for (size_t i = 0; !rc && params && i < params->n; i++)
		if (!lists(table, "params", params->key[i]) ||
			params->item[i]->type != VT_JSON_STRING)
			rc = vt_err_set(err, VT_EDATA,
				"the record has the param \"%.64s\", which %s "
				"does not have: it is not run",
				params->key[i], rerun->stage);
	vt_json_free(table);
	return rc;
}

/* What the stage may see of our environment. */
static void sandbox(struct rerun *rerun, struct vt_process *process)
{
	static const char *const kept[] = { "VOXTRAIL_THREADS", "VOXTRAIL_ISA", "VOXTRAIL_PLUGIN",
		"VOXTRAIL_CONSENT", "VOXTRAIL_EMULATED_CARDS", "CUDA_VISIBLE_DEVICES",
		"LD_LIBRARY_PATH" };
	char *home = vt_asprintf("HOME=%s", rerun->opts->work),
	     *tmp = vt_asprintf("TMPDIR=%s", rerun->opts->work);

	vt_strs_add(&process->env, "PATH=/usr/bin:/bin");
	vt_strs_add(&process->env, "LC_ALL=C");
	vt_strs_add(&process->env, home);
	vt_strs_add(&process->env, tmp);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const char *value = getenv(kept[i]);
		char *line = value ? vt_asprintf("%s=%s", kept[i], value) : NULL;

		if (line)
			vt_strs_add(&process->env, line);
		free(line);
	}
	process->no_network = true;
	free(home);
	free(tmp);
}

/* --- inputs -------------------------------------------------------------- */

/* The records that stood beside the input, so that the new record can be the same. */
static int place_parents(struct rerun *rerun, const struct vt_json *parents, const char *dir,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && parents && i < parents->n; i++) {
		const char *id = vt_json_text(parents->item[i], "");
		struct vt_err none = VT_ERR_INIT;
		struct vt_buf bytes = VT_BUF_INIT;
		struct vt_json *j = NULL;

		if (!vt_store_get_record(rerun->s, &j, id, &none) &&
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

static int place_input(struct rerun *rerun, const struct vt_json *port, struct vt_strs *argv,
	struct vt_err *err)
{
	char *dir = vt_asprintf("%s/in/%s", rerun->opts->work, text(port, "port")),
	     *flag = vt_asprintf("--%s", text(port, "port"));
	struct vt_tree *t = NULL;
	int rc = vt_record_tree(&t, port, err);

	if (!rc)
		rc = vt_store_checkout(rerun->s, t, dir, VT_CHECKOUT_LINK, err);
	if (!rc)
		rc = place_parents(rerun, vt_json_get(port, "parents"), dir, err);
	vt_strs_add(argv, flag);
	vt_strs_add(argv, dir);
	vt_tree_free(t);
	free(flag);
	free(dir);
	return rc ? vt_err_prefix(err, "input %s", text(port, "port")) : 0;
}

static int arguments(struct rerun *rerun, struct vt_strs *argv, struct vt_err *err)
{
	const struct vt_json *inputs = vt_json_get(rerun->record, "inputs"),
			     *params = vt_json_get(rerun->record, "params");
	int rc = 0;

	vt_strs_add(argv, rerun->program);
	for (size_t i = 0; !rc && inputs && i < inputs->n; i++)
		rc = place_input(rerun, inputs->item[i], argv, err);
	for (size_t i = 0; params && i < params->n; i++) {
		char *flag =
			vt_asprintf("--%s=%s", params->key[i], vt_json_text(params->item[i], ""));

		vt_strs_add(argv, flag);
		free(flag);
	}
	vt_strs_add(argv, "--out");
	vt_strs_add(argv, rerun->result);
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
static bool ended_well(const struct rerun *rerun, int status)
{
	return WIFEXITED(status) &&
		(WEXITSTATUS(status) == 0 ||
			(WEXITSTATUS(status) == VT_EDATA &&
				(vt_json_pointer(rerun->record, "/notes/quarantined") ||
					vt_json_pointer(rerun->record, "/notes/passed_over"))));
}

static int execute(struct rerun *rerun, bool *well, struct vt_err *err)
{
	char *log = vt_path_join(rerun->opts->work, "log");
	struct vt_process p = { .path = rerun->program, .cwd = rerun->opts->work, .log = log };
	int status = 0, rc = arguments(rerun, &p.argv, err);
	pid_t pid = 0;

	sandbox(rerun, &p);
	if (!rc && !(pid = vt_process_start(&p, err)))
		rc = err->code;
	if (!rc) {
		status = vt_process_wait(pid, err);
		rc = err->code;
	}
	*well = !rc && ended_well(rerun, status);
	if (!rc && !*well) {
		rerun->out->verdict = VT_RUN_FAILED;
		if (WIFEXITED(status))
			vt_buf_printf(&rerun->out->difference, "it ended with status %d",
				WEXITSTATUS(status));
		else
			vt_buf_printf(&rerun->out->difference, "it was stopped by signal %d",
				WTERMSIG(status));
		last_line(&rerun->out->difference, log);
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

static void describe_change(struct rerun *rerun, const struct vt_tree_change *c)
{
	struct vt_buf *out = &rerun->out->difference;
	char *was = vt_store_object_path(rerun->s, &c->before->digest),
	     *is = vt_path_join(rerun->result, c->after->path), was_hex[VT_HEX], is_hex[VT_HEX];
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
static const struct vt_tree_change *telling(const struct vt_tree_diff *diff)
{
	for (size_t i = 0; i < diff->n; i++)
		if (diff->v[i].change == VT_CHANGED && is_safetensors(diff->v[i].after->path))
			return &diff->v[i];
	return &diff->v[0];
}

static void describe(struct rerun *rerun, const struct vt_tree_diff *diff)
{
	const struct vt_tree_change *first = &diff->v[0], *best = telling(diff);
	struct vt_buf *out = &rerun->out->difference;

	if (first->change == VT_CHANGED)
		describe_change(rerun, first);
	else if (first->change == VT_RENAMED)
		vt_buf_printf(out, "%s is now %s", first->before->path, first->after->path);
	else
		vt_buf_printf(out, "%s is %s", (first->after ? first->after : first->before)->path,
			first->after ? "new" : "missing");
	if (best != first) {
		vt_buf_str(out, "\n");
		describe_change(rerun, best);
	}
	vt_buf_printf(out, "\n%zu files differ, %zu are equal", diff->n, diff->n_same);
}

static void take_new_record(struct rerun *rerun)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_record_dir c;

	if (vt_record_dir_read_top(&c, rerun->result, &none))
		return;
	for (size_t i = 0; i < c.n; i++)
		if (c.v[i].own && !strcmp(text(c.v[i].record, "status"), "ok")) {
			const struct vt_json *device =
				vt_json_pointer(c.v[i].record, "/notes/device");

			memcpy(rerun->out->record, c.v[i].id, VT_HEX);
			rerun->out->device = device && !rerun->out->device ? vt_json_copy(device)
									   : rerun->out->device;
		}
	vt_record_dir_release(&c);
}

static int compare(struct rerun *rerun, struct vt_err *err)
{
	struct vt_tree *was = NULL, *is = NULL;
	struct vt_tree_diff d;
	int rc = vt_record_tree(&was, vt_json_pointer(rerun->record, "/outputs/0"), err);

	if (!rc)
		rc = vt_tree_hash_dir(&is, rerun->result, err);
	if (!rc) {
		vt_digest_hex(rerun->out->tree, &is->id);
		rerun->out->verdict = vt_digest_equal(&was->id, &is->id) ? VT_SAME : VT_DIFFERENT;
		vt_tree_diff(&d, was, is);
		if (d.n)
			describe(rerun, &d);
		vt_tree_diff_release(&d);
		take_new_record(rerun);
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
