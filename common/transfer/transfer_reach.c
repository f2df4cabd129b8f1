/* Everything that commits and trees reach, level by level: each text is asked for once. */
#include <stdlib.h>
#include <string.h>

#include "common/content/digest_set.h"
#include "common/store/store_internal.h"
#include "common/transfer/transfer_internal.h"

struct reach {
	struct vt_digest_set known;
	struct vt_strs next; /* names of the next level */
};

static void reach(struct reach *reach, const char *kind, const char *id)
{
	struct vt_digest d;
	char *name;

	if (!vt_digest_parse(&d, id) || !vt_digest_set_add(&reach->known, &d) ||
		!strcmp(kind, "objects"))
		return;
	name = vt_asprintf("%s %s", kind, id);
	vt_strs_add(&reach->next, name);
	free(name);
}

static int reach_commit(struct reach *r, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	int rc = vt_commit_parse(&c, text->data, text->len, name, err);

	if (!rc)
		reach(r, "trees", c.tree);
	for (size_t i = 0; !rc && i < c.parents.n; i++)
		reach(r, "commits", c.parents.v[i]);
	vt_commit_release(&c);
	return rc;
}

static int reach_tree(struct reach *r, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	const char *at = strchr(text->data, '\n');
	struct vt_tree_line line;
	int more = 0;

	for (at = at ? at + 1 : ""; (more = vt_tree_line_next(&at, &line, err)) > 0;) {
		char id[VT_HEX];

		vt_digest_hex(id, &line.digest);
		reach(r, line.type == 'd' ? "trees" : "objects", id);
	}
	return more < 0 ? vt_err_prefix(err, "%s", name) : 0;
}

/* A sink. */
static int take(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_transfer_read_text(&text, name, size, reader, err);

	if (!rc)
		rc = *name == 'c' ? reach_commit(ctx, name, &text, err)
				  : reach_tree(ctx, name, &text, err);
	vt_buf_release(&text);
	return rc;
}

/* What is lost or damaged here as well reaches nothing. */
static void take_level(struct reach *r, struct vt_peer *from, const struct vt_strs *level)
{
	struct vt_err none = VT_ERR_INIT;

	for (size_t i = 0; i < level->n; i++) {
		const struct vt_strs one = { level->v + i, 1, 0 };

		none.code = 0;
		from->ops->get(from, &one, take, r, &none);
	}
}

int vt_transfer_check_reached(struct vt_peer *from, const struct vt_peer *to,
	const struct vt_strs *starts, const struct vt_strs *unsound, struct vt_err *err)
{
	struct reach r = { VT_DIGEST_SET_INIT, VT_STRS_INIT };
	struct vt_digest d;

	for (size_t i = 0; unsound->n && i < starts->n; i++)
		reach(&r, *starts->v[i] == 'c' ? "commits" : "trees",
			strchr(starts->v[i], ' ') + 1);
	while (r.next.n) {
		struct vt_strs level = r.next;

		r.next = (struct vt_strs)VT_STRS_INIT;
		take_level(&r, from, &level);
		vt_strs_release(&level);
	}
	for (size_t i = 0; !err->code && i < unsound->n; i++) {
		const char *space = strchr(unsound->v[i], ' ');

		if (!space || !vt_digest_parse(&d, space + 1) || !vt_digest_set_has(&r.known, &d))
			vt_err_set(err, VT_EDATA,
				"%s: answered \"%.100s\", which is nothing of what is sent",
				to->said, unsound->v[i]);
	}
	vt_digest_set_release(&r.known);
	vt_strs_release(&r.next);
	return err->code;
}
