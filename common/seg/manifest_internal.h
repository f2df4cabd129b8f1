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

void vt_fields_release(struct vt_fields *fields);
/* Adds the fields that make `pattern` into `text`; false, with fields as it was, if none do. */
bool vt_fields_match(struct vt_fields *fields, const char *pattern, const char *text);
/* NULL if a field is missing. */
char *vt_fields_fill(const struct vt_fields *fields, const char *pattern);

/* VT_EDATA if what the pattern spells out says another channel. */
int vt_manifest_check_name(const struct vt_manifest *manifest, const char *pattern,
	const char *path, const char *subject, int channel, struct vt_err *err);

/* What a file of a cohort is. */
enum vt_file_kind { VT_FILE_SCAN = 0, VT_FILE_LABEL, VT_FILE_MASK, VT_FILE_KINDS };

/* Values first, name second: few whole values (vt_volume_few_values; n == 0: they are not few) are
 * a label map, or a brain mask if they are two and the name says mask and nothing of a lesion. */
enum vt_file_kind vt_manifest_kind(const char *pattern, const unsigned char *value, int n);

/* Of several label maps or masks the lowest is taken: 0: its name says what it is. */
int vt_manifest_kind_rank(const char *pattern, enum vt_file_kind kind);

/* Bytes of a file's name (without .nii) that are the subject's: A of A_FLAIR, A_T1_Gd, A_seg and
 * "A - Tumor Mask"; with `numbered` BRATS_001 of BRATS_001_0000, as nnU-Net writes it. */
size_t vt_manifest_stem(const char *name, bool numbered);

/* VT_EDATA if the table puts one patient into two places. */
int vt_manifest_check_split(const struct vt_manifest *manifest, const char *origin,
	struct vt_err *err);

/* What /classes says, where it is there. */
int vt_manifest_read_classes(struct vt_manifest *manifest, const struct vt_json *j,
	const char *origin, struct vt_err *err);

#endif
