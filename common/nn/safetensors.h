/* safetensors.h - the safetensors format: strict mapped reader, canonical writer.
 *
 * File: u64 little-endian N, N bytes of JSON {name: {dtype, shape, data_offsets}}, the tensors'
 * bytes without holes.  The writer's form is canonical: __metadata__ first, names in byte order,
 * tensors in that order, no white space but trailing spaces that put the data at a multiple of
 * 64.  Equal content, equal bytes.  The reader takes any valid file and refuses (VT_EDATA)
 * lengths, shapes or offsets that do not fit the file, overlaps, holes and duplicate names. */
#ifndef COMMON_NN_SAFETENSORS_H
#define COMMON_NN_SAFETENSORS_H

#include "common/base/fs.h"
#include "common/base/json.h"

struct vt_tensor_entry {
	const char *name; /* [A-Za-z0-9._]+ */
	int dims[5], n_dims;
	const float *data;
};

/* metadata: object of texts or NULL.  The entries are sorted in place.  Atomic and durable.  A
 * NaN is refused (VT_EBUG). */
int vt_safetensors_write(const char *path, struct vt_tensor_entry *entry, size_t n,
	const struct vt_json *metadata, struct vt_err *err);

struct vt_safetensors {
	struct vt_map map;
	struct vt_json *header;
	const unsigned char *data;
	size_t data_size;
};

int vt_safetensors_open(struct vt_safetensors *out, const char *path, struct vt_err *err);
void vt_safetensors_close(struct vt_safetensors *safetensors);
/* NULL if absent */
const char *vt_safetensors_metadata(const struct vt_safetensors *safetensors, const char *key);

/* Copies tensor `name` (F32, F16 or BF16) into out as f32.  VT_EDATA if it is missing, has
 * another shape or holds NaN. */
int vt_safetensors_get(const struct vt_safetensors *safetensors, const char *name, const int *dims,
	int n_dims, float *out, struct vt_err *err);

/* the value of an IEEE half, or of a bfloat16 */
float vt_safetensors_widen(uint16_t h, bool bf16);

#endif
