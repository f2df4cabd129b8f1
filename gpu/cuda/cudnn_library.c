#include "gpu/cuda/cudnn_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/engine/engine_plan.h"

enum { LEAST_VERSION = 91500 };

/* --- errors and descriptors ---------------------------------------------- */
static int fail(const struct vg_cudnn *cudnn, cudnnStatus_t status, const char *what,
	struct vt_err *err)
{
	bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
		status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
	char more[512] = "";

	cudnn->f.cudnnGetLastErrorString(more, sizeof(more));
	return vt_err_set(err, memory ? VT_ENOMEM : VT_EDEVICE, "cuDNN: %s: %s (%d)%s%s", what,
		cudnn->f.cudnnGetErrorString(status), (int)status, *more ? ": " : "", more);
}

int vg_cudnn_check(const struct vg_cudnn *cudnn, cudnnStatus_t status, const char *what,
	struct vt_err *err)
{
	return status == CUDNN_STATUS_SUCCESS ? 0 : fail(cudnn, status, what, err);
}

void vg_cudnn_destroy(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *d)
{
	if (*d)
		cudnn->f.cudnnBackendDestroyDescriptor(*d);
	*d = NULL;
}

int vg_cudnn_make(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *out,
	cudnnBackendDescriptorType_t type, const struct vg_attribute *attribute, int n,
	const char *what, struct vt_err *err)
{
	int rc;

	*out = NULL;
	rc = vg_cudnn_check(cudnn, cudnn->f.cudnnBackendCreateDescriptor(type, out), what, err);
	for (int i = 0; !rc && i < n; i++)
		rc = vg_cudnn_check(cudnn,
			cudnn->f.cudnnBackendSetAttribute(*out, attribute[i].name,
				attribute[i].type, attribute[i].n, attribute[i].value),
			what, err);
	if (!rc)
		rc = vg_cudnn_check(cudnn, cudnn->f.cudnnBackendFinalize(*out), what, err);
	if (rc)
		vg_cudnn_destroy(cudnn, out);
	return rc;
}

int vg_cudnn_get(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t d,
	cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,
	int64_t *n, void *out, const char *what, struct vt_err *err)
{
	return vg_cudnn_check(cudnn, cudnn->f.cudnnBackendGetAttribute(d, name, type, room, n, out),
		what, err);
}

int vg_cudnn_make_many(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *d, int n,
	cudnnBackendDescriptorType_t type, struct vt_err *err)
{
	int rc = 0, made = 0;

	for (; !rc && made < n; made++) {
		d[made] = NULL;
		rc = vg_cudnn_check(cudnn, cudnn->f.cudnnBackendCreateDescriptor(type, &d[made]),
			"descriptor", err);
	}
	for (int i = 0; rc && i < made - 1; i++)
		vg_cudnn_destroy(cudnn, &d[i]);
	return rc;
}

void vg_cudnn_destroy_many(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *d, int n)
{
	for (int i = 0; i < n; i++)
		vg_cudnn_destroy(cudnn, &d[i]);
}

/* --- opening ------------------------------------------------------------- */
static int load(struct vg_cudnn *cudnn, struct vt_err *err)
{
	cudnn->so = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
	if (!cudnn->so)
		/* where the toolkit's own installer puts it */
		cudnn->so = dlopen("/usr/local/cuda/lib64/libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
	if (!cudnn->so)
		return vt_err_set(err, VT_EDEVICE,
			"cuDNN is missing: %s; install cuDNN 9.15 or newer, or put its "
			"folder on LD_LIBRARY_PATH",
			dlerror());
/* The macro returns from load(): it is used here alone. */
#define FIND(name)                                                                                 \
	{                                                                                          \
		void *symbol = dlsym(cudnn->so, #name);                                            \
		if (!symbol)                                                                       \
			return vt_err_set(err, VT_EDEVICE,                                         \
				"libcudnn.so.9 has no %s; install cuDNN 9.15 or newer", #name);    \
		memcpy(&cudnn->f.name, &symbol, sizeof(symbol));                                   \
	}
	VG_CUDNN_FUNCTIONS(FIND)
	if (cudnn->f.cudnnGetVersion() < LEAST_VERSION)
		return vt_err_set(err, VT_EDEVICE,
			"cuDNN %zu is older than 9.15, whose 3-D convolutions are the first "
			"without wrong bf16 results",
			cudnn->f.cudnnGetVersion());
	return 0;
}

static int set_properties(struct vg_cudnn *cudnn, const char *json, struct vt_err *err)
{
	/* device 0 of this process, unless properties are given (tests without a GPU) */
	int32_t device = 0;
	struct vg_attribute a = { CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &device };

	if (json)
		a = (struct vg_attribute){ CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
			CUDNN_TYPE_CHAR, (int64_t)strlen(json), json };
	return vg_cudnn_make(cudnn, &cudnn->properties, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &a, 1,
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
	/* NULL where there is no plan: then nothing is found in it. */
	c->wanted = vt_json_get(c->replay, "convolutions");
	vt_buf_release(&text);
	if (rc)
		vg_cudnn_close(c);
	else
		*out = c;
	return rc;
}

void vg_cudnn_close(struct vg_cudnn *cudnn)
{
	if (!cudnn)
		return;
	if (cudnn->properties)
		vg_cudnn_destroy(cudnn, &cudnn->properties);
	if (cudnn->handle)
		cudnn->f.cudnnDestroy(cudnn->handle);
	vt_json_free(cudnn->replay);
	vt_json_free(cudnn->chosen);
	free(cudnn->card);
	/* the library stays loaded: its own threads and exit handlers live in it */
	free(cudnn);
}

size_t vg_cudnn_version(const struct vg_cudnn *cudnn)
{
	return cudnn->f.cudnnGetVersion();
}

int vg_cudnn_stream(struct vg_cudnn *cudnn, void *stream, struct vt_err *err)
{
	return vg_cudnn_check(cudnn, cudnn->f.cudnnSetStream(cudnn->handle, stream),
		"cudnnSetStream", err);
}

void vg_cudnn_follow(struct vg_cudnn *cudnn, const struct vg_cudnn *first)
{
	cudnn->first = first;
}

int vg_cudnn_tune(struct vg_cudnn *cudnn, vg_cudnn_timer timer, void *context)
{
	cudnn->timer = timer;
	cudnn->timer_context = context;
	return cudnn->runs;
}

int vg_cudnn_properties(struct vg_cudnn *cudnn, struct vt_buf *json, struct vt_err *err)
{
	enum { ROOM = 1 << 16 };
	int64_t n = 0;
	int rc;

	vt_buf_reserve(json, ROOM + 1);
	rc = vg_cudnn_check(cudnn,
		cudnn->f.cudnnBackendGetAttribute(cudnn->properties,
			CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, ROOM, &n,
			json->data),
		"device properties as JSON", err);
	if (!rc) {
		json->data[n < ROOM ? n : ROOM] = '\0';
		json->len = strlen(json->data);
	}
	return rc;
}

struct vt_json *vg_cudnn_engines(const struct vg_cudnn *cudnn)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "cudnn", (int64_t)cudnn->f.cudnnGetVersion());
	vt_json_put_text(j, "card", cudnn->card ? cudnn->card : "");
	vt_json_put(j, "convolutions", vt_json_copy(cudnn->chosen));
	return j;
}
