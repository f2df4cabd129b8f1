#include "pipelines/tool/approval_command.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/record/record_dir.h"

enum { LISTED = 1000 };

struct vt_json *vt_decision(const char *kind, const char *what, const char *whom,
	const char *reason)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "decision", kind);
	if (whom)
		vt_json_put_text(j, what, whom);
	if (reason)
		vt_json_put_text(j, "reason", reason);
	return j;
}

void vt_decision_list(struct vt_json *decision, const char *what, const struct vt_strs *names)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	char *count = vt_asprintf("n_%s", what), *digest = vt_asprintf("%s_sha256", what);
	struct vt_buf all = VT_BUF_INIT;
	struct vt_digest d;
	char hex[VT_HEX];

	for (size_t i = 0; i < names->n; i++) {
		vt_buf_printf(&all, "%s\n", names->v[i]);
		if (names->n <= LISTED)
			vt_json_push(list, vt_json_new_text(names->v[i]));
	}
	d = vt_digest_bytes(all.data ? all.data : "", all.len);
	vt_digest_hex(hex, &d);
	vt_json_put_int(decision, count, (int64_t)names->n);
	vt_json_put_text(decision, digest, hex);
	vt_json_put(decision, what, list);
	vt_buf_release(&all);
	free(count);
	free(digest);
}

bool vt_decide(struct vt_store *store, const char *kind, struct vt_json *decision,
	struct vt_approval *approval, struct vt_err *err)
{
	if (vt_approval_need(store, kind, decision, approval, err))
		return false;
	if (approval->asked)
		vt_say("%s states what is to be decided; nothing was done: let another person sign "
		       "it with `voxtrail trust approve`\n",
			approval->ask);
	return !approval->asked;
}

int vt_decide_nothing(const struct vt_approval *approval, const char *with, struct vt_err *err)
{
	if (approval->ask || approval->approve.n)
		vt_err_set(err, VT_EUSAGE, "--ask and --approve go with %s", with);
	return err->code;
}

bool vt_decide_vouch(struct vt_store *store, const struct vt_strs *dirs, const char *reason,
	struct vt_approval *approval, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_json *decision;
	bool may = false;

	for (size_t i = 0; !err->code && i < dirs->n; i++) {
		struct vt_record_dir c;

		if (vt_record_dir_read(&c, dirs->v[i], err))
			break;
		for (size_t k = 0; k < c.n; k++)
			vt_strs_add(&ids, c.v[k].id);
		vt_record_dir_release(&c);
	}
	vt_strs_unique(&ids);
	decision = vt_decision("trust", NULL, NULL, reason);
	vt_decision_list(decision, "records", &ids);
	if (err->code)
		vt_json_free(decision);
	else
		may = vt_decide(store, "trust", decision, approval, err);
	vt_strs_release(&ids);
	return may;
}
