/* manifest_draft_internal.h - between the draft's files only. */
#ifndef COMMON_SEG_MANIFEST_DRAFT_INTERNAL_H
#define COMMON_SEG_MANIFEST_DRAFT_INTERNAL_H

#include "common/seg/manifest_internal.h"

/* Files of a pattern that are looked into. */
enum { VT_DRAFT_LOOKED_AT = 24 };

/* One pattern and the files that have it. */
struct vt_draft_files {
	const char *root; /* the draft's dir or labels */
	char *pattern, *role;
	struct vt_strs files; /* paths below the root, in order */
	enum vt_file_kind kind;
	char *values; /* "0, 1, 4"; NULL: not few */
};

struct vt_draft {
	const char *dir, *labels; /* labels: another root, or NULL */
	struct vt_draft_files *v;
	size_t n;
	struct vt_json *dataset; /* dataset.json, or NULL */
	bool sessions;           /* BIDS with sessions */
	size_t files, visits;    /* of them, those of a numbered visit of a patient */
};

/* Sets kind and values by the first few files that can be read and hold more than one value. */
void vt_draft_judge(const struct vt_draft *draft, struct vt_draft_files *files);

/* The patterns that are taken: of scans the most frequent one, of label maps and masks, among those
 * of half as many subjects as the most frequent one at least, the one whose name is plainest; label
 * maps below draft->labels before all others. */
void vt_draft_choose(const struct vt_draft_files *first[VT_FILE_KINDS],
	const struct vt_draft *draft);

/* A line for what was taken for what by its values, and for each other that might be it. */
void vt_draft_remark(struct vt_buf *remarks, const struct vt_draft *draft,
	const struct vt_draft_files *const first[VT_FILE_KINDS]);

#endif
