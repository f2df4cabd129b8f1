/* train_devices.h - at which precision a training computes, and where.
 *
 *      struct vt_train_devices d = { .n_open = 0 };
 *      if (!vt_train_devices_choose(&d, &wishes, err) && !vt_train_devices_open(&d, &wishes, err))
 *              vt_train_devices_use(&opts, &d);
 *      vt_train_devices_close(&d);
 */
#ifndef COMMON_SEG_TRAIN_DEVICES_H
#define COMMON_SEG_TRAIN_DEVICES_H

#include "common/nn/backend.h"
#include "common/seg/trainer.h"

/* "default", "f32", "tf32", "bf16", "fp16", "auto", NULL: a stage's enum param */
extern const char *const vt_train_precisions[];

struct vt_train_wishes {
	int precision; /* index of vt_train_precisions; default: f32 on the CPU, bf16 on a GPU */
	enum vt_device_wish device;
	int cards, batch;    /* the cards share a batch */
	const char *engines; /* as in struct vt_device_opts */
	const char *replay;  /* directory of a training whose changes are repeated; NULL: none */
};

struct vt_train_devices {
	struct vt_precision_opts precision;  /* which level a step runs at */
	struct vt_precision_change *changes; /* that `precision` replays */
	struct vt_device *device[VT_LEVELS]; /* of each level that may come; NULL: the CPU */
	int n_open;
};

/* Sets precision.  VT_EUSAGE for wishes that do not go together. */
int vt_train_devices_choose(struct vt_train_devices *devices, const struct vt_train_wishes *wishes,
	struct vt_err *err);
/* Sets device. */
int vt_train_devices_open(struct vt_train_devices *devices, const struct vt_train_wishes *wishes,
	struct vt_err *err);
/* Lends the devices; with one, it is also that of validation. */
void vt_train_devices_use(struct vt_train_opts *opts, const struct vt_train_devices *devices);
void vt_train_devices_close(struct vt_train_devices *devices);

#endif
