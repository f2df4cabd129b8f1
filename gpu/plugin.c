/* The plugin's table.  Which device it opens is decided at link time: cuda.c, or emulate.c for the tests. */
#include <stdlib.h>

#include "gpu/engine.h"
#include "gpu/plugin.h"

static int open_engine(void **out, const char *profile, const char *engines, struct vt_err *err)
{
	struct vg_engine *e = vt_xcalloc(1, sizeof(*e));
	int rc = vg_profile_find(&e->profile, profile, err);

	if (!rc)
		rc = vg_device_open(&e->device, engines, err);
	if (rc)
		free(e);
	else
		*out = e;
	return rc;
}

static void close_engine(void *engine)
{
	struct vg_engine *e = engine;

	e->device->ops->close(e->device);
	free(e);
}

static void describe(void *engine, struct vt_buf *json)
{
	struct vg_engine *e = engine;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "profile", e->profile.name);
	e->device->ops->describe(e->device, j);
	vt_json_compact(json, j);
	vt_json_free(j);
}

const struct vt_backend *voxtrail_backend(void)
{
	static const struct vt_backend backend = {
		.abi = VT_BACKEND_ABI, .layout = VT_BACKEND_LAYOUT, .name = "cuda", .open = open_engine, .close = close_engine, .describe = describe,
		.session_new = vg_session_new, .session_free = vg_session_free, .put_weights = vg_session_put_weights, .get_weights = vg_session_get_weights,
		.set_input = vg_session_set_input, .forward = vg_session_forward, .get_output = vg_session_get_output, .backward = vg_session_backward,
		.get_grads = vg_session_get_grads, .put_grads = vg_session_put_grads, .loss = vg_session_loss, .keep = vg_session_keep, .draw = vg_session_draw,
		.rates = vg_session_rates, .norm = vg_session_norm, .accumulate = vg_session_accumulate, .curvature = vg_session_curvature,
		.update = vg_session_update, .average = vg_session_average, .put_slot = vg_session_put_slot, .get_slot = vg_session_get_slot,
		.volume_new = vg_volume_new, .volume_add = vg_volume_add, .volume_answer = vg_volume_answer, .volume_values = vg_volume_values,
		.volume_free = vg_volume_free,
	};

	return &backend;
}
