/* manifest_draft.h - a first manifest for a directory nobody has described yet.
 *
 *      struct vt_json *j = NULL;
 *      struct vt_buf remarks = VT_BUF_INIT;
 *      vt_manifest_draft(&j, &remarks, "scans", "labels", err);
 *
 * Every image's path becomes a pattern once the subject's name in it is {subject}: the directory
 * that holds it, the file of a flat folder without its last words, the numbered files of nnU-Net.
 * What a pattern is of is told by the field's words in it (T1, contrast, FLAIR, T2, seg, mask), by
 * the JSON sidecar (ContrastBolusAgent, SeriesDescription) and by dataset.json's channel names; of
 * anything else by the words that are left.  Files of few whole values are label maps or masks
 * whatever their names say.  Label values, spacing and frames come from the files.
 * A draft is to be read by a person: `remarks` gets a line for whatever was left out or unsure. */
#ifndef COMMON_SEG_MANIFEST_DRAFT_H
#define COMMON_SEG_MANIFEST_DRAFT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

/* labels: where the label maps lie, if not below dir, or NULL.  VT_ENOINPUT: there is no scan below
 * dir. */
int vt_manifest_draft(struct vt_json **out, struct vt_buf *remarks, const char *dir,
	const char *labels, struct vt_err *err);

#endif
