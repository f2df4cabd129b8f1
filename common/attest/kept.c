/* kept.c - attestations that came with a record are kept beside it, so that a key which the policy
 * learns later counts for them, and one that it revokes counts no more. */
#include "common/attest/kept.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/signatures.h"
#include "common/store/store_internal.h"

int vt_attestations_take(struct vt_store *store, const char *text, size_t n, const char *origin,
	const char *record_hex, const struct vt_policy *policy, size_t *unknown, struct vt_err *err)
{
	struct vt_believed_list found = { .v = NULL };
	size_t strangers = 0;
	int rc = vt_believe_text(&found, &strangers, text, n, origin, policy, err);

	for (size_t i = 0; !rc && record_hex && i < found.kept.n; i++)
		if (strncmp(found.kept.v[i], record_hex, VT_HEX - 1))
			rc = vt_err_set(err, VT_EDATA,
				"%s: an attestation of record %.16s, not of %.16s", origin,
				found.kept.v[i], record_hex);
	if (!rc)
		rc = vt_believe_note(store, &found, err);
	if (unknown)
		*unknown = strangers;
	vt_believe_release(&found);
	return rc;
}

int vt_attestations_weigh(struct vt_store *store, const char *record_hex,
	const struct vt_policy *policy, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_signatures_read(store, &text, record_hex, err);

	if (!rc && text.len)
		rc = vt_attestations_take(store, text.data, text.len, record_hex, record_hex,
			policy, NULL, err);
	vt_buf_release(&text);
	return rc;
}

struct weighing {
	struct vt_store *s;
	const struct vt_policy *p;
	size_t n;
};

static int weigh_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct weighing *w = ctx;
	char hex[VT_HEX];

	if (type != 'f' || !vt_store_hex_of_name(hex, rel))
		return 0;
	w->n++;
	return vt_attestations_weigh(w->s, hex, w->p, err);
}

int vt_attestations_weigh_all(struct vt_store *store, const struct vt_policy *policy, size_t *n,
	struct vt_err *err)
{
	struct weighing w = { store, policy, 0 };
	char *dir = vt_path_join(vt_store_dir(store), "signatures");
	int rc = vt_fs_is_dir(dir) ? vt_fs_walk(dir, weigh_file, &w, err) : 0;

	*n = w.n;
	free(dir);
	return rc;
}
