/* content.h - the hash behind everything the runner compares: files, directories, transforms,
 * datum keys: SHA-256, so that a file's hash is the digest the store knows it by. */
#ifndef PIPELINES_RUNNER_CONTENT_H
#define PIPELINES_RUNNER_CONTENT_H

#include "common/base/buf.h"
#include "common/content/digest.h"
#include "pipelines/runner/listing.h"

struct vt_content {
	struct vt_buf bytes;
};

void vt_content_begin(struct vt_content *c);
void vt_content_add(struct vt_content *c, const void *bytes, size_t n);
/* length as eight big-endian bytes, then the bytes */
void vt_content_text(struct vt_content *c, const char *text);
/* Also releases *c. */
void vt_content_end(struct vt_content *c, struct vt_hash *out);

/* Hash of a file's bytes; *size (may be NULL) gets how many. */
int vt_content_file(struct vt_hash *out, uint64_t *size, const char *path, struct vt_err *err);

#endif
