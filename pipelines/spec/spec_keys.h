/* spec_keys.h - which keys a pipeline spec may have, and of what type.
 *
 * Both key styles of Pachyderm are read (camelCase and snake_case); the normalized copy is
 * camelCase.  A finding is one thing that is wrong or doubtful, with the JSON pointer of the
 * place. */
#ifndef PIPELINES_SPEC_SPEC_KEYS_H
#define PIPELINES_SPEC_SPEC_KEYS_H

#include <stdbool.h>

#include "common/base/json.h"

enum vt_finding_level { VT_FINDING_ERROR = 1, VT_FINDING_WARNING };

struct vt_finding {
	enum vt_finding_level level;
	char *pointer, *text;
};

/* The first of each level are kept, all are counted: a file decides neither memory nor output. */
enum { VT_FINDINGS_KEPT = 1000 };

struct vt_findings {
	struct vt_finding *v;
	size_t n, errors, warnings;
};

void vt_findings_add(struct vt_findings *findings, enum vt_finding_level level, const char *pointer,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void vt_findings_release(struct vt_findings *findings);

/* A camelCase copy of one spec; whatever is wrong with keys and types is added to *findings.
 * `pointer` is where it stands. */
struct vt_json *vt_spec_normalize(const struct vt_json *spec, const char *pointer,
	struct vt_findings *findings);

/* "900s" or "1.5s" to seconds; anything else, "15m" too, is false: that is how the server reads
 * it. */
bool vt_spec_seconds(const char *text, double *out);

/* "2Gi", "512M", "1e9", "1000" to bytes. */
bool vt_spec_quantity(const char *text, double *out);

#endif
