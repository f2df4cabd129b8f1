/* transfer_texts.c - texts with what they name: trees and subtrees, commits and parents. */
#include <stdlib.h>
#include <string.h>

#include "common/transfer/transfer_internal.h"

void vt_transfer_texts_release(struct vt_transfer_texts *texts)
{
	for (size_t i = 0; i < texts->n; i++) {
		free(texts->v[i].name);
		vt_buf_release(&texts->v[i].text);
		vt_strs_release(&texts->v[i].needs);
	}
	free(texts->v);
}

int vt_transfer_read_text(struct vt_buf *text, const char *name, uint64_t size,
	struct vt_reader *reader, struct vt_err *err)
{
	int rc = size > VT_PEER_TEXT ? vt_err_set(err, VT_EDATA, "%s: %llu bytes; at most %d", name,
					       (unsigned long long)size, VT_PEER_TEXT)
				     : 0;

	if (!rc && reader->bounds)
		rc = vt_peer_bounds_keep(reader->bounds, size + VT_HEX, name, err);
	if (!rc)
		rc = vt_reader_bytes(reader, size, text, name, err);
	vt_buf_add(text, "", 0);
	return rc;
}

int vt_transfer_check_text(const char *name, const struct vt_buf *text, struct vt_err *err)
{
	struct vt_digest d = vt_digest_bytes(text->data, text->len);
	char hex[VT_HEX];

	vt_digest_hex(hex, &d);
	if (strcmp(hex, strchr(name, ' ') + 1))
		return vt_err_set(err, VT_EINTEGRITY,
			"%s came with the digest %s; verify the store it came from", name, hex);
	return 0;
}

int vt_transfer_keep_text(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	struct vt_transfer_texts *g = ctx;
	struct vt_transfer_text node = { .name = NULL };

	if (vt_transfer_read_text(&node.text, name, size, reader, err) ||
		vt_transfer_check_text(name, &node.text, err)) {
		vt_buf_release(&node.text);
		return err->code;
	}
	node.name = vt_xstrdup(name);
	if (g->n == g->cap) {
		g->cap = g->cap ? 2 * g->cap : 64;
		g->v = vt_xrealloc(g->v, g->cap * sizeof(*g->v));
	}
	g->v[g->n++] = node;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vt_transfer_text *)a)->name,
		((const struct vt_transfer_text *)b)->name);
}

void vt_transfer_texts_sort(struct vt_transfer_texts *texts)
{
	if (texts->n > 1)
		qsort(texts->v, texts->n, sizeof(*texts->v), by_name);
}

/* bsearch: the key is a name, the member a text */
static int name_of(const void *name, const void *text)
{
	return strcmp(name, ((const struct vt_transfer_text *)text)->name);
}

struct vt_transfer_text *vt_transfer_texts_find(const struct vt_transfer_texts *texts,
	const char *name)
{
	return texts->n ? bsearch(name, texts->v, texts->n, sizeof(*texts->v), name_of) : NULL;
}

static int put_text(struct vt_peer *to, struct vt_transfer_text *node, struct vt_err *err)
{
	struct vt_reader r = { node->text.data, node->text.len, -1, NULL, NULL };

	node->sent = true;
	return to->ops->put(to, node->name, node->text.len, &r, err);
}

/* The stack is a list of its own: history is longer than the C stack is deep. */
int vt_transfer_put_in_order(struct vt_transfer_texts *texts, struct vt_peer *to,
	struct vt_err *err)
{
	struct vt_transfer_text **stack =
		/* each text is on it once at most */
		vt_xmalloc((texts->n + 1) * sizeof(struct vt_transfer_text *));
	size_t depth = 0;
	int rc = 0;

	vt_transfer_texts_sort(texts);
	for (size_t i = 0; !rc && i < texts->n; i++) {
		if (texts->v[i].sent)
			continue;
		texts->v[i].begun = true;
		stack[depth++] = &texts->v[i];
		while (!rc && depth) {
			struct vt_transfer_text *top = stack[depth - 1], *below = NULL;

			while (top->next < top->needs.n && !below) {
				below = vt_transfer_texts_find(texts, top->needs.v[top->next++]);
				if (below && below->begun)
					below = NULL;
			}
			if (below) {
				below->begun = true;
				stack[depth++] = below;
				continue;
			}
			rc = put_text(to, top, err);
			depth--;
		}
	}
	free(stack);
	return rc;
}
