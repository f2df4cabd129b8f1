#include "common/base/base64.h"

#include <string.h>

static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void vt_base64(struct vt_buf *out, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	vt_buf_reserve(out, (n + 2) / 3 * 4 + 1);
	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) |
			(i + 2 < n ? p[i + 2] : 0);

		vt_buf_char(out, digit[v >> 18]);
		vt_buf_char(out, digit[v >> 12 & 63]);
		vt_buf_char(out, i + 1 < n ? digit[v >> 6 & 63] : '=');
		vt_buf_char(out, i + 2 < n ? digit[v & 63] : '=');
	}
}

bool vt_base64_decode(struct vt_buf *out, const char *text)
{
	size_t n = strlen(text), pad = 0;

	while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
		pad++;
	if (n % 4)
		return false;
	for (size_t i = 0; i < n; i += 4) {
		unsigned v = 0;

		for (size_t k = 0; k < 4; k++) {
			const char *at = i + k < n - pad ? memchr(digit, text[i + k], 64) : digit;

			if (!at)
				return false;
			v = v << 6 | (unsigned)(at - digit);
		}
		for (size_t k = 0; k < (i + 4 == n ? 3 - pad : 3); k++)
			vt_buf_char(out, (char)(v >> (16 - 8 * k)));
	}
	return true;
}
