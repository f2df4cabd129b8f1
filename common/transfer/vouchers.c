/* The records that vouch for trees and files, and those of what they were made from. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/content/digest_set.h"
#include "common/store/store_internal.h"
#include "common/transfer/peer_internal.h"

/* Whoever made a tree as a whole, else whoever made its files; of a file that several trees hold
 * once. */
static int add_producers(struct vt_store *store, struct vt_strs *out, const char *tree_hex,
	struct vt_digest_set *asked, struct vt_err *err)
{
	size_t before = out->n;
	struct vt_tree *t = NULL;
	struct vt_digest id;
	char hex[VT_HEX];
	int rc = vt_store_producers(store, tree_hex, out, err);

	if (rc || out->n > before || !vt_digest_parse(&id, tree_hex))
		return rc;
	rc = vt_store_get_tree(store, &t, &id, err);
	/* each file's digest once, however many trees hold it */
	for (size_t i = 0; !rc && i < t->n_files; i++) {
		if (!vt_digest_set_add(asked, &t->file[i].digest))
			continue;
		vt_digest_hex(hex, &t->file[i].digest);
		rc = vt_store_producers(store, hex, out, err);
		if (!rc)
			rc = vt_store_copiers(store, hex, out, err);
	}
	vt_tree_free(t);
	return rc;
}

static void add_parents(struct vt_store *store, struct vt_strs *next, const char *id)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	const struct vt_json *inputs;

	if (vt_store_get_record(store, &j, id, &none))
		return;
	inputs = vt_json_get(j, "inputs");
	for (size_t i = 0; inputs && i < inputs->n; i++) {
		const struct vt_json *parents = vt_json_get(inputs->item[i], "parents");

		for (size_t k = 0; parents && k < parents->n; k++)
			vt_strs_add(next, vt_json_text(parents->item[k], ""));
	}
	vt_json_free(j);
}

/* Generation by generation; a record that is not here is left out. */
int vt_transfer_vouchers(struct vt_store *store, struct vt_strs *out, const struct vt_strs *trees,
	struct vt_err *err)
{
	struct vt_strs wave = VT_STRS_INIT, next = VT_STRS_INIT;
	struct vt_digest_set asked = VT_DIGEST_SET_INIT;
	int rc = 0;

	for (size_t i = 0; !rc && i < trees->n; i++)
		rc = add_producers(store, &wave, trees->v[i], &asked, err);
	vt_digest_set_release(&asked);
	while (!rc && wave.n) {
		size_t before = out->n;

		vt_strs_unique(&wave);
		for (size_t i = 0; i < wave.n; i++) {
			struct vt_digest id;
			char *path = vt_digest_parse(&id, wave.v[i])
				? vt_store_path(store, "records", &id)
				: NULL;

			if (path && vt_fs_exists(path) &&
				/* `out` is sorted up to `before`; within one wave ids differ */
				!vt_strs_hold(&(struct vt_strs){ out->v, before, 0 }, wave.v[i])) {
				vt_strs_add(out, wave.v[i]);
				add_parents(store, &next, wave.v[i]);
			}
			free(path);
		}
		vt_strs_unique(out);
		vt_strs_release(&wave);
		wave = next;
		next = (struct vt_strs)VT_STRS_INIT;
	}
	vt_strs_release(&wave);
	return rc;
}
