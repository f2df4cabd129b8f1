/* What a plan computes, read from its descriptors alone, by the emulated convolution. */
#include <string.h>

#include "tests/gpu/emulate.h"
#include "tests/gpu/mock/cudnn.h"

struct run {
	struct vg_conv_spec s;
	void *x, *w, *y, *workspace;
	size_t workspace_bytes;
};

static const struct {
	cudnnBackendDescriptorType_t type;
	enum vg_conv_kind kind;
	cudnnBackendAttributeName_t x, w, y, conv, alpha, beta;
} kinds[] = {
	{ CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, VG_CONV_FORWARD,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
		CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
	{ CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, VG_CONV_DATA,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
	{ CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, VG_CONV_WEIGHTS,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
		CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
};

static int type_of(const struct mock_descriptor *t)
{
	switch (mock_get(t, CUDNN_ATTR_TENSOR_DATA_TYPE)->u.e[0]) {
	case CUDNN_DATA_FLOAT: return VG_F32;
	case CUDNN_DATA_BFLOAT16: return VG_BF16;
	case CUDNN_DATA_HALF: return VG_F16;
	default: mock_die("cuDNN: a tensor has another type than f32, bf16 or fp16");
	}
}

/* Its shape, if it lies in memory as n, z, y, x, c without gaps; its bytes. */
static struct vg_shape shape_of(const struct mock_descriptor *t, size_t *nbytes)
{
	const int64_t *d = mock_get(t, CUDNN_ATTR_TENSOR_DIMENSIONS)->u.i,
		      *s = mock_get(t, CUDNN_ATTR_TENSOR_STRIDES)->u.i;

	if (mock_get(t, CUDNN_ATTR_TENSOR_DIMENSIONS)->n != 5 ||
		mock_get(t, CUDNN_ATTR_TENSOR_STRIDES)->n != 5)
		mock_die("cuDNN: a tensor of a 3-D convolution has not 5 dimensions");
	if (s[1] != 1 || s[4] != d[1] || s[3] != d[1] * d[4] || s[2] != d[1] * d[4] * d[3] ||
		s[0] != d[1] * d[4] * d[3] * d[2])
		mock_die("cuDNN: a tensor is not n, z, y, x, c");
	*nbytes = (size_t)(d[0] * s[0]) * vg_type_size(type_of(t));
	return vg_shape_make((int)d[0], (int)d[1], (int)d[2], (int)d[3], (int)d[4]);
}

static int same(const struct mock_descriptor *conv, cudnnBackendAttributeName_t name)
{
	const int64_t *v = mock_get(conv, name)->u.i;

	if (v[0] != v[1] || v[0] != v[2])
		mock_die("cuDNN: attribute %d differs between the axes", (int)name);
	return (int)v[0];
}

static void check_sizes(const struct vg_conv_spec *s, const struct mock_descriptor *w)
{
	const int64_t *d = mock_get(w, CUDNN_ATTR_TENSOR_DIMENSIONS)->u.i;
	const int x[3] = { s->x.d, s->x.h, s->x.w }, y[3] = { s->y.d, s->y.h, s->y.w };

	if (d[0] != s->y.c || d[1] != s->x.c || d[2] != s->k || d[3] != s->k || d[4] != s->k ||
		s->x.n != s->y.n)
		mock_die("cuDNN: the kernel's shape is not that of the tensors");
	for (int a = 0; a < 3; a++)
		if (y[a] != (x[a] + 2 * s->pad - s->dilation * (s->k - 1) - 1) / s->stride + 1)
			mock_die("cuDNN: y has %d voxels along axis %d, which does not follow from "
				 "x's %d",
				y[a], a, x[a]);
}

/* The device pointer of a tensor in a variant pack. */
static void *pointer_of(const struct mock_descriptor *t, const struct mock_descriptor *pack,
	size_t nbytes)
{
	const struct mock_value *ids = mock_get(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS),
				*p = mock_get(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
	int64_t id = mock_integer(t, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0),
		alignment = mock_integer(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 0);

	if (ids->n != p->n)
		mock_die("cuDNN: a variant pack of %lld names and %lld pointers", (long long)ids->n,
			(long long)p->n);
	for (int64_t i = 0; i < ids->n; i++)
		if (ids->u.i[i] == id) {
			if ((uintptr_t)p->u.p[i] % (uintptr_t)alignment)
				mock_die("cuDNN: tensor %lld is not aligned to %lld bytes",
					(long long)id, (long long)alignment);
			mock_memory_check(p->u.p[i], nbytes, MOCK_DEVICE, "convolution");
			return p->u.p[i];
		}
	mock_die("cuDNN: tensor %lld is not in the variant pack", (long long)id);
}

/* The workspace is the engine's: whatever lay there is lost. */
static void compute(const void *args)
{
	const struct run *r = args;

	if (r->workspace_bytes)
		memset(r->workspace, 0xff, r->workspace_bytes);
	vg_emulate_conv(&r->s, r->x, r->w, r->y);
}

cudnnStatus_t mock_execute(cudaStream_t stream, const struct mock_descriptor *plan,
	const struct mock_descriptor *pack)
{
	const struct mock_descriptor *op = mock_operation(plan), *conv, *t[3];
	const struct mock_value *space = mock_get(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE), *alpha,
				*beta;
	struct run r;
	size_t nbytes[3], k = 0;
	cudaError_t status;

	memset(&r, 0, sizeof(r));
	while (k < sizeof(kinds) / sizeof(kinds[0]) && kinds[k].type != op->type)
		k++;
	if (k == sizeof(kinds) / sizeof(kinds[0]))
		mock_die("cuDNN: operation %d is not known to the stand-in", (int)op->type);
	conv = mock_child(op, kinds[k].conv, 0);
	t[0] = mock_child(op, kinds[k].x, 0);
	t[1] = mock_child(op, kinds[k].w, 0);
	t[2] = mock_child(op, kinds[k].y, 0);
	alpha = mock_get(op, kinds[k].alpha);
	beta = mock_get(op, kinds[k].beta);
	if ((alpha && alpha->u.f != 1.0f) || (beta && beta->u.f != 0.0f))
		mock_die("cuDNN: alpha is not 1 or beta not 0");
	r.s = (struct vg_conv_spec){ .kind = kinds[k].kind,
		.type = type_of(t[0]),
		.x = shape_of(t[0], &nbytes[0]),
		.y = shape_of(t[2], &nbytes[2]),
		.k = shape_of(t[1], &nbytes[1]).d,
		.stride = same(conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
		.pad = same(conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS),
		.dilation = same(conv, CUDNN_ATTR_CONVOLUTION_DILATIONS) };
	if (same(conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS) != r.s.pad ||
		type_of(t[1]) != r.s.type || type_of(t[2]) != r.s.type)
		mock_die("cuDNN: a convolution of other paddings or types than the stand-in has");
	check_sizes(&r.s, t[1]);
	r.x = pointer_of(t[0], pack, nbytes[0]);
	r.w = pointer_of(t[1], pack, nbytes[1]);
	r.y = pointer_of(t[2], pack, nbytes[2]);
	r.workspace_bytes = mock_plan_workspace(plan);
	if (r.workspace_bytes) {
		if (!space)
			mock_die("cuDNN: no workspace is given and %zu bytes are needed",
				r.workspace_bytes);
		r.workspace = space->u.p[0];
		mock_memory_check(r.workspace, r.workspace_bytes, MOCK_DEVICE, "workspace");
	}
	status = mock_queue_work(stream, "convolution", compute, &r, sizeof(r),
		offsetof(struct run, x), 4 * sizeof(void *));
	return status ? CUDNN_STATUS_EXECUTION_FAILED_CUDART : CUDNN_STATUS_SUCCESS;
}
