/* attest_internal.h - for attest*.c only. */
#ifndef COMMON_ATTEST_ATTEST_INTERNAL_H
#define COMMON_ATTEST_ATTEST_INTERNAL_H

#include "common/attest/attest.h"

#define VT_STATEMENT "https://in-toto.io/Statement/v1"

/* Text of a member, "" if there is none. */
const char *vt_attest_text(const struct vt_json *value, const char *key);

/* {"sha256": hex} */
struct vt_json *vt_attest_sha256(const char *hex);

/* {"@id": id} */
struct vt_json *vt_attest_ref(const char *id);

/* When an execution began and ended, "" where that was not observed. */
void vt_attest_times(char begun[32], char ended[32], const struct vt_json *observed);

#endif
