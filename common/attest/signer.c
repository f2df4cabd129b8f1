#include "common/attest/signer.h"

#include <string.h>

#include "common/store/history.h"

int vt_signer_open(struct vt_buf *payload, struct vt_policy_key *signer,
	const struct vt_json *envelope, const struct vt_signers *signers, const char *origin,
	struct vt_err *err)
{
	*signer = (struct vt_policy_key){ .id = NULL };
	for (size_t i = 0; !signer->id && i < signers->n; i++) {
		struct vt_policy_key k = signers->key(signers->policy, i);
		struct vt_err why = VT_ERR_INIT;
		struct vt_key *key = NULL;

		/* one that was revoked, or has expired */
		if (vt_policy_key_fault(&k))
			continue;
		if (vt_key_parse(&key, k.pem, strlen(k.pem), k.id, err))
			return err->code;
		vt_buf_clear(payload);
		if (!vt_dsse_open(payload, envelope, signers->type, key, &why))
			*signer = k;
		vt_key_free(key);
		/* not this key's is no fault; a broken envelope is, whatever the key */
		if (why.code && why.code != VT_EINTEGRITY)
			return vt_err_set(err, why.code, "%s: %s", origin, why.text);
	}
	return 0;
}
