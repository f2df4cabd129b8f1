#include "gpu/cuda/cudnn_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/engine/engine_plan.h"

enum { LEAST_VERSION = 91500 };

/* --- errors and descriptors ---------------------------------------------- */

static int fail(const struct vg_cudnn *c, cudnnStatus_t status, const char *what,
	struct vt_err *err)
{
	bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
		status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
	char more[512] = "";

	c->f.cudnnGetLastErrorString(more, sizeof(more));
	return vt_err_set(err, memory ? VT_ENOMEM : VT_EDEVICE, "cuDNN: %s: %s (%d)%s%s", what,
		c->f.cudnnGetErrorString(status), (int)status, *more ? ": " : "", more);
}

int vg_cudnn_check(const struct vg_cudnn *c, cudnnStatus_t status, const char *what,
	struct vt_err *err)
{
	return status == CUDNN_STATUS_SUCCESS ? 0 : fail(c, status, what, err);
}

void vg_cudnn_destroy(const struct vg_cudnn *c, cudnnBackendDescriptor_t *d)
{
	if (*d)
		c->f.cudnnBackendDestroyDescriptor(*d);
	*d = NULL;
}

int vg_cudnn_make(const struct vg_cudnn *c, cudnnBackendDescriptor_t *out,
	cudnnBackendDescriptorType_t type, const struct vg_attribute *a, int n, const char *what,
	struct vt_err *err)
{
	int rc;

	*out = NULL;
	rc = vg_cudnn_check(c, c->f.cudnnBackendCreateDescriptor(type, out), what, err);
	for (int i = 0; !rc && i < n; i++)
		rc = vg_cudnn_check(c,
			c->f.cudnnBackendSetAttribute(*out, a[i].name, a[i].type, a[i].n,
				a[i].value),
			what, err);
	if (!rc)
		rc = vg_cudnn_check(c, c->f.cudnnBackendFinalize(*out), what, err);
	if (rc)
		vg_cudnn_destroy(c, out);
	return rc;
}

int vg_cudnn_get(const struct vg_cudnn *c, cudnnBackendDescriptor_t d,
	cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,
	int64_t *n, void *out, const char *what, struct vt_err *err)
{
	return vg_cudnn_check(c, c->f.cudnnBackendGetAttribute(d, name, type, room, n, out), what,
		err);
}

int vg_cudnn_make_many(const struct vg_cudnn *c, cudnnBackendDescriptor_t *d, int n,
	cudnnBackendDescriptorType_t type, struct vt_err *err)
{
	int rc = 0, made = 0;

	for (; !rc && made < n; made++) {
		d[made] = NULL;
		rc = vg_cudnn_check(c, c->f.cudnnBackendCreateDescriptor(type, &d[made]),
			"descriptor", err);
	}
	for (int i = 0; rc && i < made - 1; i++)
		vg_cudnn_destroy(c, &d[i]);
	return rc;
}

void vg_cudnn_destroy_many(const struct vg_cudnn *c, cudnnBackendDescriptor_t *d, int n)
{
	for (int i = 0; i < n; i++)
		vg_cudnn_destroy(c, &d[i]);
}

/* --- opening ------------------------------------------------------------- */

static int load(struct vg_cudnn *c, struct vt_err *err)
{
	c->so = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
	if (!c->so)
		c->so = dlopen("/usr/local/cuda/lib64/libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
	if (!c->so)
		return vt_err_set(err, VT_EDEVICE,
			"cuDNN is missing: %s; install cuDNN 9.15 or newer, or put its "
			"folder on LD_LIBRARY_PATH",
			dlerror());
#define FIND(name)                                                                                 \
	{                                                                                          \
		void *symbol = dlsym(c->so, #name);                                                \
		if (!symbol)                                                                       \
			return vt_err_set(err, VT_EDEVICE,                                         \
				"libcudnn.so.9 has no %s; install cuDNN 9.15 or newer", #name);    \
		memcpy(&c->f.name, &symbol, sizeof(symbol));                                       \
	}
	VG_CUDNN_FUNCTIONS(FIND)
	if (c->f.cudnnGetVersion() < LEAST_VERSION)
		return vt_err_set(err, VT_EDEVICE,
			"cuDNN %zu is older than 9.15, whose 3-D convolutions are the first "
			"without wrong bf16 results",
			c->f.cudnnGetVersion());
	return 0;
}

static int set_properties(struct vg_cudnn *c, const char *json, struct vt_err *err)
{
	int32_t device = 0;
	struct vg_attribute a = { CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &device };

	if (json)
		a = (struct vg_attribute){ CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
			CUDNN_TYPE_CHAR, (int64_t)strlen(json), json };
	return vg_cudnn_make(c, &c->properties, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &a, 1,
		"device properties", err);
}

int vg_cudnn_open(struct vg_cudnn **out, const char *properties, const char *engines,
	struct vt_err *err)
{
	struct vg_cudnn *c = vt_xcalloc(1, sizeof(*c));
	struct vt_buf text = VT_BUF_INIT;
	int rc = load(c, err);

	c->chosen = vt_json_new(VT_JSON_OBJECT);
	if (!rc && !properties)
		rc = vg_cudnn_check(c, c->f.cudnnCreate(&c->handle), "cudnnCreate", err);
	if (!rc)
		rc = set_properties(c, properties, err);
	if (!rc && !properties)
		rc = vg_cudnn_properties(c, &text, err);
	if (!rc)
		c->card = vg_plan_card(properties ? properties : text.data);
	if (!rc)
		rc = vg_plan_read(&c->replay, &c->runs, engines, c->card, c->f.cudnnGetVersion(),
			err);
	c->wanted = vt_json_get(c->replay, "convolutions");
	vt_buf_release(&text);
	if (rc)
		vg_cudnn_close(c);
	else
		*out = c;
	return rc;
}

void vg_cudnn_close(struct vg_cudnn *c)
{
	if (!c)
		return;
	if (c->properties)
		vg_cudnn_destroy(c, &c->properties);
	if (c->handle)
		c->f.cudnnDestroy(c->handle);
	vt_json_free(c->replay);
	vt_json_free(c->chosen);
	free(c->card);
	/* the library stays loaded: its own threads and exit handlers live in it */
	free(c);
}

size_t vg_cudnn_version(const struct vg_cudnn *c)
{
	return c->f.cudnnGetVersion();
}

int vg_cudnn_stream(struct vg_cudnn *c, void *stream, struct vt_err *err)
{
	return vg_cudnn_check(c, c->f.cudnnSetStream(c->handle, stream), "cudnnSetStream", err);
}

void vg_cudnn_follow(struct vg_cudnn *c, const struct vg_cudnn *first)
{
	c->first = first;
}

int vg_cudnn_tune(struct vg_cudnn *c, vg_cudnn_timer timer, void *context)
{
	c->timer = timer;
	c->timer_context = context;
	return c->runs;
}

int vg_cudnn_properties(struct vg_cudnn *c, struct vt_buf *json, struct vt_err *err)
{
	enum { ROOM = 1 << 16 };
	int64_t n = 0;
	int rc;

	vt_buf_reserve(json, ROOM + 1);
	rc = vg_cudnn_check(c,
		c->f.cudnnBackendGetAttribute(c->properties,
			CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, ROOM, &n,
			json->data),
		"device properties as JSON", err);
	if (!rc) {
		json->data[n < ROOM ? n : ROOM] = '\0';
		json->len = strlen(json->data);
	}
	return rc;
}

struct vt_json *vg_cudnn_engines(const struct vg_cudnn *c)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "cudnn", (int64_t)c->f.cudnnGetVersion());
	vt_json_put_text(j, "card", c->card ? c->card : "");
	vt_json_put(j, "convolutions", vt_json_copy(c->chosen));
	return j;
}
