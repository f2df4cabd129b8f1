#include "common/nn/slot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/backend.h"

void vt_slot_init(struct vt_slot *slot, struct vt_session *session, enum vt_slot_name name,
	bool trained_only)
{
	int n = vt_session_n_weights(session);

	*slot = (struct vt_slot){ .s = session,
		.name = name,
		.value = vt_xcalloc((size_t)n, sizeof(*slot->value)) };
	/* A mean covers untrained weights, too: batch norms' statistics are such. */
	for (int i = 0; i < n; i++)
		if (!trained_only || vt_session_trains(session, i))
			slot->value[i] = vt_xcalloc(vt_session_size(session, i), sizeof(float));
}

void vt_slot_release(struct vt_slot *slot)
{
	for (int i = 0; slot->value && i < vt_session_n_weights(slot->s); i++)
		free(slot->value[i]);
	free(slot->value);
	*slot = (struct vt_slot){ .value = NULL };
}

/* All arrays to or from the device's one, zeros where a weight has none. */
static void transfer(struct vt_slot *slot, bool to_device)
{
	size_t total = 0;
	float *flat, *at;

	for (int i = 0; i < vt_session_n_weights(slot->s); i++)
		total += vt_session_size(slot->s, i);
	/* The device has one array in the order of the weights, zeros where the host has none. */
	flat = at = vt_xcalloc(total, sizeof(*flat));
	if (!to_device)
		vt_remote_get_slot(vt_session_remote(slot->s), (int)slot->name, flat);
	for (int i = 0; i < vt_session_n_weights(slot->s); i++) {
		size_t n = vt_session_size(slot->s, i);

		if (slot->value[i])
			memcpy(to_device ? at : slot->value[i], to_device ? slot->value[i] : at,
				n * sizeof(*flat));
		at += n;
	}
	if (to_device)
		vt_remote_put_slot(vt_session_remote(slot->s), (int)slot->name, flat);
	free(flat);
}

static void bring(struct vt_slot *slot)
{
	if (slot->device_newer)
		transfer(slot, false);
	slot->device_newer = false;
}

void vt_slot_host(struct vt_slot *slot)
{
	if (!slot->value)
		return;
	bring(slot);
	/* The caller may write until vt_slot_use(). */
	slot->host_newer = true;
}

float *vt_slot_array(struct vt_slot *slot, int i)
{
	if (!slot->value)
		return NULL;
	assert(i >= 0 && i < vt_session_n_weights(slot->s));
	/* only read where threads share the slot */
	if (slot->device_newer || !slot->host_newer)
		vt_slot_host(slot);
	return slot->value[i];
}

void vt_slot_use(struct vt_slot *slot)
{
	if (!slot->value)
		return;
	assert(!(slot->host_newer && slot->device_newer));
	if (slot->host_newer)
		transfer(slot, true);
	slot->host_newer = false;
	slot->device_newer = true;
}

void vt_slot_move(struct vt_slot *slot, struct vt_session *to)
{
	if (!slot->value)
		return;
	bring(slot);
	/* The old session's array on the device is let go. */
	if (vt_session_remote(slot->s) && slot->s != to)
		vt_remote_put_slot(vt_session_remote(slot->s), (int)slot->name, NULL);
	slot->s = to;
	slot->host_newer = true;
}
