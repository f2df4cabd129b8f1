/* link.h - copies between the GPUs of a team.
 *
 * nccl.c fills the table for GPUs, emulate_link.c on the host.  A link moves bytes and never
 * adds, so results do not depend on how it does it. */
#ifndef GPU_ENGINE_LINK_H
#define GPU_ENGINE_LINK_H

#include "common/base/json.h"
#include "gpu/engine/device.h"

/* nbytes of GPU `from` to GPU `to`; GPUs are counted by rank. */
struct vg_move {
	int from, to;
	const void *source;
	void *target;
	size_t nbytes;
};

struct vg_link {
	const struct vg_link_ops *ops;
};

struct vg_link_ops {
	void (*close)(struct vg_link *link);
	void (*describe)(struct vg_link *link, struct vt_json *json);
	/* Queues n copies that happen at once: each behind what both GPUs' queues hold and
	 * before what they get later.  At most one goes from a GPU to another; no target is a
	 * source or another target. */
	int (*exchange)(struct vg_link *link, const struct vg_move *move, int n,
		struct vt_err *err);
	/* Waits until every GPU's queue is empty.  A GPU that fails ends the wait of all,
	 * VT_EDEVICE with its number. */
	int (*finish)(struct vg_link *link, struct vt_err *err);
};

/* rank: n different GPUs, all open; each is used by one thread at a time, and none meanwhile.
 * VT_EDEVICE: what is missing. */
int vg_link_open(struct vg_link **out, struct vg_device *const *rank, int n, struct vt_err *err);

#endif
