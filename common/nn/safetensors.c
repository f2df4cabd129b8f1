#include "common/nn/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/state_file.h"

static size_t elements(const struct vt_tensor_entry *entry)
{
	size_t n = 1;

	for (int i = 0; i < entry->n_dims; i++)
		n *= (size_t)entry->dims[i];
	return n;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vt_tensor_entry *)a)->name,
		((const struct vt_tensor_entry *)b)->name);
}

static void write_header(struct vt_buf *out, const struct vt_tensor_entry *entry, size_t n,
	const struct vt_json *metadata)
{
	size_t at = 0;

	vt_buf_char(out, '{');
	if (metadata) {
		vt_buf_str(out, "\"__metadata__\":");
		vt_json_compact(out, metadata);
	}
	for (size_t i = 0; i < n; i++) {
		size_t bytes = elements(&entry[i]) * sizeof(float);

		vt_buf_str(out, i || metadata ? "," : "");
		vt_json_quote(out, entry[i].name);
		vt_buf_str(out, ":{\"dtype\":\"F32\",\"shape\":[");
		for (int k = 0; k < entry[i].n_dims; k++)
			vt_buf_printf(out, "%s%d", k ? "," : "", entry[i].dims[k]);
		vt_buf_printf(out, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
		at += bytes;
	}
	vt_buf_char(out, '}');
	/* The data begins at a multiple of 64 bytes, for readers that map it. */
	while ((out->len + 8) % 64)
		vt_buf_char(out, ' ');
}

int vt_safetensors_write(const char *path, struct vt_tensor_entry *entry, size_t n,
	const struct vt_json *metadata, struct vt_err *err)
{
	struct vt_buf header = VT_BUF_INIT, file = VT_BUF_INIT;
	uint64_t len;
	int rc = 0;

	/* Names in order make equal weights equal files. */
	qsort(entry, n, sizeof(*entry), by_name);
	write_header(&header, entry, n, metadata);
	len = header.len;
	vt_buf_add(&file, &len, sizeof(len));
	vt_buf_add(&file, header.data, header.len);
	for (size_t i = 0; !rc && i < n; i++) {
		for (size_t k = 0; !rc && k < elements(&entry[i]); k++)
			if (isnan(entry[i].data[k]))
				rc = vt_err_set(err, VT_EBUG, "%s: tensor %s holds NaN at %zu",
					path, entry[i].name, k);
		vt_buf_add(&file, entry[i].data, elements(&entry[i]) * sizeof(float));
	}
	if (!rc)
		rc = vt_fs_write(path, file.data, file.len, 0644, err);
	vt_buf_release(&file);
	vt_buf_release(&header);
	return rc;
}

struct range {
	uint64_t from, to;
};

static int by_from(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->from != y->from ? (x->from < y->from ? -1 : 1)
				  : (x->to > y->to) - (x->to < y->to);
}

/* One tensor's entry: bounds that fit its shape and the file. */
static int check_entry(const struct vt_safetensors *safetensors, const char *path, size_t i,
	struct range *range, struct vt_err *err)
{
	const char *name = safetensors->header->key[i];
	const struct vt_json *t = safetensors->header->item[i], *shape = vt_json_get(t, "shape"),
			     *at = vt_json_get(t, "data_offsets");
	/* span: bytes if no axis were empty, as strides count them */
	uint64_t bytes = vt_state_width(vt_json_text(vt_json_get(t, "dtype"), "")), span = bytes;
	int64_t from = vt_json_integer(vt_json_at(at, 0), -1),
		to = vt_json_integer(vt_json_at(at, 1), -1);

	if (!bytes)
		return vt_err_set(err, VT_EDATA, "%s: tensor %s has the unknown dtype \"%s\"", path,
			name, vt_json_text(vt_json_get(t, "dtype"), ""));
	for (size_t k = 0; shape && k < shape->n; k++) {
		int64_t d = vt_json_integer(shape->item[k], -1);

		/* span d may not overflow */
		if (d < 0 || (d && span > (uint64_t)INT64_MAX / (uint64_t)d))
			return vt_err_set(err, VT_EDATA, "%s: tensor %s has an impossible shape",
				path, name);
		bytes *= (uint64_t)d;
		span *= d ? (uint64_t)d : 1;
	}
	if (!shape || from < 0 || to < from || (uint64_t)to > safetensors->data_size ||
		(uint64_t)(to - from) != bytes)
		return vt_err_set(err, VT_EDATA,
			"%s: tensor %s: offsets [%lld, %lld] do not fit its shape or the file",
			path, name, (long long)from, (long long)to);
	*range = (struct range){ (uint64_t)from, (uint64_t)to };
	return 0;
}

static int check_header(const struct vt_safetensors *safetensors, const char *path,
	struct vt_err *err)
{
	struct range *r = vt_xcalloc(safetensors->header->n + 1, sizeof(*r));
	uint64_t end = 0;
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < safetensors->header->n; i++)
		if (strcmp(safetensors->header->key[i], "__metadata__"))
			rc = check_entry(safetensors, path, i, &r[n++], err);
	if (n > 1)
		qsort(r, n, sizeof(*r), by_from);
	/* Sorted by offset, each must begin where the one before ends. */
	for (size_t i = 0; !rc && i < n; i++) {
		if (r[i].from != end)
			rc = vt_err_set(err, VT_EDATA,
				"%s: tensors overlap or leave a hole at byte %llu", path,
				(unsigned long long)end);
		end = r[i].to;
	}
	if (!rc && end != safetensors->data_size)
		rc = vt_err_set(err, VT_EDATA, "%s: %llu bytes of tensors in %zu bytes of data",
			path, (unsigned long long)end, safetensors->data_size);
	free(r);
	return rc;
}

int vt_safetensors_open(struct vt_safetensors *out, const char *path, struct vt_err *err)
{
	struct vt_safetensors s = { .header = NULL };
	uint64_t n = 0;
	int rc = vt_fs_map(&s.map, path, err);

	if (rc)
		return rc;
	/* little-endian, as every machine this runs on is */
	if (s.map.size >= 8)
		memcpy(&n, s.map.data, 8);
	if (s.map.size < 8 || n > 100000000 || n > s.map.size - 8 || (n && s.map.data[8] != '{'))
		rc = vt_err_set(err, VT_EDATA, "%s: not a safetensors file, or cut off", path);
	if (!rc)
		rc = vt_json_parse(&s.header, (const char *)s.map.data + 8, n, path, err);
	if (!rc) {
		s.data = s.map.data + 8 + n;
		s.data_size = s.map.size - 8 - n;
		rc = check_header(&s, path, err);
	}
	if (rc)
		vt_safetensors_close(&s);
	else
		*out = s;
	return rc;
}

void vt_safetensors_close(struct vt_safetensors *safetensors)
{
	vt_fs_unmap(&safetensors->map);
	vt_json_free(safetensors->header);
	*safetensors = (struct vt_safetensors){ .header = NULL };
}

const char *vt_safetensors_metadata(const struct vt_safetensors *safetensors, const char *key)
{
	return vt_json_text(vt_json_get(vt_json_get(safetensors->header, "__metadata__"), key),
		NULL);
}

float vt_safetensors_widen(uint16_t h, bool bf16)
{
	uint32_t x = (uint32_t)h << 16;
	float f;

	/* Half: five bits of exponent with bias 15, so 112 more in a float; exponent 0 is m
	 * 2^-24. */
	if (!bf16) {
		uint32_t e = h >> 10 & 31, m = h & 0x3ff;

		if (e == 0)
			return h & 0x8000 ? -(float)m * 0x1p-24f : (float)m * 0x1p-24f;
		x = (uint32_t)(h & 0x8000) << 16 | (e == 31 ? 0x7f800000u : (e + 112) << 23) |
			m << 13;
	}
	memcpy(&f, &x, sizeof(f));
	return f;
}

int vt_safetensors_get(const struct vt_safetensors *safetensors, const char *name, const int *dims,
	int n_dims, float *out, struct vt_err *err)
{
	const struct vt_json *t = vt_json_get(safetensors->header, name),
			     *shape = vt_json_get(t, "shape");
	const char *dtype = vt_json_text(vt_json_get(t, "dtype"), "");
	const unsigned char *from;
	size_t n = 1;

	if (!t)
		return vt_err_set(err, VT_EDATA, "there is no tensor %s", name);
	for (int i = 0; i < n_dims; i++) {
		n *= (size_t)dims[i];
		if (shape->n != (size_t)n_dims || vt_json_integer(shape->item[i], -1) != dims[i])
			return vt_err_set(err, VT_EDATA,
				"tensor %s has another shape than the network's", name);
	}
	from = safetensors->data +
		vt_json_integer(vt_json_at(vt_json_get(t, "data_offsets"), 0), 0);
	if (!strcmp(dtype, "F32")) {
		memcpy(out, from, n * sizeof(float));
	} else if (!strcmp(dtype, "F16") || !strcmp(dtype, "BF16")) {
		for (size_t i = 0; i < n; i++) {
			uint16_t h;

			memcpy(&h, from + 2 * i, sizeof(h));
			out[i] = vt_safetensors_widen(h, dtype[0] == 'B');
		}
	} else {
		return vt_err_set(err, VT_EDATA, "tensor %s is %s; F32, F16 or BF16 can be loaded",
			name, dtype);
	}
	/* what could not be written again, or would make every answer NaN */
	for (size_t i = 0; i < n; i++)
		if (isnan(out[i]))
			return vt_err_set(err, VT_EDATA, "tensor %s holds NaN at %zu", name, i);
	return 0;
}
