/* state_tensor.c - the list of tensors that a reader of one format fills: nothing gets in whose
 * type is unknown or whose last element does not lie in the file. */
#include "common/nn/state_file.h"

#include <string.h>

static const struct {
	const char *name;
	size_t width;
} dtypes[] = { { "F64", 8 }, { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "I64", 8 }, { "I32", 4 },
	{ "I16", 2 }, { "I8", 1 }, { "U8", 1 }, { "BOOL", 1 } };

size_t vt_state_width(const char *dtype)
{
	for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
		if (!strcmp(dtypes[i].name, dtype))
			return dtypes[i].width;
	return 0;
}

/* Sets tensor->n; the last element's offset must lie below extent. */
static int check_extent(struct vt_state_tensor *tensor, size_t extent)
{
	const uint64_t most = (uint64_t)1 << 40;
	uint64_t n = 1, last = 0;

	for (int i = 0; i < tensor->n_dims; i++) {
		/* 2^40 elements are beyond any file. */
		if (tensor->dims[i] < 0 || tensor->stride[i] < 0 ||
			(tensor->dims[i] && n > most / (uint64_t)tensor->dims[i]))
			return 1;
		n *= (uint64_t)tensor->dims[i];
	}
	for (int i = 0; n && i < tensor->n_dims; i++) {
		if (tensor->dims[i] > 1 &&
			(uint64_t)tensor->stride[i] > most / (uint64_t)tensor->dims[i])
			return 1;
		last += (uint64_t)(tensor->dims[i] - 1) * (uint64_t)tensor->stride[i];
	}
	tensor->n = (size_t)n;
	return n && last >= extent;
}

int vt_state_add(struct vt_state_file *file, const char *name, struct vt_state_tensor tensor,
	size_t extent, struct vt_err *err)
{
	if (!vt_state_width(tensor.dtype))
		return vt_err_set(err, VT_EDATA, "tensor %s has the unknown type \"%s\"", name,
			tensor.dtype);
	if (check_extent(&tensor, extent))
		return vt_err_set(err, VT_EDATA,
			"tensor %s: its shape does not fit the bytes it has", name);
	if (file->n % 64 == 0)
		file->tensor = vt_xrealloc(file->tensor, (file->n + 64) * sizeof(*file->tensor));
	tensor.name = vt_xstrdup(name);
	file->tensor[file->n++] = tensor;
	return 0;
}
