#include "common/image/patch_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "VOXPATCH";

/* A region is a bit of a byte; a voxel has an index of 32 bits. */
enum { MOST_CHANNELS = 16, MOST_REGIONS = 254, MOST_VOXELS = 1 << 30 };

uint16_t vt_half_from_float(float value)
{
	uint32_t x, sign, mantissa;
	int e;

	memcpy(&x, &value, sizeof(x));
	sign = x >> 16 & 0x8000u;
	e = (int)(x >> 23 & 0xff) - 112;
	mantissa = x & 0x7fffffu;
	if (e >= 31)
		return (uint16_t)(sign | 0x7c00u | (e == 143 && mantissa ? 0x200u : 0));
	if (e <= 0) { /* subnormal or zero: shift the implicit one in, then round */
		uint32_t shift = (uint32_t)(14 - e), half, rest;

		if (shift > 24)
			return (uint16_t)sign;
		mantissa |= 0x800000u;
		half = mantissa >> shift;
		rest = mantissa & ((1u << shift) - 1);
		half += rest > (1u << (shift - 1)) || (rest == (1u << (shift - 1)) && (half & 1));
		return (uint16_t)(sign | half);
	}
	x = (uint32_t)e << 10 | mantissa >> 13;
	x += (mantissa & 0x1fff) > 0x1000 || ((mantissa & 0x1fff) == 0x1000 && (x & 1));
	return (uint16_t)(sign | x);
}

float vt_half_to_float(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000) << 16, e = half >> 10 & 31, m = half & 0x3ff, x;
	float f;

	if (e == 0) {
		f = (float)m * 0x1p-24f;
		return sign ? -f : f;
	}
	x = sign | (e == 31 ? 0x7f800000u : (e + 112) << 23) | m << 13;
	memcpy(&f, &x, sizeof(f));
	return f;
}

/* --- reading ------------------------------------------------------------- */

/* A section that must lie inside the file; NULL if it does not. */
static const void *section(const struct vt_patch_file *file, const char *name, size_t bytes)
{
	int64_t at = vt_json_integer(vt_json_get(vt_json_get(file->header, "offsets"), name), -1);

	if (at < 16 || at % 64 || (uint64_t)at > file->map.size ||
		bytes > file->map.size - (size_t)at)
		return NULL;
	return file->map.data + at;
}

static int read_header(struct vt_patch_file *file, const char *path, struct vt_err *err)
{
	uint64_t n;

	if (file->map.size < 16 || memcmp(file->map.data, magic, 8))
		return vt_err_set(err, VT_EDATA,
			"%s: not a patch container (no VOXPATCH at its start)", path);
	memcpy(&n, file->map.data + 8, sizeof(n));
	if (n > file->map.size - 16 || n > 64u << 20)
		return vt_err_set(err, VT_EDATA, "%s: header length %llu is beyond the file", path,
			(unsigned long long)n);
	if (vt_json_parse(&file->header, (const char *)file->map.data + 16, n, path, err))
		return err->code;
	if (vt_json_integer(vt_json_get(file->header, "format"), 0) != 1)
		return vt_err_set(err, VT_EDATA, "%s: format %lld; this version reads 1", path,
			(long long)vt_json_integer(vt_json_get(file->header, "format"), 0));
	return 0;
}

static int read_reference(struct vt_patch_file *file, const struct vt_json *json, const char *path,
	struct vt_err *err)
{
	struct vt_patch_reference *r = &file->reference;
	size_t n = 1;

	for (size_t a = 0; json && a < 3; a++) {
		r->dims[a] = (int)vt_json_integer(vt_json_at(vt_json_get(json, "dims"), a), 0);
		r->at[a] = (int)vt_json_integer(vt_json_at(vt_json_get(json, "at"), a), -1);
		r->size[a] = (int)vt_json_integer(vt_json_at(vt_json_get(json, "size"), a), -1);
		r->spacing[a] = vt_json_number(vt_json_at(vt_json_get(json, "spacing_mm"), a), 0);
		if (r->dims[a] < 1 || r->dims[a] > 32767 || r->at[a] < 0 || r->size[a] < 0 ||
			r->at[a] > r->dims[a] || r->size[a] > r->dims[a] - r->at[a] ||
			!(r->spacing[a] > 0))
			return vt_err_set(err, VT_EDATA,
				"%s: the box of the reference is not inside its grid", path);
		n *= (size_t)r->size[a];
	}
	if (json && (size_t)r->dims[0] * (size_t)r->dims[1] * (size_t)r->dims[2] > MOST_VOXELS)
		return vt_err_set(err, VT_EDATA, "%s: a reference of %dx%dx%d voxels", path,
			r->dims[0], r->dims[1], r->dims[2]);
	r->labels = json ? section(file, "reference", n) : NULL;
	if (json && !r->labels)
		return vt_err_set(err, VT_EDATA, "%s: the reference lies outside the file", path);
	return 0;
}

/* Distances are computed with it. */
static int check_spacing(const struct vt_json *header, const char *path, struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(header, "spacing_mm");

	for (size_t a = 0; list && a < 3; a++) {
		double mm = vt_json_number(vt_json_at(list, a), 0);

		if (!(mm >= 0.001 && mm <= 1000))
			return vt_err_set(err, VT_EDATA,
				"%s: /spacing_mm must be three numbers from 0.001 to 1000", path);
	}
	return 0;
}

static int read_labels(struct vt_patch_file *file, size_t voxels, const char *path,
	struct vt_err *err)
{
	file->regions = section(file, "regions", voxels);
	file->labels = section(file, "labels", voxels);
	file->foreground = file->n_foreground <= voxels
		? section(file, "foreground", file->n_foreground * 4)
		: NULL;
	if (!file->regions || !file->labels || !file->foreground)
		return vt_err_set(err, VT_EDATA, "%s: a label section lies outside the file", path);
	for (size_t i = 0; i < file->n_foreground; i++)
		if (file->foreground[i] >= voxels)
			return vt_err_set(err, VT_EDATA,
				"%s: foreground index %zu points outside the volume", path, i);
	return read_reference(file, vt_json_get(file->header, "reference"), path, err);
}

static int read_sections(struct vt_patch_file *file, const char *path, struct vt_err *err)
{
	const struct vt_json *dims = vt_json_get(file->header, "dims");
	size_t voxels, channels, regions;

	file->d = (int)vt_json_integer(vt_json_at(dims, 0), 0);
	file->h = (int)vt_json_integer(vt_json_at(dims, 1), 0);
	file->w = (int)vt_json_integer(vt_json_at(dims, 2), 0);
	channels = vt_json_length(vt_json_get(file->header, "channels"));
	regions = vt_json_length(vt_json_get(file->header, "regions"));
	file->c = channels > MOST_CHANNELS ? 0 : (int)channels;
	if (file->d < 1 || file->h < 1 || file->w < 1 || file->d > 4096 || file->h > 4096 ||
		file->w > 4096 || file->c < 1 ||
		(size_t)file->d * (size_t)file->h * (size_t)file->w > MOST_VOXELS)
		return vt_err_set(err, VT_EDATA, "%s: impossible size %dx%dx%d, %d channels", path,
			file->d, file->h, file->w, file->c);
	if (check_spacing(file->header, path, err))
		return err->code;
	voxels = (size_t)file->d * (size_t)file->h * (size_t)file->w;
	file->half = !strcmp(vt_json_text(vt_json_get(file->header, "dtype"), ""), "f16");
	file->labeled = vt_json_true(vt_json_get(file->header, "labeled"), false);
	file->test = vt_json_true(vt_json_get(file->header, "test"), false);
	file->fold = (int)vt_json_integer(vt_json_get(file->header, "fold"), 0);
	file->exclusive = vt_json_true(vt_json_pointer(file->header, "/manifest/exclusive"), false);
	if (regions > MOST_REGIONS || (!file->exclusive && regions > 8))
		return vt_err_set(err, VT_EDATA, "%s: %zu regions; at most %d", path, regions,
			file->exclusive ? MOST_REGIONS : 8);
	file->n_regions = (int)regions;
	file->n_foreground = (size_t)vt_json_integer(vt_json_get(file->header, "n_foreground"), 0);
	file->image = section(file, "image", voxels * (size_t)file->c * (file->half ? 2 : 4));
	if (!file->image)
		return vt_err_set(err, VT_EDATA, "%s: the image section lies outside the file",
			path);
	return file->labeled ? read_labels(file, voxels, path, err) : 0;
}

int vt_patch_open(struct vt_patch_file *out, const char *path, struct vt_err *err)
{
	struct vt_patch_file p = { .header = NULL };
	int rc = vt_fs_map(&p.map, path, err);

	if (rc)
		return rc;
	rc = read_header(&p, path, err);
	if (!rc)
		rc = read_sections(&p, path, err);
	if (rc) {
		vt_patch_close(&p);
		return rc;
	}
	p.subject = vt_xstrdup(vt_json_text(vt_json_get(p.header, "subject"), ""));
	*out = p;
	return 0;
}

void vt_patch_close(struct vt_patch_file *file)
{
	vt_fs_unmap(&file->map);
	free(file->memory);
	vt_json_free(file->header);
	free(file->subject);
	*file = (struct vt_patch_file){ .header = NULL };
}

void vt_patch_hold(struct vt_patch_file *out, struct vt_json *about, const int dims[4],
	float *image)
{
	*out = (struct vt_patch_file){ .memory = image,
		.header = about,
		.c = dims[0],
		.d = dims[1],
		.h = dims[2],
		.w = dims[3],
		.subject = vt_xstrdup(vt_json_text(vt_json_get(about, "subject"), "")),
		.image = image,
		.test = vt_json_true(vt_json_get(about, "test"), false),
		.fold = (int)vt_json_integer(vt_json_get(about, "fold"), 0),
		.n_regions = (int)vt_json_length(vt_json_get(about, "regions")) };
}

void vt_patch_row(float *out, const struct vt_patch_file *file, int channel, int z, int y, int x,
	int n)
{
	size_t at =
		(((size_t)channel * (size_t)file->d + (size_t)z) * (size_t)file->h + (size_t)y) *
			(size_t)file->w +
		(size_t)x;

	if (!file->half) {
		memcpy(out, (const float *)file->image + at, (size_t)n * sizeof(float));
		return;
	}
	for (int i = 0; i < n; i++)
		out[i] = vt_half_to_float(((const uint16_t *)file->image)[at + (size_t)i]);
}

struct vt_grid vt_patch_grid(const struct vt_patch_file *file)
{
	const struct vt_json *mm = vt_json_get(file->header, "spacing_mm");
	const int dims[3] = { file->d, file->h, file->w };
	double spacing[3];

	for (size_t a = 0; a < 3; a++)
		spacing[a] = vt_json_number(vt_json_at(mm, a), 1);
	return vt_grid_of_array(dims, spacing);
}

int vt_patch_reference_map(uint8_t **out, const struct vt_patch_file *file, struct vt_err *err)
{
	const struct vt_patch_reference *r = &file->reference;
	size_t n = (size_t)r->dims[0] * (size_t)r->dims[1] * (size_t)r->dims[2];
	const uint8_t *from = r->labels;
	uint8_t *map;

	if (!r->labels)
		return vt_err_set(err, VT_EDATA,
			"subject %s: the container holds no whole label map; run crop-patch of "
			"this version again",
			file->subject);
	map = calloc(n, 1);
	if (!map)
		return vt_err_nomem(err, n);
	for (int z = 0; z < r->size[0]; z++)
		for (int y = 0; y < r->size[1]; y++, from += r->size[2])
			memcpy(map +
					(((size_t)(r->at[0] + z) * (size_t)r->dims[1] +
						 (size_t)(r->at[1] + y)) *
							(size_t)r->dims[2] +
						(size_t)r->at[2]),
				from, (size_t)r->size[2]);
	*out = map;
	return 0;
}

/* --- writing ------------------------------------------------------------- */

static size_t round_up(size_t n)
{
	return (n + 63) / 64 * 64;
}

/* Section sizes in file order and the offsets that follow from them, once the header's length is
 * known. */
enum { SECTIONS = 5 };
static const char *const section_name[SECTIONS] = { "image", "regions", "labels", "foreground",
	"reference" };

struct layout {
	size_t bytes[SECTIONS], at[SECTIONS], end;
	int n; /* sections that there are */
};

static void lay_out(struct layout *layout, size_t header)
{
	layout->end = 16 + header;
	for (int i = 0; i < layout->n; i++) {
		layout->at[i] = layout->end;
		layout->end = round_up(layout->end + layout->bytes[i]);
	}
}

static void header_text(struct vt_buf *out, struct vt_json *json, const struct layout *layout)
{
	struct vt_json *offsets = vt_json_new(VT_JSON_OBJECT);

	for (int i = 0; i < layout->n; i++)
		vt_json_put_int(offsets, section_name[i], (int64_t)layout->at[i]);
	vt_json_put(json, "offsets", offsets);
	vt_buf_clear(out);
	vt_json_compact(out, json);
	while ((out->len + 16) % 64)
		vt_buf_char(out, ' ');
}

/* The offsets stand in the header whose length they depend on: repeat until it stops growing. */
static void settle_header(struct vt_buf *out, struct vt_json *json, struct layout *layout)
{
	size_t n;

	lay_out(layout, 0);
	do {
		n = out->len;
		header_text(out, json, layout);
		lay_out(layout, out->len);
		header_text(out, json, layout);
	} while (out->len != n);
}

static struct vt_json *three(const int v[3])
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);

	for (int a = 0; a < 3; a++)
		vt_json_push(j, vt_json_new_int(v[a]));
	return j;
}

static struct vt_json *reference_json(const struct vt_patch_reference *reference)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *spacing = vt_json_new(VT_JSON_ARRAY);

	for (int a = 0; a < 3; a++)
		vt_json_push(spacing, vt_json_new_real(reference->spacing[a]));
	vt_json_put(j, "dims", three(reference->dims));
	vt_json_put(j, "at", three(reference->at));
	vt_json_put(j, "size", three(reference->size));
	vt_json_put(j, "spacing_mm", spacing);
	return j;
}

/* The mark of what is ignored is the bit of the last of eight regions, and class 128. */
static bool is_foreground(uint8_t regions, size_t n_regions)
{
	bool marks = n_regions != 8 && n_regions < VT_PATCH_IGNORED;

	return regions && !(marks && regions == VT_PATCH_IGNORED);
}

/* The first value that f16 cannot hold is an error: it would be infinite. */
static int check_half(const float *image, size_t n, size_t channels, struct vt_err *err)
{
	for (size_t i = 0; i < n; i++)
		if (isfinite(image[i]) && (vt_half_from_float(image[i]) & 0x7fff) == 0x7c00)
			return vt_err_set(err, VT_EDATA,
				"channel %zu holds %g, f16 ends at 65504; normalize the channels "
				"or store f32 (--dtype f32)",
				i / (n / channels), (double)image[i]);
	return 0;
}

static void put_image(unsigned char *to, const float *image, size_t n, bool half)
{
	if (!half)
		memcpy(to, image, n * sizeof(float));
	for (size_t i = 0; half && i < n; i++) {
		uint16_t h = vt_half_from_float(image[i]);

		memcpy(to + 2 * i, &h, sizeof(h));
	}
}

int vt_patch_round_half(float *image, const int dims[4], struct vt_err *err)
{
	size_t n = (size_t)dims[0] * (size_t)dims[1] * (size_t)dims[2] * (size_t)dims[3];
	int rc = check_half(image, n, (size_t)dims[0], err);

	for (size_t i = 0; !rc && i < n; i++)
		image[i] = vt_half_to_float(vt_half_from_float(image[i]));
	return rc;
}

/* What follows the image in the file. */
static void put_labels(unsigned char *bytes, const struct layout *layout, const uint8_t *regions,
	size_t n_regions, const uint8_t *labels, const struct vt_patch_reference *reference)
{
	unsigned char *index = bytes + layout->at[3];

	memcpy(bytes + layout->at[1], regions, layout->bytes[1]);
	memcpy(bytes + layout->at[2], labels, layout->bytes[2]);
	for (uint32_t i = 0; i < layout->bytes[1]; i++)
		if (is_foreground(regions[i], n_regions)) {
			memcpy(index, &i, 4);
			index += 4;
		}
	if (reference)
		memcpy(bytes + layout->at[4], reference->labels, layout->bytes[4]);
}

static void measure(struct layout *layout, const int dims[4], bool half, const uint8_t *regions,
	size_t n_regions, const struct vt_patch_reference *reference)
{
	size_t voxels = (size_t)dims[1] * (size_t)dims[2] * (size_t)dims[3], n = 0;

	for (size_t i = 0; regions && i < voxels; i++)
		n += is_foreground(regions[i], n_regions);
	*layout = (struct layout){
		.bytes = { voxels * (size_t)dims[0] * (half ? 2 : 4), voxels, voxels, 4 * n,
			reference ? (size_t)reference->size[0] * (size_t)reference->size[1] *
					(size_t)reference->size[2]
				  : 0 },
		.n = reference ? 5 : 4
	};
	if (!regions)
		layout->n = 1;
}

int vt_patch_write(const char *path, const struct vt_json *about, const int dims[4], bool half,
	const float *image, const uint8_t *regions, const uint8_t *labels,
	const struct vt_patch_reference *reference, struct vt_err *err)
{
	size_t n = (size_t)dims[0] * (size_t)dims[1] * (size_t)dims[2] * (size_t)dims[3],
	       n_regions = vt_json_length(vt_json_get(about, "regions"));
	struct vt_json *j = vt_json_copy(about);
	struct vt_buf header = VT_BUF_INIT;
	struct layout l;
	unsigned char *bytes = NULL;
	uint64_t len;
	int rc = half ? check_half(image, n, (size_t)dims[0], err) : 0;

	measure(&l, dims, half, regions, n_regions, reference);
	vt_json_put_int(j, "format", 1);
	vt_json_put(j, "dims", three(dims + 1));
	vt_json_put_text(j, "dtype", half ? "f16" : "f32");
	vt_json_put_bool(j, "labeled", regions != NULL);
	vt_json_put_int(j, "n_foreground", (int64_t)(l.bytes[3] / 4));
	if (regions && reference)
		vt_json_put(j, "reference", reference_json(reference));
	settle_header(&header, j, &l);
	if (!rc && !(bytes = calloc(l.end, 1)))
		rc = vt_err_nomem(err, l.end);
	if (!rc) {
		len = header.len;
		memcpy(bytes, magic, 8);
		memcpy(bytes + 8, &len, sizeof(len));
		memcpy(bytes + 16, header.data, header.len);
		put_image(bytes + l.at[0], image, n, half);
		if (regions)
			put_labels(bytes, &l, regions, n_regions, labels, reference);
		rc = vt_fs_write_quick(path, bytes, l.end, 0644, err);
	}
	free(bytes);
	vt_buf_release(&header);
	vt_json_free(j);
	return rc;
}
