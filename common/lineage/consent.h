/* consent.h - subjects whose data may not be used any more, and what was decided about results
 * that were made of it.
 *
 *      <store>/consent.json    {"decisions": [{"by", "decision", "reason", "record", "subject",
 *                              "time"}...],
 *                               "format": 1, "withdrawn": [{"by", "content": [sha256..], "reason",
 *                               "subject", "time"}...]}
 *
 * Withdrawn is a name, in any Unicode form, and the content that was the subject's alone when it
 * withdrew, raw or derived, under whatever name it comes again.
 *
 * Replaced as a whole under the store's lock; each change is an event of the history.  A stage
 * refuses to read a file of a withdrawn subject when it is given the file: by --store, or by
 * $VOXTRAIL_CONSENT (the runner sets it). */
#ifndef COMMON_LINEAGE_CONSENT_H
#define COMMON_LINEAGE_CONSENT_H

#include "common/content/digest_set.h"
#include "common/record/record_dir.h"
#include "common/store/store.h"

struct vt_consent {
	struct vt_json *j;            /* the file; NULL when there is none */
	struct vt_digest_set content; /* of all who withdrew */
};

/* An absent file: nobody withdrew.  VT_ECONFIG for one that cannot be read or is of another form:
 * what it forbids nobody knows. */
int vt_consent_read(struct vt_consent *out, const char *path, struct vt_err *err);
/* The store's, which every command that uses it goes by.  VT_EINTEGRITY if its history says that
 * somebody withdrew whom the file does not name: it was lost or changed. */
int vt_consent_read_store(struct vt_consent *out, const char *dir, struct vt_err *err);
/* $VOXTRAIL_CONSENT, which the runner sets for stages that have no store: of a directory that is
 * not there nobody knows who withdrew, VT_ECONFIG. */
int vt_consent_read_named(struct vt_consent *out, const char *path, struct vt_err *err);
void vt_consent_release(struct vt_consent *consent);
/* caller frees */
char *vt_consent_path(const struct vt_store *store);

/* The entry of a withdrawn subject, NULL if there is none. */
const struct vt_json *vt_consent_withdrawn(const struct vt_consent *consent, const char *subject);

/* The entry of the withdrawn subject that a path names (vt_record_names), NULL if it names none. */
const struct vt_json *vt_consent_named(const struct vt_consent *consent, const char *path);
size_t vt_consent_count(const struct vt_consent *consent);

/* "retrain", "accept" or "retire", decided for a record made from the subject; NULL if nothing
 * was. */
const char *vt_consent_decision(const struct vt_consent *consent, const char *record_hex,
	const char *subject);

/* content: digests of the subject's files that are nobody else's (erase.h finds them). */
int vt_consent_withdraw(struct vt_store *store, const char *subject, const struct vt_strs *content,
	const char *reason, struct vt_err *err);
/* VT_ENOINPUT: was not withdrawn */
int vt_consent_restore(struct vt_store *store, const char *subject, const char *reason,
	struct vt_err *err);
int vt_consent_decide(struct vt_store *store, const char *record_hex, const char *subject,
	const char *decision, const char *reason, struct vt_err *err);

/* VT_EDATA, with subject and path, if the path of a file of the input names a withdrawn subject
 * (vt_record_names), or if a record among `records` (NULL: not asked) notes a training on one. */
int vt_consent_check_input(const struct vt_consent *consent, const struct vt_tree *tree,
	const struct vt_record_dir *records, const char *root, struct vt_err *err);

/* VT_EDATA if a file of the tree has the bytes of a withdrawn subject's file, under any name.  Not
 * for label maps: two people without a tumor have the same one. */
int vt_consent_check_content(const struct vt_consent *consent, const struct vt_tree *tree,
	const char *root, struct vt_err *err);

/* The entry of the withdrawn subject whose file has this digest, NULL if there is none. */
const struct vt_json *vt_consent_of_content(const struct vt_consent *consent,
	const struct vt_digest *digest);

#endif
