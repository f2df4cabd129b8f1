/* plugin.h - what a plugin is linked from: its exported function, and the device behind it. */
#ifndef GPU_ENGINE_PLUGIN_H
#define GPU_ENGINE_PLUGIN_H

#include "common/nn/backend.h"
#include "gpu/engine/device.h"

__attribute__((visibility("default"))) const struct vt_backend *voxtrail_backend(void);

/* GPU number `GPU` of the `of` that are used; it becomes the thread's current one. engines: an
 * engine plan to replay, NULL to choose (docs/gpu.md).  VT_EDEVICE says what is missing. */
int vg_device_open(struct vg_device **out, int card, int of, const char *engines,
	struct vt_err *err);

#endif
