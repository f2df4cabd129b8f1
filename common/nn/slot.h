/* slot.h - one array beside each weight of a session and of its size: moments, slow weights, a
 * mean; 0 at first.
 *
 * Where the session is on a device each slot is an array there too, and either side's copy is
 * made current when it is asked for. */
#ifndef COMMON_NN_SLOT_H
#define COMMON_NN_SLOT_H

#include "common/nn/session.h"

/* Which of a device's arrays it is; SUM, of gradients, is never on the host. */
enum vt_slot_name {
	VT_SLOT_M,
	VT_SLOT_V,
	VT_SLOT_SLOW,
	VT_SLOT_MEAN,
	VT_SLOT_LAST_VALUE,
	VT_SLOT_LAST_GRAD,
	VT_SLOT_SUM,
	VT_SLOTS
};

struct vt_slot {
	struct vt_session *s;
	enum vt_slot_name name;
	float **value; /* [weights]; NULL: the slot was not made */
	bool device_newer, host_newer;
};

void vt_slot_init(struct vt_slot *slot, struct vt_session *session, enum vt_slot_name name,
	bool trained_only);
void vt_slot_release(struct vt_slot *slot);

/* All arrays current, to read and to write until the device uses the slot again. */
void vt_slot_host(struct vt_slot *slot);

/* The array of weight i after vt_slot_host(); NULL where there is none.  Several threads may ask
 * only if one of them, or who started them, called vt_slot_host() before. */
float *vt_slot_array(struct vt_slot *slot, int i);

/* The session's device is about to change the slot: what the host wrote is sent. */
void vt_slot_use(struct vt_slot *slot);

/* From now on it lies beside the weights of another session of the same network. */
void vt_slot_move(struct vt_slot *slot, struct vt_session *to);

#endif
