/* rerun.h - an execution done again from its record: inputs out of the store, the recorded
 * params, and the same binary.
 *
 *      struct vt_rerun r;
 *      if (vt_rerun(&r, store, id, &opts, err))
 *              return err->code;
 *      r.verdict, r.difference ...
 *      vt_rerun_release(&r);
 *
 * The record may come from anywhere, so it chooses nothing but a stage of this build, with inputs
 * and params of the stage's own table; the stage runs in a directory of its own, with an
 * environment of its own and, where the machine lets us, without a network.
 *
 * Equal: every output file has the digest and the executable bit the record states.  The new
 * record is compared too: it can differ (another commit with the same binary, say) where the
 * files do not. */
#ifndef PIPELINES_TOOL_RERUN_H
#define PIPELINES_TOOL_RERUN_H

#include "common/store/store.h"

enum vt_verdict { VT_SAME = 1, VT_DIFFERENT, VT_RUN_FAILED };

struct vt_rerun_opts {
	/* where the stages' programs are; NULL: beside this program */
	const char *bin;
	const char *work; /* an absent directory; removed afterwards unless keep */
	bool any_binary, keep;
};

struct vt_rerun {
	enum vt_verdict verdict;
	char binary[VT_HEX]; /* that ran */
	char tree[VT_HEX];   /* of its output, "" if it failed */
	char record[VT_HEX]; /* id of the record it wrote, "" if it failed */
	bool other_binary;
	struct vt_buf difference; /* sentence: the first difference, or how it failed */
	struct vt_json *device;   /* what the new record notes about it; NULL if nothing */
};

/* VT_ECONFIG when the program has another digest than the record and opts->any_binary is not
 * set; VT_ENOINPUT when it, the record or an input's bytes are not to be found. */
int vt_rerun(struct vt_rerun *out, struct vt_store *store, const char *record_id,
	const struct vt_rerun_opts *opts, struct vt_err *err);
void vt_rerun_release(struct vt_rerun *rerun);

#endif
