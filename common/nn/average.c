#include "common/nn/average.h"

#include <string.h>

#include "common/nn/backend.h"

void vt_average_init(struct vt_average *average, struct vt_session *session, double decay)
{
	*average = (struct vt_average){ .decay = decay };
	vt_slot_init(&average->mean, session, VT_SLOT_MEAN, false);
}

void vt_average_release(struct vt_average *average)
{
	vt_slot_release(&average->mean);
}

void vt_average_add(struct vt_average *average)
{
	/* the mean of all so far, or an exponential one after the first */
	double share = average->decay > 0 && average->n ? 1 - average->decay
							: 1 / (double)(average->n + 1);
	struct vt_remote *r = vt_session_remote(average->mean.s);

	average->n++;
	if (r) {
		vt_slot_use(&average->mean);
		vt_remote_average(r, share);
		return;
	}
	for (int i = 0; i < vt_session_n_weights(average->mean.s); i++) {
		const struct vt_weight *w = vt_session_weight(average->mean.s, i);
		float *mean = vt_slot_array(&average->mean, i);

		for (size_t k = 0; k < w->n; k++)
			mean[k] = (float)((double)mean[k] +
				share * ((double)w->value[k] - (double)mean[k]));
	}
}

void vt_average_copy(struct vt_session *to, struct vt_average *average)
{
	for (int i = 0; i < vt_session_n_weights(to); i++) {
		const float *from = average->n ? vt_slot_array(&average->mean, i)
					       : vt_session_weight(average->mean.s, i)->value;

		memcpy(vt_session_weight(to, i)->value, from,
			vt_session_size(to, i) * sizeof(float));
	}
}
