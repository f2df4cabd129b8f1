/* Weights on the device: f32 as the host has them, and kernels packed in the storage type, all
 * in one array. */
#include "gpu/engine/engine.h"

#include <stdlib.h>

/* Where each kernel lies in the packed array. */
static void list_kernels(struct vg_session *s)
{
	s->kernel_of = vt_xcalloc((size_t)s->g->n_weights + 1, sizeof(*s->kernel_of));
	s->kernel_host = vt_xcalloc((size_t)s->g->n_weights + 1, sizeof(*s->kernel_host));
	for (int i = 0; i < s->g->n_weights; i++) {
		const struct vt_weight_spec *w = &s->g->weight[i];
		uint32_t outer = (uint32_t)w->dims[0], inner = (uint32_t)w->dims[1],
			 lanes = VG_LANES, per = (inner + lanes - 1) / lanes, taps;

		s->kernel_of[i] = w->role == 'k' ? s->n_kernels : -1;
		if (w->role != 'k')
			continue;
		taps = (uint32_t)(w->n / outer / inner);
		s->kernel_host[s->n_kernels++] = (struct vg_filter){ .at = s->offset[i],
			.chunk = s->packed_chunks,
			.outer = outer,
			.inner = inner,
			.by_taps = vg_div_make(taps),
			.by_inner = vg_div_make(per) };
		s->packed_chunks += (outer + lanes - 1) / lanes * lanes * taps * per;
	}
}

int vg_send_kernels(struct vg_session *s, struct vt_err *err)
{
	return s->d->ops->upload(s->d, s->kernel, s->kernel_host,
		(size_t)s->n_kernels * sizeof(*s->kernel), err);
}

int vg_weights_new(struct vg_session *s, struct vt_err *err)
{
	size_t packed;
	int rc;

	s->offset = vt_xcalloc((size_t)s->g->n_weights + 1, sizeof(*s->offset));
	for (int i = 0; i < s->g->n_weights; i++) {
		s->offset[i] = s->n_scalars;
		s->n_scalars += s->g->weight[i].n;
	}
	list_kernels(s);
	packed = (size_t)s->packed_chunks * VG_LANES * vg_type_size(s->type);
	rc = vg_take(s, &s->weights, s->n_scalars * sizeof(float), err);
	if (!rc)
		rc = vg_take(s, &s->packed, packed, err);
	if (!rc)
		rc = vg_take(s, &s->kernel, (size_t)s->n_kernels * sizeof(*s->kernel), err);
	if (!rc)
		rc = vg_send_kernels(s, err);
	if (rc || !s->opts.training)
		return rc;
	rc = vg_take(s, &s->packed_grads, packed, err);
	if (!rc)
		rc = vg_take(s, &s->grads, s->n_scalars * sizeof(float), err);
	return rc ? rc : s->d->ops->clear(s->d, s->grads, s->n_scalars * sizeof(float), err);
}

void *vg_packed(const struct vg_session *s, char *all, int weight)
{
	return all +
		(size_t)s->kernel_host[s->kernel_of[weight]].chunk * VG_LANES *
		vg_type_size(s->type);
}

void vg_cast_weights(struct vg_session *s)
{
	struct vg_kernel_cast a = { s->packed, s->weights, s->kernel, s->n_kernels, s->type };

	vg_run(s, VG_K_kernel_cast, &a, s->packed_chunks);
}

void vg_unpack_gradients(struct vg_session *s, int k)
{
	struct vg_kernel_grad a = { s->grads, s->packed_grads, s->scale, s->kernel, s->n_kernels,
		k >= 0, s->type, 0 };
	uint32_t end;

	if (k < 0)
		end = 0;
	else if (k + 1 < s->n_kernels)
		end = s->kernel_host[k + 1].chunk;
	else
		end = s->packed_chunks;

	if (k < 0) {
		vg_run(s, VG_K_kernel_grad, &a, s->packed_chunks);
		return;
	}
	a.kernel += k;
	a.first = s->kernel_host[k].chunk;
	a.n = 1;
	vg_run(s, VG_K_kernel_grad, &a, end - a.first);
}

int vg_session_put_weights(void *session, const float *values, struct vt_err *err)
{
	struct vg_session *s = session;

	s->d->ops->upload(s->d, s->weights, values, s->n_scalars * sizeof(float), &s->err);
	vg_cast_weights(s);
	return vg_answer(s, err);
}

int vg_session_get_weights(void *session, float *values, struct vt_err *err)
{
	struct vg_session *s = session;

	return s->d->ops->download(s->d, values, s->weights, s->n_scalars * sizeof(float), err);
}
