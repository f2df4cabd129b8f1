/* mixed.h - where a subject's data came to those of others: what cannot go with the subject. */
#ifndef COMMON_LINEAGE_MIXED_H
#define COMMON_LINEAGE_MIXED_H

#include "common/lineage/lineage_query.h"

/* Did the execution, directly or through others, read a raw file of another subject? */
int vt_lineage_reads_others(struct vt_store *store, const char *id, const char *subject, bool *yes,
	struct vt_err *err);

/* Of what was made from the roots of lineage, which are the subject's: every training, and every
 * execution of any other stage or command, whoever wrote it, that read the subject's files, or what
 * was made of the subject alone, together with others'.  fn(ctx, record id, stage); what was made
 * of those in turn is not named again. */
int vt_lineage_mixed(struct vt_store *store, struct vt_lineage *lineage, const char *subject,
	vt_lineage_pair_fn fn, void *ctx, struct vt_err *err);

#endif
