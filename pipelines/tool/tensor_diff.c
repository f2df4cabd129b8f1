#include "pipelines/tool/tensor_diff.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"

struct tensor {
	const char *name, *type;
	const struct vt_json *shape;
	const unsigned char *bytes;
	size_t n; /* bytes */
};

struct file {
	struct vt_map map;
	struct vt_json *header;
	struct tensor *v;
	size_t n;
};

static int by_place(const void *a, const void *b)
{
	const struct tensor *x = a, *y = b;

	return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name);
}

static int bad(const char *path, const char *why, struct vt_err *err)
{
	return vt_err_set(err, VT_EDATA, "%s: not a safetensors file: %s", path, why);
}

static int add(struct file *file, const char *path, const char *name, const struct vt_json *json,
	const unsigned char *data, size_t size, struct vt_err *err)
{
	int64_t from = vt_json_integer(vt_json_pointer(json, "/data_offsets/0"), -1),
		to = vt_json_integer(vt_json_pointer(json, "/data_offsets/1"), -1);

	if (from < 0 || to < from || (uint64_t)to > size)
		return bad(path, "a tensor lies outside of it", err);
	file->v[file->n++] = (struct tensor){ name, vt_json_text(vt_json_get(json, "dtype"), ""),
		vt_json_get(json, "shape"), data + from, (size_t)(to - from) };
	return 0;
}

static int open_file(struct file *file, const char *path, struct vt_err *err)
{
	uint64_t n = 0;
	int rc = vt_fs_map(&file->map, path, err);

	if (rc)
		return rc;
	for (int i = 0; file->map.size >= 8 && i < 8; i++)
		n |= (uint64_t)file->map.data[i] << (8 * i);
	if (file->map.size < 8 || n > file->map.size - 8 || n > 100u << 20)
		return bad(path, "its header does not fit", err);
	rc = vt_json_parse(&file->header, (const char *)file->map.data + 8, (size_t)n, path, err);
	if (rc || file->header->type != VT_JSON_OBJECT)
		return rc ? rc : bad(path, "its header is no object", err);
	file->v = vt_xcalloc(file->header->n + 1, sizeof(*file->v));
	for (size_t i = 0; !rc && i < file->header->n; i++)
		if (strcmp(file->header->key[i], "__metadata__"))
			rc = add(file, path, file->header->key[i], file->header->item[i],
				file->map.data + 8 + n, file->map.size - 8 - (size_t)n, err);
	if (file->n > 1)
		qsort(file->v, file->n, sizeof(*file->v), by_place);
	return rc;
}

static void close_file(struct file *file)
{
	free(file->v);
	vt_json_free(file->header);
	vt_fs_unmap(&file->map);
}

/* --- numbers ------------------------------------------------------------- */

enum type { F32, F16, BF16, OTHER };

static enum type type_of(const char *name)
{
	if (!strcmp(name, "F32"))
		return F32;
	if (!strcmp(name, "F16"))
		return F16;
	if (!strcmp(name, "BF16"))
		return BF16;
	return OTHER;
}

static uint32_t bits_of(const unsigned char *p, size_t i, enum type t)
{
	return t == F32 ? (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 |
			(uint32_t)p[4 * i + 2] << 16 | (uint32_t)p[4 * i + 3] << 24
			: (uint32_t)p[2 * i] | (uint32_t)p[2 * i + 1] << 8;
}

static double value_of(uint32_t bits, enum type t)
{
	uint32_t mantissa = bits & 0x3ff, exponent = bits >> 10 & 31;
	double m;
	float f;

	if (t == F16) {
		if (exponent == 31)
			m = mantissa ? (double)NAN : (double)INFINITY;
		else if (exponent)
			m = ldexp(1024 + mantissa, (int)exponent - 25);
		else
			m = ldexp(mantissa, -24);
		return bits & 0x8000 ? -m : m;
	}
	bits = t == BF16 ? bits << 16 : bits;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* Numbers of the type in order: their distance is a difference of these. */
static int64_t rank_of(uint32_t bits, enum type t)
{
	uint32_t sign = t == F32 ? 0x80000000u : 0x8000u;

	return bits & sign ? -(int64_t)(bits & (sign - 1)) : (int64_t)bits;
}

struct distance {
	int64_t ulp;
	double most;
	size_t n_different;
	bool infinite;
};

static struct distance distance_of(const struct tensor *tensor, const struct tensor *b, enum type t,
	size_t n)
{
	struct distance d = { 0, 0, 0, false };

	for (size_t i = 0; i < n; i++) {
		uint32_t x = bits_of(tensor->bytes, i, t), y = bits_of(b->bytes, i, t);
		double gap = fabs(value_of(x, t) - value_of(y, t));
		int64_t steps = llabs(rank_of(x, t) - rank_of(y, t));

		if (x == y)
			continue;
		d.n_different++;
		d.infinite = d.infinite || !isfinite(gap);
		d.ulp = steps > d.ulp ? steps : d.ulp;
		d.most = gap > d.most ? gap : d.most;
	}
	return d;
}

static bool same_shape(const struct tensor *one, const struct tensor *other)
{
	size_t n = one->shape ? one->shape->n : 0;

	if (strcmp(one->type, other->type) || one->n != other->n ||
		n != (other->shape ? other->shape->n : 0))
		return false;
	for (size_t i = 0; i < n; i++)
		if (vt_json_integer(one->shape->item[i], -1) !=
			vt_json_integer(other->shape->item[i], -1))
			return false;
	return true;
}

static void say(struct vt_buf *out, const struct tensor *tensor, const struct tensor *b)
{
	enum type t = type_of(tensor->type);
	size_t n = t == OTHER ? tensor->n : tensor->n / (t == F32 ? 4 : 2);
	struct distance d;

	if (!same_shape(tensor, b)) {
		vt_buf_printf(out, "tensor %s has another type or shape", tensor->name);
		return;
	}
	if (t == OTHER) {
		vt_buf_printf(out, "tensor %s (%s) has other bytes", tensor->name, tensor->type);
		return;
	}
	d = distance_of(tensor, b, t, n);
	vt_buf_printf(out, "tensor %s (%s): %zu of %zu elements differ, ", tensor->name,
		tensor->type, d.n_different, n);
	if (d.infinite)
		vt_buf_str(out, "some of them no finite numbers");
	else
		vt_buf_printf(out, "by %lld ulp and %.6g at most", (long long)d.ulp, d.most);
}

static const struct tensor *find(const struct file *file, const char *name)
{
	for (size_t i = 0; i < file->n; i++)
		if (!strcmp(file->v[i].name, name))
			return &file->v[i];
	return NULL;
}

static void compare(struct vt_buf *out, const struct file *file, const struct file *b)
{
	size_t different = 0;

	for (size_t i = 0; i < file->n; i++) {
		const struct tensor *other = find(b, file->v[i].name);

		if (other && same_shape(&file->v[i], other) &&
			!memcmp(file->v[i].bytes, other->bytes, other->n))
			continue;
		if (!different++ && other)
			say(out, &file->v[i], other);
		else if (different == 1)
			vt_buf_printf(out, "tensor %s is missing", file->v[i].name);
	}
	for (size_t i = 0; i < b->n; i++)
		if (!find(file, b->v[i].name) && !different++)
			vt_buf_printf(out, "tensor %s is new", b->v[i].name);
	if (different)
		vt_buf_printf(out, "; %zu of %zu tensors differ", different, file->n);
}

int vt_tensor_diff(struct vt_buf *out, const char *path_a, const char *path_b, struct vt_err *err)
{
	struct file a = { .n = 0 }, b = { .n = 0 };
	int rc = open_file(&a, path_a, err);

	if (!rc)
		rc = open_file(&b, path_b, err);
	if (!rc)
		compare(out, &a, &b);
	close_file(&a);
	close_file(&b);
	return rc;
}
