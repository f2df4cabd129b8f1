#include "common/nn/average.h"

#include <stdlib.h>
#include <string.h>

void vt_average_init(struct vt_average *a, struct vt_session *s, double decay)
{
	int n = vt_session_n_weights(s);

	*a = (struct vt_average){ .s = s, .decay = decay, .value = vt_xcalloc((size_t)n, sizeof(*a->value)) };
	for (int i = 0; i < n; i++)
		a->value[i] = vt_xcalloc(vt_session_weight(s, i)->n, sizeof(float));
}

void vt_average_release(struct vt_average *a)
{
	for (int i = 0; a->value && i < vt_session_n_weights(a->s); i++)
		free(a->value[i]);
	free(a->value);
	*a = (struct vt_average){ .value = NULL };
}

void vt_average_add(struct vt_average *a)
{
	double share = a->n == 0 ? 1 : a->decay > 0 ? 1 - a->decay : 1 / (double)(a->n + 1);

	for (int i = 0; i < vt_session_n_weights(a->s); i++) {
		const struct vt_weight *w = vt_session_weight(a->s, i);

		for (size_t k = 0; k < w->n; k++)
			a->value[i][k] = (float)((double)a->value[i][k] + share *
				((double)w->value[k] - (double)a->value[i][k]));
	}
	a->n++;
}

void vt_average_copy(struct vt_session *to, const struct vt_average *a)
{
	for (int i = 0; i < vt_session_n_weights(a->s); i++) {
		const struct vt_weight *w = vt_session_weight(a->s, i);

		memcpy(vt_session_weight(to, i)->value, a->n ? a->value[i] : w->value, w->n * sizeof(float));
	}
}
