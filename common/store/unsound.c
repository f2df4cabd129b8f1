/* What commits name that is lost or damaged here.
 *
 * Every tree text is read once, however many commits hold it, and its digest compared.  Objects
 * are only looked at: one that is missing, of another size, open to writing, or not as it was when
 * its digest was noted, is read again; one of which nothing was noted and that looks as it should
 * is believed, lest every transfer read the whole store. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/content/digest_set.h"
#include "common/store/erased.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"

struct search {
	struct vt_store *s;
	struct vt_strs *out;
	struct vt_digest_set trees, objects;
	struct vt_object *suspect;
	size_t n, cap;
};

static void name(struct search *search, const char *kind, const struct vt_digest *id)
{
	char hex[VT_HEX], *text;

	vt_digest_hex(hex, id);
	text = vt_asprintf("%s %s", kind, hex);
	vt_strs_add(search->out, text);
	free(text);
}

static bool looks_sound(struct vt_store *store, const struct vt_tree_line *line)
{
	char object[VT_STORE_NAME];
	struct vt_stamp stamp;
	struct vt_digest d;
	struct stat st;

	vt_store_name(object, &line->digest);
	if (fstatat(store->objects_fd, object, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) ||
		(st.st_mode & 0222) || (uint64_t)st.st_size != line->size)
		return false;
	stamp = vt_stamp_of(&st);
	return vt_stat_cache_find(vt_store_cache(store), &d, &stamp, VT_STAT_SEALED)
		? vt_digest_equal(&d, &line->digest)
		: !vt_stat_cache_was(vt_store_cache(store), &d, &stamp);
}

static void look_at(struct search *search, const struct vt_tree_line *line)
{
	if (!vt_digest_set_add(&search->objects, &line->digest) || looks_sound(search->s, line))
		return;
	if (search->n == search->cap) {
		search->cap = search->cap ? 2 * search->cap : 64;
		search->suspect =
			vt_xrealloc(search->suspect, search->cap * sizeof(*search->suspect));
	}
	search->suspect[search->n++] = (struct vt_object){ .digest = line->digest,
		.size = line->size,
		.path = "a file",
		.first = search->n };
}

/* A text that cannot be read whole is named, and nothing below it is known. */
static void look_below(struct search *search, const struct vt_digest *id)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err why = VT_ERR_INIT;
	struct vt_tree_line line;
	const char *at = NULL;

	if (!vt_digest_set_add(&search->trees, id))
		return;
	if (vt_store_tree_text(search->s, &text, &at, id, &why))
		name(search, "trees", id);
	while (at && vt_tree_line_next(&at, &line, &why) > 0)
		if (line.type == 'd')
			look_below(search, &line.digest);
		else
			look_at(search, &line);
	vt_buf_release(&text);
}

static void look_behind(struct search *search, const char *commit_hex)
{
	struct vt_commit c = { .id = "" };
	struct vt_err why = VT_ERR_INIT;
	struct vt_digest id;

	if (!vt_digest_parse(&id, commit_hex))
		return;
	if (vt_commit_read(search->s, &c, commit_hex, &why))
		name(search, "commits", &id);
	else if (vt_digest_parse(&id, c.tree))
		look_below(search, &id);
	vt_commit_release(&c);
}

int vt_store_unsound(struct vt_store *store, const struct vt_strs *commits,
	const struct vt_strs *trees, struct vt_strs *out, struct vt_err *err)
{
	struct search w = { .s = store,
		.out = out,
		.trees = VT_DIGEST_SET_INIT,
		.objects = VT_DIGEST_SET_INIT };
	int rc;

	for (size_t i = 0; i < commits->n; i++)
		look_behind(&w, commits->v[i]);
	for (size_t i = 0; i < trees->n; i++) {
		struct vt_digest id;

		if (vt_digest_parse(&id, trees->v[i]))
			look_below(&w, &id);
	}
	rc = vt_objects_examine(store, w.suspect, w.n, err);
	for (size_t i = 0; !rc && i < w.n; i++)
		if (w.suspect[i].state == VT_OBJECT_DAMAGED ||
			(w.suspect[i].state == VT_OBJECT_ABSENT &&
				!vt_erased_has(store, &w.suspect[i].digest) &&
				!vt_erased_proposed(store, &w.suspect[i].digest)))
			name(&w, "objects", &w.suspect[i].digest);
	vt_objects_free(w.suspect, w.n);
	vt_digest_set_release(&w.trees);
	vt_digest_set_release(&w.objects);
	return rc;
}
