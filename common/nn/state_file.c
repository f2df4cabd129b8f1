#include "common/nn/state_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/safetensors.h"

static int from_safetensors(struct vt_state_file *file, const char *path, struct vt_err *err)
{
	struct vt_safetensors f;
	int rc = vt_safetensors_open(&f, path, err);

	if (rc)
		return rc;
	if (f.map.size != file->map.size)
		rc = vt_err_set(err, VT_EDATA, "%s: changed while it was read; try again", path);
	for (size_t i = 0; !rc && i < f.header->n; i++) {
		const struct vt_json *j = f.header->item[i], *shape = vt_json_get(j, "shape");
		struct vt_state_tensor t = { .n_dims = shape ? (int)shape->n : 0 };
		int64_t from = vt_json_integer(vt_json_at(vt_json_get(j, "data_offsets"), 0), 0),
			stride = 1;
		const char *dtype = vt_json_text(vt_json_get(j, "dtype"), "");

		if (!strcmp(f.header->key[i], "__metadata__"))
			continue;
		if (t.n_dims > VT_STATE_DIMS || strlen(dtype) >= sizeof(t.dtype)) {
			rc = vt_err_set(err, VT_EDATA, "%s: tensor %s has too many dimensions",
				path, f.header->key[i]);
			break;
		}
		memcpy(t.dtype, dtype, strlen(dtype) + 1);
		/* C order: the last axis is the nearest */
		for (int k = t.n_dims - 1; k >= 0; k--) {
			t.dims[k] = vt_json_integer(shape->item[k], 0);
			t.stride[k] = stride;
			stride *= t.dims[k] > 0 ? t.dims[k] : 1;
		}
		/* The mapping is of the same file, so offsets carry over to file->map. */
		t.data = file->map.data + (f.data - f.map.data) + from;
		rc = vt_state_add(file, f.header->key[i], t,
			(f.data_size - (size_t)from) / vt_state_width(dtype), err);
	}
	vt_safetensors_close(&f);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vt_state_tensor *)a)->name,
		((const struct vt_state_tensor *)b)->name);
}

static int sort(struct vt_state_file *file, const char *path, struct vt_err *err)
{
	if (!file->n)
		return vt_err_set(err, VT_EDATA, "%s: there is no tensor in it", path);
	qsort(file->tensor, file->n, sizeof(*file->tensor), by_name);
	/* Sorted: equal names are neighbors, and vt_state_find needs the order. */
	for (size_t i = 1; i < file->n; i++)
		if (!strcmp(file->tensor[i - 1].name, file->tensor[i].name))
			return vt_err_set(err, VT_EDATA, "%s: two tensors are named %s", path,
				file->tensor[i].name);
	return 0;
}

int vt_state_open(struct vt_state_file *out, const char *path, struct vt_err *err)
{
	struct vt_state_file s = { .format = "safetensors" };
	bool torch = false;
	int rc = vt_fs_map(&s.map, path, err);

	if (rc)
		return rc;
	rc = vt_torch_read(&s, path, &torch, err);
	if (!rc && !torch)
		rc = from_safetensors(&s, path, err);
	if (!rc)
		rc = sort(&s, path, err);
	if (rc)
		vt_state_close(&s);
	else
		*out = s;
	return rc;
}

void vt_state_close(struct vt_state_file *file)
{
	for (size_t i = 0; i < file->n; i++)
		free(file->tensor[i].name);
	free(file->tensor);
	vt_fs_unmap(&file->map);
	*file = (struct vt_state_file){ .format = NULL };
}

const struct vt_state_tensor *vt_state_find(const struct vt_state_file *file, const char *name)
{
	struct vt_state_tensor key = { .n = 0 };

	key.name = (char *)(uintptr_t)name;
	return file->n ? bsearch(&key, file->tensor, file->n, sizeof(*file->tensor), by_name)
		       : NULL;
}

static float element(const struct vt_state_tensor *tensor, size_t i)
{
	uint16_t h;
	float f;
	double d;

	switch (tensor->dtype[0] == 'B' ? 'B' : tensor->dtype[1]) {
	case '3': memcpy(&f, tensor->data + 4 * i, 4); return f;
	case '6': memcpy(&d, tensor->data + 8 * i, 8); return (float)d;
	default:
		memcpy(&h, tensor->data + 2 * i, 2);
		return vt_safetensors_widen(h, tensor->dtype[0] == 'B');
	}
}

int vt_state_copy(const struct vt_state_tensor *tensor, float *out, struct vt_err *err)
{
	int64_t at[VT_STATE_DIMS] = { 0 };
	size_t from = 0;

	if (strcmp(tensor->dtype, "F32") && strcmp(tensor->dtype, "F16") &&
		strcmp(tensor->dtype, "BF16") && strcmp(tensor->dtype, "F64"))
		return vt_err_set(err, VT_EDATA,
			"tensor %s is %s; F64, F32, F16 or BF16 can be loaded", tensor->name,
			tensor->dtype);
	for (size_t i = 0; i < tensor->n; i++) {
		out[i] = element(tensor, from);
		if (!isfinite(out[i]))
			return vt_err_set(err, VT_EDATA, "tensor %s holds %g at element %zu",
				tensor->name, (double)out[i], i);
		/* An odometer over the dims: a full axis goes back to 0 and the next one steps. */
		for (int k = tensor->n_dims - 1; k >= 0; k--) {
			from += (size_t)tensor->stride[k];
			if (++at[k] < tensor->dims[k])
				break;
			from -= (size_t)(tensor->stride[k] * at[k]);
			at[k] = 0;
		}
	}
	return 0;
}
