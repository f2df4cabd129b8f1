/* utf8.h - code points to and from UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing
 * above U+10FFFF. */
#ifndef COMMON_BASE_UTF8_H
#define COMMON_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/* Bytes of the character that begins at text[0], its code point in *point; 0 if there is none.
 * Reads at least one byte, at most `left`, and none after the first that does not continue the
 * character: of a NUL-terminated text never one beyond its NUL, whatever `left` is. */
size_t vt_utf8_decode(const unsigned char *text, size_t left, uint32_t *point);

/* A character that cannot be seen where it stands, or reorders what stands around it: controls,
 * line separators, bidirectional marks, embeddings and isolates, characters of no width, soft
 * hyphens, tags.  No name in a tree holds one, and every text that is shown has it as \xHH. */
bool vt_utf8_is_hidden(uint32_t point);

void vt_utf8_encode(struct vt_buf *out, uint32_t point);

#endif
