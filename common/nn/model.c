#include "common/nn/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/model_internal.h"

static const struct vt_model_def *const models[] = { &vt_model_segresnet, &vt_model_meshnet,
	&vt_model_unet3d, &vt_model_unet3d_cbam, &vt_model_vnet, &vt_model_med3d,
	&vt_model_denseaspp, &vt_model_attention_unet, &vt_model_nnunet_plain,
	&vt_model_residual_unet, &vt_model_catalyst_unet };

enum { MOST_CHANNELS = 4096 };
enum { N_MODELS = sizeof(models) / sizeof(models[0]) };

const char *vt_model_name(int i)
{
	return i >= 0 && i < N_MODELS ? models[i]->name : NULL;
}

static const struct vt_model_def *find(const char *name)
{
	for (int i = 0; i < N_MODELS; i++)
		if (!strcmp(models[i]->name, name))
			return models[i];
	return NULL;
}

int vt_model_stride(const struct vt_model_request *request)
{
	const struct vt_model_def *m = find(request->name);

	return m ? m->stride(request) : 0;
}

struct vt_layer_name vt_name(const char *fmt, ...)
{
	struct vt_layer_name n;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(n.text, sizeof(n.text), fmt, ap);
	va_end(ap);
	return n;
}

/* --- params -------------------------------------------------------------- */

static const struct vt_model_param *find_param(const struct vt_model_param *param, const char *name)
{
	for (; param->name; param++)
		if (!strcmp(param->name, name))
			return param;
	return NULL;
}

double vt_model_number(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name)
{
	const struct vt_json *v = vt_json_get(request->params, name);

	if (v && v->type == VT_JSON_BOOL)
		return v->boolean;
	return vt_json_number(v, find_param(table, name)->value);
}

bool vt_model_flag(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name)
{
	return vt_model_number(request, table, name) > 0;
}

static int choice_of(const struct vt_model_param *param, const char *text)
{
	for (int i = 0; param->choices[i]; i++)
		if (!strcmp(param->choices[i], text))
			return i;
	return -1;
}

int vt_model_choice(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name)
{
	const struct vt_model_param *p = find_param(table, name);
	int i = choice_of(p, vt_json_text(vt_json_get(request->params, name), ""));

	return i >= 0 ? i : (int)p->value;
}

bool vt_model_given(const struct vt_model_request *request, const char *name)
{
	return vt_json_get(request->params, name) != NULL;
}

/* The numbers of "1,2,4". */
static int parse_list(const char *p, int *v, int max)
{
	int n = 0;

	for (; *p && n < max; n++) {
		char *end;

		v[n] = (int)strtol(p, &end, 10);
		p = *end ? end + 1 : end;
	}
	return n;
}

int vt_model_list(const struct vt_model_request *request, const struct vt_model_param *table,
	const char *name, int *v, int max)
{
	const struct vt_json *j = vt_json_get(request->params, name);
	int n = 0;

	if (!j)
		return parse_list(find_param(table, name)->list, v, max);
	for (; n < max && n < (int)j->n; n++)
		v[n] = (int)vt_json_integer(vt_json_at(j, (size_t)n), 0);
	return n;
}

static int check_list(const struct vt_model_def *def, const struct vt_json *json,
	const struct vt_model_param *param, struct vt_err *err)
{
	if (json->type != VT_JSON_ARRAY || json->n < 1 || json->n > 32)
		return vt_err_set(err, VT_EUSAGE, "%s: %s takes a list of 1 to 32 whole numbers",
			def->name, param->name);
	for (size_t i = 0; i < json->n; i++)
		if (json->item[i]->type != VT_JSON_INT || json->item[i]->real < param->min ||
			json->item[i]->real > param->max)
			return vt_err_set(err, VT_EUSAGE,
				"%s: %s[%zu] must be a whole number from %g to %g", def->name,
				param->name, i, param->min, param->max);
	return 0;
}

static int check_choice(const struct vt_model_def *def, const struct vt_json *json,
	const struct vt_model_param *param, struct vt_err *err)
{
	struct vt_buf known = VT_BUF_INIT;

	if (json->type == VT_JSON_STRING && choice_of(param, json->string) >= 0)
		return 0;
	for (int i = 0; param->choices[i]; i++)
		vt_buf_printf(&known, "%s\"%s\"", i ? ", " : "", param->choices[i]);
	vt_err_set(err, VT_EUSAGE, "%s: %s must be one of %s", def->name, param->name, known.data);
	vt_buf_release(&known);
	return err->code;
}

static int check_number(const struct vt_model_def *def, const struct vt_json *json,
	const struct vt_model_param *param, struct vt_err *err)
{
	if (json->type == VT_JSON_BOOL && param->min == 0 && param->max == 1)
		return 0;
	if ((json->type != VT_JSON_INT && json->type != VT_JSON_REAL) ||
		!(json->real >= param->min && json->real <= param->max))
		return vt_err_set(err, VT_EUSAGE, "%s: %s must be a number from %g to %g",
			def->name, param->name, param->min, param->max);
	return 0;
}

static int unknown_param(const struct vt_model_def *def, const char *key, struct vt_err *err)
{
	struct vt_buf known = VT_BUF_INIT;

	for (const struct vt_model_param *p = def->params; p->name; p++)
		vt_buf_printf(&known, "%s%s", known.len ? ", " : "", p->name);
	vt_err_set(err, VT_EUSAGE, "%s has no param \"%s\"; it takes %s", def->name, key,
		known.data);
	vt_buf_release(&known);
	return err->code;
}

static int check_params(const struct vt_model_def *def, const struct vt_json *params,
	struct vt_err *err)
{
	if (params && params->type != VT_JSON_OBJECT)
		return vt_err_set(err, VT_EUSAGE, "%s: params must be a JSON object", def->name);
	for (size_t i = 0; params && i < params->n; i++) {
		const struct vt_model_param *p = find_param(def->params, params->key[i]);
		const struct vt_json *v = params->item[i];
		int rc;

		if (!p)
			rc = unknown_param(def, params->key[i], err);
		else if (p->list)
			rc = check_list(def, v, p, err);
		else if (p->choices)
			rc = check_choice(def, v, p, err);
		else
			rc = check_number(def, v, p, err);

		if (rc)
			return rc;
	}
	return 0;
}

static int unknown_model(const char *name, struct vt_err *err)
{
	struct vt_buf known = VT_BUF_INIT;

	for (int i = 0; i < N_MODELS; i++)
		vt_buf_printf(&known, "%s%s", i ? ", " : "", models[i]->name);
	vt_err_set(err, VT_EUSAGE, "there is no network \"%s\"; there are %s", name, known.data);
	vt_buf_release(&known);
	return err->code;
}

/* Whether the params fit the network, without building it. */
static int check_request(const struct vt_model_request *request, struct vt_err *err)
{
	const struct vt_model_def *m = find(request->name);

	return m ? check_params(m, request->params, err) : unknown_model(request->name, err);
}

static struct vt_json *default_of(const struct vt_model_param *param)
{
	struct vt_json *list;
	int v[32], n;

	if (param->choices)
		return vt_json_new_text(param->choices[(int)param->value]);
	if (!param->list)
		return param->value == (double)(int64_t)param->value
			? vt_json_new_int((int64_t)param->value)
			: vt_json_new_real(param->value);
	list = vt_json_new(VT_JSON_ARRAY);
	n = parse_list(param->list, v, 32);
	for (int i = 0; i < n; i++)
		vt_json_push(list, vt_json_new_int(v[i]));
	return list;
}

struct vt_json *vt_model_describe(const char *name)
{
	const struct vt_model_def *m = find(name);
	struct vt_json *j, *params;

	if (!m)
		return NULL;
	j = vt_json_new(VT_JSON_OBJECT);
	params = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(j, "name", m->name);
	for (const struct vt_model_param *p = m->params; p->name; p++)
		vt_json_put(params, p->name, default_of(p));
	vt_json_put(j, "params", params);
	return j;
}

/* --- building ------------------------------------------------------------ */

int vt_model_build(struct vt_graph **out, const struct vt_model_request *request,
	struct vt_err *err)
{
	const struct vt_model_def *m = find(request->name);
	struct vt_graph *g;
	int x, stride;

	if (check_request(request, err))
		return err->code;
	stride = m->stride(request);
	if (request->n < 1 || request->n > VT_MODEL_MOST_ITEMS || request->in_c < 1 ||
		request->out_c < 1 || request->in_c > MOST_CHANNELS ||
		request->out_c > MOST_CHANNELS)
		return vt_err_set(err, VT_EUSAGE,
			"%s: %d patches of %d channels to %d: at most %d patches, %d channels",
			m->name, request->n, request->in_c, request->out_c, VT_MODEL_MOST_ITEMS,
			MOST_CHANNELS);
	for (int i = 0; i < 3; i++)
		if (request->patch[i] > VT_MODEL_MOST_EDGE)
			return vt_err_set(err, VT_EUSAGE,
				"%s: the patch %dx%dx%d is longer than %d", m->name,
				request->patch[0], request->patch[1], request->patch[2],
				VT_MODEL_MOST_EDGE);
	for (int i = 0; i < 3; i++)
		if (request->patch[i] < stride || request->patch[i] % stride)
			return vt_err_set(err, VT_EUSAGE,
				"%s: the patch %dx%dx%d must be a multiple of %d on every axis",
				m->name, request->patch[0], request->patch[1], request->patch[2],
				stride);
	g = vt_graph_new();
	x = vt_graph_input(g,
		(struct vt_shape){ request->n, request->in_c, request->patch[0], request->patch[1],
			request->patch[2] });
	vt_graph_output(g, m->build(g, request, x));
	if (vt_graph_error(g)) {
		*err = *vt_graph_error(g);
		vt_graph_free(g);
		return vt_err_prefix(err, "%s", m->name);
	}
	*out = g;
	return 0;
}
