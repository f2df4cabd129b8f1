/* Descriptors of cuDNN's backend API: what may be set on which, and in what state.  With
 * VOXTRAIL_MOCK_CUDNN every descriptor is made by the real library as well, for the GPU of the
 * property file, and its refusals are passed on. */
#include "tests/gpu/mock/cudnn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cudnnContext {
	struct mock_thing thing;
	cudaStream_t stream;
};

#define OPERAND(kind, name)                                                                        \
	{                                                                                          \
		CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR,                           \
			CUDNN_ATTR_OPERATION_CONVOLUTION_##name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, \
			1                                                                          \
	}
#define FACTOR(kind, name)                                                                         \
	{                                                                                          \
		CUDNN_BACKEND_OPERATION_CONVOLUTION_##kind##_DESCRIPTOR,                           \
			CUDNN_ATTR_OPERATION_CONVOLUTION_##name, CUDNN_TYPE_FLOAT, 1, 0            \
	}

/* What each descriptor takes; n: elements, 0 for one or more; must: without it, it is not
 * finalized. */
static const struct rule {
	cudnnBackendDescriptorType_t of;
	cudnnBackendAttributeName_t name;
	cudnnBackendAttributeType_t type;
	int n, must;
} rules[] = {
	{ CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, 1 },
	{ CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1,
		1 },
	{ CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1,
		1 },
	{ CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 0, 1 },
	{ CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 0, 1 },
	{ CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS,
		CUDNN_TYPE_INT64, 1, 1 },
	{ CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_COMP_TYPE,
		CUDNN_TYPE_DATA_TYPE, 1, 1 },
	{ CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_CONV_MODE,
		CUDNN_TYPE_CONVOLUTION_MODE, 1, 1 },
	{ CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS,
		CUDNN_TYPE_INT64, 3, 1 },
	{ CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
		CUDNN_TYPE_INT64, 3, 1 },
	{ CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES,
		CUDNN_TYPE_INT64, 3, 1 },
	{ CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64,
		3, 1 },
	OPERAND(FORWARD, FORWARD_X),
	OPERAND(FORWARD, FORWARD_W),
	OPERAND(FORWARD, FORWARD_Y),
	OPERAND(FORWARD, FORWARD_CONV_DESC),
	FACTOR(FORWARD, FORWARD_ALPHA),
	FACTOR(FORWARD, FORWARD_BETA),
	OPERAND(BACKWARD_DATA, BWD_DATA_DX),
	OPERAND(BACKWARD_DATA, BWD_DATA_W),
	OPERAND(BACKWARD_DATA, BWD_DATA_DY),
	OPERAND(BACKWARD_DATA, BWD_DATA_CONV_DESC),
	FACTOR(BACKWARD_DATA, BWD_DATA_ALPHA),
	FACTOR(BACKWARD_DATA, BWD_DATA_BETA),
	OPERAND(BACKWARD_FILTER, BWD_FILTER_X),
	OPERAND(BACKWARD_FILTER, BWD_FILTER_DW),
	OPERAND(BACKWARD_FILTER, BWD_FILTER_DY),
	OPERAND(BACKWARD_FILTER, BWD_FILTER_CONV_DESC),
	FACTOR(BACKWARD_FILTER, BWD_FILTER_ALPHA),
	FACTOR(BACKWARD_FILTER, BWD_FILTER_BETA),
	{ CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
		1 },
	{ CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_OPERATION_GRAPH,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, 1 },
	{ CUDNN_BACKEND_ENGINE_DESCRIPTOR, CUDNN_ATTR_ENGINE_DEVICEPROP,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_ENGINE,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, 0 },
	{ CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
		CUDNN_TYPE_KNOB_TYPE, 1, 1 },
	{ CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64,
		1, 1 },
	{ CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1 },
	{ CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
		CUDNN_TYPE_INT64, 0, 1 },
	{ CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
		CUDNN_TYPE_VOID_PTR, 0, 1 },
	{ CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
		CUDNN_TYPE_VOID_PTR, 1, 0 },
	{ CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1,
		0 },
	{ CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
		CUDNN_TYPE_CHAR, 0, 0 },
};

/* --- the real library ---------------------------------------------------- */

static struct {
	bool tried;
	__typeof__(&cudnnBackendCreateDescriptor) create;
	__typeof__(&cudnnBackendDestroyDescriptor) destroy;
	__typeof__(&cudnnBackendSetAttribute) set;
	__typeof__(&cudnnBackendGetAttribute) get;
	__typeof__(&cudnnBackendFinalize) finalize;
} real;

static bool with_real(void)
{
	const char *path = getenv("VOXTRAIL_MOCK_CUDNN");
	void *so;

	if (real.tried || !path)
		return real.create != NULL;
	real.tried = true;
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		mock_die("%s", dlerror());
	*(void **)&real.create = dlsym(so, "cudnnBackendCreateDescriptor");
	*(void **)&real.destroy = dlsym(so, "cudnnBackendDestroyDescriptor");
	*(void **)&real.set = dlsym(so, "cudnnBackendSetAttribute");
	*(void **)&real.get = dlsym(so, "cudnnBackendGetAttribute");
	*(void **)&real.finalize = dlsym(so, "cudnnBackendFinalize");
	return true;
}

/* --- reading descriptors ------------------------------------------------- */

struct mock_descriptor *mock_descriptor(const void *p, cudnnBackendDescriptorType_t type)
{
	struct mock_descriptor *d = mock_use(p, MOCK_DESCRIPTOR);

	if (d->type != type)
		mock_die("cuDNN: a descriptor of type %d stands where one of type %d belongs",
			(int)d->type, (int)type);
	return d;
}

const struct mock_value *mock_get(const struct mock_descriptor *d, cudnnBackendAttributeName_t name)
{
	for (int i = 0; i < d->n; i++)
		if (d->value[i].name == name)
			return &d->value[i];
	return NULL;
}

struct mock_descriptor *mock_child(const struct mock_descriptor *d,
	cudnnBackendAttributeName_t name, int i)
{
	const struct mock_value *v = mock_get(d, name);

	return v && i < v->n ? mock_use(v->u.p[i], MOCK_DESCRIPTOR) : NULL;
}

int64_t mock_integer(const struct mock_descriptor *d, cudnnBackendAttributeName_t name, int i)
{
	const struct mock_value *v = mock_get(d, name);

	return v ? v->u.i[i] : -1;
}

const struct mock_descriptor *mock_operation(const struct mock_descriptor *d)
{
	if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
		d = mock_child(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
	if (d->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR &&
		mock_get(d, CUDNN_ATTR_ENGINECFG_ENGINE))
		d = mock_child(d, CUDNN_ATTR_ENGINECFG_ENGINE, 0);
	if (d->type == CUDNN_BACKEND_ENGINE_DESCRIPTOR &&
		mock_get(d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH))
		d = mock_child(d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, 0);
	else if (d->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR ||
		d->type == CUDNN_BACKEND_ENGINE_DESCRIPTOR)
		d = d->graph;
	return mock_child(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, 0);
}

/* --- making them --------------------------------------------------------- */

static cudnnStatus_t leave(cudnnStatus_t status)
{
	mock_leave_cudnn();
	return status;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
	cudnnBackendDescriptor_t *out)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnBackendCreateDescriptor");
	struct mock_descriptor *d;

	if (status)
		return leave(status);
	d = mock_new(MOCK_DESCRIPTOR, sizeof(*d));
	d->type = type;
	if (with_real())
		status = real.create(type, &d->real);
	*out = d;
	return leave(status);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t p)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnBackendDestroyDescriptor");
	struct mock_descriptor *d = mock_use(p, MOCK_DESCRIPTOR);

	if (d->users)
		mock_die("cuDNN: a descriptor of type %d is destroyed while another has it as an "
			 "attribute",
			(int)d->type);
	for (int i = 0; i < d->n; i++) {
		for (int64_t k = 0;
			d->value[i].type == CUDNN_TYPE_BACKEND_DESCRIPTOR && k < d->value[i].n; k++)
			((struct mock_descriptor *)d->value[i].u.p[k])->users--;
		free(d->value[i].text);
	}
	if (d->real)
		real.destroy(d->real);
	mock_end(&d->thing);
	return leave(status);
}

static const struct rule *rule_of(cudnnBackendDescriptorType_t of, cudnnBackendAttributeName_t name)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].of == of && rules[i].name == name)
			return &rules[i];
	return NULL;
}

static void keep(struct mock_value *v, const void *from)
{
	static const size_t sizes[] = { [CUDNN_TYPE_INT64] = 8,
		[CUDNN_TYPE_FLOAT] = 4,
		[CUDNN_TYPE_VOID_PTR] = 8,
		[CUDNN_TYPE_BACKEND_DESCRIPTOR] = 8 };
	size_t size =
		v->type < sizeof(sizes) / sizeof(sizes[0]) && sizes[v->type] ? sizes[v->type] : 4;

	if (v->type == CUDNN_TYPE_CHAR) {
		v->text = strndup(from, (size_t)v->n);
		return;
	}
	if (v->n < 0 || (size_t)v->n * size > sizeof(v->u))
		mock_die("cuDNN: attribute %d has %lld elements", (int)v->name, (long long)v->n);
	memcpy(&v->u, from, (size_t)v->n * size);
	for (int64_t k = 0; v->type == CUDNN_TYPE_BACKEND_DESCRIPTOR && k < v->n; k++) {
		struct mock_descriptor *child = mock_use(v->u.p[k], MOCK_DESCRIPTOR);

		if (!child->final)
			mock_die("cuDNN: attribute %d is a descriptor that is not finalized",
				(int)v->name);
		child->users++;
	}
}

static cudnnStatus_t set_real(struct mock_descriptor *d, const struct mock_value *v,
	const void *from)
{
	cudnnBackendDescriptor_t child[64];

	if (v->name == CUDNN_ATTR_DEVICEPROP_DEVICE_ID)
		return real.set(d->real, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
			(int64_t)strlen(mock_card_json()), mock_card_json());
	for (int64_t k = 0; v->type == CUDNN_TYPE_BACKEND_DESCRIPTOR && k < v->n; k++)
		child[k] = ((struct mock_descriptor *)v->u.p[k])->real;
	return real.set(d->real, v->name, v->type, v->n,
		v->type == CUDNN_TYPE_BACKEND_DESCRIPTOR ? child : from);
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t p, cudnnBackendAttributeName_t name,
	cudnnBackendAttributeType_t type, int64_t n, const void *from)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnBackendSetAttribute");
	struct mock_descriptor *d = mock_use(p, MOCK_DESCRIPTOR);
	const struct rule *r = rule_of(d->type, name);
	struct mock_value *v = &d->value[d->n];

	if (status)
		return leave(status);
	if (d->final)
		mock_die("cuDNN: attribute %d is set on a descriptor that is finalized", (int)name);
	if (!r || r->type != type || (r->n && r->n != n) || n < 1 || !from || mock_get(d, name) ||
		d->n == MOCK_ATTRIBUTES)
		mock_die("cuDNN: attribute %d of type %d with %lld elements is no attribute of "
			 "descriptor type %d, or is set twice",
			(int)name, (int)type, (long long)n, (int)d->type);
	*v = (struct mock_value){ .name = name, .type = type, .n = n };
	keep(v, from);
	d->n++;
	return leave(d->real ? set_real(d, v, from) : CUDNN_STATUS_SUCCESS);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t p)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnBackendFinalize");
	struct mock_descriptor *d = mock_use(p, MOCK_DESCRIPTOR);

	if (status)
		return leave(status);
	if (d->final)
		mock_die("cuDNN: a descriptor is finalized twice");
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].of == d->type && rules[i].must && !mock_get(d, rules[i].name))
			mock_die("cuDNN: attribute %d is missing from a descriptor of type %d",
				(int)rules[i].name, (int)d->type);
	if (d->type == CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR && d->n != 1)
		mock_die("cuDNN: device properties of %d sources", d->n);
	if (d->real)
		status = real.finalize(d->real);
	else if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
		status = mock_plan_final(d);
	d->final = status == CUDNN_STATUS_SUCCESS;
	return leave(status);
}

/* Descriptors that an answer fills in are of the caller's making: the real ones stand behind
 * them. */
static cudnnStatus_t get_real(struct mock_descriptor *d, cudnnBackendAttributeName_t name,
	cudnnBackendAttributeType_t type, int64_t room, int64_t *n, void *out)
{
	cudnnBackendDescriptor_t inner[256];
	cudnnStatus_t status;

	if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR)
		return real.get(d->real, name, type, room, n, out);
	for (int64_t k = 0; k < room && k < 256; k++)
		inner[k] = ((struct mock_descriptor *)((void **)out)[k])->real;
	status = real.get(d->real, name, type, room, n, inner);
	for (int64_t k = 0; !status && k < *n && k < room; k++) {
		struct mock_descriptor *o = ((void **)out)[k];

		o->final = true;
		o->graph = d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR
			? mock_child(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0)
			: d->graph;
	}
	return status;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const p,
	cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room,
	int64_t *n, void *out)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnBackendGetAttribute");
	struct mock_descriptor *d = mock_use(p, MOCK_DESCRIPTOR);

	if (status)
		return leave(status);
	if (!d->final)
		mock_die("cuDNN: attribute %d is asked of a descriptor that is not finalized",
			(int)name);
	return leave(d->real ? get_real(d, name, type, room, n, out)
			     : mock_answer(d, name, room, n, out));
}

/* --- handles ------------------------------------------------------------- */

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnCreate");

	if (!status)
		*handle = mock_new(MOCK_HANDLE, sizeof(**handle));
	return leave(status);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnDestroy");

	mock_end(mock_use(handle, MOCK_HANDLE));
	return leave(status);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnSetStream");

	((struct cudnnContext *)mock_use(handle, MOCK_HANDLE))->stream =
		mock_use(stream, MOCK_STREAM);
	return leave(status);
}

size_t cudnnGetVersion(void)
{
	return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
	static __thread char text[32];

	snprintf(text, sizeof(text), "CUDNN_STATUS %d", (int)status);
	return text;
}

void cudnnGetLastErrorString(char *message, size_t room)
{
	snprintf(message, room, "as the stand-in was told");
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
	cudnnBackendDescriptor_t pack)
{
	cudnnStatus_t status = (cudnnStatus_t)mock_enter_cudnn("cudnnBackendExecute");
	const struct cudnnContext *h = mock_use(handle, MOCK_HANDLE);
	const struct mock_descriptor *p =
		mock_descriptor(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
	const struct mock_descriptor *v =
		mock_descriptor(pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

	if (status)
		return leave(status);
	if (!h->stream)
		mock_die("cuDNN executes on the default stream: no stream was set");
	if (!p->final || !v->final)
		mock_die("cuDNN executes a plan or pack that is not finalized");
	return leave(mock_execute(h->stream, p, v));
}
