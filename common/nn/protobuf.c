#include "common/nn/protobuf.h"

#include <string.h>

/* What follows a field's number. */
enum { VARINT = 0, LENGTH = 2, FOUR_BYTES = 5 };

/* Seven bits a byte, the lowest first; the top bit says that more follow. */
static void varint(struct vt_buf *buf, uint64_t value)
{
	for (; value >= 128; value >>= 7)
		vt_buf_char(buf, (char)(value | 128));
	vt_buf_char(buf, (char)value);
}

static void begin(struct vt_buf *buf, unsigned field, unsigned type)
{
	varint(buf, field << 3 | type);
}

void vt_protobuf_int(struct vt_buf *buf, unsigned field, int64_t value)
{
	begin(buf, field, VARINT);
	varint(buf, (uint64_t)value);
}

void vt_protobuf_float(struct vt_buf *buf, unsigned field, float value)
{
	begin(buf, field, FOUR_BYTES);
	vt_buf_add(buf, &value, sizeof(value));
}

void vt_protobuf_bytes(struct vt_buf *buf, unsigned field, const void *bytes, size_t n)
{
	begin(buf, field, LENGTH);
	varint(buf, n);
	vt_buf_add(buf, bytes, n);
}

void vt_protobuf_text(struct vt_buf *buf, unsigned field, const char *text)
{
	vt_protobuf_bytes(buf, field, text, strlen(text));
}

void vt_protobuf_message(struct vt_buf *buf, unsigned field, struct vt_buf *message)
{
	vt_protobuf_bytes(buf, field, message->data ? message->data : "", message->len);
	vt_buf_release(message);
}
