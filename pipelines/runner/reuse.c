#include "pipelines/runner/reuse.h"

#include <stdlib.h>
#include <string.h>

#include "common/content/digest_set.h"
#include "common/store/policy.h"
#include "common/store/trust.h"

int vt_reuse_begin(struct vt_reuse *out, struct vt_store *store, struct vt_err *err)
{
	struct vt_policy policy;
	int rc = vt_policy_read(&policy, store, err);

	*out = (struct vt_reuse){ .store = store };
	if (rc)
		return rc;
	out->made_only = vt_policy_has(&policy, "made", "reuse");
	vt_policy_release(&policy);
	return vt_trust_any_rejected(store, &out->rejections, err);
}

/* --- what the records of a result say ------------------------------------ */

struct said {
	struct vt_strs wrote; /* "<path> <digest>" of the output, by believed records */
	struct vt_digest_set read;
	bool rejected;
};

static void said_release(struct said *said)
{
	vt_strs_release(&said->wrote);
	vt_digest_set_release(&said->read);
}

static void add_written(struct said *said, const char *below, size_t n, const struct vt_json *files)
{
	for (size_t i = 0; files && i < files->n; i++) {
		char *line = vt_asprintf("%.*s%s %s", (int)n, below,
			vt_json_text(vt_json_get(files->item[i], "path"), ""),
			vt_json_text(vt_json_get(files->item[i], "sha256"), ""));

		vt_strs_add(&said->wrote, line);
		free(line);
	}
}

static void add_read(struct said *said, const struct vt_json *files)
{
	struct vt_digest d;

	for (size_t i = 0; files && i < files->n; i++)
		if (vt_digest_parse(&d, vt_json_text(vt_json_get(files->item[i], "sha256"), "")))
			vt_digest_set_add(&said->read, &d);
}

/* path: of record.json below some .lineage/; what is beside that is what the record lists. */
static void hear(struct said *said, const struct vt_reuse *reuse, const char *path, const char *id)
{
	const char *at = vt_tree_lineage_part(path);
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	const struct vt_json *in, *out;
	bool believed =
		reuse->made_only ? vt_trust_made(reuse->store, id) : vt_trust_has(reuse->store, id);

	said->rejected = said->rejected || vt_trust_is_rejected(reuse->store, id);
	if (!believed || !at || vt_store_get_record(reuse->store, &j, id, &none))
		return;
	in = vt_json_get(j, "inputs");
	out = vt_json_get(j, "outputs");
	for (size_t i = 0; in && i < in->n; i++)
		add_read(said, vt_json_get(in->item[i], "files"));
	for (size_t i = 0; out && i < out->n; i++)
		add_written(said, path, (size_t)(at - path), vt_json_get(out->item[i], "files"));
	vt_json_free(j);
}

static void hear_all(struct said *said, const struct vt_reuse *reuse,
	const struct vt_result *result)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *t = NULL;

	if (!result->has_lineage || vt_store_get_tree(reuse->store, &t, &result->lineage, &none))
		return;
	for (size_t i = 0; i < t->n_files; i++) {
		const char *slash = strrchr(t->file[i].path, '/');
		char id[VT_HEX];

		vt_digest_hex(id, &t->file[i].digest);
		if (slash && !strcmp(slash, "/record.json"))
			hear(said, reuse, t->file[i].path, id);
	}
	vt_strs_unique(&said->wrote);
	vt_tree_free(t);
}

/* --- is that the datum's work? -------------------------------------------- */

static bool wrote_all(const struct said *said, const struct vt_reuse *reuse,
	const struct vt_result *result)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *t = NULL;
	bool all = !vt_store_get_tree(reuse->store, &t, &result->tree, &none);

	for (size_t i = 0; all && i < t->n_files; i++) {
		char hex[VT_HEX], *line;

		vt_digest_hex(hex, &t->file[i].digest);
		line = vt_asprintf("%s %s", t->file[i].path, hex);
		all = vt_strs_hold(&said->wrote, line);
		free(line);
	}
	vt_tree_free(t);
	return all;
}

static bool read_all(const struct said *said, const struct vt_datum *datum)
{
	for (size_t i = 0; i < datum->n; i++) {
		const struct vt_datum_file *f = &datum->file[i];

		for (size_t k = 0; f->entry && k < f->entry->n; k++)
			if (!vt_digest_set_has(&said->read,
				    &f->seen->tree->file[f->entry->first + k].digest))
				return false;
	}
	return true;
}

bool vt_reuse_may(struct vt_reuse *reuse, const struct vt_result *result,
	const struct vt_datum *datum)
{
	struct said v = { .read = VT_DIGEST_SET_INIT };
	bool may = true;

	if (!result->brought && reuse->made_only)
		may = vt_result_made(reuse->store, result);
	else if (result->brought || reuse->rejections) {
		hear_all(&v, reuse, result);
		may = !v.rejected &&
			(!result->brought ||
				(v.wrote.n && wrote_all(&v, reuse, result) && read_all(&v, datum)));
	}
	said_release(&v);
	reuse->n_claims += !may;
	return may;
}
