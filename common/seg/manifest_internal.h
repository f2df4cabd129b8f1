/* manifest_internal.h - between the manifest's files only. */
#ifndef COMMON_SEG_MANIFEST_INTERNAL_H
#define COMMON_SEG_MANIFEST_INTERNAL_H

#include "common/seg/manifest.h"

enum { VT_MAX_FIELDS = 8 };

/* What the placeholders of a pattern stand for. */
struct vt_fields {
	int n;
	char *name[VT_MAX_FIELDS], *value[VT_MAX_FIELDS];
};

void vt_fields_release(struct vt_fields *f);
/* Adds the fields that make `pattern` into `text`; false, with f as it was, if none do. */
bool vt_fields_match(struct vt_fields *f, const char *pattern, const char *text);
/* NULL if a field is missing. */
char *vt_fields_fill(const struct vt_fields *f, const char *pattern);

/* VT_EDATA if what the pattern spells out says another channel. */
int vt_manifest_check_name(const struct vt_manifest *manifest, const char *pattern,
	const char *path, const char *subject, int channel, struct vt_err *err);

/* VT_EDATA if the table puts one patient into two places. */
int vt_manifest_check_split(const struct vt_manifest *m, const char *origin, struct vt_err *err);

/* What /classes says, where it is there. */
int vt_manifest_read_classes(struct vt_manifest *m, const struct vt_json *j, const char *origin,
	struct vt_err *err);

#endif
