#include "common/nn/model.h"

#include <stdlib.h>
#include <string.h>

#include "common/nn/model_internal.h"

static const struct vt_model_def *const models[] = { &vt_model_segresnet, &vt_model_meshnet };

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

int vt_model_stride(const char *name)
{
	const struct vt_model_def *m = find(name);

	return m ? m->stride : 0;
}

static const struct vt_model_param *find_param(const struct vt_model_param *p, const char *name)
{
	for (; p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

double vt_model_number(const struct vt_model_request *r, const struct vt_model_param *table, const char *name)
{
	return vt_json_number(vt_json_get(r->params, name), find_param(table, name)->value);
}

int vt_model_list(const struct vt_model_request *r, const struct vt_model_param *table, const char *name, int *v, int max)
{
	const struct vt_json *j = vt_json_get(r->params, name);
	const char *p = find_param(table, name)->list;
	int n = 0;

	for (; j && n < max && n < (int)j->n; n++)
		v[n] = (int)vt_json_integer(vt_json_at(j, (size_t)n), 0);
	for (; !j && *p && n < max; n++) {
		char *end;

		v[n] = (int)strtol(p, &end, 10);
		p = *end ? end + 1 : end;
	}
	return n;
}

static int check_list(const struct vt_model_def *m, const char *key, const struct vt_json *v, const struct vt_model_param *p, struct vt_err *err)
{
	if (v->type != VT_JSON_ARRAY || v->n < 1 || v->n > 32)
		return vt_err_set(err, VT_EUSAGE, "%s: %s takes a list of 1 to 32 whole numbers", m->name, key);
	for (size_t i = 0; i < v->n; i++)
		if (v->item[i]->type != VT_JSON_INT || v->item[i]->real < p->min || v->item[i]->real > p->max)
			return vt_err_set(err, VT_EUSAGE, "%s: %s[%zu] must be a whole number from %g to %g", m->name, key, i, p->min, p->max);
	return 0;
}

static int unknown_param(const struct vt_model_def *m, const char *key, struct vt_err *err)
{
	struct vt_buf known = VT_BUF_INIT;

	for (const struct vt_model_param *p = m->params; p->name; p++)
		vt_buf_printf(&known, "%s%s", known.len ? ", " : "", p->name);
	vt_err_set(err, VT_EUSAGE, "%s has no param \"%s\"; it takes %s", m->name, key, known.data);
	vt_buf_release(&known);
	return err->code;
}

static int check_params(const struct vt_model_def *m, const struct vt_json *params, struct vt_err *err)
{
	for (size_t i = 0; params && i < params->n; i++) {
		const struct vt_model_param *p = find_param(m->params, params->key[i]);
		const struct vt_json *v = params->item[i];

		if (!p)
			return unknown_param(m, params->key[i], err);
		if (p->list) {
			if (check_list(m, p->name, v, p, err))
				return err->code;
		} else if ((v->type != VT_JSON_INT && v->type != VT_JSON_REAL) || v->real < p->min || v->real > p->max) {
			return vt_err_set(err, VT_EUSAGE, "%s: %s must be a number from %g to %g", m->name, p->name, p->min, p->max);
		}
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

int vt_model_build(struct vt_graph **out, const struct vt_model_request *r, struct vt_err *err)
{
	const struct vt_model_def *m = find(r->name);
	struct vt_graph *g;
	int x;

	if (!m)
		return unknown_model(r->name, err);
	if (check_params(m, r->params, err))
		return err->code;
	for (int i = 0; i < 3; i++)
		if (r->patch[i] < m->stride || r->patch[i] % m->stride)
			return vt_err_set(err, VT_EUSAGE, "%s: the patch %dx%dx%d must divide by %d on every axis", m->name, r->patch[0], r->patch[1],
				r->patch[2], m->stride);
	g = vt_graph_new();
	x = vt_graph_input(g, (struct vt_shape){ r->n, r->in_c, r->patch[0], r->patch[1], r->patch[2] });
	vt_graph_output(g, m->build(g, r, x));
	if (vt_graph_error(g)) {
		*err = *vt_graph_error(g);
		vt_graph_free(g);
		return vt_err_prefix(err, "%s", m->name);
	}
	*out = g;
	return 0;
}
