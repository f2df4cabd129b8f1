/* spec_extends.h - a spec file that says how it differs from another one:
 *
 *      { "extends": "glioma.json",              a file in the same directory
 *        "project": "nightly",                  of every pipeline
 *        "change": { "train": { ... },          JSON merge patch (RFC 7396) of the pipeline so
 *                    "export": null },          named; null leaves the pipeline out
 *        "add": [ ... ] }                       further pipelines
 *
 * It is read as the list of pipelines that it means; `voxtrail emit pachyderm` prints that list.
 * Findings name places in the list. */
#ifndef PIPELINES_SPEC_SPEC_EXTENDS_H
#define PIPELINES_SPEC_SPEC_EXTENDS_H

#include "common/base/json.h"

/* Replaces *spec, an object with the key "extends" read from path, by the list it means; depth is
 * 0.  On failure *spec is freed and NULL: VT_EDATA for an unknown key or pipeline, a base that is
 * not beside the file or no list, or more than 8 files in a row; VT_ENOINPUT for a base that is
 * not there. */
int vt_spec_extend(struct vt_json **spec, const char *path, int depth, struct vt_err *err);

#endif
