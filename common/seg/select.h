/* select.h - scores of subjects or of checkpoints, or a list of names; which are kept, and copied.
 *
 *      struct vt_scored *s = NULL;
 *      vt_scores_of_subjects(&s, &n, root, "dice", "", err);
 *      vt_select(s, n, &opts);
 */
#ifndef COMMON_SEG_SELECT_H
#define COMMON_SEG_SELECT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/seg/manifest.h"

struct vt_scored {
	char *name;
	double score; /* mean of what was found */
	size_t n;     /* how many values */
	bool kept;
};

struct vt_select_opts {
	bool low_is_better;
	size_t keep_best;  /* of each group; 0: all */
	size_t drop_worst; /* of each group */
	double keep_share; /* of each group, rounded up, at least one */
	bool has_limit;    /* those worse than `limit` go */
	double limit;
	const char *group; /* a name's group is what stands before this text; "": one group */
};

/* Column `by` of <root>/subjects.csv, or of every <root>/<name>/subjects.csv (outputs of
 * evaluate), a mean over regions, or of one region, and over files; sorted by name. VT_ENOINPUT
 * if there is no table. */
int vt_scores_of_subjects(struct vt_scored **out, size_t *n, const char *root, const char *by,
	const char *region, struct vt_err *err);

/* A score of each directory of root that holds metrics.json (evaluate: mean of `by` over its
 * regions, or of one) or checkpoint.json (train: "dice" or "loss" of its best weights). */
int vt_scores_of_models(struct vt_scored **out, size_t *n, const char *root, const char *by,
	const char *region, struct vt_err *err);
void vt_scores_free(struct vt_scored *scored, size_t n);

/* NULL: it has no score. */
const struct vt_scored *vt_scores_find(const struct vt_scored *scored, size_t n, const char *name);

/* Sets kept.  Equal scores: the name that comes first is the better. */
void vt_select(struct vt_scored *scored, size_t n, const struct vt_select_opts *opts);

/* The names of a file, sorted: a JSON list of texts, the column "subject" of a table (CSV), or a
 * name a line.  VT_EDATA with path and name for one that stands twice or can be no subject's, and
 * for a list of nobody. */
int vt_select_read_names(struct vt_strs *names, const char *path, struct vt_err *err);

/* The subdirectories of root, sorted: an entry each.  Not those that the system leaves, nor that of
 * the refused, which holds <subject>.json and nothing else: VT_EDATA for a subject of its name. */
int vt_select_entries(struct vt_strs *entries, const char *root, struct vt_err *err);

/* An entry with all that is in it, records too: what is kept can be asked what it was made from
 * wherever it lies. */
int vt_select_copy_entry(const char *from, const char *name, const char *to, struct vt_err *err);

/* The scans, masks and label maps of a subject, as the manifest lays them out; all of them or none.
 * VT_ENOINPUT if there are none. */
int vt_select_copy_files(const struct vt_manifest *manifest, const char *from, const char *subject,
	const char *to, struct vt_err *err);

/* Who was refused on the way to `from` is known there, and stays refused: *was. */
int vt_select_copy_refused(bool *was, const char *from, const char *name, const char *to,
	struct vt_err *err);

#endif
