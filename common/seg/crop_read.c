/* crop_read.c - how a checkpoint says that its training data were prepared; a claim of others. */
#include <string.h>

#include "common/seg/crop.h"

/* A whole number of a checkpoint that others may have written, as crop-patch takes it. */
static int crop_int(int *out, const struct vt_json *value, const char *key, int otherwise,
	int least, int most, struct vt_err *err)
{
	/* absent: `otherwise`; there and no integer: out of any bounds */
	int64_t n = vt_json_integer(value, value ? INT64_MIN : otherwise);

	if (n < least || n > most)
		return vt_err_set(err, VT_EDATA, "/crop/%s must be a whole number from %d to %d",
			key, least, most);
	*out = (int)n;
	return 0;
}

/* As crop_int() for true and false. */
static int crop_flag(bool *out, const struct vt_json *crop, const char *key, struct vt_err *err)
{
	const struct vt_json *value = vt_json_get(crop, key);

	if (value && value->type != VT_JSON_BOOL)
		return vt_err_set(err, VT_EDATA, "/crop/%s must be true or false", key);
	*out = vt_json_true(value, false);
	return 0;
}

static int read_crop(struct vt_crop_opts *opts, bool *region, const struct vt_json *crop,
	struct vt_err *err)
{
	const struct vt_json *center = vt_json_get(crop, "center"),
			     *dtype = vt_json_get(crop, "dtype");
	const char *type = vt_json_text(dtype, dtype ? "" : "f32");

	if (crop && crop->type != VT_JSON_OBJECT && crop->type != VT_JSON_NULL)
		return vt_err_set(err, VT_EDATA, "/crop must be an object");
	if (strcmp(type, "f32") != 0 && strcmp(type, "f16") != 0)
		return vt_err_set(err, VT_EDATA, "/crop/dtype must be f32 or f16");
	*opts = (struct vt_crop_opts){
		.half = !strcmp(type, "f16"),
		.tolerance_mm = 0.05,
	};
	if (crop_flag(&opts->whole, crop, "whole", err) || crop_flag(region, crop, "region", err) ||
		crop_int(&opts->margin, vt_json_get(crop, "margin"), "margin", 2, 0, 64, err) ||
		crop_int(&opts->multiple, vt_json_get(crop, "multiple"), "multiple", 8, 1, 64,
			err) ||
		crop_int(&opts->least, vt_json_get(crop, "min_size"), "min_size", 0, 0, 512, err))
		return err->code;
	for (size_t a = 0; center && a < 3; a++)
		if (crop_int(&opts->center[a], vt_json_at(center, a), "center", 0, 1, 4096, err))
			return err->code;
	return 0;
}

int vt_preparation_read(struct vt_preparation *out, const struct vt_json *checkpoint,
	enum vt_strip strip, struct vt_err *err)
{
	const struct vt_json *spacing = vt_json_get(checkpoint, "spacing_mm");
	struct vt_prepare_opts *o = &out->prepare;
	int rc = vt_prepare_settings_read(o, vt_json_get(checkpoint, "settings"), err);

	if (!rc)
		rc = read_crop(&out->crop, &out->region, vt_json_get(checkpoint, "crop"), err);
	if (strip)
		o->strip = strip;
	for (size_t a = 0; !rc && spacing && spacing->type != VT_JSON_NULL && a < 3; a++) {
		double mm = vt_json_number(vt_json_at(spacing, 2 - a), 0); /* stored z, y, x */

		if (!(mm >= 0.01 && mm <= 100))
			rc = vt_err_set(err, VT_EDATA,
				"/spacing_mm must be three numbers from 0.01 to 100");
		/* what settings say holds before what the volume had */
		else if (o->spacing[a] <= 0 && !o->conform)
			o->spacing[a] = mm;
	}
	return rc ? vt_err_prefix(err, "checkpoint.json") : 0;
}
