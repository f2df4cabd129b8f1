#include "common/seg/search_space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/rng.h"

static int wrong(const char *name, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EDATA, "search space, %s: %s", name, what);
}

static struct vt_json *six_digits(double v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", v);
	return vt_json_new_real(strtod(text, NULL));
}

static int draw_one(struct vt_json **out, const char *name, const struct vt_json *how,
	struct vt_rng *rng, struct vt_err *err)
{
	const char *kind = how->type == VT_JSON_OBJECT && how->n == 1 ? how->key[0] : "";
	const struct vt_json *v = *kind ? how->item[0] : NULL;
	double lo = vt_json_number(vt_json_at(v, 0), NAN),
	       hi = vt_json_number(vt_json_at(v, 1), NAN);
	bool range = v && v->type == VT_JSON_ARRAY && v->n == 2 && lo <= hi;

	if (!strcmp(kind, "choice")) {
		if (v->type != VT_JSON_ARRAY || !v->n)
			return wrong(name, "choice needs a list of values", err);
		*out = vt_json_copy(vt_json_at(v, vt_rng_below(rng, (uint32_t)v->n)));
	} else if (!strcmp(kind, "uniform") && range) {
		*out = six_digits(vt_rng_between(rng, lo, hi));
	} else if (!strcmp(kind, "log-uniform") && range && lo > 0) {
		*out = six_digits(vt_exp(vt_rng_between(rng, vt_ln(lo), vt_ln(hi))));
	} else if (!strcmp(kind, "integer") && range && lo == floor(lo) && hi == floor(hi) &&
		hi - lo < 1e9) {
		*out = vt_json_new_int((int64_t)lo + vt_rng_below(rng, (uint32_t)(hi - lo) + 1));
	} else {
		return wrong(name,
			"must be one of {\"uniform\": [lo, hi]}, {\"log-uniform\": [lo, hi]} above "
			"0, {\"integer\": [lo, hi]}, {\"choice\": [values]}",
			err);
	}
	return 0;
}

/* Puts a value where the names joined by '/' lead, making objects on the way. */
static int put(struct vt_json *at, const char *name, struct vt_json *value, struct vt_err *err)
{
	const char *rest = name;

	for (const char *slash; (slash = strchr(rest, '/')) != NULL; rest = slash + 1) {
		char *key = vt_xstrndup(rest, (size_t)(slash - rest));

		if (!vt_json_get(at, key))
			vt_json_put(at, key, vt_json_new(VT_JSON_OBJECT));
		at = (struct vt_json *)vt_json_get(at, key);
		free(key);
		if (at->type != VT_JSON_OBJECT) {
			vt_json_free(value);
			return wrong(name, "stands in something that is no object", err);
		}
	}
	vt_json_put(at, rest, value);
	return 0;
}

int vt_search_draw(struct vt_json *params, const struct vt_json *space, uint64_t seed,
	uint64_t trial, struct vt_err *err)
{
	int rc = 0;

	if (space->type != VT_JSON_OBJECT || !space->n)
		return vt_err_set(err, VT_EDATA, "search space: must be an object of params");
	for (size_t i = 0; !rc && i < space->n; i++) {
		struct vt_rng r =
			vt_rng_stream(seed, "search", vt_rng_hash(space->key[i]), trial, 0);
		struct vt_json *value = NULL;

		rc = draw_one(&value, space->key[i], space->item[i], &r, err);
		if (!rc)
			rc = put(params, space->key[i], value, err);
	}
	return rc;
}
