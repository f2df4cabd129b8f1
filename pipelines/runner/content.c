#include "pipelines/runner/content.h"

#include <string.h>

#include "common/base/fs.h"

void vt_content_begin(struct vt_content *c)
{
	vt_blake2b_init(&c->hash);
}

void vt_content_add(struct vt_content *c, const void *bytes, size_t n)
{
	vt_blake2b_update(&c->hash, bytes, n);
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
	vt_blake2b_final(&c->hash, out->b);
}

int vt_content_file(struct vt_hash *out, uint64_t *size, const char *path, struct vt_err *err)
{
	struct vt_map map;
	struct vt_content c;
	if (vt_fs_map(&map, path, err))
		return err->code;
	vt_content_begin(&c);
	vt_content_add(&c, map.data, map.size);
	vt_content_end(&c, out);
	if (size)
		*size = map.size;
	vt_fs_unmap(&map);
	return 0;
}
