#include "common/seg/contract.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- making -------------------------------------------------------------- */

static void put_all(struct vt_json *out, const char *group, const struct vt_json *from)
{
	for (size_t i = 0; from && from->type == VT_JSON_OBJECT && i < from->n; i++) {
		char *key = vt_asprintf("%s.%s", group, from->key[i]);

		vt_json_put(out, key, vt_json_copy(from->item[i]));
		free(key);
	}
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* [name, value, value ...], values ascending whatever their order in the manifest. */
static struct vt_json *region_of(const struct vt_json *region)
{
	const struct vt_json *values = vt_json_get(region, "values");
	struct vt_json *out = vt_json_new(VT_JSON_ARRAY);
	size_t n = values ? values->n : 0;
	int64_t *list = vt_xcalloc(n + 1, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = vt_json_integer(values->item[i], -1);
	qsort(list, n, sizeof(*list), by_value);
	vt_json_push(out, vt_json_new_text(vt_json_text(vt_json_get(region, "name"), "")));
	for (size_t i = 0; i < n; i++)
		vt_json_push(out, vt_json_new_int(list[i]));
	free(list);
	return out;
}

static struct vt_json *make(const struct vt_json *from, const struct vt_json *settings)
{
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT), *regions = vt_json_new(VT_JSON_ARRAY);
	const struct vt_json *manifest = vt_json_get(from, "manifest"),
			     *list = vt_json_get(manifest, "regions");

	for (size_t i = 0; list && i < list->n; i++)
		vt_json_push(regions, region_of(list->item[i]));
	vt_json_put(out, "channels", vt_json_copy(vt_json_get(from, "channels")));
	vt_json_put(out, "regions", regions);
	vt_json_put(out, "ignore", vt_json_copy(vt_json_pointer(manifest, "/label/ignore")));
	put_all(out, "settings", settings);
	put_all(out, "crop", vt_json_get(from, "crop"));
	vt_json_put(out, "spacing_mm", vt_json_copy(vt_json_get(from, "spacing_mm")));
	return out;
}

/* Axes lie as the scan has them: its settings do not say where. */
static bool keeps_axes(const struct vt_json *settings)
{
	return !strcmp(vt_json_text(vt_json_get(settings, "orient"), "ras"), "native") &&
		!*vt_json_text(vt_json_get(settings, "conform"), "");
}

struct vt_json *vt_contract_axes(const struct vt_json *header)
{
	const char *axes =
		vt_json_text(vt_json_pointer(header, "/geometry/placement/work/orientation"),
			"unknown");

	return keeps_axes(vt_json_pointer(header, "/geometry/settings")) ? vt_json_new_text(axes)
									 : NULL;
}

struct vt_json *vt_contract_of_container(const struct vt_json *header)
{
	struct vt_json *out = make(header, vt_json_pointer(header, "/geometry/settings")),
		       *axes = vt_contract_axes(header);

	if (axes)
		vt_json_put(out, "axes", axes);
	return out;
}

struct vt_json *vt_contract_of_checkpoint(const struct vt_json *checkpoint)
{
	const struct vt_json *settings = vt_json_get(checkpoint, "settings"),
			     *axes = vt_json_get(checkpoint, "axes");
	struct vt_json *out = make(checkpoint, settings);

	if (keeps_axes(settings))
		vt_json_put(out, "axes", axes ? vt_json_copy(axes) : vt_json_new_text("unknown"));
	return out;
}

/* --- what may differ ----------------------------------------------------- */

static bool entry_allows(const char *entry, size_t n, const char *key)
{
	return n && !strncmp(entry, key, n) && (!key[n] || key[n] == '.');
}

bool vt_contract_allows(const char *allow, const char *key)
{
	while (allow && *allow) {
		size_t n = strcspn(allow, ",");

		if (entry_allows(allow, n, key))
			return true;
		allow += n + (allow[n] == ',');
	}
	return false;
}

static bool known_word(const char *word, size_t n, const char *const *more)
{
	static const char *const words[] = { "channels", "regions", "ignore", "settings", "crop",
		"spacing_mm", "axes", NULL };

	for (int i = 0; words[i]; i++)
		if (strlen(words[i]) == n && !strncmp(word, words[i], n))
			return true;
	for (; more && *more; more++)
		if (strlen(*more) == n && !strncmp(word, *more, n))
			return true;
	return (n > 9 && !strncmp(word, "settings.", 9)) || (n > 5 && !strncmp(word, "crop.", 5));
}

int vt_contract_check_allow(const char *allow, const char *const *more, struct vt_err *err)
{
	for (const char *at = allow; *at;) {
		size_t n = strcspn(at, ",");
		struct vt_buf extra = VT_BUF_INIT;

		if (!known_word(at, n, more)) {
			for (; more && *more; more++)
				vt_buf_printf(&extra, ", %s", *more);
			vt_err_set(err, VT_EUSAGE,
				"--allow=%s: \"%.*s\" is not a key that may differ; "
				"these are channels, regions, ignore, settings, "
				"settings.KEY, crop, crop.KEY, spacing_mm, axes%s",
				allow, (int)n, at, extra.data ? extra.data : "");
			vt_buf_release(&extra);
			return err->code;
		}
		at += n + (at[n] == ',');
	}
	return 0;
}

/* --- comparing ----------------------------------------------------------- */

static char *text_of(const struct vt_json *j)
{
	struct vt_buf b = VT_BUF_INIT;

	if (!j || j->type == VT_JSON_NULL)
		return vt_xstrdup("not given");
	vt_json_compact(&b, j);
	return vt_buf_detach(&b);
}

static bool same_spacing(const struct vt_json *one, const struct vt_json *other)
{
	for (size_t i = 0; i < 3; i++) {
		double x = vt_json_number(vt_json_at(one, i), 0),
		       y = vt_json_number(vt_json_at(other, i), 0);

		if (!(fabs(x - y) <= 1e-3 * fabs(x)))
			return false;
	}
	return true;
}

/* Two contracts and whose they are; first: NULL for a checkpoint's. */
struct pair {
	const struct vt_json *trained, *given;
	const char *first, *who;
	bool adapts; /* the network is made for `given`, whatever it was */
};

/* Another number of channels is another network. */
static bool cannot_be_allowed(const struct pair *pair, const char *key,
	const struct vt_json *trained, const struct vt_json *given)
{
	return !pair->adapts && !strcmp(key, "channels") &&
		vt_json_length(trained) != vt_json_length(given);
}

static int differ(const struct pair *pair, const char *key, const struct vt_json *trained,
	const struct vt_json *given, struct vt_err *err)
{
	char *a = text_of(trained), *b = text_of(given);

	if (cannot_be_allowed(pair, key, trained, given))
		vt_err_set(err, VT_EDATA,
			"%s: %s is %s, %s %s has %s; %zu channels cannot stand for %zu: give the "
			"manifest, and prepare the data, with those channels",
			pair->who, key, b, pair->first ? "subject" : "the",
			pair->first ? pair->first : "checkpoint", a, vt_json_length(given),
			vt_json_length(trained));
	else if (pair->first)
		vt_err_set(err, VT_EDATA,
			"subject %s: %s is %s, that of subject %s is %s; prepare and crop them in "
			"one way, or take both on purpose with --allow %s",
			pair->who, key, b, pair->first, a, key);
	else
		vt_err_set(err, VT_EDATA,
			"%s: %s is %s, the checkpoint was trained with %s; prepare it as the "
			"training data were, or accept the difference with --allow %s",
			pair->who, key, b, a, key);
	free(a);
	free(b);
	return err->code;
}

static int compare(const struct pair *pair, const char *key, struct vt_err *err)
{
	const struct vt_json *trained = vt_json_get(pair->trained, key),
			     *given = vt_json_get(pair->given, key);
	char *a, *b;
	bool same;

	if (!strcmp(key, "spacing_mm") && trained && trained->type == VT_JSON_ARRAY && given)
		return same_spacing(trained, given) ? 0 : differ(pair, key, trained, given, err);
	a = text_of(trained);
	b = text_of(given);
	same = !strcmp(a, b);
	free(a);
	free(b);
	return same ? 0 : differ(pair, key, trained, given, err);
}

/* A network that was trained on any spacing has none in its contract, one that was trained on
 * several axes has null. */
static bool left_open(const char *key, const struct vt_json *trained)
{
	bool none = !trained || trained->type == VT_JSON_NULL;

	return none && (!strcmp(key, "spacing_mm") || (trained && !strcmp(key, "axes")));
}

static int agree(const struct pair *pair, const char *allow, struct vt_err *err)
{
	const struct vt_json *trained = pair->trained, *given = pair->given;
	int rc = 0;

	for (size_t i = 0; !rc && i < trained->n; i++)
		if (!vt_contract_allows(allow, trained->key[i]) &&
			!left_open(trained->key[i], trained->item[i]))
			rc = compare(pair, trained->key[i], err);
	for (size_t i = 0; !rc && i < given->n; i++)
		if (!vt_json_get(trained, given->key[i]) && !left_open(given->key[i], NULL) &&
			!vt_contract_allows(allow, given->key[i]))
			rc = compare(pair, given->key[i], err);
	return rc;
}

int vt_contract_agree(const struct vt_json *trained, const struct vt_json *given, const char *who,
	const char *allow, struct vt_err *err)
{
	return agree(&(struct pair){ trained, given, NULL, who, false }, allow, err);
}

int vt_contract_admits(const struct vt_json *checkpoint, const struct vt_json *header,
	const char *who, const char *allow, struct vt_err *err)
{
	struct vt_json *trained = vt_contract_of_checkpoint(checkpoint),
		       *given = vt_contract_of_container(header);
	int rc = vt_contract_agree(trained, given, who, allow, err);

	vt_json_free(trained);
	vt_json_free(given);
	return rc;
}

int vt_contract_adapt(const struct vt_json *trained, const struct vt_json *given, const char *who,
	const char *allow, struct vt_err *err)
{
	return agree(&(struct pair){ trained, given, NULL, who, true }, allow, err);
}

int vt_contract_same(const struct vt_json *first, const char *who_first,
	const struct vt_json *other, const char *who, const char *allow, struct vt_err *err)
{
	char *also = vt_asprintf("%s,spacing_mm", allow);
	int rc = agree(&(struct pair){ first, other, who_first, who, false }, also, err);

	free(also);
	return rc;
}
