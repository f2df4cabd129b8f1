/* prepare.h - one subject's scans -> brain mask, normalized and cropped channels, and how to get
 * back.
 *
 *      struct vt_prepare_opts opts = VT_PREPARE_OPTS_DEFAULT;
 *      struct vt_prepare_report report;
 *      vt_prepare_subject(out_dir, "case_001", channels, 4, &opts, &report, err);
 *
 * Writes into out_dir, which must exist: <role>.nii (f32) for each channel, mask.nii (u8),
 * geometry.json, qc.png.  VT_EDATA: a scan is damaged, channels lie on different grids, or (with
 * opts.refuse) the mask is implausible.  The bytes written depend on the scans and the options
 * only. */
#ifndef COMMON_IMAGE_PREPARE_H
#define COMMON_IMAGE_PREPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/json.h"
#include "common/content/digest.h"
#include "common/image/brain_mask.h"
#include "common/image/conform.h"
#include "common/image/intensity.h"
#include "common/image/resample.h"

enum { VT_PREPARE_DIGESTS = 16 };

/* "format" of geometry.json, by which a prepared subject is known */
#define VT_GEOMETRY_FORMAT "voxtrail-geometry-1"

enum vt_strip { VT_STRIP_AUTO = 1, VT_STRIP_ALWAYS, VT_STRIP_NEVER };
enum vt_orient { VT_ORIENT_RAS = 1, VT_ORIENT_NATIVE };
enum vt_align { VT_ALIGN_NONE = 1, VT_ALIGN_RIGID };
enum vt_bias { VT_BIAS_NONE = 1, VT_BIAS_N4 };

struct vt_prepare_channel {
	const char *role; /* "flair", ...: name of the output */
	const char *path;
	int frame; /* of a 4-D file, from 0; -1: the file is one volume */
};

struct vt_prepare_opts {
	enum vt_strip strip;
	enum vt_orient orient;
	enum vt_normalize normalize;
	double window[2]; /* with VT_NORM_WINDOW: low and high */
	enum vt_bias bias;
	/* what to do with channels on another grid than the first: refuse, or register */
	enum vt_align align;
	bool digests;             /* report what each channel shows */
	double form_tolerance_mm; /* largest corner distance of a scan's sform and qform */
	bool nan_outside;         /* NaN is background: it becomes the smallest value */
	double tolerance_mm;      /* largest corner distance of channels on "one" grid */
	double spacing[3];        /* resample to these mm; 0 = leave */
	/* 256^3 voxels of 1 mm (conform.h), no crop; spacing is not looked at */
	enum vt_conform conform;
	enum vt_interpolate interpolate;
	int crop_margin; /* voxels around the brain's box; negative: no crop */
	bool refuse;     /* an implausible mask is an error instead of a flag */
	struct vt_brain_opts brain;
	/* a brain mask on the first channel's grid, non-zero inside, taken as it is; NULL: find
	 * the brain */
	const char *mask_path;
	/* channel the surface is grown on; NULL or "": t1, else flair, else the first */
	const char *mask_role;
	const struct vt_mask_provider *provider; /* learned mask; NULL: surface */
	/* name the provider must have where the brain has to be found; NULL or "": any, or the
	 * surface */
	const char *learned;
};

#define VT_PREPARE_OPTS_DEFAULT                                                                    \
	{                                                                                          \
		VT_STRIP_AUTO, VT_ORIENT_RAS, VT_NORM_ZSCORE, { 0, 0 }, VT_BIAS_NONE,              \
			VT_ALIGN_NONE, false, 0.5, false, 0.05, { 0, 0, 0 }, VT_CONFORM_NOT,       \
			VT_LINEAR, 0, false, VT_BRAIN_OPTS_DEFAULT, NULL, NULL, NULL, NULL         \
	}

struct vt_prepare_report {
	/* "stripped", "surface", "none", "given", or the provider's name */
	const char *method;
	struct vt_brain_report brain;
	size_t dim[3]; /* of the outputs */
	/* of each channel as read, where opts.digests: volume_digest.h */
	char content[VT_PREPARE_DIGESTS][VT_HEX];
	/* there too: it holds this many values only, as a label map does; 0: it is a scan */
	int few_values[VT_PREPARE_DIGESTS];
	double form_gap; /* worst qform/sform disagreement of a channel, mm */
};

int vt_prepare_subject(const char *out_dir, const char *subject,
	const struct vt_prepare_channel *channels, size_t n_channels,
	const struct vt_prepare_opts *opts, struct vt_prepare_report *report, struct vt_err *err);

/* The same in memory, without files or a picture. */
struct vt_prepared {
	struct vt_json *geometry; /* what geometry.json holds */
	size_t n_channels;
	float **channel; /* [z, y, x] on the prepared grid */
	unsigned char *mask;
};

int vt_prepare_load(struct vt_prepared *out, const char *subject,
	const struct vt_prepare_channel *channels, size_t n_channels,
	const struct vt_prepare_opts *opts, struct vt_prepare_report *report, struct vt_err *err);
void vt_prepared_release(struct vt_prepared *prepared);

/* The options that decide what a prepared image looks like (all but refuse and provider), as
 * written to geometry.json under "settings": whoever feeds a network later must prepare in the
 * same way.  Numbers are decimal texts, as in records.  Reading starts from the defaults;
 * VT_EDATA names an unknown word. */
struct vt_json *vt_prepare_settings(const struct vt_prepare_opts *opts);
int vt_prepare_settings_read(struct vt_prepare_opts *opts, const struct vt_json *settings,
	struct vt_err *err);

#endif
