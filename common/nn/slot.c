#include "common/nn/slot.h"

#include <stdlib.h>
#include <string.h>

#include "common/nn/backend.h"

void vt_slot_init(struct vt_slot *a, struct vt_session *s, enum vt_slot_name name,
	bool trained_only)
{
	int n = vt_session_n_weights(s);

	*a = (struct vt_slot){ .s = s,
		.name = name,
		.value = vt_xcalloc((size_t)n, sizeof(*a->value)) };
	for (int i = 0; i < n; i++)
		if (!trained_only || vt_session_trains(s, i))
			a->value[i] = vt_xcalloc(vt_session_size(s, i), sizeof(float));
}

void vt_slot_release(struct vt_slot *a)
{
	for (int i = 0; a->value && i < vt_session_n_weights(a->s); i++)
		free(a->value[i]);
	free(a->value);
	*a = (struct vt_slot){ .value = NULL };
}

/* All arrays to or from the device's one, zeros where a weight has none. */
static void transfer(struct vt_slot *a, bool to_device)
{
	size_t total = 0;
	float *flat, *at;

	for (int i = 0; i < vt_session_n_weights(a->s); i++)
		total += vt_session_size(a->s, i);
	flat = at = vt_xcalloc(total, sizeof(*flat));
	if (!to_device)
		vt_remote_get_slot(vt_session_remote(a->s), (int)a->name, flat);
	for (int i = 0; i < vt_session_n_weights(a->s); i++) {
		size_t n = vt_session_size(a->s, i);

		if (a->value[i])
			memcpy(to_device ? at : a->value[i], to_device ? a->value[i] : at,
				n * sizeof(*flat));
		at += n;
	}
	if (to_device)
		vt_remote_put_slot(vt_session_remote(a->s), (int)a->name, flat);
	free(flat);
}

static void bring(struct vt_slot *a)
{
	if (a->device_newer)
		transfer(a, false);
	a->device_newer = false;
}

float *vt_slot_array(struct vt_slot *a, int i)
{
	if (!a->value)
		return NULL;
	bring(a);
	a->host_newer = true;
	return a->value[i];
}

void vt_slot_use(struct vt_slot *a)
{
	if (!a->value)
		return;
	if (a->host_newer)
		transfer(a, true);
	a->host_newer = false;
	a->device_newer = true;
}

void vt_slot_move(struct vt_slot *a, struct vt_session *to)
{
	if (!a->value)
		return;
	bring(a);
	if (vt_session_remote(a->s) && a->s != to)
		vt_remote_put_slot(vt_session_remote(a->s), (int)a->name, NULL);
	a->s = to;
	a->host_newer = true;
}
