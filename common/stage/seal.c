/* From a finished work directory to output, record and store. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/parallel.h"
#include "common/base/fault.h"
#include "common/store/git.h"
#include "common/store/policy.h"
#include "common/store/trust.h"
#include "common/stage/stage_internal.h"
#include "common/lineage/import.h"
#include "common/record/record_dir.h"

static const size_t parents_limit = 64u << 20;

static int write_parents(const struct vt_stage_run *run, const char *dir, struct vt_err *err)
{
	const struct vt_strs *lines = &run->ancestors;
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_path_join(dir, "parents.jsonl");
	int rc = 0;

	for (size_t i = 0; i < lines->n; i++) {
		if (text.len + strlen(lines->v[i]) > parents_limit) {
			vt_log(VT_LOG_WARN, "parents",
				"kept=%zu of=%zu note=\"ancestor records over 64 MiB are named "
				"by id only\"",
				i, lines->n);
			break;
		}
		vt_buf_printf(&text, "%s\n", lines->v[i]);
	}
	if (text.len)
		rc = vt_fs_write(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	free(path);
	return rc;
}

static void put_time(struct vt_json *j, const char *key, time_t t)
{
	char text[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	vt_json_put_text(j, key, text);
}

static void put_platform(struct vt_json *j)
{
	static const char *const names[] = { "PACH_JOB_ID", "PACH_DATUM_ID",
		"PACH_OUTPUT_COMMIT_ID", "PPS_PIPELINE_NAME", "ARGO_NODE_ID" };
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (getenv(names[i]))
			vt_json_put_text(o, names[i], getenv(names[i]));
	vt_json_put(j, "platform", o);
}

/* Times, host and resources: true of this one execution, part of no id. */
static int write_observed(const struct vt_stage_run *run, const char *dir, const char *record_hex,
	struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *recipe;
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_asprintf("%s/observed-%s.json", dir, record_hex);
	struct utsname host;
	struct rusage u;
	struct timespec now;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &now);
	getrusage(RUSAGE_SELF, &u);
	put_time(j, "finished", time(NULL));
	vt_json_put_real(j, "wall_seconds",
		(double)now.tv_sec + 1e-9 * (double)now.tv_nsec - run->begun);
	vt_json_put_real(j, "cpu_seconds",
		(double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
	vt_json_put_int(j, "peak_memory_kib", u.ru_maxrss);
	vt_json_put_int(j, "threads", vt_parallel_threads());
	if (uname(&host) == 0) {
		vt_json_put_text(j, "host", host.nodename);
		vt_json_put_text(j, "system", host.release);
		vt_json_put_text(j, "machine", host.machine);
	}
	put_platform(j);
	vt_json_put(j, "libraries", vt_stage_libraries());
	recipe = run->recipe ? vt_git_source(run->recipe) : NULL;
	if (recipe)
		vt_json_put(j, "recipe", recipe);
	vt_json_pretty(&text, j);
	rc = vt_fs_write(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	vt_json_free(j);
	free(path);
	return rc;
}

static struct vt_record record_of(const struct vt_stage_run *run, struct vt_record_port *in,
	const struct vt_record_port *out)
{
	int n = vt_stage_n_ports(run->stage);

	for (int i = 0; i < n; i++)
		in[i] = (struct vt_record_port){ run->stage->in[i].name, run->tree[i],
			&run->parents[i] };
	return (struct vt_record){ .stage = run->stage->name,
		.version = run->stage->version,
		.binary = run->binary,
		.commit = vt_build_commit(),
		.dirty = vt_build_dirty(),
		.params = run->params_json,
		.input = in,
		.n_inputs = (size_t)n,
		.output = out,
		.n_outputs = out ? 1 : 0,
		.notes = run->notes->n ? run->notes : NULL };
}

/* record.json is written last: its presence says that the output is whole. */
static int write_lineage(const struct vt_stage_run *run, const char *root, const char *result_hex,
	const struct vt_buf *record, const char *record_hex, struct vt_err *err)
{
	char *dir = vt_asprintf("%s/.lineage/%s", root, result_hex),
	     *path = vt_path_join(dir, "record.json");
	int rc = vt_fs_mkdirs(dir, err);

	if (!rc)
		rc = write_parents(run, dir, err);
	if (!rc)
		rc = write_observed(run, dir, record_hex, err);
	if (!rc)
		rc = vt_fault("seal.record")
			? vt_err_errno(err, VT_EIO, "%s", path)
			: vt_fs_write(path, record->data, record->len, 0644, err);
	free(path);
	free(dir);
	return rc;
}

/* Moves the work directory's entries into --out, which may be a mount point and is never renamed
 * itself. */
static int move_into_place(const struct vt_stage_run *run, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_list(&names, run->work, err);

	if (!rc)
		rc = vt_fault("seal.sync") ? vt_err_errno(err, VT_EIO, "%s", run->work)
					   : vt_fs_sync_tree(run->work, err);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *from = vt_path_join(run->work, names.v[i]),
		     *to = vt_path_join(run->out, names.v[i]);

		rc = vt_fault("seal.move") ? vt_err_errno(err, VT_EIO, "%s", to)
					   : vt_fs_rename(from, to, err);
		free(from);
		free(to);
	}
	vt_strs_release(&names);
	return rc ? rc : vt_fs_sync_dir(run->out, err);
}

/* What was executed here is believed here. */
static int note_made(struct vt_store *store, const struct vt_digest *id, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	char hex[VT_HEX];
	int rc;

	vt_digest_hex(hex, id);
	vt_strs_add(&ids, hex);
	rc = vt_trust_note(store, VT_TRUST_MADE, &ids, NULL, err);
	vt_strs_release(&ids);
	return rc;
}

static int into_store(struct vt_stage_run *run, const struct vt_buf *record, struct vt_err *err)
{
	struct vt_tree *t = NULL;
	struct vt_digest id;
	int rc = vt_store_import_records(run->store, &run->ancestors, "the inputs", err);

	if (!rc)
		rc = vt_store_ingest(run->store, &t, run->work, NULL, err);
	if (!rc)
		rc = vt_store_put_record(run->store, record->data, record->len, &id, err);
	if (!rc)
		rc = note_made(run->store, &id, err);
	if (!rc && run->out)
		rc = vt_store_checkout(run->store, t, run->out, VT_CHECKOUT_LINK, err);
	vt_tree_free(t);
	return rc;
}

int vt_stage_seal(struct vt_stage_run *run, struct vt_err *err)
{
	struct vt_record_port in[VT_MAX_PORTS], out = { "out", NULL, NULL };
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest result, id;
	struct vt_record record;
	struct vt_tree *t = NULL;
	char result_hex[VT_HEX], record_hex[VT_HEX];
	int rc = run->store ? vt_store_hash_dir(run->store, &t, run->work, err)
			    : vt_tree_hash_dir(&t, run->work, err);

	if (rc)
		return rc;
	out.tree = t;
	vt_stage_note_plugin(run);
	record = record_of(run, in, &out);
	rc = vt_record_result(&result, &record, err);
	if (!rc)
		rc = vt_record_write(&text, &id, &record, err);
	if (rc)
		goto out;
	vt_digest_hex(result_hex, &result);
	vt_digest_hex(record_hex, &id);
	rc = run->store ? into_store(run, &text, err) : move_into_place(run, err);
	if (!rc && run->out)
		rc = write_lineage(run, run->out, result_hex, &text, record_hex, err);
	if (!rc)
		rc = vt_fs_remove_tree(run->work, err);
	if (!rc) {
		char hex[VT_HEX];

		vt_digest_hex(hex, &t->id);
		vt_log(VT_LOG_INFO, "sealed", "tree=%s files=%zu bytes=%llu record=%s", hex,
			t->n_files, (unsigned long long)t->size, record_hex);
	}
out:
	vt_buf_release(&text);
	vt_tree_free(t);
	return rc;
}

void vt_stage_record_failure(struct vt_stage_run *run, const struct vt_err *why)
{
	struct vt_record_port in[VT_MAX_PORTS];
	struct vt_record record = record_of(run, in, NULL);
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	struct vt_digest id;
	char hex[VT_HEX], *dir, *path, *reason = vt_stage_portable(run, why->text);

	record.failure = reason;
	if (vt_record_write(&text, &id, &record, &err) == 0) {
		vt_digest_hex(hex, &id);
		if (run->store) {
			if (!vt_store_put_record(run->store, text.data, text.len, &id, &err))
				note_made(run->store, &id, &err);
		} else if (run->out) {
			dir = vt_asprintf("%s/.lineage/failed-%s", run->out, hex);
			path = vt_path_join(dir, "record.json");
			if (vt_fs_mkdirs(dir, &err) == 0 &&
				vt_fs_write(path, text.data, text.len, 0644, &err) == 0)
				write_observed(run, dir, hex, &err);
			free(path);
			free(dir);
		}
	}
	if (err.code)
		vt_log(VT_LOG_WARN, "record", "note=\"the failure could not be recorded: %s\"",
			err.text);
	vt_buf_release(&text);
	free(reason);
}

/* Ends as the execution of this record ended. */
static void end_as(struct vt_stage_run *run, const struct vt_json *record)
{
	const struct vt_json *passed_over = vt_json_pointer(record, "/notes/passed_over"),
			     *quarantined = vt_json_pointer(record, "/notes/quarantined");

	if (passed_over)
		run->passed_over = vt_xstrdup(vt_json_text(passed_over, ""));
	if (quarantined)
		run->n_quarantined = quarantined->n;
}

/* The own record of this derivation among those that --out carries; NULL: none. */
static const struct vt_record_dir_record *own_record(const struct vt_record_dir *records,
	const char *derivation)
{
	for (size_t i = 0; i < records->n; i++) {
		const struct vt_json *j = records->v[i].record;

		if (records->v[i].own && !vt_json_get(j, "failure") &&
			!strcmp(vt_json_text(vt_json_get(j, "derivation"), ""), derivation))
			return &records->v[i];
	}
	return NULL;
}

int vt_stage_find_in_out(struct vt_stage_run *run, bool *found, struct vt_err *err)
{
	const struct vt_record_dir_record *record;
	struct vt_err ignored = VT_ERR_INIT;
	struct vt_record_dir records = { 0 };
	struct vt_tree *t = NULL;
	char hex[VT_HEX];
	int rc = 0;

	*found = false;
	/* records that lie belong to somebody's directory: it is refused as not empty */
	if (!vt_fs_is_dir(run->out) || vt_record_dir_read_top(&records, run->out, &ignored))
		return 0;
	record = own_record(&records, run->derivation_hex);
	if (record)
		rc = vt_tree_hash_dir(&t, run->out, err);
	if (!rc && t) {
		vt_digest_hex(hex, &t->id);
		*found = !strcmp(hex,
			vt_json_text(vt_json_pointer(record->record, "/outputs/0/tree"), ""));
	}
	if (*found && !run->store) {
		end_as(run, record->record);
		vt_log(VT_LOG_INFO, "reused",
			"tree=%s record=%s note=\"--out holds the whole result already\"", hex,
			record->id);
	}
	vt_tree_free(t);
	vt_record_dir_release(&records);
	return rc;
}

int vt_stage_reuse(struct vt_stage_run *run, bool *reused, struct vt_err *err)
{
	struct vt_policy policy;
	char *id = NULL;
	struct vt_json *j = NULL;
	struct vt_tree *t = NULL;
	struct vt_digest tree;
	struct vt_buf text = VT_BUF_INIT;
	const char *hex;
	int rc;

	*reused = false;
	rc = run->store ? vt_policy_read(&policy, run->store, err) : 0;
	if (!rc && run->store) {
		bool made_only = vt_policy_has(&policy, "made", "reuse");

		vt_policy_release(&policy);
		rc = vt_store_find_derivation(run->store, run->derivation_hex, made_only, &id, err);
	}
	if (rc || !id)
		return rc;
	rc = vt_store_get_record(run->store, &j, id, err);
	hex = vt_json_text(vt_json_pointer(j, "/outputs/0/tree"), "");
	if (!rc && !vt_digest_parse(&tree, hex))
		rc = vt_err_set(err, VT_EINTEGRITY, "record %s names no output tree", id);
	if (!rc)
		rc = vt_store_get_tree(run->store, &t, &tree, err);
	if (!rc && run->out)
		rc = vt_store_checkout(run->store, t, run->out, VT_CHECKOUT_LINK, err);
	if (!rc)
		rc = vt_json_canonical(&text, j, err);
	if (!rc && run->out)
		rc = write_lineage(run, run->out, vt_json_text(vt_json_get(j, "result"), ""), &text,
			id, err);
	if (!rc)
		vt_log(VT_LOG_INFO, "reused", "tree=%s record=%s", hex, id);
	if (!rc)
		end_as(run, j);
	*reused = !rc;
	vt_buf_release(&text);
	vt_tree_free(t);
	vt_json_free(j);
	free(id);
	return rc;
}
