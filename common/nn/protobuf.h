/* protobuf.h - protobuf messages, written by hand: the same bytes on every machine, in the order of
 * the calls (protobuf.dev, "Encoding").  Each function adds one field to the message in buf. */
#ifndef COMMON_NN_PROTOBUF_H
#define COMMON_NN_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

void vt_protobuf_int(struct vt_buf *buf, unsigned field, int64_t value);
void vt_protobuf_float(struct vt_buf *buf, unsigned field, float value);
void vt_protobuf_bytes(struct vt_buf *buf, unsigned field, const void *bytes, size_t n);
void vt_protobuf_text(struct vt_buf *buf, unsigned field, const char *text);
/* Moves a finished message into its parent. */
void vt_protobuf_message(struct vt_buf *buf, unsigned field, struct vt_buf *message);

#endif
