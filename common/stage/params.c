#include "common/stage/stage_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/opts.h"

int vt_stage_n_ports(const struct vt_stage *stage)
{
	int n = 0;

	while (stage->in && stage->in[n].name)
		n++;
	return n;
}

int vt_stage_n_params(const struct vt_stage *stage)
{
	int n = 0;

	while (stage->params && stage->params[n].name)
		n++;
	return n;
}

static int out_of_range(const struct vt_param *param, const char *text, struct vt_err *err)
{
	return vt_err_set(err, VT_EUSAGE, "--%s=%s: must be from %g to %g%s%s", param->name, text,
		param->min, param->max, *param->unit ? " " : "", param->unit);
}

static int set_number(const struct vt_param *param, void *field, const char *text,
	struct vt_err *err)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (end == text || *end || !isfinite(v) || (param->kind == VT_PARAM_INT && v != floor(v)))
		return vt_err_set(err, VT_EUSAGE, "--%s=%s: not a %s", param->name, text,
			param->kind == VT_PARAM_INT ? "whole "
						      "number"
						    : "number");
	if (param->min < param->max && (v < param->min || v > param->max))
		return out_of_range(param, text, err);
	if (param->kind == VT_PARAM_INT)
		*(int64_t *)field = (int64_t)v;
	else
		*(double *)field = v;
	return 0;
}

static int set_bool(const struct vt_param *param, bool *field, const char *text, struct vt_err *err)
{
	if (strcmp(text, "true") && strcmp(text, "false"))
		return vt_err_set(err, VT_EUSAGE, "--%s=%s: give true or false", param->name, text);
	*field = !strcmp(text, "true");
	return 0;
}

static int set_enum(const struct vt_param *param, int64_t *field, const char *text,
	struct vt_err *err)
{
	struct vt_buf known = VT_BUF_INIT;

	for (int i = 0; param->names[i]; i++) {
		if (!strcmp(param->names[i], text)) {
			*field = i;
			vt_buf_release(&known);
			return 0;
		}
		vt_buf_printf(&known, "%s%s", i ? ", " : "", param->names[i]);
	}
	vt_err_set(err, VT_EUSAGE, "--%s=%s: must be one of %s", param->name, text, known.data);
	vt_buf_release(&known);
	return err->code;
}

/* *text becomes its sorted form, so that spaces and the order of keys do not change the key. */
static int tidy_json(const struct vt_param *param, char **text, struct vt_err *err)
{
	char *origin = vt_asprintf("--%s", param->name);
	struct vt_buf sorted = VT_BUF_INIT;
	struct vt_json *j = NULL;
	int rc = vt_json_parse(&j, *text, strlen(*text), origin, err);

	if (!rc && j->type != VT_JSON_OBJECT && j->type != VT_JSON_ARRAY)
		rc = vt_err_set(err, VT_EUSAGE, "%s=%s: must be a JSON object or array", origin,
			*text);
	if (!rc) {
		vt_json_sorted(&sorted, j);
		free(*text);
		*text = vt_buf_detach(&sorted);
	}
	vt_json_free(j);
	free(origin);
	return rc ? err->code = VT_EUSAGE : 0;
}

static int set_param(struct vt_stage_run *run, const struct vt_param *param, const char *text,
	struct vt_err *err)
{
	void *field = (char *)run->params + param->offset;

	switch (param->kind) {
	case VT_PARAM_INT:
	case VT_PARAM_REAL: return set_number(param, field, text, err);
	case VT_PARAM_BOOL: return set_bool(param, field, text, err);
	case VT_PARAM_ENUM: return set_enum(param, field, text, err);
	case VT_PARAM_TEXT:
	case VT_PARAM_JSON: *(const char **)field = text; return 0;
	}
	return vt_err_set(err, VT_EBUG, "param %s has no kind", param->name);
}

static bool is_text(const struct vt_param *param)
{
	return param->kind == VT_PARAM_TEXT || param->kind == VT_PARAM_JSON;
}

static char *default_text(const struct vt_param *param)
{
	char text[32];

	if (is_text(param))
		return vt_xstrdup(param->text ? param->text : "");
	if (param->kind == VT_PARAM_BOOL)
		return vt_xstrdup(param->value != 0 ? "true" : "false");
	if (param->kind == VT_PARAM_ENUM)
		return vt_xstrdup(param->names[(int)param->value]);
	vt_json_real_text(text, param->value);
	return vt_xstrdup(text);
}

/* The canonical text of what was set, so that 1, 1.0 and 1e0 have one key. */
static char *canonical_text(const struct vt_stage_run *run, const struct vt_param *param)
{
	const void *field = (const char *)run->params + param->offset;
	char text[32];

	switch (param->kind) {
	case VT_PARAM_INT: return vt_asprintf("%lld", (long long)*(const int64_t *)field);
	case VT_PARAM_REAL:
		vt_json_real_text(text, *(const double *)field);
		return vt_xstrdup(text);
	case VT_PARAM_BOOL: return vt_xstrdup(*(const bool *)field ? "true" : "false");
	case VT_PARAM_ENUM: return vt_xstrdup(param->names[*(const int64_t *)field]);
	case VT_PARAM_TEXT:
	case VT_PARAM_JSON: break;
	}
	return vt_xstrdup(*(const char *const *)field);
}

static char *text_of_json(const struct vt_json *json)
{
	char text[32];

	if (json->type == VT_JSON_STRING)
		return vt_xstrdup(json->string);
	if (json->type == VT_JSON_BOOL)
		return vt_xstrdup(json->boolean ? "true" : "false");
	if (json->type == VT_JSON_INT)
		return vt_asprintf("%lld", (long long)json->integer);
	if (json->type != VT_JSON_REAL) {
		struct vt_buf whole = VT_BUF_INIT;

		vt_json_pretty(&whole, json);
		return vt_buf_detach(&whole);
	}
	vt_json_real_text(text, json->real);
	return vt_xstrdup(text);
}

/* The param a recipe's key names, '_' taken for '-'; NULL if there is none. */
static const struct vt_param *param_named(const struct vt_stage *stage, const char *key)
{
	for (int k = 0; k < vt_stage_n_params(stage); k++)
		if (vt_opts_same_name(stage->params[k].name, key, strlen(key)))
			return &stage->params[k];
	return NULL;
}

static int unknown_param(const struct vt_stage_run *run, const char *key, struct vt_err *err)
{
	int n = vt_stage_n_params(run->stage);
	const char **known = vt_xcalloc((size_t)n + 1, sizeof(*known)), *nearest;

	for (int k = 0; k < n; k++)
		known[k] = run->stage->params[k].name;
	nearest = vt_opts_nearest(known, (size_t)n, key);
	if (nearest)
		vt_err_set(err, VT_EUSAGE, "%s: %s has no param \"%s\"; did you mean \"%s\"?",
			run->recipe, run->stage->name, key, nearest);
	else
		vt_err_set(err, VT_EUSAGE, "%s: %s has no param \"%s\"; see %s --help", run->recipe,
			run->stage->name, key, run->stage->name);
	free(known);
	return err->code;
}

/* What a recipe says of a param; NULL if nothing. */
static const struct vt_json *said_of(const struct vt_stage_run *run, const struct vt_json *recipe,
	const struct vt_param *param)
{
	const struct vt_json *params = vt_json_get(recipe, "params");

	for (size_t i = 0; params && i < params->n; i++)
		if (param_named(run->stage, params->key[i]) == param)
			return params->item[i];
	return NULL;
}

static int check_recipe(const struct vt_stage_run *run, const struct vt_json *recipe,
	struct vt_err *err)
{
	const struct vt_json *params = vt_json_get(recipe, "params");
	const char *binary = vt_json_text(vt_json_get(recipe, "binary"), NULL);
	char hex[VT_HEX];

	if (recipe->type != VT_JSON_OBJECT || (params && params->type != VT_JSON_OBJECT) ||
		(vt_json_get(recipe, "binary") && !binary))
		return vt_err_set(err, VT_EDATA,
			"%s: must be {\"params\": {...}}, with the \"binary\" as a text if any",
			run->recipe);
	for (size_t i = 0; i < recipe->n; i++)
		if (strcmp(recipe->key[i], "params") && strcmp(recipe->key[i], "binary"))
			return vt_err_set(err, VT_EDATA,
				"%s: a recipe has \"params\" and \"binary\", not \"%s\"",
				run->recipe, recipe->key[i]);
	for (size_t i = 0; params && i < params->n; i++) {
		const struct vt_param *p = param_named(run->stage, params->key[i]);

		if (!p)
			return unknown_param(run, params->key[i], err);
		if (said_of(run, recipe, p) != params->item[i])
			return vt_err_set(err, VT_EUSAGE, "%s: param \"%s\" is given twice",
				run->recipe, p->name);
	}
	vt_digest_hex(hex, &run->binary);
	if (binary && strcmp(binary, hex))
		return vt_err_set(err, VT_ECONFIG, "%s wants the %s binary %s, this one is %s",
			run->recipe, run->stage->name, binary, hex);
	return 0;
}

static void settle(struct vt_stage_run *run)
{
	run->stage->settle(run->params);
	for (int i = 0; i < vt_stage_n_params(run->stage); i++)
		if (!is_text(&run->stage->params[i])) {
			char *text = canonical_text(run, &run->stage->params[i]);

			vt_json_put_text(run->params_json, run->stage->params[i].name, text);
			free(text);
		}
}

int vt_stage_set_params(struct vt_stage_run *run, const char *const *given, struct vt_err *err)
{
	struct vt_json *recipe = NULL;
	int rc = 0;

	run->params = vt_xcalloc(1, run->stage->params_size + 1);
	run->params_json = vt_json_new(VT_JSON_OBJECT);
	if (run->recipe) {
		rc = vt_json_read(&recipe, run->recipe, err);
		if (!rc)
			rc = check_recipe(run, recipe, err);
	}
	for (int i = 0; !rc && i < vt_stage_n_params(run->stage); i++) {
		const struct vt_param *p = &run->stage->params[i];
		const struct vt_json *said = said_of(run, recipe, p);
		char *text, *canonical;

		if (given[i])
			text = vt_xstrdup(given[i]);
		else
			text = said ? text_of_json(said) : default_text(p);
		/* a text param points into the JSON object, which lives as long as the run */
		rc = p->kind == VT_PARAM_JSON ? tidy_json(p, &text, err) : 0;
		if (!rc)
			rc = set_param(run, p, text, err);
		if (!rc) {
			canonical = canonical_text(run, p);
			vt_json_put_text(run->params_json, p->name, canonical);
			free(canonical);
			if (is_text(p))
				*(const char **)((char *)run->params + p->offset) =
					vt_json_text(vt_json_get(run->params_json, p->name), "");
		}
		free(text);
	}
	vt_json_free(recipe);
	if (!rc && run->stage->settle)
		settle(run);
	return rc;
}

static bool at_default(const struct vt_stage_run *run, const struct vt_param *param)
{
	const void *field = (const char *)run->params + param->offset;

	switch (param->kind) {
	case VT_PARAM_INT:
	case VT_PARAM_ENUM: return *(const int64_t *)field == (int64_t)param->value;
	case VT_PARAM_REAL:
		return !(*(const double *)field < param->value ||
			*(const double *)field > param->value);
	case VT_PARAM_BOOL: return *(const bool *)field == (param->value != 0);
	case VT_PARAM_TEXT:
	case VT_PARAM_JSON: break;
	}
	return !strcmp(*(const char *const *)field, param->text ? param->text : "");
}

int vt_stage_propose(struct vt_stage_run *run, const char *note, const struct vt_json *values,
	struct vt_err *err)
{
	struct vt_json *taken = vt_json_new(VT_JSON_OBJECT);
	int rc = 0;

	for (size_t i = 0; !rc && i < values->n; i++) {
		const struct vt_param *p = param_named(run->stage, values->key[i]);
		char *text;

		if (!p) {
			rc = vt_err_set(err, VT_EBUG, "%s has no param \"%s\"", run->stage->name,
				values->key[i]);
			break;
		}
		if (!at_default(run, p))
			continue;
		text = text_of_json(values->item[i]);
		rc = p->kind == VT_PARAM_JSON ? tidy_json(p, &text, err) : 0;
		/* the notes hold a text from here on */
		vt_json_put_text(taken, p->name, text);
		if (!rc)
			rc = set_param(run, p, vt_json_text(vt_json_get(taken, p->name), ""), err);
		free(text);
	}
	vt_json_put(run->notes, note, taken);
	return rc;
}
