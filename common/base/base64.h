/* base64.h - RFC 4648 section 4, with padding. */
#ifndef COMMON_BASE_BASE64_H
#define COMMON_BASE_BASE64_H

#include <stdbool.h>

#include "common/base/buf.h"

void vt_base64(struct vt_buf *out, const void *bytes, size_t n);
bool vt_base64_decode(struct vt_buf *out, const char *text); /* false if it is not base64 */

#endif
