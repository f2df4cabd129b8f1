/* yaml_read.h - the YAML that people write specs in, as JSON values.
 *
 * libyaml reads it; plain scalars are taken by YAML 1.2's core schema (null, true, false, decimal
 * integers and reals, else text).  Anchors, aliases, tags, directives and merge keys are refused: a
 * spec is read by people, and says what it means where it stands.  Duplicate keys, keys that are no
 * scalars and more than 64 levels are errors; empty documents are left out. */
#ifndef PIPELINES_SPEC_YAML_READ_H
#define PIPELINES_SPEC_YAML_READ_H

#include "common/base/json.h"

/* A VT_JSON_ARRAY of the documents; a message holds origin and line. */
int vt_yaml_parse(struct vt_json **documents, const char *text, size_t n, const char *origin,
	struct vt_err *err);

#endif
