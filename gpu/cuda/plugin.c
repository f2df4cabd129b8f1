/* The plugin's table.  Which device it opens is decided at link time: cuda.c, or emulate.c for
 * the tests. */
#include <stdlib.h>

#include "gpu/engine/group.h"
#include "gpu/engine/plugin.h"

static void close_engine(void *engine)
{
	struct vg_engine *e = engine;

	vg_team_close(e->team);
	e->device->ops->close(e->device);
	free(e);
}

static int open_engine(void **out, const char *precision, int cards, const char *engines,
	struct vt_err *err)
{
	struct vg_engine *e = vt_xcalloc(1, sizeof(*e));
	/* 0 means one. */
	int n = cards < 1 ? 1 : cards, rc = vg_precision_find(&e->precision, precision, err);

	if (!rc && n > VG_MOST_CARDS)
		rc = vt_err_set(err, VT_EUSAGE,
			"%d GPUs were asked for; at most %d can share a batch", n, VG_MOST_CARDS);
	if (!rc)
		rc = vg_device_open(&e->device, 0, n, engines, err);
	if (rc) {
		free(e);
		return rc;
	}
	if (n > 1)
		rc = vg_team_open(&e->team, e->device, n, engines, err);
	if (rc)
		close_engine(e);
	else
		*out = e;
	return rc;
}

static void describe(void *engine, struct vt_buf *json)
{
	struct vg_engine *e = engine;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "precision", e->precision.name);
	e->device->ops->describe(e->device, j);
	if (e->team)
		vg_team_describe(e->team, j);
	vt_json_compact(json, j);
	vt_json_free(j);
}

const struct vt_backend *voxtrail_backend(void)
{
	static const struct vt_backend backend = {
		.abi = VT_BACKEND_ABI,
		.layout = VT_BACKEND_LAYOUT,
		.name = "cuda",
		.open = open_engine,
		.close = close_engine,
		.describe = describe,
		.session_new = vg_group_session_new,
		.session_free = vg_group_session_free,
		.put_weights = vg_group_put_weights,
		.get_weights = vg_group_get_weights,
		.set_input = vg_group_set_input,
		.forward = vg_group_forward,
		.get_output = vg_group_get_output,
		.backward = vg_group_backward,
		.get_grads = vg_session_get_grads,
		.put_grads = vg_group_put_grads,
		.set_target = vg_group_set_target,
		.loss = vg_group_loss,
		.square = vg_group_square,
		.keep = vg_group_keep,
		.draw = vg_group_draw,
		.rates = vg_group_rates,
		.norm = vg_session_norm,
		.accumulate = vg_group_accumulate,
		.curvature = vg_group_curvature,
		.update = vg_group_update,
		.average = vg_group_average,
		.put_slot = vg_group_put_slot,
		.get_slot = vg_group_get_slot,
		.volume_new = vg_volume_new,
		.volume_add = vg_volume_add,
		.volume_answer = vg_volume_answer,
		.volume_values = vg_volume_values,
		.volume_free = vg_volume_free,
	};

	return &backend;
}
