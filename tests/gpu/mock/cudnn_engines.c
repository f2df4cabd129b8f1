/* The engines that the stand-in pretends to have: some that may not be chosen stand first, one
 * does not build. */
#include "tests/gpu/mock/cudnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct engine {
	int64_t index, workspace;
	int notes, note[2];
	int64_t knob[2][2];
	int knobs, mode; /* mode: the heuristic that offers it */
	bool builds;
} engines[] = {
	{ 3, 0, 1, { CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC }, { { 0 } }, 0, CUDNN_HEUR_MODE_A,
		true },
	{ 5, 4096, 1, { CUDNN_NUMERICAL_NOTE_FFT }, { { 0 } }, 0, CUDNN_HEUR_MODE_A, true },
	{ 6, 0, 2, { CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 },
		{ { 0 } }, 0, CUDNN_HEUR_MODE_A, true },
	{ 7, 0, 0, { 0 }, { { 0 } }, 0, CUDNN_HEUR_MODE_A, false },
	{ 11, 100003, 1, { CUDNN_NUMERICAL_NOTE_TENSOR_CORE }, { { 2, 1 }, { 5, 3 } }, 2,
		CUDNN_HEUR_MODE_A, true },
	{ 1, 0, 0, { 0 }, { { 0 } }, 0, CUDNN_HEUR_MODE_FALLBACK, true },
};

enum { ENGINES = sizeof(engines) / sizeof(engines[0]) };

/* A GPU as tests/gpu/cards has them. */
const char *mock_card_json(void)
{
	static char text[8192] = "{\"deviceVer\":900,\"driverVer\":13000,\"cudaDeviceId\":0,"
				 "\"totalGlobalMem\":4294967296,"
				 "\"maxGridSize\":[2147483647,65535,65535],"
				 "\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
				 "\"multiProcessorCount\":132,\"warpSize\":32,"
				 "\"maxSharedMemoryPerBlock\":49152,"
				 "\"maxSharedMemoryPerBlockOptin\":232448,"
				 "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":"
				 "65536,\"maxCtasPerSM\":32,"
				 "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,"
				 "\"pciDeviceId\":0,\"isTccDriver\":0,"
				 "\"supportCoopLaunch\":1,\"smClockRateKHz\":1980000,"
				 "\"memClockRateKHz\":3201000,\"l2CacheSize\":62914560,"
				 "\"deviceName\":\"stand-in of a GPU\"}";
	static bool read;
	const char *path = getenv("VOXTRAIL_MOCK_CARD");
	FILE *f = read || !path ? NULL : fopen(path, "r");

	if (f) {
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		fclose(f);
	}
	read = true;
	return text;
}

static const struct engine *engine_of(const struct mock_descriptor *d)
{
	int64_t index;

	if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
		d = mock_child(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
	if (d->graph)
		return &engines[d->engine];
	if (d->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)
		d = mock_child(d, CUDNN_ATTR_ENGINECFG_ENGINE, 0);
	index = mock_integer(d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 0);
	for (int i = 0; i < ENGINES; i++)
		if (engines[i].index == index)
			return &engines[i];
	return NULL;
}

/* An engine that is named and does not exist, or that does not take its knobs, has no plan. */
cudnnStatus_t mock_plan_final(struct mock_descriptor *plan)
{
	const struct mock_descriptor *config =
		mock_child(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
	const struct mock_value *knobs = mock_get(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
	const struct engine *e = engine_of(plan);

	if (!e || !e->builds)
		return CUDNN_STATUS_NOT_SUPPORTED;
	if (!config->graph && (knobs ? knobs->n : 0) != e->knobs)
		return CUDNN_STATUS_BAD_PARAM;
	return CUDNN_STATUS_SUCCESS;
}

size_t mock_plan_workspace(const struct mock_descriptor *plan)
{
	int64_t n = 0, got;

	if (!plan->real)
		return (size_t)engine_of(plan)->workspace;
	mock_leave_cudnn();
	cudnnBackendGetAttribute((void *)plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
		CUDNN_TYPE_INT64, 1, &got, &n);
	mock_enter_cudnn("");
	return (size_t)n;
}

static cudnnStatus_t put(const void *value, size_t size, int64_t count, int64_t room, int64_t *n,
	void *out)
{
	*n = count;
	if (out)
		memcpy(out, value, size * (size_t)(count < room ? count : room));
	return CUDNN_STATUS_SUCCESS;
}

/* The caller has made the descriptors; those that are filled become final. */
static struct mock_descriptor *fill(void *out, int64_t k, cudnnBackendDescriptorType_t type,
	const struct mock_descriptor *graph, int engine)
{
	struct mock_descriptor *d = mock_descriptor(((void **)out)[k], type);

	d->final = true;
	d->graph = (struct mock_descriptor *)graph;
	d->engine = engine;
	return d;
}

static cudnnStatus_t offer(const struct mock_descriptor *heuristic, int64_t room, int64_t *n,
	void *out)
{
	*n = 0;
	for (int i = 0; i < ENGINES && *n < room; i++)
		if (engines[i].mode == mock_get(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE)->u.e[0])
			fill(out, (*n)++, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
				mock_child(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0), i);
	return CUDNN_STATUS_SUCCESS;
}

static void set(struct mock_descriptor *d, cudnnBackendAttributeName_t name,
	cudnnBackendAttributeType_t type, int64_t value)
{
	d->value[d->n++] =
		(struct mock_value){ .name = name, .type = type, .n = 1, .u.i = { value } };
}

static cudnnStatus_t answer_config(const struct mock_descriptor *d,
	cudnnBackendAttributeName_t name, int64_t room, int64_t *n, void *out)
{
	const struct engine *e = engine_of(d);

	*n = 0;
	if (!d->graph)
		return CUDNN_STATUS_SUCCESS; /* of the caller's own making, without knobs */
	if (name == CUDNN_ATTR_ENGINECFG_ENGINE)
		fill(out, (*n)++, CUDNN_BACKEND_ENGINE_DESCRIPTOR, d->graph, d->engine);
	for (; name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES && *n < e->knobs && *n < room; (*n)++) {
		struct mock_descriptor *k =
			fill(out, *n, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, NULL, 0);

		set(k, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, e->knob[*n][0]);
		set(k, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, e->knob[*n][1]);
	}
	return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t mock_answer(struct mock_descriptor *d, cudnnBackendAttributeName_t name, int64_t room,
	int64_t *n, void *out)
{
	const struct mock_value *v = mock_get(d, name);

	if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS)
		return offer(d, room, n, out);
	if (d->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR && (d->graph || !v))
		return answer_config(d, name, room, n, out);
	if (d->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR &&
		name == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES) {
		*n = v->n;
		for (int64_t k = 0; k < v->n && k < room; k++) {
			struct mock_descriptor *to = fill(out, k,
						       CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, NULL,
						       0),
					       *from = v->u.p[k];

			memcpy(to->value, from->value, sizeof(to->value));
			to->n = from->n;
		}
		return CUDNN_STATUS_SUCCESS;
	}
	if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE)
		return put(engine_of(d)->note, sizeof(int), engine_of(d)->notes, room, n, out);
	if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX)
		return put(&engine_of(d)->index, sizeof(int64_t), 1, room, n, out);
	if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)
		return put(&engine_of(d)->workspace, sizeof(int64_t), 1, room, n, out);
	if (name == CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION)
		return put(v ? v->text : mock_card_json(), 1,
			(int64_t)strlen(v ? v->text : mock_card_json()), room, n, out);
	if (v && (v->type == CUDNN_TYPE_INT64 || v->type == CUDNN_TYPE_KNOB_TYPE))
		return put(v->u.i, v->type == CUDNN_TYPE_INT64 ? sizeof(int64_t) : sizeof(int),
			v->n, room, n, out);
	mock_die("cuDNN: attribute %d of a descriptor of type %d is asked for", (int)name,
		(int)d->type);
}
