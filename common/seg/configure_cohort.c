/* configure_cohort.c - configure.h with the networks and their plans: what train asks. */
#include <string.h>

#include "common/base/log.h"
#include "common/nn/model.h"
#include "common/nn/session.h"
#include "common/seg/configure.h"

struct network {
	const struct vt_json *params; /* as given */
	struct vt_model_request model;
};

/* The plan's bytes, and beside it two moments and a mean of each weight. */
static int need_of(struct vt_configure_need *out, int filters, const int patch[3], void *ctx,
	struct vt_err *err)
{
	struct network *w = ctx;
	struct vt_json *params = filters ? vt_json_new(VT_JSON_OBJECT) : vt_json_copy(w->params);
	struct vt_graph *g = NULL;
	size_t bytes = 0;
	int rc;

	if (filters)
		vt_json_put_int(params, "init_filters", filters);
	w->model.params = params;
	memcpy(w->model.patch, patch, sizeof(w->model.patch));
	rc = vt_model_build(&g, &w->model, err);
	if (!rc)
		rc = vt_plan_need(&bytes, &out->macs, g,
			&(struct vt_session_opts){ .training = true, .recompute = true }, err);
	if (!rc)
		out->bytes = (double)bytes + 3.0 * sizeof(float) * (double)vt_graph_parameters(g);
	vt_graph_free(g);
	vt_json_free(params);
	return rc;
}

static void say(const struct vt_configure_recipe *recipe, const struct vt_configure_limits *limits)
{
	vt_log(VT_LOG_INFO, "configured",
		"filters=%d patch=%d,%d,%d steps=%llu validate_every=%llu max_validation=%d "
		"learning_rate=%g memory_mib=%.0f of=%.0f forward_gmac=%.2f minutes=%g",
		recipe->filters, recipe->patch[0], recipe->patch[1], recipe->patch[2],
		(unsigned long long)recipe->steps, (unsigned long long)recipe->validate,
		recipe->max_validation, recipe->rate, recipe->need.bytes / 1048576,
		limits->bytes / 1048576, recipe->need.macs / 1e9, limits->minutes);
}

int vt_configure_cohort(struct vt_json **params, struct vt_json **description,
	const struct vt_dataset *dataset, const struct vt_configure_request *request,
	struct vt_err *err)
{
	struct network w = { .params = NULL };
	struct vt_configure_facts facts;
	struct vt_configure_recipe recipe;
	struct vt_configure_limits limits = { .bytes = (double)(request->memory ? request->memory
										: (size_t)4 << 30),
		.minutes = request->minutes };
	struct vt_json *given = NULL;
	int rc =
		vt_json_parse(&given, request->network, strlen(request->network), "--network", err);

	if (!rc)
		rc = vt_configure_look(&facts, dataset, request->fold, err);
	if (!rc) {
		w.params = given;
		w.model = (struct vt_model_request){ .name = request->model,
			.params = given,
			.n = 1,
			.in_c = facts.channels,
			.out_c = facts.regions + request->softmax };
		limits.fixed_network = given->n > 0 || strcmp(request->model, "segresnet") != 0;
		limits.stride = vt_model_stride(&w.model);
		/* 0 of an unknown network, which is refused when it is built */
		limits.stride = limits.stride > 8 ? limits.stride : 8;
		rc = vt_configure(&recipe, &facts, &limits, need_of, &w, err);
	}
	if (!rc) {
		*params = vt_configure_params(&recipe);
		*description = vt_configure_describe(&recipe, &facts, &limits);
		vt_json_put(*description, "params", vt_json_copy(*params));
		say(&recipe, &limits);
	}
	vt_json_free(given);
	return rc;
}
