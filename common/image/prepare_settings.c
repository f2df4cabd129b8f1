/* prepare_settings.c - prepare.h's options as JSON and back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/prepare.h"

/* Words in the order of the enums, which count from 1. */
static const char *const strips[] = { "auto", "always", "never", NULL };
static const char *const orients[] = { "ras", "native", NULL };
static const char *const biases[] = { "none", "n4", NULL };
static const char *const aligns[] = { "refuse", "rigid", NULL };
static const char *const interpolations[] = { "nearest", "linear", "cubic", NULL };

/* "conform": false, or a word */
static const char *const conforms[] = { "", "f32", "uchar", NULL };

static struct vt_json *decimal(double v)
{
	char text[32];

	vt_json_real_text(text, v);
	return vt_json_new_text(text);
}

/* `otherwise` where it is absent; NaN, which no range has, where it is no number. */
static double number(const struct vt_json *json, double otherwise)
{
	const char *text = vt_json_text(json, NULL);
	char *end;
	double v;

	if (!text)
		return vt_json_number(json, json ? NAN : otherwise);
	v = strtod(text, &end);
	return end > text && !*end ? v : NAN;
}

struct vt_json *vt_prepare_settings(const struct vt_prepare_opts *opts)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *spacing = vt_json_new(VT_JSON_ARRAY),
		       *window = vt_json_new(VT_JSON_ARRAY);

	for (int a = 0; a < 3; a++)
		vt_json_push(spacing, decimal(opts->spacing[a]));
	vt_json_put_text(j, "strip", strips[opts->strip - 1]);
	vt_json_put_text(j, "normalize", vt_normalize_name(opts->normalize));
	if (opts->normalize == VT_NORM_WINDOW) {
		vt_json_push(window, decimal(opts->window[0]));
		vt_json_push(window, decimal(opts->window[1]));
		vt_json_put(j, "window", window);
	} else {
		vt_json_free(window);
	}
	vt_json_put_text(j, "orient", orients[opts->orient - 1]);
	vt_json_put_text(j, "bias", biases[opts->bias - 1]);
	vt_json_put_text(j, "align", aligns[opts->align - 1]);
	vt_json_put(j, "tolerance_mm", decimal(opts->tolerance_mm));
	vt_json_put(j, "form_tolerance_mm", decimal(opts->form_tolerance_mm));
	vt_json_put_bool(j, "nan_outside", opts->nan_outside);
	vt_json_put(j, "spacing_mm", spacing);
	if (opts->conform)
		vt_json_put_text(j, "conform", conforms[opts->conform]);
	else
		vt_json_put_bool(j, "conform", false);
	vt_json_put_text(j, "interpolate", interpolations[opts->interpolate - 1]);
	vt_json_put_int(j, "margin", opts->crop_margin);
	vt_json_put(j, "threshold", decimal(opts->brain.threshold));
	vt_json_put(j, "mask_margin_mm", decimal(opts->brain.margin_mm));
	vt_json_put_text(j, "mask_channel", opts->mask_role ? opts->mask_role : "");
	if (opts->provider || opts->learned)
		vt_json_put_text(j, "learned",
			opts->provider ? opts->provider->name : opts->learned);
	return j;
}

/* 1 + the index of settings[key] in words; `otherwise` where it is absent, 0 where it is
 * unknown. */
static int word(const struct vt_json *settings, const char *key, const char *const *words,
	int otherwise)
{
	const struct vt_json *value = vt_json_get(settings, key);
	const char *text = vt_json_text(value, NULL);

	for (int i = 0; text && words[i]; i++)
		if (!strcmp(words[i], text))
			return i + 1;
	return value ? 0 : otherwise;
}

static int normalize_word(const struct vt_json *settings)
{
	const struct vt_json *value = vt_json_get(settings, "normalize");
	const char *text = vt_json_text(value, NULL);

	for (int k = VT_NORM_NONE; text && k <= VT_NORM_LAST; k++)
		if (!strcmp(text, vt_normalize_name((enum vt_normalize)k)))
			return k;
	return value ? 0 : VT_NORM_ZSCORE;
}

/* 1 + the index in conforms; false is the first one. */
static int conform_word(const struct vt_json *settings)
{
	const struct vt_json *value = vt_json_get(settings, "conform");

	if (value && value->type == VT_JSON_BOOL && !value->boolean)
		return 1;
	return word(settings, "conform", conforms, 1);
}

/* A value of another type is not passed over: the default would prepare scans in another way. */
static int check_types(const struct vt_json *settings, struct vt_err *err)
{
	static const struct {
		const char *key;
		enum vt_json_type type;
		const char *is;
	} all[] = { { "nan_outside", VT_JSON_BOOL, "true or false" },
		{ "spacing_mm", VT_JSON_ARRAY, "three numbers" },
		{ "window", VT_JSON_ARRAY, "two numbers in order" },
		{ "mask_channel", VT_JSON_STRING, "a text" },
		{ "learned", VT_JSON_STRING, "a text" } };

	if (settings && settings->type != VT_JSON_OBJECT && settings->type != VT_JSON_NULL)
		return vt_err_set(err, VT_EDATA, "settings must be an object");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct vt_json *value = vt_json_get(settings, all[i].key);

		if (value && value->type != all[i].type)
			return vt_err_set(err, VT_EDATA, "settings: %s must be %s", all[i].key,
				all[i].is);
	}
	return 0;
}

/* Numbers that others may have written decide the sizes of grids and of margins from here on. */
static int check_numbers(const struct vt_prepare_opts *opts, struct vt_err *err)
{
	const struct {
		const char *key;
		double value, least, most;
	} all[] = { { "spacing_mm", opts->spacing[0], -1, 100 },
		{ "spacing_mm", opts->spacing[1], -1, 100 },
		{ "spacing_mm", opts->spacing[2], -1, 100 },
		{ "tolerance_mm", opts->tolerance_mm, 0, 10 },
		{ "form_tolerance_mm", opts->form_tolerance_mm, 0, 10000 },
		{ "threshold", opts->brain.threshold, 0, 1 },
		{ "mask_margin_mm", opts->brain.margin_mm, 0, 20 } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!(all[i].value >= all[i].least && all[i].value <= all[i].most))
			return vt_err_set(err, VT_EDATA,
				"settings: %s must be a number from %g to %g", all[i].key,
				all[i].least, all[i].most);
	return 0;
}

static int take_margin(int *out, const struct vt_json *value, struct vt_err *err)
{
	int64_t n = vt_json_integer(value, value ? INT64_MIN : *out);

	if (n < -1 || n > 64)
		return vt_err_set(err, VT_EDATA,
			"settings: margin must be a whole number from -1 to 64");
	*out = (int)n;
	return 0;
}

int vt_prepare_settings_read(struct vt_prepare_opts *opts, const struct vt_json *json,
	struct vt_err *err)
{
	static const struct vt_prepare_opts plain = VT_PREPARE_OPTS_DEFAULT;
	const struct vt_json *spacing = vt_json_get(json, "spacing_mm"),
			     *window = vt_json_get(json, "window");
	struct {
		const char *key;
		int value;
	} words[] = { { "strip", word(json, "strip", strips, plain.strip) },
		{ "orient", word(json, "orient", orients, plain.orient) },
		{ "bias", word(json, "bias", biases, plain.bias) },
		{ "align", word(json, "align", aligns, plain.align) },
		{ "interpolate", word(json, "interpolate", interpolations, plain.interpolate) },
		{ "normalize", normalize_word(json) } };

	if (check_types(json, err))
		return err->code;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!words[i].value)
			return vt_err_set(err, VT_EDATA,
				"settings: %s \"%s\" is not known to this version", words[i].key,
				vt_json_text(vt_json_get(json, words[i].key), ""));
	if (!conform_word(json))
		return vt_err_set(err, VT_EDATA,
			"settings: the grid was conformed by another version, which had other axes "
			"and another center; prepare the training data again");
	*opts = plain;
	opts->strip = (enum vt_strip)words[0].value;
	opts->orient = (enum vt_orient)words[1].value;
	opts->bias = (enum vt_bias)words[2].value;
	opts->align = (enum vt_align)words[3].value;
	opts->interpolate = (enum vt_interpolate)words[4].value;
	opts->normalize = (enum vt_normalize)words[5].value;
	opts->tolerance_mm = number(vt_json_get(json, "tolerance_mm"), opts->tolerance_mm);
	opts->form_tolerance_mm =
		number(vt_json_get(json, "form_tolerance_mm"), opts->form_tolerance_mm);
	opts->nan_outside = vt_json_true(vt_json_get(json, "nan_outside"), false);
	for (size_t a = 0; a < 3; a++)
		opts->spacing[a] = number(vt_json_at(spacing, a), spacing ? NAN : 0);
	for (size_t a = 0; a < 2; a++)
		opts->window[a] = number(vt_json_at(window, a), window ? NAN : 0);
	if (opts->normalize == VT_NORM_WINDOW &&
		!(opts->window[0] < opts->window[1] && isfinite(opts->window[0]) &&
			isfinite(opts->window[1])))
		return vt_err_set(err, VT_EDATA, "settings: window must be two numbers in order");
	opts->conform = (enum vt_conform)(conform_word(json) - 1);
	opts->brain.threshold = number(vt_json_get(json, "threshold"), opts->brain.threshold);
	opts->brain.margin_mm = number(vt_json_get(json, "mask_margin_mm"), opts->brain.margin_mm);
	opts->mask_role = vt_json_text(vt_json_get(json, "mask_channel"), "");
	opts->learned = vt_json_text(vt_json_get(json, "learned"), NULL);
	return check_numbers(opts, err)
		? err->code
		: take_margin(&opts->crop_margin, vt_json_get(json, "margin"), err);
}
