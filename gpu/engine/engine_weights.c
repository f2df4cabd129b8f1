/* Weights on the device: f32 as the host has them, and kernels packed in the storage type, all
 * in one array. */
#include "gpu/engine/engine.h"

#include <stdlib.h>

/* Where each kernel lies in the packed array. */
static void list_kernels(struct vg_session *session)
{
	session->kernel_of =
		vt_xcalloc((size_t)session->g->n_weights + 1, sizeof(*session->kernel_of));
	session->kernel_host =
		vt_xcalloc((size_t)session->g->n_weights + 1, sizeof(*session->kernel_host));
	for (int i = 0; i < session->g->n_weights; i++) {
		const struct vt_weight_spec *w = &session->g->weight[i];
		/* [outer, padded to lanes][tap][inner in chunks of lanes] */
		uint32_t outer = (uint32_t)w->dims[0], inner = (uint32_t)w->dims[1],
			 lanes = VG_LANES, per = (inner + lanes - 1) / lanes, taps;

		session->kernel_of[i] = w->role == 'k' ? session->n_kernels : -1;
		if (w->role != 'k')
			continue;
		taps = (uint32_t)(w->n / outer / inner);
		session->kernel_host[session->n_kernels++] =
			(struct vg_filter){ .at = session->offset[i],
				.chunk = session->packed_chunks,
				.outer = outer,
				.inner = inner,
				.by_taps = vg_div_make(taps),
				.by_inner = vg_div_make(per) };
		session->packed_chunks += (outer + lanes - 1) / lanes * lanes * taps * per;
	}
}

int vg_send_kernels(struct vg_session *session, struct vt_err *err)
{
	return session->d->ops->upload(session->d, session->kernel, session->kernel_host,
		(size_t)session->n_kernels * sizeof(*session->kernel), err);
}

int vg_weights_new(struct vg_session *session, struct vt_err *err)
{
	size_t packed;
	int rc;

	session->offset = vt_xcalloc((size_t)session->g->n_weights + 1, sizeof(*session->offset));
	for (int i = 0; i < session->g->n_weights; i++) {
		session->offset[i] = session->n_scalars;
		session->n_scalars += session->g->weight[i].n;
	}
	list_kernels(session);
	packed = (size_t)session->packed_chunks * VG_LANES * vg_type_size(session->type);
	rc = vg_alloc(session, &session->weights, session->n_scalars * sizeof(float), err);
	if (!rc)
		rc = vg_alloc(session, &session->packed, packed, err);
	if (!rc)
		rc = vg_alloc(session, &session->kernel,
			(size_t)session->n_kernels * sizeof(*session->kernel), err);
	if (!rc)
		rc = vg_send_kernels(session, err);
	if (rc || !session->opts.training)
		return rc;
	rc = vg_alloc(session, &session->packed_grads, packed, err);
	if (!rc)
		rc = vg_alloc(session, &session->grads, session->n_scalars * sizeof(float), err);
	return rc ? rc
		  : session->d->ops->clear(session->d, session->grads,
			    session->n_scalars * sizeof(float), err);
}

void *vg_packed(const struct vg_session *session, char *all, int weight)
{
	return all +
		(size_t)session->kernel_host[session->kernel_of[weight]].chunk * VG_LANES *
		vg_type_size(session->type);
}

void vg_cast_weights(struct vg_session *session)
{
	struct vg_kernel_cast a = { session->packed, session->weights, session->kernel,
		session->n_kernels, session->type };

	vg_run(session, VG_K_kernel_cast, &a, session->packed_chunks);
}

void vg_unpack_gradients(struct vg_session *session, int k)
{
	struct vg_kernel_grad a = { session->grads, session->packed_grads, session->scale,
		session->kernel, session->n_kernels, k >= 0, session->type, 0 };
	uint32_t end;

	/* where the next kernel's chunks begin */
	if (k < 0)
		end = 0;
	else if (k + 1 < session->n_kernels)
		end = session->kernel_host[k + 1].chunk;
	else
		end = session->packed_chunks;

	if (k < 0) {
		vg_run(session, VG_K_kernel_grad, &a, session->packed_chunks);
		return;
	}
	a.kernel += k;
	a.first = session->kernel_host[k].chunk;
	a.n = 1;
	vg_run(session, VG_K_kernel_grad, &a, end - a.first);
}

int vg_session_put_weights(void *session, const float *values, struct vt_err *err)
{
	struct vg_session *s = session;

	s->d->ops->upload(s->d, s->weights, values, s->n_scalars * sizeof(float), &s->err);
	vg_cast_weights(s);
	return vg_status(s, err);
}

int vg_session_get_weights(void *session, float *values, struct vt_err *err)
{
	struct vg_session *s = session;

	return s->d->ops->download(s->d, values, s->weights, s->n_scalars * sizeof(float), err);
}
