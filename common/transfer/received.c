/* What arrived and is named by no ref that moves is told to the history before it gets its name. */
#include <string.h>

#include "common/store/history.h"
#include "common/transfer/peer_internal.h"

enum { PER_EVENT = 8000 }; /* names in one line of the history */

int vt_received_tell(struct vt_store *store, const struct vt_strs *names, const char *kind,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t at = 0; !rc && at < names->n;) {
		struct vt_json *detail = vt_json_new(VT_JSON_OBJECT),
			       *list = vt_json_new(VT_JSON_ARRAY);

		/* read on to the next name of the kind, a full event at a time */
		for (; at < names->n && list->n < PER_EVENT; at++)
			if (vt_transfer_is_kind(names->v[at], kind))
				vt_json_push(list, vt_json_new_text(strchr(names->v[at], ' ') + 1));
		if (list->n) {
			vt_json_put(detail, kind, list);
			rc = vt_history_note(store, "received", detail, err);
		} else {
			vt_json_free(list);
			vt_json_free(detail);
		}
	}
	return rc;
}

bool vt_transfer_is_kind(const char *name, const char *kind)
{
	size_t n = strlen(kind);

	return !strncmp(name, kind, n) && name[n] == ' '; /* "commits" is no prefix of "commitsX" */
}
