#include "common/nn/average.h"

#include <string.h>

#include "common/nn/backend.h"

void vt_average_init(struct vt_average *a, struct vt_session *s, double decay)
{
	*a = (struct vt_average){ .decay = decay };
	vt_slot_init(&a->mean, s, VT_SLOT_MEAN, false);
}

void vt_average_release(struct vt_average *a)
{
	vt_slot_release(&a->mean);
}

void vt_average_add(struct vt_average *a)
{
	double share = a->decay > 0 && a->n ? 1 - a->decay : 1 / (double)(a->n + 1);
	struct vt_remote *r = vt_session_remote(a->mean.s);

	a->n++;
	if (r) {
		vt_slot_use(&a->mean);
		vt_remote_average(r, share);
		return;
	}
	for (int i = 0; i < vt_session_n_weights(a->mean.s); i++) {
		const struct vt_weight *w = vt_session_weight(a->mean.s, i);
		float *mean = vt_slot_array(&a->mean, i);

		for (size_t k = 0; k < w->n; k++)
			mean[k] = (float)((double)mean[k] +
				share * ((double)w->value[k] - (double)mean[k]));
	}
}

void vt_average_copy(struct vt_session *to, struct vt_average *a)
{
	for (int i = 0; i < vt_session_n_weights(to); i++) {
		const float *from =
			a->n ? vt_slot_array(&a->mean, i) : vt_session_weight(a->mean.s, i)->value;

		memcpy(vt_session_weight(to, i)->value, from,
			vt_session_size(to, i) * sizeof(float));
	}
}
