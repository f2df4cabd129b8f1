#include "pipelines/runner/content.h"

#include <string.h>

void vt_content_begin(struct vt_content *c)
{
	*c = (struct vt_content){ VT_BUF_INIT };
}

void vt_content_add(struct vt_content *c, const void *bytes, size_t n)
{
	vt_buf_add(&c->bytes, bytes, n);
}

void vt_content_text(struct vt_content *c, const char *text)
{
	uint64_t n = strlen(text);
	unsigned char length[8];
	for (int i = 0; i < 8; i++)
		length[i] = (unsigned char)(n >> (56 - 8 * i));
	vt_content_add(c, length, sizeof length);
	vt_content_add(c, text, n);
}

void vt_content_end(struct vt_content *c, struct vt_hash *out)
{
	struct vt_digest d = vt_digest_bytes(c->bytes.data ? c->bytes.data : "", c->bytes.len);
	memcpy(out->b, d.b, sizeof out->b);
	vt_buf_release(&c->bytes);
}

int vt_content_file(struct vt_hash *out, uint64_t *size, const char *path, struct vt_err *err)
{
	struct vt_digest d;
	uint64_t n;
	if (vt_digest_file(&d, &n, path, err))
		return err->code;
	memcpy(out->b, d.b, sizeof out->b);
	if (size)
		*size = n;
	return 0;
}
