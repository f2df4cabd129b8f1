/* model_request.h - what the probes share: a network from a JSON file {"name", "params", "in",
 * "out", "n", "patch": [z,y,x]}. */
#ifndef TESTS_TOOLS_MODEL_REQUEST_H
#define TESTS_TOOLS_MODEL_REQUEST_H

#include <stdio.h>
#include <stdlib.h>

#include "common/nn/model.h"
#include "common/nn/session.h"

static inline size_t model_elements(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * (size_t)s.d * (size_t)s.h * (size_t)s.w;
}

/* *j holds the file and must outlive the graph's making. */
static inline int model_request(struct vt_graph **g, struct vt_json **j, const char *path,
	struct vt_err *err)
{
	struct vt_model_request r;

	if (vt_json_read(j, path, err))
		return err->code;
	r = (struct vt_model_request){ vt_json_text(vt_json_get(*j, "name"), ""),
		vt_json_get(*j, "params"), (int)vt_json_integer(vt_json_get(*j, "n"), 1),
		(int)vt_json_integer(vt_json_get(*j, "in"), 1),
		(int)vt_json_integer(vt_json_get(*j, "out"), 1), { 0 } };
	for (size_t i = 0; i < 3; i++)
		r.patch[i] = (int)vt_json_integer(vt_json_at(vt_json_get(*j, "patch"), i), 16);
	return vt_model_build(g, &r, err);
}

#endif
