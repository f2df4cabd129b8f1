/* A plugin that is wrong in one way, chosen with -DWRONG_...; without one it opens and describes
 * itself. */
#include "common/nn/backend.h"

static int open_device(void **device, const char *precision, int cards, const char *engines,
	struct vt_err *err)
{
	(void)precision;
	(void)engines;
#ifdef WRONG_DRIVER
	err->code = VT_EDEVICE;
	memcpy(err->text, "no driver", 10);
	return err->code;
#endif
	(void)err;
	(void)cards;
	*device = &open_device;
	return 0;
}

static void close_device(void *device)
{
	(void)device;
}

static void describe(void *device, struct vt_buf *json)
{
	static char text[] = "{\"card\":\"none\",\"precision\":\"bf16\"}";

	(void)device;
	json->data = strdup(text);
	json->len = sizeof(text) - 1;
}

static const struct vt_backend backend = {
#ifdef WRONG_ABI
	.abi = VT_BACKEND_ABI + 1,
#else
	.abi = VT_BACKEND_ABI,
#endif
#ifdef WRONG_LAYOUT
	.layout = VT_BACKEND_LAYOUT + 1,
#else
	.layout = VT_BACKEND_LAYOUT,
#endif
	.name = "cuda",
	.open = open_device,
	.close = close_device,
	.describe = describe,
};

#ifdef WRONG_SYMBOL
const struct vt_backend *another_plugin(void);
const struct vt_backend *another_plugin(void)
#else
const struct vt_backend *voxtrail_backend(void);
const struct vt_backend *voxtrail_backend(void)
#endif
{
#ifdef WRONG_NOTHING
	return NULL;
#endif
	return &backend;
}
