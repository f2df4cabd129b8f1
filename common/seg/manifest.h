/* manifest.h - what the files of a cohort mean: channels, labels, regions, splits. manifests/
 * holds the field's layouts.
 *
 *      struct vt_manifest *m = NULL;
 *      vt_manifest_read(&m, "manifests/brats-2021.json", err);
 *      vt_manifest_subjects(&ids, m, scans_dir, err);
 *      vt_manifest_channel(&path, m, scans_dir, "BraTS2021_00000", 0, err);
 *
 * A subject's file is the first pattern, in the order given, that exists below the root with
 * {subject} put in.  VT_EDATA: the manifest itself is wrong (message: file, JSON pointer, fix).
 * VT_ENOINPUT: a subject lacks a file.  VT_EDATA for a subject: a file's name says another
 * channel than the manifest does, or two channels are one file and frame. */
#ifndef COMMON_SEG_MANIFEST_H
#define COMMON_SEG_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

enum { VT_MAX_CHANNELS = 16, VT_MAX_REGIONS = 8, VT_MAX_LABELS = 256 };

struct vt_channel {
	char *role;           /* "flair" */
	struct vt_strs files; /* patterns */
	int frame;            /* of a 4-D file, from 0; -1: the file is one volume */
};

struct vt_region {
	char *name;              /* "WT" */
	bool has[VT_MAX_LABELS]; /* label values that belong to it */
};

struct vt_manifest {
	char *name;
	struct vt_channel channel[VT_MAX_CHANNELS];
	int n_channels;
	struct vt_strs label_files; /* empty: the cohort has no labels */
	/* brain masks on the scans' grid; empty: none are given */
	struct vt_strs mask_files;
	bool mask_required;         /* a subject without one is refused */
	char *label[VT_MAX_LABELS]; /* names of known values; NULL: unknown, refused */
	struct vt_region region[VT_MAX_REGIONS];
	int n_regions;
	uint64_t seed;
	double test;          /* share of subjects kept out of training */
	int folds;            /* of the others, for cross-validation */
	struct vt_json *json; /* as read */
};

int vt_manifest_read(struct vt_manifest **out, const char *path, struct vt_err *err);
int vt_manifest_parse(struct vt_manifest **out, const struct vt_json *j, const char *origin,
	struct vt_err *err);
void vt_manifest_free(struct vt_manifest *m);

/* Subjects found below root by the first channel's patterns, sorted.  None is VT_EDATA, or
 * VT_ENOINPUT where root is empty. */
int vt_manifest_subjects(struct vt_strs *ids, const struct vt_manifest *m, const char *root,
	struct vt_err *err);

/* Those with a file by the label's patterns, sorted; none is no error. */
int vt_manifest_labeled(struct vt_strs *ids, const struct vt_manifest *m, const char *root,
	struct vt_err *err);

/* Paths of one subject's files; *path is the caller's. */
int vt_manifest_channel(char **path, const struct vt_manifest *m, const char *root,
	const char *subject, int channel, struct vt_err *err);
/* *path is NULL if the manifest names no masks, or the subject has none and need not. */
int vt_manifest_mask(char **path, const struct vt_manifest *m, const char *root,
	const char *subject, struct vt_err *err);
int vt_manifest_label(char **path, const struct vt_manifest *m, const char *root,
	const char *subject, struct vt_err *err);

/* Bit r of out[i] says that voxel i lies in region r.  A value without a name is VT_EDATA and
 * the message gives it. */
int vt_manifest_regions(uint8_t *out, const struct vt_manifest *m, const unsigned char *labels,
	size_t n, struct vt_err *err);

/* The label value of a combination of regions: the known value whose set of regions is exactly
 * `bits`, else the value whose regions are all in bits and are most; 0 if there is none. */
unsigned char vt_manifest_value(const struct vt_manifest *m, unsigned bits);

/* A function of (seed, subject): adding subjects moves nobody. */
struct vt_split {
	bool test;
	int fold; /* 0 .. folds - 1 */
};
struct vt_split vt_manifest_split(const struct vt_manifest *m, const char *subject);

#endif
