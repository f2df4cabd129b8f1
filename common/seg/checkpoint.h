/* checkpoint.h - a checkpoint directory: checkpoint.json, best.safetensors, last.safetensors,
 * history.csv (docs/formats.md).
 *
 * checkpoint.json names the network and its params, channels in order, regions, patch, the
 * manifest and preparation that made the data, subjects by role, the parent checkpoint and the
 * best score.  It holds no time, host or path. */
#ifndef COMMON_SEG_CHECKPOINT_H
#define COMMON_SEG_CHECKPOINT_H

#include "common/nn/session.h"
#include "common/seg/manifest.h"

struct vt_checkpoint {
	struct vt_json *json;
	struct vt_manifest *manifest;
	const char *model;
	int n_channels, n_regions, n_outputs, patch[3];
	/* regions exclude each other; output 0 is "none", so there is one more than regions */
	bool softmax;
	bool classes; /* one answer for a whole scan: outputs are the manifest's classes */
	/* of the sessions made from now on: convolutions on whole numbers, by the scales that
	 * quantize wrote; in bf16; vt_session_observe may be called.  Set by the caller; on the
	 * CPU */
	bool int8, bf16, observed;
};

/* VT_EDATA, with file and pointer, unless channels and regions are those of the manifest it holds
 * (at most VT_MAX_CHANNELS and VT_MAX_REGIONS) and the patch lies from 1 to VT_MODEL_MOST_EDGE. */
int vt_checkpoint_open(struct vt_checkpoint *out, const char *dir, struct vt_err *err);
/* Likewise one that answers with a class of the whole scan, which vt_checkpoint_open refuses;
 * others are VT_EDATA here. */
int vt_checkpoint_open_classes(struct vt_checkpoint *out, const char *dir, struct vt_err *err);
/* VT_ENOINPUT: a directory without checkpoint.json, what it is instead, and what to give. */
int vt_checkpoint_missing(const char *dir, struct vt_err *err);
void vt_checkpoint_close(struct vt_checkpoint *c);

/* The fold it kept out; -1: none. */
int vt_checkpoint_fold(const struct vt_checkpoint *c);
/* Whether the subject was trained on. */
bool vt_checkpoint_learned(const struct vt_checkpoint *c, const char *subject);

/* Builds the network for n patches at a time of a size (NULL: the checkpoint's) on a device (NULL:
 * the CPU) and loads which = "best" or "last".  *graph must outlive *session.  With c->int8
 * VT_EDATA where the checkpoint has no scales of these weights. */
int vt_checkpoint_session(struct vt_graph **graph, struct vt_session **session,
	const struct vt_checkpoint *c, const char *dir, const char *which, int n, const int *patch,
	struct vt_device *device, struct vt_err *err);

/* VT_EDATA unless output 0 of the network is as large as its input: windows are joined voxel by
 * voxel. */
int vt_checkpoint_check_head(const struct vt_graph *graph, const int patch[3], struct vt_err *err);

#endif
