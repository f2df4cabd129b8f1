/* audit_report.h - an ancestry as text, JSON, DOT or one HTML page that refers to nothing
 * outside itself. */
#ifndef PIPELINES_TOOL_AUDIT_REPORT_H
#define PIPELINES_TOOL_AUDIT_REPORT_H

#include "common/lineage/ancestry.h"
#include "common/lineage/consent.h"

struct vt_audit {
	const char *what; /* as the user named it */
	const struct vt_ancestry *a;
	const struct vt_store *store; /* what was erased, NULL: unknown */
	struct vt_consent consent;    /* who withdrew */
	/* evidence that it was made again (repro.h), an array; NULL: none was looked for */
	struct vt_json *repro;
	struct vt_strs subjects;
	/* of the subjects: by what the records of trainings note (notes.split), sorted */
	struct vt_strs train, choose, test;
};

/* Appends to *out. */
void vt_audit_text(struct vt_buf *out, const struct vt_audit *audit);
void vt_audit_json(struct vt_buf *out, const struct vt_audit *audit);
void vt_audit_dot(struct vt_buf *out, const struct vt_audit *audit);
void vt_audit_html(struct vt_buf *out, const struct vt_audit *audit);

/* Fills in the rest from what and a: vt_audit_add_split of every record and vt_audit_sort. */
void vt_audit_collect(struct vt_audit *audit);
void vt_audit_add_split(struct vt_audit *audit, const struct vt_json *record);
void vt_audit_sort(struct vt_audit *audit);
void vt_audit_release(struct vt_audit *audit);

/* "train", "validation", "test" or "" for a subject of the audit; training wins. */
const char *vt_audit_role(const struct vt_audit *audit, const char *subject);
struct vt_json *vt_audit_subjects_json(const struct vt_audit *audit); /* [{subject, role}...] */

/* "done again 3 times: 2 same, 1 different"; "" if it never was.  Caller frees. */
char *vt_audit_repro(const struct vt_audit *audit);

/* Was the file erased from the store by decision? */
bool vt_audit_erased(const struct vt_audit *audit, const char *sha256);

/* Executions of one stage, interface version and binary, made from the same groups: what a
 * picture of thousands can show. */
struct vt_audit_group {
	size_t first, n; /* a member; how many */
	size_t depth;    /* longest way to a root */
	size_t n_raw;
};

struct vt_audit_groups {
	struct vt_audit_group *v;
	size_t n;
	size_t *of; /* group of each execution */
	/* n * n: edges from group i (child) to group k (parent) */
	size_t *edge;
};

void vt_audit_group(struct vt_audit_groups *out, const struct vt_ancestry *ancestry);
void vt_audit_groups_release(struct vt_audit_groups *groups);

#endif
