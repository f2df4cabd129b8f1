#include "gpu/cuda/convolution.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/cuda/cudnn_library.h"
#include "gpu/engine/engine_plan.h"

enum {
	MOST_CONFIGS = 64,
	MOST_KNOBS = 64,
	MOST_NOTES = 16,
	ALIGNMENT = 16,
	WORKSPACE_BOUND = 512 << 20
};

/* A plan's parts live as long as it does: whether cuDNN copies them is not documented. */
struct vg_conv {
	struct vg_cudnn *c;
	cudnnBackendDescriptor_t graph, op, conv, tensor[3], plan, config, engine, knob[MOST_KNOBS];
	double ms;                         /* where engines are timed */
	int64_t workspace, most_workspace; /* most: of an engine that is taken */
};

/* --- the operation graph ------------------------------------------------- */

static cudnnDataType_t data_type(int type)
{
	if (type == VG_F32)
		return CUDNN_DATA_FLOAT;
	if (type == VG_BF16)
		return CUDNN_DATA_BFLOAT16;
	return CUDNN_DATA_HALF;
}

/* dims are n, cudnn, z, y, x in name and n, z, y, x, cudnn in memory. */
static int make_tensor(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t *out, int64_t id,
	int type, const int64_t d[5], struct vt_err *err)
{
	int64_t stride[5] = { d[1] * d[2] * d[3] * d[4], 1, d[1] * d[3] * d[4], d[1] * d[4], d[1] },
		alignment = ALIGNMENT;
	cudnnDataType_t t = data_type(type);
	const struct vg_attribute a[] = { { CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id },
		{ CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t },
		{ CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment },
		{ CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 5, d },
		{ CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 5, stride } };

	return vg_cudnn_make(cudnn, out, CUDNN_BACKEND_TENSOR_DESCRIPTOR, a, 5, "tensor", err);
}

static int64_t padded(const struct vg_shape *shape)
{
	return (int64_t)shape->chunks * VG_LANES;
}

static int make_tensors(struct vg_conv *conv, const struct vg_conv_spec *spec, struct vt_err *err)
{
	const int64_t x[5] = { spec->x.n, padded(&spec->x), spec->x.d, spec->x.h, spec->x.w },
		      y[5] = { spec->y.n, padded(&spec->y), spec->y.d, spec->y.h, spec->y.w };
	const int64_t w[5] = { padded(&spec->y), padded(&spec->x), spec->k, spec->k, spec->k };
	/* The ids name tensors in vg_cudnn_execute's pack. */
	int rc = make_tensor(conv->c, &conv->tensor[0], 'x', spec->type, x, err);

	if (!rc)
		rc = make_tensor(conv->c, &conv->tensor[1], 'w', spec->type, w, err);
	return rc ? rc : make_tensor(conv->c, &conv->tensor[2], 'y', spec->type, y, err);
}

/* Padding behind the last tap differs from that before it where the stride does not divide:
 * cuDNN takes the size from y. */
static int make_convolution(struct vg_conv *conv, const struct vg_conv_spec *spec,
	struct vt_err *err)
{
	int64_t dims = 3, pad[3] = { spec->pad, spec->pad, spec->pad },
		stride[3] = { spec->stride, spec->stride, spec->stride },
		dilation[3] = { spec->dilation, spec->dilation, spec->dilation };
	cudnnDataType_t compute = CUDNN_DATA_FLOAT;
	cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
	const struct vg_attribute a[] = { { CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64,
						  1, &dims },
		{ CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute },
		{ CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode },
		{ CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 3, pad },
		{ CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 3, pad },
		{ CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 3, stride },
		{ CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 3, dilation } };

	return vg_cudnn_make(conv->c, &conv->conv, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, a, 7,
		"convolution", err);
}

/* Per kind: the operation, and the names of x, w, y, convolution, alpha, beta in it. */
static const struct {
	cudnnBackendDescriptorType_t type;
	cudnnBackendAttributeName_t name[6];
} operation[] = {
	[VG_CONV_FORWARD] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
		{ CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
			CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
			CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
			CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
			CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
			CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA } },
	[VG_CONV_DATA] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
		{ CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA } },
	[VG_CONV_WEIGHTS] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
		{ CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
			CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA } },
};

static int make_graph(struct vg_conv *conv, const struct vg_conv_spec *spec, struct vt_err *err)
{
	const cudnnBackendAttributeName_t *name = operation[spec->kind].name;
	float one = 1, zero = 0;
	const struct vg_attribute a[] = { { name[0], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
						  &conv->tensor[0] },
		{ name[1], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv->tensor[1] },
		{ name[2], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv->tensor[2] },
		{ name[3], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv->conv },
		{ name[4], CUDNN_TYPE_FLOAT, 1, &one }, { name[5], CUDNN_TYPE_FLOAT, 1, &zero } };
	int rc = vg_cudnn_make(conv->c, &conv->op, operation[spec->kind].type, a, 6, "operation",
		err);
	const struct vg_attribute ops = { CUDNN_ATTR_OPERATIONGRAPH_OPS,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv->op };

	return rc ? rc
		  : vg_cudnn_make(conv->c, &conv->graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
			    &ops, 1, "operation graph", err);
}

/* --- engines ------------------------------------------------------------- */

/* Sums whose order or precision is not that of a direct sum in f32. */
static bool breaks_order(cudnnBackendNumericalNote_t note)
{
	return note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
		note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
		note == CUDNN_NUMERICAL_NOTE_FFT ||
		(note >= CUDNN_NUMERICAL_NOTE_WINOGRAD &&
			note <= CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13);
}

/* Whether an engine keeps its order of sums and the engine's precision. */
static int accept(const struct vg_cudnn *cudnn, cudnnBackendDescriptor_t engine,
	const struct vg_conv_spec *spec, bool *yes, struct vt_err *err)
{
	cudnnBackendNumericalNote_t note[MOST_NOTES];
	/* tensor cores would round f32 to tf32 */
	bool plain = spec->type == VG_F32 && !spec->tf32;
	int64_t n = 0;
	int rc = vg_cudnn_get(cudnn, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
		CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES, &n, note, "numerical notes", err);

	*yes = !rc;
	for (int64_t i = 0; !rc && i < n && i < MOST_NOTES; i++)
		if (breaks_order(note[i]) ||
			(plain &&
				(note[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE ||
					note[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)))
			*yes = false;
	return rc;
}

static int build_plan(struct vg_conv *conv, cudnnBackendDescriptor_t config, struct vt_err *err)
{
	const struct vg_attribute a[] = { { CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
						  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config },
		{ CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
			&conv->c->properties } };
	int64_t n = 0;
	int rc = vg_cudnn_make(conv->c, &conv->plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, a, 2,
		"execution plan", err);

	if (!rc)
		rc = vg_cudnn_get(conv->c, conv->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
			CUDNN_TYPE_INT64, 1, &n, &conv->workspace, "workspace", err);
	if (rc)
		vg_cudnn_destroy(conv->c, &conv->plan);
	return rc;
}

static int put_knob(const struct vg_cudnn *cudnn, struct vt_json *list,
	cudnnBackendDescriptor_t knob, struct vt_err *err)
{
	cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
	int64_t value = 0, n = 0;
	struct vt_json *pair;
	int rc = vg_cudnn_get(cudnn, knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE,
		1, &n, &type, "knob", err);

	if (!rc)
		rc = vg_cudnn_get(cudnn, knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64,
			1, &n, &value, "knob", err);
	if (rc)
		return rc;
	pair = vt_json_new(VT_JSON_ARRAY);
	vt_json_push(pair, vt_json_new_int((int64_t)type));
	vt_json_push(pair, vt_json_new_int(value));
	vt_json_push(list, pair);
	return 0;
}

/* Knobs of a configuration as [[type, value], ...]. */
static int put_knobs(const struct vg_cudnn *cudnn, struct vt_json *list,
	cudnnBackendDescriptor_t config, struct vt_err *err)
{
	cudnnBackendDescriptor_t knob[MOST_KNOBS];
	int64_t n = 0;
	int rc = vg_cudnn_make_many(cudnn, knob, MOST_KNOBS, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
		err);

	if (rc)
		return rc;
	rc = vg_cudnn_get(cudnn, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_KNOBS, &n, knob, "knobs", err);
	for (int64_t i = 0; !rc && i < n && i < MOST_KNOBS; i++)
		rc = put_knob(cudnn, list, knob[i], err);
	vg_cudnn_destroy_many(cudnn, knob, MOST_KNOBS);
	return rc;
}

/* What was chosen, so that it can be repeated: without that the plan is of no use. */
static int note_choice(struct vg_conv *conv, const char *key, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *knobs = vt_json_new(VT_JSON_ARRAY);
	int64_t index = -1, n = 0;
	/* The index is cuDNN's own name of an engine, for this version. */
	int rc = vg_cudnn_get(conv->c, conv->engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX,
		CUDNN_TYPE_INT64, 1, &n, &index, "engine", err);

	if (!rc)
		rc = put_knobs(conv->c, knobs, conv->config, err);
	vt_json_put_int(j, "engine", index);
	vt_json_put(j, "knobs", knobs);
	vt_json_put_int(j, "workspace", conv->workspace);
	if (rc)
		vt_json_free(j);
	else
		vt_json_put(conv->c->chosen, key, j);
	return rc;
}

/* One offered configuration: conv->plan where it is acceptable and builds. */
static int try_config(struct vg_conv *conv, const struct vg_conv_spec *spec,
	cudnnBackendDescriptor_t *config, struct vt_err *err)
{
	const struct vg_cudnn *c = conv->c;
	cudnnBackendDescriptor_t engine = NULL;
	bool yes = false;
	int64_t n = 0;
	int rc = vg_cudnn_make_many(c, &engine, 1, CUDNN_BACKEND_ENGINE_DESCRIPTOR, err);

	if (!rc)
		rc = vg_cudnn_get(c, *config, CUDNN_ATTR_ENGINECFG_ENGINE,
			CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine, "engine", err);
	if (!rc)
		rc = accept(c, engine, spec, &yes, err);
	if (!rc && yes)
		rc = build_plan(conv, *config, err);
	if (!rc && yes && conv->workspace > conv->most_workspace) {
		vg_cudnn_destroy(c, &conv->plan);
	} else if (!rc && yes) {
		/* Ownership moves from the list of offers to conv. */
		conv->config = *config;
		conv->engine = engine;
		*config = engine = NULL;
	}
	vg_cudnn_destroy(c, &engine);
	return rc;
}

static void drop(struct vg_conv *conv)
{
	vg_cudnn_destroy(conv->c, &conv->plan);
	vg_cudnn_destroy(conv->c, &conv->config);
	vg_cudnn_destroy(conv->c, &conv->engine);
}

/* Of conv, just built, and the best so far the faster stays in *best; of equals the first. */
static int keep_faster(struct vg_conv *conv, struct vg_conv *best, const struct vg_conv_spec *spec,
	struct vt_err *err)
{
	struct vg_conv other = *conv;
	int rc = conv->c->timer(conv->c->timer_context, conv, spec, &conv->ms, err);

	/* of equals the earlier offer stays */
	if (!rc && (!best->plan || conv->ms < best->ms)) {
		other = *best;
		*best = *conv;
	}
	conv->plan = conv->config = conv->engine = NULL;
	drop(&other);
	return rc;
}

/* The first acceptable configuration of one heuristic that builds, or the fastest of them if
 * there is a timer; conv->plan is NULL if there is none.  What an engine does not support passes it
 * over; want of memory does not, or it would choose another engine's bits. */
static int choose_by(struct vg_conv *conv, const struct vg_conv_spec *spec,
	cudnnBackendHeurMode_t mode, struct vt_err *err)
{
	struct vg_conv best = { .c = conv->c };
	const struct vg_cudnn *c = conv->c;
	const struct vg_attribute a[] = { { CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
						  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv->graph },
		{ CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode },
		{ CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
			&c->properties } };
	cudnnBackendDescriptor_t heuristic = NULL, config[MOST_CONFIGS];
	struct vt_err why = VT_ERR_INIT;
	int64_t n = 0;
	int rc = vg_cudnn_make_many(c, config, MOST_CONFIGS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
		err);

	if (rc)
		return rc;
	rc = vg_cudnn_make(c, &heuristic, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, a, 3, "heuristics",
		&why);
	if (!rc)
		rc = vg_cudnn_get(c, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
			CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_CONFIGS, &n, config, "engines", &why);
	/* An offer that fails is passed over, except for lack of memory. */
	for (int64_t i = 0; why.code != VT_ENOMEM && i < n && i < MOST_CONFIGS && !conv->plan;
		i++) {
		rc = try_config(conv, spec, &config[i], &why);
		if (!rc && conv->plan && c->timer)
			rc = keep_faster(conv, &best, spec, &why);
	}
	/* The winner's plan with conv's own graph; its knobs are in the configuration. */
	if (c->timer && rc != VT_ENOMEM)
		*conv = best.plan ? (struct vg_conv){ conv->c, conv->graph, conv->op, conv->conv,
			{ conv->tensor[0], conv->tensor[1], conv->tensor[2] }, best.plan,
			best.config, best.engine, { NULL }, best.ms, best.workspace,
			conv->most_workspace }
				  : *conv;
	else
		drop(&best);
	vg_cudnn_destroy_many(c, config, MOST_CONFIGS);
	vg_cudnn_destroy(c, &heuristic);
	if (rc != VT_ENOMEM)
		return 0;
	*err = why;
	return rc;
}

static int choose(struct vg_conv *conv, const struct vg_conv_spec *spec, const char *key,
	struct vt_err *err)
{
	static const cudnnBackendHeurMode_t mode[] = { CUDNN_HEUR_MODE_A,
		CUDNN_HEUR_MODE_FALLBACK };
	int rc = 0;

	/* both heuristics with workspaces within the bound, then both with any */
	for (int i = 0; i < 4 && !rc && !conv->plan; i++) {
		conv->most_workspace = i < 2 ? WORKSPACE_BOUND : INT64_MAX;
		rc = choose_by(conv, spec, mode[i % 2], err);
	}
	if (!rc && !conv->plan)
		rc = vt_err_set(err, VT_EDEVICE,
			"cuDNN %zu has no deterministic engine for %s on %s",
			conv->c->f.cudnnGetVersion(), key, conv->c->card);
	return rc ? rc : note_choice(conv, key, err);
}

/* The engine and knobs that an engine plan names. */
static int repeat(struct vg_conv *conv, const struct vt_json *said, const char *key,
	struct vt_err *err)
{
	const struct vg_cudnn *c = conv->c;
	const struct vt_json *knobs = vt_json_get(said, "knobs");
	int64_t index = vt_json_integer(vt_json_get(said, "engine"), -1), n = 0;
	const struct vg_attribute e[] = { { CUDNN_ATTR_ENGINE_OPERATION_GRAPH,
						  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv->graph },
		{ CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index },
		{ CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
			&c->properties } };
	struct vg_attribute g[2];
	int rc = vg_cudnn_make(c, &conv->engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR, e, 3, "engine",
		err);

	/* knobs: [[type, value], ...] */
	for (; !rc && knobs && n < (int64_t)knobs->n && n < MOST_KNOBS; n++) {
		cudnnBackendKnobType_t type =
			(cudnnBackendKnobType_t)vt_json_integer(vt_json_at(knobs->item[n], 0), 0);
		int64_t value = vt_json_integer(vt_json_at(knobs->item[n], 1), 0);
		const struct vg_attribute k[] = { { CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
							  CUDNN_TYPE_KNOB_TYPE, 1, &type },
			{ CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value } };

		rc = vg_cudnn_make(c, &conv->knob[n], CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, k, 2,
			"knob", err);
	}
	g[0] = (struct vg_attribute){ CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
		&conv->engine };
	g[1] = (struct vg_attribute){ CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
		CUDNN_TYPE_BACKEND_DESCRIPTOR, n, conv->knob };
	if (!rc)
		rc = vg_cudnn_make(c, &conv->config, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, g,
			n ? 2 : 1, "engine configuration", err);
	if (!rc)
		rc = build_plan(conv, conv->config, err);
	if (!rc)
		rc = note_choice(conv, key, err);
	return rc
		? vt_err_prefix(err, "the engine plan's engine %lld for %s", (long long)index, key)
		: 0;
}

int vg_cudnn_plan(struct vg_cudnn *cudnn, struct vg_conv **out, const struct vg_conv_spec *spec,
	struct vt_err *err)
{
	struct vg_conv *p = vt_xcalloc(1, sizeof(*p));
	char *key = vg_plan_key(spec);
	const struct vt_json *said = vt_json_get(cudnn->wanted, key);
	int rc;

	p->c = cudnn;
	if (!said)
		said = vt_json_get(cudnn->chosen, key); /* equal convolutions have one engine */
	if (!said && cudnn->first)
		said = vt_json_get(cudnn->first->chosen, key);
	rc = make_tensors(p, spec, err);
	if (!rc)
		rc = make_convolution(p, spec, err);
	if (!rc)
		rc = make_graph(p, spec, err);
	if (!rc)
		rc = said ? repeat(p, said, key, err) : choose(p, spec, key, err);
	free(key);
	if (rc)
		vg_cudnn_plan_free(p);
	else
		*out = p;
	return rc;
}

void vg_cudnn_plan_free(struct vg_conv *conv)
{
	cudnnBackendDescriptor_t *first[] = { &conv->plan, &conv->config },
				 *last[] = { &conv->engine, &conv->graph, &conv->op, &conv->conv,
					 &conv->tensor[0], &conv->tensor[1], &conv->tensor[2] };

	/* A plan before its configuration, that before what it was made of. */
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		vg_cudnn_destroy(conv->c, first[i]);
	vg_cudnn_destroy_many(conv->c, conv->knob, MOST_KNOBS);
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++)
		vg_cudnn_destroy(conv->c, last[i]);
	free(conv);
}

size_t vg_cudnn_workspace(const struct vg_conv *conv)
{
	return (size_t)conv->workspace;
}

int vg_cudnn_execute(struct vg_cudnn *cudnn, struct vg_conv *conv, void *x, void *w, void *y,
	void *workspace, struct vt_err *err)
{
	/* the ids of make_tensors() */
	int64_t id[3] = { 'x', 'w', 'y' };
	void *pointer[3] = { x, w, y };
	const struct vg_attribute a[] = { { CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3,
						  id },
		{ CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointer },
		{ CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace } };
	cudnnBackendDescriptor_t pack = NULL;
	int rc = vg_cudnn_make(cudnn, &pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, a, 3,
		"variant pack", err);

	if (!rc)
		rc = vg_cudnn_check(cudnn,
			cudnn->f.cudnnBackendExecute(cudnn->handle, conv->plan, pack), "execute",
			err);
	vg_cudnn_destroy(cudnn, &pack);
	return rc;
}
