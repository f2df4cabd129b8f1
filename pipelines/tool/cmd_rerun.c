/* voxtrail rerun WHAT: does the work again and says whether the result is the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/lineage/ancestry.h"
#include "common/store/history.h"
#include "common/store/repro.h"
#include "common/store/trust.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/rerun.h"
#include "pipelines/tool/command.h"

static const char *const verdicts[] = { "", "same", "different", "failed" };

struct counts {
	size_t n[4];
	struct vt_json *list; /* for --json */
};

/* What the claim is about: this machine and this program. */
static struct vt_json *evidence(const char *id, const struct vt_rerun *r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	char *by = vt_history_actor();
	struct utsname host;

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "of", id);
	vt_json_put_text(j, "verdict", verdicts[r->verdict]);
	vt_json_put_text(j, "binary", r->binary);
	vt_json_put_text(j, "tree", r->tree);
	vt_json_put_text(j, "record", r->record);
	if (r->difference.len)
		vt_json_put_text(j, "difference", r->difference.data);
	if (r->device)
		vt_json_put(j, "device", vt_json_copy(r->device));
	if (!uname(&host)) {
		vt_json_put_text(j, "host", host.nodename);
		vt_json_put_text(j, "system", host.release);
		vt_json_put_text(j, "machine", host.machine);
	}
	vt_json_put_int(j, "processors", sysconf(_SC_NPROCESSORS_ONLN));
	vt_json_put_int(j, "time", vt_history_now());
	vt_json_put_text(j, "by", by);
	free(by);
	return j;
}

static void say(const char *stage, const char *id, const struct vt_rerun *r)
{
	vt_say("%-9s  %s %.16s%s\n", verdicts[r->verdict], stage, id,
		r->other_binary ? "  (by another binary)" : "");
	for (const char *line = r->difference.len ? r->difference.data : NULL; line;
		line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		vt_say("           %.*s\n", (int)strcspn(line, "\n"), line);
	fflush(stdout);
}

/* The history has every verdict; a claim whose work gave the very same record here is one no
 * more. */
static int note(struct vt_store *store, const char *id, const struct vt_rerun *r,
	struct vt_err *err)
{
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);
	struct vt_strs one = VT_STRS_INIT;
	int rc;

	vt_json_put_text(detail, "record", id);
	vt_json_put_text(detail, "verdict", verdicts[r->verdict]);
	vt_json_put_text(detail, "binary", r->binary);
	rc = vt_history_note(store, "rerun", detail, err);
	vt_strs_add(&one, id);
	if (!rc && r->verdict == VT_SAME && !r->other_binary && !strcmp(r->record, id))
		rc = vt_trust_note(store, VT_TRUST_MADE, &one, NULL, err);
	vt_strs_release(&one);
	return rc;
}

/* A record may stand beside a directory alone, and with it go its inputs. */
static int demand_record(struct vt_store *store, const char *id, struct vt_err *err)
{
	struct vt_strs found = VT_STRS_INIT;

	if (!vt_store_records(store, id, &found, err) && !found.n)
		vt_err_set(err, VT_ENOINPUT,
			"its record is not in the store %s, only beside the files; `voxtrail "
			"import DIR` of it and of its inputs takes them in",
			vt_store_dir(store));
	vt_strs_release(&found);
	return err->code;
}

static int rerun_one(struct vt_store *store, const char *id, const char *stage,
	const struct vt_rerun_opts *opts, struct counts *c, struct vt_err *err)
{
	struct vt_rerun_opts mine = *opts;
	struct vt_rerun r;
	struct vt_json *j;
	char *work = vt_store_tmp_path(store);
	int rc;

	mine.work = opts->keep ? opts->work : work;
	rc = demand_record(store, id, err);
	if (!rc && !opts->keep)
		rc = vt_store_claim(store, work, err);
	if (!rc)
		rc = vt_rerun(&r, store, id, &mine, err);
	free(work);
	if (rc)
		return vt_err_prefix(err, "%s %.16s", stage, id);
	j = evidence(id, &r);
	rc = vt_repro_put(store, j, err);
	if (!rc)
		rc = note(store, id, &r, err);
	c->n[r.verdict]++;
	if (c->list)
		vt_json_push(c->list, j);
	else {
		say(stage, id, &r);
		vt_json_free(j);
	}
	vt_rerun_release(&r);
	return rc;
}

static int rerun_chain(struct vt_store *store, struct vt_lineage *lineage,
	const struct vt_rerun_opts *opts, struct counts *c, struct vt_err *err)
{
	struct vt_ancestry *a = NULL;
	int rc = vt_ancestry_load(&a, lineage, err);

	if (!rc && a->missing.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%zu records of the chain are not in the store, e.g. %s; `voxtrail import "
			"DIR` of the outputs they stand beside takes them in",
			a->missing.n, a->missing.v[0]);
	/* from the raw files on, for the reader: each takes its inputs from the store, so any
	 * order would do */
	for (size_t i = a ? a->n : 0; !rc && i-- > 0;)
		rc = rerun_one(store, a->v[i].id,
			vt_json_text(vt_json_get(a->v[i].record, "stage"), ""), opts, c, err);
	vt_ancestry_free(a);
	return rc;
}

static int rerun_roots(struct vt_store *store, struct vt_lineage *lineage,
	const struct vt_rerun_opts *opts, struct counts *c, struct vt_err *err)
{
	const struct vt_strs *roots = vt_lineage_roots(lineage);
	int rc = 0;

	for (size_t i = 0; !rc && i < roots->n; i++) {
		struct vt_json *j = NULL;

		rc = vt_lineage_record(lineage, &j, roots->v[i], err);
		if (!rc)
			rc = rerun_one(store, roots->v[i],
				vt_json_text(vt_json_get(j, "stage"), ""), opts, c, err);
		vt_json_free(j);
	}
	return rc;
}

static void rerun(struct vt_store *store, const char *what, const struct vt_rerun_opts *opts,
	int chain, int json, struct vt_err *err)
{
	struct counts c = { { 0 }, json ? vt_json_new(VT_JSON_ARRAY) : NULL };
	struct vt_lineage *t = NULL;
	int rc = vt_lineage_open(&t, store, what, VT_LINEAGE_MADE, err);

	if (!rc && opts->keep && (chain || vt_lineage_roots(t)->n != 1))
		rc = vt_err_set(err, VT_EUSAGE, "--keep is for one execution; %s has several",
			what);
	if (!rc)
		rc = chain ? rerun_chain(store, t, opts, &c, err)
			   : rerun_roots(store, t, opts, &c, err);
	if (json)
		vt_command_print(c.list);
	else if (c.n[VT_SAME] + c.n[VT_DIFFERENT] + c.n[VT_RUN_FAILED] > 1)
		vt_say("%zu the same, %zu different, %zu failed\n", c.n[VT_SAME], c.n[VT_DIFFERENT],
			c.n[VT_RUN_FAILED]);
	if (!rc && c.n[VT_DIFFERENT] + c.n[VT_RUN_FAILED])
		err->code = VT_EFAIL;
	vt_lineage_close(t);
}

int vt_cmd_rerun(int argc, char **argv)
{
	struct vt_rerun_opts how = { .bin = NULL };
	const char *keep = NULL;
	int json = 0, chain = 0, any = 0;
	const struct vt_opt opts[] = {
		{ 0, "chain", VT_OPT_FLAG, &chain, NULL,
			"repeat every execution that led to it, starting from the raw files" },
		{ 0, "any-binary", VT_OPT_FLAG, &any, NULL,
			"also run a program whose digest is not the recorded one, and say so" },
		{ 0, "bin", VT_OPT_STRING, &how.bin, "DIR",
			"directory of the stages' programs (default: that of voxtrail, then "
			"PATH)" },
		{ 0, "keep", VT_OPT_STRING, &keep, "DIR",
			"leave inputs, log and new output in DIR" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "rerun WHAT",
		.about = "Repeats the work that made WHAT from the inputs in the store, "
			 "with the recorded params and binary, and compares the bytes. "
			 "Names the first file that differs; for a safetensors file also "
			 "the first tensor that differs and its largest distance. The "
			 "finding is kept in the store as evidence. " VT_LINEAGE_WHAT
			 " Exits with 0 if everything is the same, 1 if not, 78 "
			 "if the binary is another one.",
		.least = 1,
		.most = 1,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		how.any_binary = any != 0;
		how.keep = keep != NULL;
		how.work = keep;
		if (keep && vt_fs_exists(keep))
			vt_err_set(&c.err, VT_ECANTCREAT,
				"--keep %s: exists already; give a new directory", keep);
		else if (!vt_store_open(&c.s, c.store, VT_STORE_OPEN, &c.err))
			rerun(c.s, c.args.v[0], &how, chain, json, &c.err);
	}
	return vt_call_end(&c);
}
