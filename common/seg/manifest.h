/* manifest.h - what the files of a cohort mean: channels, labels, regions, splits. manifests/
 * holds the field's layouts.
 *
 *      struct vt_manifest *m = NULL;
 *      vt_manifest_read(&m, "manifests/brats-2018-2021.json", err);
 *      vt_manifest_subjects(&ids, m, scans_dir, err);
 *      vt_manifest_channel(&path, m, scans_dir, "BraTS2021_00000", 0, err);
 *
 * A subject's file is the first pattern, in the order given, that exists below the root with
 * {subject}, or the fields that make up its name, put in.  VT_EDATA: the manifest itself is
 * wrong (message: file, JSON pointer, fix).  VT_ENOINPUT: a subject lacks a file.  VT_EDATA for a
 * subject: a file's name says another
 * channel than the manifest does, or two channels are one file and frame. */
#ifndef COMMON_SEG_MANIFEST_H
#define COMMON_SEG_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

/* Regions of a cohort, and those of them that may overlap: a bit each. */
enum {
	VT_MAX_CHANNELS = 16,
	VT_MAX_REGIONS = 254,
	VT_OVERLAPPING_REGIONS = 8,
	VT_MAX_LABELS = 256,
	VT_MAX_CLASSES = 100
};

struct vt_channel {
	char *role;           /* "flair" */
	struct vt_strs files; /* patterns */
	int frame;            /* of a 4-D file, from 0; -1: the file is one volume */
	bool any_name;        /* the file name is right whatever it says */
};

struct vt_region {
	char *name;              /* "WT" */
	bool has[VT_MAX_LABELS]; /* label values that belong to it */
	int value;               /* its own value in a label map: see vt_manifest_values */
};

/* Stored label values low .. high mean the value `value`. */
struct vt_label_range {
	int low, high, value;
};

struct vt_manifest {
	char *name;
	char *subject;                  /* "sub-{patient}_ses-{session}"; NULL: a name is a name */
	const struct vt_json *patients; /* subject -> patient; NULL: none */
	struct vt_channel channel[VT_MAX_CHANNELS];
	int n_channels;
	struct vt_strs label_files; /* empty: the cohort has no labels */
	/* brain masks on the scans' grid; empty: none are given */
	struct vt_strs mask_files;
	bool mask_required;         /* a subject without one is refused */
	char *label[VT_MAX_LABELS]; /* names of known values; NULL: unknown, refused */
	struct vt_label_range *map; /* empty: stored values are what they are */
	int n_map;
	double label_tolerance; /* how far a stored value may be from a whole one */
	struct vt_region region[VT_MAX_REGIONS];
	int n_regions;
	/* regions are classes: what stands for region bits is 1 + the region's number, or 0 */
	bool exclusive;
	int ignore;        /* label value that is left out of loss and scores; 0: none */
	double spacing[3]; /* of the prepared grid along R, A, S; 0: as scanned */
	uint64_t seed;
	double test; /* share of subjects kept out of training */
	int folds;   /* of the others, for cross-validation */
	/* what a whole scan may be, and which subject or patient is what; no names: nothing */
	struct vt_strs classes;
	const struct vt_json *class_table;
	const struct vt_json *split_table; /* subject or patient -> "test" or fold; NULL: drawn */
	struct vt_json *json;              /* as read */
};

int vt_manifest_read(struct vt_manifest **out, const char *path, struct vt_err *err);
int vt_manifest_parse(struct vt_manifest **out, const struct vt_json *j, const char *origin,
	struct vt_err *err);
void vt_manifest_free(struct vt_manifest *manifest);

/* Subjects found below root by the channels' patterns, sorted: whoever lacks a file of one channel
 * is found by another.  None is VT_EDATA, or VT_ENOINPUT where root is empty. */
int vt_manifest_subjects(struct vt_strs *ids, const struct vt_manifest *manifest, const char *root,
	struct vt_err *err);

/* Those with a file by any of the patterns, sorted, and who shares a directory's name with them;
 * none is no error. */
int vt_manifest_matching(struct vt_strs *ids, const struct vt_manifest *manifest,
	const struct vt_strs *patterns, const char *root, struct vt_err *err);

/* Those with a file by the label's patterns, sorted; none is no error. */
int vt_manifest_labeled(struct vt_strs *ids, const struct vt_manifest *manifest, const char *root,
	struct vt_err *err);

/* VT_EDATA unless it is a relative path whose placeholders, one at least, are {subject} and the
 * fields of /subject. */
int vt_manifest_check_pattern(const struct vt_manifest *manifest, const char *pattern,
	const char *origin, const char *pointer, struct vt_err *err);

/* The pattern with {subject} and the fields of its name put in; the caller frees. NULL if the name
 * lacks a field. */
char *vt_manifest_fill(const struct vt_manifest *manifest, const char *pattern,
	const char *subject);

/* Paths of one subject's files; *path is the caller's. */
int vt_manifest_channel(char **path, const struct vt_manifest *manifest, const char *root,
	const char *subject, int channel, struct vt_err *err);
/* *path is NULL if the manifest names no masks, or the subject has none and need not. */
int vt_manifest_mask(char **path, const struct vt_manifest *manifest, const char *root,
	const char *subject, struct vt_err *err);
int vt_manifest_label(char **path, const struct vt_manifest *manifest, const char *root,
	const char *subject, struct vt_err *err);

/* Bit r of out[i] says that voxel i lies in region r; with exclusive regions out[i] is 1 + r.
 * A value without a name is VT_EDATA and
 * the message gives it. */
int vt_manifest_regions(uint8_t *out, const struct vt_manifest *manifest,
	const unsigned char *labels, size_t n, struct vt_err *err);

/* The label map rule: value[bits] is the label value of a voxel that lies in the regions `bits`.
 * A combination that is exactly some value's set of regions is that value (the lowest of equals).
 * Any other is written region by region in the manifest's order, the last one wins, as nnU-Net
 * does it: each region with its "value" or, where the manifest gives none, with the one of its
 * values that lies in the fewest regions (the lowest of equals). */
void vt_manifest_values(unsigned char value[256], const struct vt_manifest *manifest);
int vt_manifest_own_value(const struct vt_manifest *manifest, int region);

/* Whether what vt_manifest_regions gave lies in region r. */
static inline bool vt_region_holds(const struct vt_manifest *manifest, uint8_t bits, int r)
{
	return manifest->exclusive ? bits == r + 1 : bits >> r & 1;
}

/* First two regions that share a label value; false if all exclude each other. */
bool vt_manifest_overlap(const struct vt_manifest *manifest, int pair[2]);

/* Number of a name (may be NULL) in /classes/names; -1: none. */
int vt_manifest_class_number(const struct vt_manifest *manifest, const char *name);
/* Which of them the table says of the subject, or of its patient; -1: nothing. */
int vt_manifest_class(const struct vt_manifest *manifest, const char *subject);

/* Whose scans they are: /patients, the {patient} of /subject, or the subject itself; the
 * caller's. */
char *vt_manifest_patient(const struct vt_manifest *manifest, const char *subject);

/* A function of (seed, patient): adding subjects moves nobody, and no patient is on two sides.
 * With /split/subjects what it says; VT_EDATA where it does not name the subject. */
struct vt_split {
	bool test;
	int fold; /* 0 .. folds - 1 */
};
int vt_manifest_split(struct vt_split *out, const struct vt_manifest *manifest, const char *subject,
	struct vt_err *err);

/* A table for /split/subjects with folds of equal size, by patient: who stands in the table that is
 * there stays, the others come in an order of the seed, as many tests as /split/test says. */
struct vt_json *vt_manifest_place(const struct vt_manifest *manifest, const struct vt_strs *ids);

/* The manifest as read, but for /patients and /split/subjects; the caller's. */
struct vt_json *vt_manifest_json(const struct vt_manifest *manifest);

/* "t1", "t1ce", "t2", "flair": what a file's name says in the field's spellings; NULL: nothing. */
const char *vt_manifest_role_of(const char *path);

#endif
