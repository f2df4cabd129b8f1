/* attest_command.h - the actions of `voxtrail attest`. */
#ifndef PIPELINES_TOOL_ATTEST_COMMAND_H
#define PIPELINES_TOOL_ATTEST_COMMAND_H

#include "common/base/err.h"

struct vt_attest_request {
	const char *what, *dir; /* first argument; second of verify, else NULL */
	const char *store, *format, *key, *type, *out, *license; /* NULL: not given */
	int all;
};

void vt_attest_keygen(const struct vt_attest_request *request, struct vt_err *err);
void vt_attest_sign(const struct vt_attest_request *request, struct vt_err *err);
void vt_attest_verify(const struct vt_attest_request *request, struct vt_err *err);
void vt_attest_export(const struct vt_attest_request *request, struct vt_err *err);

#endif
