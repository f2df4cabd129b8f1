/* team.h - the GPUs that share a batch: a thread for each and the link between them.
 *
 * A GPU belongs to a thread, so that the thread's current CUDA device is its GPU: rank 0's is
 * the caller's, every other GPU has one of its own, which opens it, works on it and closes it. */
#ifndef GPU_ENGINE_TEAM_H
#define GPU_ENGINE_TEAM_H

#include "gpu/engine/link.h"

enum { VG_MOST_CARDS = 16 };

struct vg_seat;

struct vg_team {
	int n;
	struct vg_device *rank[VG_MOST_CARDS];
	struct vg_link *link;
	struct vg_seat *seat; /* [n]: the threads; the first is empty */
};

/* Part of a piece of work, on GPU `rank` by its thread. */
typedef int (*vg_team_fn)(void *ctx, int rank, struct vt_err *err);

/* n GPUs with `first`, which is open and stays the caller's.  VT_EDEVICE: fewer GPUs, unequal
 * ones, no link. */
int vg_team_open(struct vg_team **out, struct vg_device *first, int n, const char *engines,
	struct vt_err *err);
void vg_team_close(struct vg_team *team);

/* fn on every GPU at the same time; ends when all have.  The error is that of the lowest rank
 * that failed, its number before it. */
int vg_team_each(struct vg_team *team, vg_team_fn fn, void *ctx, struct vt_err *err);

/* Adds "cards", every GPU's description, and "link". */
void vg_team_describe(struct vg_team *team, struct vt_json *json);

#endif
