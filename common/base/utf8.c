#include "common/base/utf8.h"

#include <assert.h>

size_t vt_utf8_decode(const unsigned char *text, size_t left, uint32_t *point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;
	size_t n;

	assert(left > 0);
	*point = text[0];
	if (text[0] < 0x80)
		return 1;
	if (text[0] >> 5 == 6)
		n = 2;
	else if (text[0] >> 4 == 14)
		n = 3;
	else if (text[0] >> 3 == 30)
		n = 4;
	else
		return 0;
	if (n > left)
		return 0;

	c = text[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (text[i] >> 6 != 2)
			return 0;
		c = c << 6 | (text[i] & 0x3f);
	}
	*point = c;
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

bool vt_utf8_is_hidden(uint32_t point)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = { { 0x00, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x34f, 0x34f },
		{ 0x61c, 0x61c }, { 0x115f, 0x1160 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
		{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },
		{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe0fff } };

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (point >= hidden[i].first && point <= hidden[i].last)
			return true;
	return false;
}

void vt_utf8_encode(struct vt_buf *out, uint32_t point)
{
	assert(point <= 0x10ffff);
	if (point < 0x80) {
		vt_buf_char(out, (char)point);
	} else if (point < 0x800) {
		vt_buf_char(out, (char)(0xc0 | point >> 6));
		vt_buf_char(out, (char)(0x80 | (point & 0x3f)));
	} else if (point < 0x10000) {
		vt_buf_char(out, (char)(0xe0 | point >> 12));
		vt_buf_char(out, (char)(0x80 | (point >> 6 & 0x3f)));
		vt_buf_char(out, (char)(0x80 | (point & 0x3f)));
	} else {
		vt_buf_char(out, (char)(0xf0 | point >> 18));
		vt_buf_char(out, (char)(0x80 | (point >> 12 & 0x3f)));
		vt_buf_char(out, (char)(0x80 | (point >> 6 & 0x3f)));
		vt_buf_char(out, (char)(0x80 | (point & 0x3f)));
	}
}
