#include "pipelines/tool/lineage_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/record/record_dir.h"
#include "common/store/policy.h"
#include "pipelines/tool/command.h"

int vt_lineage_store(struct vt_store **out, const char *dir, const char *what, struct vt_err *err)
{
	char *format = vt_path_join(dir, "format");
	struct vt_strs carriers = VT_STRS_INIT;
	bool needed = vt_fs_exists(format);
	int rc = needed ? 0 : vt_record_dir_carriers(&carriers, what, err);

	*out = NULL;
	needed = needed || !carriers.n;
	vt_strs_release(&carriers);
	free(format);
	if (rc)
		return rc;
	return needed ? vt_store_open(out, dir, VT_STORE_READ, err) : 0;
}

int vt_command_record(char id[VT_HEX], struct vt_store *store, const char *digits,
	struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	int rc = vt_store_records(store, digits, &ids, err);

	if (!rc && ids.n != 1)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: %s", digits,
			ids.n ? "several records begin with this" : "there is no such record");
	if (!rc)
		memcpy(id, ids.v[0], VT_HEX);
	vt_strs_release(&ids);
	return rc;
}

void vt_record_index_incomplete(const struct vt_strs *missing, struct vt_err *err)
{
	if (missing->n && !err->code)
		vt_err_set(err, VT_EFAIL,
			"incomplete: %zu records are named but were not found, e.g. %s; "
			"import the outputs that they belong to",
			missing->n, missing->v[0]);
}

static int claims(struct vt_lineage *lineage, enum vt_lineage_side side, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;

	if (!vt_lineage_claims(lineage, side, &ids, err) && ids.n)
		vt_err_set(err, VT_ECLAIM,
			"the answer rests on %zu record%s that nobody here made or vouches for, "
			"e.g. %.16s; `voxtrail trust list` names them, `voxtrail trust --help` "
			"says how one is believed",
			ids.n, ids.n == 1 ? "" : "s", ids.v[0]);
	vt_strs_release(&ids);
	return err->code;
}

int vt_claims_refuse(struct vt_store *store, struct vt_lineage *lineage, enum vt_lineage_side side,
	int required, struct vt_err *err)
{
	struct vt_strs disputes = VT_STRS_INIT;
	struct vt_policy p;
	int rc = vt_policy_read(&p, store, err);

	if (rc)
		return rc;
	required = required || vt_policy_has(&p, "believed", "audit");
	vt_policy_release(&p);
	if (vt_lineage_unvouched(lineage)->n)
		return vt_err_set(err, VT_EINTEGRITY,
			"%s: no record beside it lists this file (%zu such files): it is no output "
			"of what made the rest",
			vt_lineage_unvouched(lineage)->v[0], vt_lineage_unvouched(lineage)->n);
	rc = vt_lineage_disputes(lineage, &disputes, err);
	if (!rc && disputes.n)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: one of them lies, or the work is not reproducible; `voxtrail trust "
			"reject RECORD` takes one out",
			disputes.v[0]);
	vt_strs_release(&disputes);
	return rc || !required ? rc : claims(lineage, side, err);
}

void vt_claims_say(struct vt_lineage *lineage, enum vt_lineage_side side, struct vt_err *err)
{
	if (!err->code)
		claims(lineage, side, err);
}

struct vt_json *vt_lineage_names(const struct vt_strs *strs)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < strs->n; i++)
		vt_json_push(list, vt_json_new_text(strs->v[i]));
	return list;
}

static int print_step(void *ctx, const struct vt_lineage_step *step)
{
	(void)ctx;
	vt_say("%s  %-22s %s  %s\n", step->id, step->stage, *step->tree ? step->tree : "-",
		step->status);
	return 0;
}

static int push_step(void *ctx, const struct vt_lineage_step *step)
{
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(o, "record", step->id);
	vt_json_put_text(o, "stage", step->stage);
	vt_json_put_text(o, "status", step->status);
	vt_json_put_text(o, "tree", step->tree);
	vt_json_push(ctx, o);
	return 0;
}

void vt_lineage_list(struct vt_lineage *lineage, enum vt_list_of of, int json, struct vt_err *err)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	struct vt_strs missing = VT_STRS_INIT;
	int rc = of == VT_LIST_ANCESTORS
		? vt_lineage_ancestors(lineage, json ? push_step : print_step, list, err)
		: vt_lineage_descendants(lineage, json ? push_step : print_step, list, err);

	if (!rc && json)
		vt_command_print(vt_json_copy(list));
	if (!rc && of == VT_LIST_ANCESTORS && !vt_lineage_missing(lineage, &missing, err))
		vt_record_index_incomplete(&missing, err);
	vt_strs_release(&missing);
	vt_json_free(list);
}
