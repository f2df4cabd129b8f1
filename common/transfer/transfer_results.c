/* What runs at the destination would otherwise compute again: results by the keys of their datums.
 *
 * A commit's provenance names its list of keys, the list the results, a result its trees; each step
 * asks the source for the texts of the one before.  A result that the destination has stays as it
 * is. */
#include <stdlib.h>
#include <string.h>

#include "common/store/result.h"
#include "common/transfer/transfer_internal.h"

void vt_lacking_results_release(struct vt_lacking_results *results)
{
	for (size_t i = 0; i < results->n; i++)
		vt_buf_release(&results->text[i]);
	free(results->text);
	vt_strs_release(&results->name);
	*results = (struct vt_lacking_results){ .name = VT_STRS_INIT };
}

int vt_transfer_keep(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	struct vt_lacking_results *l = ctx;

	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->text = vt_xrealloc(l->text, l->cap * sizeof(*l->text));
	}
	vt_strs_add(&l->name, name);
	l->text[l->n] = (struct vt_buf)VT_BUF_INIT;
	return vt_transfer_read_text(&l->text[l->n++], name, size, reader, err);
}

static void add_name(struct vt_strs *list, const char *kind, const struct vt_digest *id)
{
	char hex[VT_HEX], *name;

	vt_digest_hex(hex, id);
	name = vt_asprintf("%s %s", kind, hex);
	vt_strs_add(list, name);
	free(name);
}

int vt_transfer_present(struct vt_peer *peer, struct vt_strs *out, struct vt_strs *names,
	struct vt_err *err)
{
	struct vt_strs absent = VT_STRS_INIT;
	int rc;

	vt_strs_unique(names);
	rc = vt_transfer_missing(peer, &absent, names, err);
	vt_strs_unique(&absent);
	for (size_t i = 0, k = 0; !rc && i < names->n; i++) {
		while (k < absent.n && strcmp(absent.v[k], names->v[i]) < 0)
			k++;
		if (k == absent.n || strcmp(absent.v[k], names->v[i]))
			vt_strs_add(out, names->v[i]);
	}
	vt_strs_release(&absent);
	return rc;
}

/* The lists that the commits name, as far as the source has them. */
static int find_lists(struct vt_strs *lists, struct vt_peer *from, const struct vt_strs *commits,
	struct vt_err *err)
{
	struct vt_lacking_results text = { .name = VT_STRS_INIT };
	struct vt_strs names = VT_STRS_INIT, all = VT_STRS_INIT;
	int rc;

	for (size_t i = 0; i < commits->n; i++) {
		char *name = vt_asprintf("commits %s", commits->v[i]);

		vt_strs_add(&names, name);
		free(name);
	}
	rc = vt_transfer_get(from, &names, vt_transfer_keep, &text, err);
	for (size_t i = 0; !rc && i < text.n; i++) {
		struct vt_commit c = { .id = "" };
		/* named by its bytes; checked before what it says is followed */
		struct vt_digest list;

		rc = vt_transfer_check_text(text.name.v[i], &text.text[i], err);
		if (!rc)
			rc = vt_commit_parse(&c, text.text[i].data, text.text[i].len,
				text.name.v[i], err);
		if (!rc && vt_result_list_named(&list, c.provenance))
			add_name(&all, "objects", &list);
		vt_commit_release(&c);
	}
	if (!rc)
		rc = vt_transfer_present(from, lists, &all, err);
	vt_strs_release(&names);
	vt_strs_release(&all);
	vt_lacking_results_release(&text);
	return rc;
}

/* The results of the lists' keys, as far as the source has them. */
static int find_names(struct vt_strs *results, struct vt_peer *from, const struct vt_strs *lists,
	struct vt_err *err)
{
	struct vt_lacking_results text = { .name = VT_STRS_INIT };
	struct vt_strs all = VT_STRS_INIT;
	int rc = vt_transfer_get(from, lists, vt_transfer_keep, &text, err);

	for (size_t i = 0; !rc && i < text.n; i++) {
		struct vt_digest *key = NULL;
		size_t n = 0;

		rc = vt_transfer_check_text(text.name.v[i], &text.text[i], err);
		if (!rc)
			/* the list of a run's keys */
			rc = vt_result_list_parse(&key, &n, &text.text[i], text.name.v[i], err);
		for (size_t k = 0; k < n; k++)
			add_name(&all, "results", &key[k]);
		free(key);
	}
	if (!rc)
		rc = vt_transfer_present(from, results, &all, err);
	vt_strs_release(&all);
	vt_lacking_results_release(&text);
	return rc;
}

static void add_root(struct vt_strs *roots, const struct vt_digest *tree)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, tree);
	vt_strs_add(roots, hex);
}

int vt_transfer_find_results(struct vt_lacking_results *out, struct vt_peer *from,
	struct vt_peer *to, const struct vt_strs *commits, struct vt_strs *objects,
	struct vt_strs *roots, struct vt_err *err)
{
	struct vt_strs lists = VT_STRS_INIT, names = VT_STRS_INIT, lacking = VT_STRS_INIT,
		       transforms = VT_STRS_INIT;
	int rc = find_lists(&lists, from, commits, err);

	if (!rc)
		rc = find_names(&names, from, &lists, err);
	if (!rc)
		rc = vt_transfer_missing(to, &lacking, &names, err);
	if (!rc)
		rc = vt_transfer_get(from, &lacking, vt_transfer_keep, out, err);
	/* the lists go along, for a later transfer from there */
	for (size_t i = 0; !rc && i < lists.n; i++)
		vt_strs_add(objects, lists.v[i]);
	for (size_t i = 0; !rc && i < out->n; i++) {
		struct vt_result r;

		if (!vt_result_parse(&r, out->text[i].data, out->text[i].len)) {
			rc = vt_err_set(err, VT_EDATA, "%s: %s is not a result", from->said,
				out->name.v[i]);
			break;
		}
		add_root(roots, &r.tree);
		if (r.has_lineage)
			add_root(roots, &r.lineage);
		if (r.has_transform)
			add_name(&transforms, "objects", &r.transform);
	}
	/* they explain keys; where the source has none, nothing is lost */
	if (!rc)
		rc = vt_transfer_present(from, objects, &transforms, err);
	vt_strs_unique(roots);
	vt_strs_release(&lists);
	vt_strs_release(&transforms);
	vt_strs_release(&names);
	vt_strs_release(&lacking);
	return rc;
}

int vt_transfer_put_results(const struct vt_lacking_results *results, struct vt_peer *to,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < results->n; i++) {
		struct vt_reader r = { results->text[i].data, results->text[i].len, -1, NULL,
			NULL };

		rc = to->ops->put(to, results->name.v[i], results->text[i].len, &r, err);
	}
	return rc;
}
