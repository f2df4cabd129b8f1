/* consent.h - subjects whose data may not be used any more, and what was decided about results
 * that were made of it.
 *
 *      <store>/consent.json    {"decisions": [{"by", "decision", "reason", "record", "subject",
 *                              "time"}...],
 *                               "format": 1, "withdrawn": [{"by", "reason", "subject", "time"}...]}
 *
 * Replaced as a whole under the store's lock; each change is an event of the history.  A stage
 * refuses to read a file of a withdrawn subject when it is given the file: by --store, or by
 * $VOXTRAIL_CONSENT (the runner sets it). */
#ifndef COMMON_LINEAGE_CONSENT_H
#define COMMON_LINEAGE_CONSENT_H

#include "common/record/record_dir.h"
#include "common/store/store.h"

struct vt_consent {
	struct vt_json *j; /* the file; NULL when there is none */
};

/* an absent file: nobody withdrew */
int vt_consent_read(struct vt_consent *out, const char *path, struct vt_err *err);
void vt_consent_release(struct vt_consent *c);
/* caller frees */
char *vt_consent_path(const struct vt_store *s);

/* The entry of a withdrawn subject, NULL if there is none. */
const struct vt_json *vt_consent_withdrawn(const struct vt_consent *c, const char *subject);

/* The entry of the withdrawn subject that a path names (vt_record_names), NULL if it names none. */
const struct vt_json *vt_consent_named(const struct vt_consent *c, const char *path);
size_t vt_consent_count(const struct vt_consent *c);

/* "retrain", "accept" or "retire", decided for a record made from the subject; NULL if nothing
 * was. */
const char *vt_consent_decision(const struct vt_consent *c, const char *record_hex,
	const char *subject);

int vt_consent_withdraw(struct vt_store *s, const char *subject, const char *reason,
	struct vt_err *err);
/* VT_ENOINPUT: was not withdrawn */
int vt_consent_restore(struct vt_store *s, const char *subject, const char *reason,
	struct vt_err *err);
int vt_consent_decide(struct vt_store *s, const char *record_hex, const char *subject,
	const char *decision, const char *reason, struct vt_err *err);

/* VT_EDATA, with subject and path, if the path of a file of the input names a withdrawn subject
 * (vt_record_names), or if a record among `records` (NULL: not asked) notes a training on one. */
int vt_consent_check_input(const struct vt_consent *c, const struct vt_tree *t,
	const struct vt_record_dir *records, const char *root, struct vt_err *err);

#endif
