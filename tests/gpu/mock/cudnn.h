/* cudnn.h - descriptors of the stand-in for cuDNN, shared by the files that make, choose and
 * execute them. */
#ifndef TESTS_GPU_MOCK_CUDNN_H
#define TESTS_GPU_MOCK_CUDNN_H

#include <cudnn.h>

#include "tests/gpu/mock/mock.h"

enum { MOCK_ATTRIBUTES = 12 };

struct mock_value {
	cudnnBackendAttributeName_t name;
	cudnnBackendAttributeType_t type;
	int64_t n;
	union {
		int64_t i[16];
		int32_t e[16];
		double d;
		float f;
		void *p[64];
	} u;
	char *text; /* of CHAR */
};

struct mock_descriptor {
	struct mock_thing thing;
	cudnnBackendDescriptorType_t type;
	bool final;
	int users; /* living descriptors that have it as an attribute */
	int n;
	struct mock_value value[MOCK_ATTRIBUTES];
	struct mock_descriptor *graph; /* of an engine that came from a heuristic */
	int engine;                    /* of a configuration that came from one */
	cudnnBackendDescriptor_t real;
};

struct mock_descriptor *mock_descriptor(const void *d,
	cudnnBackendDescriptorType_t type); /* living; dies if of another type */
const struct mock_value *mock_get(const struct mock_descriptor *d,
	cudnnBackendAttributeName_t name); /* NULL: not set */
struct mock_descriptor *mock_child(const struct mock_descriptor *d,
	cudnnBackendAttributeName_t name, int i);
int64_t mock_integer(const struct mock_descriptor *d, cudnnBackendAttributeName_t name, int i);

/* cudnn_engines.c: the engines it pretends to have, and their choice. */
cudnnStatus_t mock_answer(struct mock_descriptor *d, cudnnBackendAttributeName_t name, int64_t room,
	int64_t *n, void *out);
cudnnStatus_t mock_plan_final(struct mock_descriptor *plan);
size_t mock_plan_workspace(const struct mock_descriptor *plan);
const char *mock_card_json(void);

/* cudnn_run.c */
cudnnStatus_t mock_execute(cudaStream_t stream, const struct mock_descriptor *plan,
	const struct mock_descriptor *pack);

/* The operation a plan, configuration or engine is for. */
const struct mock_descriptor *mock_operation(const struct mock_descriptor *d);

#endif
