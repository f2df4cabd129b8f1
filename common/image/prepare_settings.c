/* prepare_settings.c - prepare.h's options as JSON and back. */
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

static double number(const struct vt_json *j, double otherwise)
{
	const char *text = vt_json_text(j, NULL);

	return text ? strtod(text, NULL) : otherwise;
}

struct vt_json *vt_prepare_settings(const struct vt_prepare_opts *o)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *spacing = vt_json_new(VT_JSON_ARRAY),
		       *window = vt_json_new(VT_JSON_ARRAY);

	for (int a = 0; a < 3; a++)
		vt_json_push(spacing, decimal(o->spacing[a]));
	vt_json_put_text(j, "strip", strips[o->strip - 1]);
	vt_json_put_text(j, "normalize", vt_normalize_name(o->normalize));
	if (o->normalize == VT_NORM_WINDOW) {
		vt_json_push(window, decimal(o->window[0]));
		vt_json_push(window, decimal(o->window[1]));
		vt_json_put(j, "window", window);
	} else {
		vt_json_free(window);
	}
	vt_json_put_text(j, "orient", orients[o->orient - 1]);
	vt_json_put_text(j, "bias", biases[o->bias - 1]);
	vt_json_put_text(j, "align", aligns[o->align - 1]);
	vt_json_put(j, "tolerance_mm", decimal(o->tolerance_mm));
	vt_json_put(j, "form_tolerance_mm", decimal(o->form_tolerance_mm));
	vt_json_put_bool(j, "nan_outside", o->nan_outside);
	vt_json_put(j, "spacing_mm", spacing);
	if (o->conform)
		vt_json_put_text(j, "conform", conforms[o->conform]);
	else
		vt_json_put_bool(j, "conform", false);
	vt_json_put_text(j, "interpolate", interpolations[o->interpolate - 1]);
	vt_json_put_int(j, "margin", o->crop_margin);
	vt_json_put(j, "threshold", decimal(o->brain.threshold));
	vt_json_put(j, "mask_margin_mm", decimal(o->brain.margin_mm));
	vt_json_put_text(j, "mask_channel", o->mask_role ? o->mask_role : "");
	if (o->provider || o->learned)
		vt_json_put_text(j, "learned", o->provider ? o->provider->name : o->learned);
	return j;
}

/* 1 + the index of settings[key] in words; `otherwise` where it is absent, 0 where it is
 * unknown. */
static int word(const struct vt_json *settings, const char *key, const char *const *words,
	int otherwise)
{
	const char *text = vt_json_text(vt_json_get(settings, key), NULL);

	for (int i = 0; text && words[i]; i++)
		if (!strcmp(words[i], text))
			return i + 1;
	return text ? 0 : otherwise;
}

static int normalize_word(const struct vt_json *settings)
{
	const char *text = vt_json_text(vt_json_get(settings, "normalize"), NULL);

	for (int k = VT_NORM_NONE; text && k <= VT_NORM_LAST; k++)
		if (!strcmp(text, vt_normalize_name((enum vt_normalize)k)))
			return k;
	return text ? 0 : VT_NORM_ZSCORE;
}

int vt_prepare_settings_read(struct vt_prepare_opts *o, const struct vt_json *s, struct vt_err *err)
{
	static const struct vt_prepare_opts plain = VT_PREPARE_OPTS_DEFAULT;
	struct {
		const char *key;
		int value;
	} words[] = { { "strip", word(s, "strip", strips, plain.strip) },
		{ "orient", word(s, "orient", orients, plain.orient) },
		{ "bias", word(s, "bias", biases, plain.bias) },
		{ "align", word(s, "align", aligns, plain.align) },
		{ "interpolate", word(s, "interpolate", interpolations, plain.interpolate) },
		{ "normalize", normalize_word(s) } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!words[i].value)
			return vt_err_set(err, VT_EDATA,
				"settings: %s \"%s\" is not known to this version", words[i].key,
				vt_json_text(vt_json_get(s, words[i].key), ""));
	if (vt_json_true(vt_json_get(s, "conform"), false) || !word(s, "conform", conforms, 1))
		return vt_err_set(err, VT_EDATA,
			"settings: the grid was conformed by another version, which had other axes "
			"and another center; prepare the training data again");
	*o = plain;
	o->strip = (enum vt_strip)words[0].value;
	o->orient = (enum vt_orient)words[1].value;
	o->bias = (enum vt_bias)words[2].value;
	o->align = (enum vt_align)words[3].value;
	o->interpolate = (enum vt_interpolate)words[4].value;
	o->normalize = (enum vt_normalize)words[5].value;
	o->tolerance_mm = number(vt_json_get(s, "tolerance_mm"), o->tolerance_mm);
	o->form_tolerance_mm = number(vt_json_get(s, "form_tolerance_mm"), o->form_tolerance_mm);
	o->nan_outside = vt_json_true(vt_json_get(s, "nan_outside"), false);
	for (size_t a = 0; a < 3; a++)
		o->spacing[a] = number(vt_json_at(vt_json_get(s, "spacing_mm"), a), 0);
	for (size_t a = 0; a < 2; a++)
		o->window[a] = number(vt_json_at(vt_json_get(s, "window"), a), 0);
	if (o->normalize == VT_NORM_WINDOW && !(o->window[0] < o->window[1]))
		return vt_err_set(err, VT_EDATA, "settings: window must be two numbers in order");
	o->conform = (enum vt_conform)(word(s, "conform", conforms, 1) - 1);
	o->crop_margin = (int)vt_json_integer(vt_json_get(s, "margin"), o->crop_margin);
	o->brain.threshold = number(vt_json_get(s, "threshold"), o->brain.threshold);
	o->brain.margin_mm = number(vt_json_get(s, "mask_margin_mm"), o->brain.margin_mm);
	o->mask_role = vt_json_text(vt_json_get(s, "mask_channel"), "");
	o->learned = vt_json_text(vt_json_get(s, "learned"), NULL);
	return 0;
}
