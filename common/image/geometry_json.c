/* geometry_json.c - geometries and placements as JSON: numbers in the shortest form that reads
 * back equal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/geometry.h"

static const char *const form_names
	[] = { [VT_FORM_NONE] = "none", [VT_FORM_QFORM] = "qform", [VT_FORM_SFORM] = "sform" };

static struct vt_json *reals(const double *v, size_t n)
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);
	for (size_t i = 0; i < n; i++)
		vt_json_push(j, vt_json_new_real(v[i]));
	return j;
}

static struct vt_json *sizes(const size_t *v, size_t n)
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);
	for (size_t i = 0; i < n; i++)
		vt_json_push(j, vt_json_new_int((int64_t)v[i]));
	return j;
}

static struct vt_json *matrix(const double m[3][4])
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);
	for (int i = 0; i < 3; i++)
		vt_json_push(j, reals(m[i], 4));
	return j;
}

static struct vt_json *geometry_json(const struct vt_geometry *geometry)
{
	char code[4];
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	vt_geometry_code(geometry, code);
	vt_json_put(j, "dim", sizes(geometry->dim, 3));
	vt_json_put(j, "spacing", reals(geometry->spacing, 3));
	vt_json_put_text(j, "orientation", code);
	vt_json_put(j, "affine", matrix(geometry->affine));
	vt_json_put_text(j, "form", form_names[geometry->form]);
	vt_json_put_int(j, "sform_code", geometry->sform_code);
	vt_json_put_int(j, "qform_code", geometry->qform_code);
	vt_json_put(j, "sform", matrix(geometry->sform));
	vt_json_put(j, "quatern", reals(geometry->quatern, 3));
	vt_json_put(j, "qoffset", reals(geometry->qoffset, 3));
	vt_json_put_real(j, "qfac", geometry->qfac);
	vt_json_put(j, "pixdim", reals(geometry->pixdim, 3));
	vt_json_put_real(j, "form_gap_mm", geometry->form_gap);
	return j;
}

static bool is_number(const struct vt_json *json)
{
	return json && (json->type == VT_JSON_INT || json->type == VT_JSON_REAL);
}

static int get_reals(double *out, size_t n, const struct vt_json *json, const char *key,
	struct vt_err *err)
{
	const struct vt_json *a = vt_json_get(json, key);
	if (!a || a->type != VT_JSON_ARRAY || a->n != n)
		return vt_err_set(err, VT_EDATA, "\"%s\" is not a list of %zu numbers", key, n);
	for (size_t i = 0; i < n; i++) {
		if (!is_number(a->item[i]))
			return vt_err_set(err, VT_EDATA, "\"%s\"[%zu] is not a number", key, i);
		out[i] = vt_json_number(a->item[i], 0);
	}
	return 0;
}

static int get_matrix(double out[3][4], const struct vt_json *json, const char *key,
	struct vt_err *err)
{
	const struct vt_json *rows = vt_json_get(json, key);
	if (!rows || rows->type != VT_JSON_ARRAY || rows->n != 3)
		return vt_err_set(err, VT_EDATA, "\"%s\" is not a list of 3 rows", key);
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < 4; k++) {
			const struct vt_json *x = vt_json_at(rows->item[i], k);
			if (!is_number(x))
				return vt_err_set(err, VT_EDATA, "\"%s\"[%zu][%zu] is not a number",
					key, i, k);
			out[i][k] = vt_json_number(x, 0);
		}
	return 0;
}

static int get_sizes(size_t out[3], const struct vt_json *json, const char *key, int64_t least,
	struct vt_err *err)
{
	const struct vt_json *a = vt_json_get(json, key);
	for (size_t i = 0; i < 3; i++) {
		int64_t v = vt_json_integer(vt_json_at(a, i), -1);
		if (v < least || v > INT32_MAX)
			return vt_err_set(err, VT_EDATA,
				"\"%s\"[%zu] is not a whole number of at least %lld", key, i,
				(long long)least);
		out[i] = (size_t)v;
	}
	return 0;
}

static int geometry_parse(struct vt_geometry *out, const struct vt_json *json, struct vt_err *err)
{
	struct vt_geometry g;
	const char *form = vt_json_text(vt_json_get(json, "form"), "");
	memset(&g, 0, sizeof(g));
	for (int i = VT_FORM_NONE; i <= VT_FORM_SFORM; i++)
		if (!strcmp(form, form_names[i]))
			g.form = (enum vt_form)i;
	if (!g.form)
		return vt_err_set(err, VT_EDATA, "\"form\" is \"%s\", want none, qform or sform",
			form);
	if (get_sizes(g.dim, json, "dim", 1, err) ||
		get_reals(g.spacing, 3, json, "spacing", err) ||
		get_matrix(g.affine, json, "affine", err) ||
		get_matrix(g.sform, json, "sform", err) ||
		get_reals(g.quatern, 3, json, "quatern", err) ||
		get_reals(g.qoffset, 3, json, "qoffset", err) ||
		get_reals(g.pixdim, 3, json, "pixdim", err) || vt_geometry_check(&g, err) ||
		vt_geometry_check_size(&g, err))
		return err->code;
	g.sform_code = (int)vt_json_integer(vt_json_get(json, "sform_code"), 0);
	g.qform_code = (int)vt_json_integer(vt_json_get(json, "qform_code"), 0);
	g.qfac = vt_json_number(vt_json_get(json, "qfac"), 1);
	g.form_gap = vt_json_number(vt_json_get(json, "form_gap_mm"), 0);
	*out = g;
	return 0;
}

struct vt_json *vt_placement_json(const struct vt_placement *placement)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *axis = vt_json_new(VT_JSON_ARRAY),
		       *flip = vt_json_new(VT_JSON_ARRAY);
	for (int a = 0; a < 3; a++) {
		vt_json_push(axis, vt_json_new_int(placement->axis[a]));
		vt_json_push(flip, vt_json_new_bool(placement->flip[a]));
	}
	vt_json_put(j, "native", geometry_json(&placement->native));
	vt_json_put(j, "axis", axis);
	vt_json_put(j, "flip", flip);
	vt_json_put_bool(j, "resampled", placement->resampled);
	vt_json_put(j, "full", geometry_json(&placement->full));
	vt_json_put(j, "crop_from", sizes(placement->lo, 3));
	vt_json_put(j, "work", geometry_json(&placement->work));
	return j;
}

static int get_axes(struct vt_placement *placement, const struct vt_json *json, struct vt_err *err)
{
	unsigned seen = 0;
	for (size_t a = 0; a < 3; a++) {
		int64_t v = vt_json_integer(vt_json_at(vt_json_get(json, "axis"), a), -1);
		if (v < 0 || v > 2)
			return vt_err_set(err, VT_EDATA, "\"axis\"[%zu] is not 0, 1 or 2", a);
		placement->axis[a] = (int)v;
		placement->flip[a] = vt_json_true(vt_json_at(vt_json_get(json, "flip"), a), false);
		seen |= 1u << v;
	}
	return seen == 7 ? 0 : vt_err_set(err, VT_EDATA, "\"axis\" names an axis twice");
}

static int check_fit(const struct vt_placement *placement, struct vt_err *err)
{
	for (int a = 0; a < 3; a++) {
		if (!placement->resampled &&
			placement->full.dim[a] != placement->native.dim[placement->axis[a]])
			return vt_err_set(err, VT_EDATA,
				"\"full\" has %zu voxels on axis %d, \"native\" has %zu there",
				placement->full.dim[a], a,
				placement->native.dim[placement->axis[a]]);
		if (placement->lo[a] > placement->full.dim[a] ||
			placement->work.dim[a] > placement->full.dim[a] - placement->lo[a])
			return vt_err_set(err, VT_EDATA,
				"\"work\" does not fit in \"full\" on axis %d", a);
	}
	return 0;
}

int vt_placement_parse(struct vt_placement *out, const struct vt_json *value, struct vt_err *err)
{
	struct vt_placement p;
	memset(&p, 0, sizeof(p));
	if (geometry_parse(&p.native, vt_json_get(value, "native"), err))
		return vt_err_prefix(err, "\"native\"");
	if (geometry_parse(&p.full, vt_json_get(value, "full"), err))
		return vt_err_prefix(err, "\"full\"");
	if (geometry_parse(&p.work, vt_json_get(value, "work"), err))
		return vt_err_prefix(err, "\"work\"");
	p.resampled = vt_json_true(vt_json_get(value, "resampled"), false);
	if (get_axes(&p, value, err) || get_sizes(p.lo, value, "crop_from", 0, err) ||
		check_fit(&p, err))
		return err->code;
	*out = p;
	return 0;
}
