/* How a checkpoint's training data were prepared, as others may have written it: numbers that
 * decide sizes of boxes and grids are taken in their ranges only. */
#include "common/image/picture.h"
#include "common/seg/crop.h"
#include "tests/check.h"

static int read_one(const char *key, const char *value, struct vt_preparation *out,
	struct vt_err *err)
{
	char *text = vt_asprintf(
		"{\"crop\":{\"margin\":2,\"multiple\":8,\"min_size\":0,\"dtype\":\"f32\"},"
		"\"settings\":{\"strip\":\"never\",\"normalize\":\"zscore\"},"
		"\"spacing_mm\":[1,2,3]}");
	struct vt_json *j = NULL, *v = NULL;
	int rc = 1;

	*err = (struct vt_err)VT_ERR_INIT;
	CHECK(!vt_json_parse(&j, text, strlen(text), "checkpoint", err));
	CHECK(!vt_json_parse(&v, value, strlen(value), "value", err));
	if (j && v && strchr(key, '.')) {
		struct vt_json *inner = strncmp(key, "crop", 4)
			? (struct vt_json *)vt_json_get(j, "settings")
			: (struct vt_json *)vt_json_get(j, "crop");

		vt_json_put(inner, strchr(key, '.') + 1, v);
	} else if (j && v) {
		vt_json_put(j, key, v);
	}
	if (j && v)
		rc = vt_preparation_read(out, j, 0, err);
	vt_json_free(j);
	free(text);
	return rc;
}

static void as_written(void)
{
	struct vt_preparation p;
	struct vt_err err;

	CHECK_EQ(read_one("crop.center", "[40,50,60]", &p, &err), 0);
	CHECK_EQ(p.crop.center[1], 50);
	CHECK_EQ(p.crop.multiple, 8);
	CHECK_NEAR(p.prepare.spacing[0], 3, 0); /* stored z, y, x */
	CHECK_EQ(read_one("crop.multiple", "64", &p, &err), 0);
	CHECK_EQ(p.crop.multiple, 64);
	CHECK_EQ(read_one("settings.margin", "-1", &p, &err), 0);
	CHECK_EQ(p.prepare.crop_margin, -1);
	CHECK_EQ(read_one("spacing_mm", "null", &p, &err), 0);
}

static void out_of_range(void)
{
	static const struct {
		const char *key, *value;
	} all[] = { { "crop.multiple", "0" }, { "crop.multiple", "-8" }, { "crop.multiple", "65" },
		{ "crop.multiple", "4611686018427387904" }, { "crop.multiple", "4294967296" },
		{ "crop.multiple", "8.5" }, { "crop.multiple", "\"x\"" }, { "crop.margin", "-1" },
		{ "crop.margin", "1099511627776" }, { "crop.min_size", "2147483648" },
		{ "crop.min_size", "-1" }, { "crop.center", "[1,2]" }, { "crop.center", "7" },
		{ "crop.center", "[0,1,1]" }, { "crop.center", "[4294967297,1,1]" },
		{ "settings.margin", "65" }, { "settings.margin", "1099511627776" },
		{ "settings.margin", "\"x\"" }, { "settings.spacing_mm", "[\"101\",\"1\",\"1\"]" },
		{ "settings.spacing_mm", "[\"nan\",\"1\",\"1\"]" },
		{ "settings.threshold", "\"nan\"" }, { "settings.mask_margin_mm", "\"1e300\"" },
		{ "settings.tolerance_mm", "\"-1\"" }, { "settings.form_tolerance_mm", "\"inf\"" },
		{ "spacing_mm", "[1e-300,1,1]" }, { "spacing_mm", "[1,2]" },
		{ "spacing_mm", "\"x\"" }, { "spacing_mm", "[0,1,1]" },
		/* no default in the place of a value of another type */
		{ "settings.strip", "{}" }, { "settings.strip", "1" },
		{ "settings.normalize", "[]" }, { "settings.orient", "null" },
		{ "settings.threshold", "\"half\"" }, { "settings.threshold", "true" },
		{ "settings.threshold", "\"0.4x\"" }, { "settings.nan_outside", "1" },
		{ "settings.spacing_mm", "[\"1\",\"1\"]" }, { "settings.spacing_mm", "2" },
		{ "settings.mask_channel", "7" }, { "settings.learned", "{}" },
		{ "settings.window", "\"0\"" }, { "crop.dtype", "\"f64\"" }, { "crop.dtype", "16" },
		{ "crop.whole", "1" }, { "crop.region", "\"true\"" }, { "settings", "[]" },
		{ "crop", "5" } };
	struct vt_preparation p;
	struct vt_err err;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (read_one(all[i].key, all[i].value, &p, &err) != VT_EDATA ||
			!strstr(err.text,
				strchr(all[i].key, '.') ? strchr(all[i].key, '.') + 1 : all[i].key))
			CHECK_FAIL("%s %s: %d \"%s\"", all[i].key, all[i].value, err.code,
				err.text);
	}
}

static void grids(void)
{
	struct vt_geometry g, fine;
	struct vt_err err = VT_ERR_INIT;

	vt_geometry_init(&g, (const size_t[3]){ 1024, 512, 512 }, (const double[3]){ 1, 1, 1 });
	CHECK_EQ(vt_geometry_check_size(&g, &err), 0);
	vt_geometry_init(&g, (const size_t[3]){ 1024, 512, 513 }, (const double[3]){ 1, 1, 1 });
	CHECK_EQ(vt_geometry_check_size(&g, &err), VT_EDATA);
	/* 2^64 voxels are no few */
	vt_geometry_init(&g, (const size_t[3]){ 32767, 32767, 32767 },
		(const double[3]){ 1, 1, 1 });
	vt_geometry_respaced(&fine, &g, (const double[3]){ 0.01, 0.01, 0.01 });
	CHECK_EQ(vt_geometry_check_size(&fine, &err), VT_EDATA);
	/* a whole body, and one millimeter more than is allowed */
	vt_geometry_init(&g, (const size_t[3]){ 4096, 10, 10 }, (const double[3]){ 1, 90, 90 });
	CHECK_EQ(vt_geometry_check(&g, &err), 0);
	vt_geometry_init(&g, (const size_t[3]){ 10, 10, 4097 }, (const double[3]){ 1, 1, 1 });
	CHECK_EQ(vt_geometry_check(&g, &err), VT_EDATA);
	/* as a header holds 0.01 mm; less */
	vt_geometry_init(&g, (const size_t[3]){ 10, 10, 10 },
		(const double[3]){ (double)0.01f, 0.01, 0.01 });
	CHECK_EQ(vt_geometry_check(&g, &err), 0);
	vt_geometry_init(&g, (const size_t[3]){ 10, 10, 10 },
		(const double[3]){ 0.00999, 0.01, 0.01 });
	CHECK_EQ(vt_geometry_check(&g, &err), VT_EDATA);
	/* 65 times as many voxels: up to 256 cubed */
	vt_geometry_init(&g, (const size_t[3]){ 64, 64, 64 }, (const double[3]){ 1, 1, 5 });
	vt_geometry_respaced(&fine, &g, (const double[3]){ 0.25, 0.25, 1.25 });
	CHECK_EQ(vt_geometry_check_growth(&fine, &g, &err), 0);
	vt_geometry_respaced(&fine, &g, (const double[3]){ 0.25, 0.25, 1 });
	CHECK_EQ(vt_geometry_check_growth(&fine, &g, &err), VT_EDATA);
	vt_geometry_init(&g, (const size_t[3]){ 16, 16, 16 }, (const double[3]){ 16, 16, 16 });
	vt_geometry_respaced(&fine, &g, (const double[3]){ 1, 1, 1 });
	CHECK_EQ(vt_geometry_check_growth(&fine, &g, &err), 0);
	vt_geometry_respaced(&fine, &g, (const double[3]){ 1, 1, 0.99 });
	CHECK_EQ(vt_geometry_check_growth(&fine, &g, &err), VT_EDATA);
	/* a picture: as asked for, but 1024 pixels at the most */
	vt_geometry_init(&g, (const size_t[3]){ 22, 45, 45 }, (const double[3]){ 0.011, 90, 90 });
	CHECK_NEAR(vt_slice_mm(&g, 0.011), 4050.0 / 1024, 1e-12);
	CHECK_NEAR(vt_slice_mm(&g, 5), 5, 0);
}

int main(void)
{
	RUN(as_written);
	RUN(out_of_range);
	RUN(grids);
	return check_done();
}
