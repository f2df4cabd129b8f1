#include "common/store/ancestry.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/carried.h"
#include "common/store/record.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"

struct walk {
	struct vt_store *s;              /* may be NULL */
	struct vt_carried carried;       /* the directory's own .lineage */
	struct vt_ancestry *a;
	size_t cap;
	size_t *slot, n_slots;           /* hash of ids: 1 + index in a->v, 0 is free */
};

static void add_once(struct vt_strs *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i], text))
			return;
	vt_strs_add(list, text);
}

static struct vt_json *record_of(struct walk *w, const char *id)
{
	const struct vt_carried_record *c = vt_carried_find(&w->carried, id);
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;

	if (c)
		return vt_json_copy(c->record);
	if (w->s)
		vt_store_get_record(w->s, &j, id, &none);
	return j;
}

/* Ids are digests: their first digits are as good as any hash. */
static size_t *slot_of(struct walk *w, const char *id)
{
	char first[16];
	size_t i;

	memcpy(first, id, 15);
	first[15] = '\0';
	for (i = strtoull(first, NULL, 16) % w->n_slots; w->slot[i] && strcmp(w->a->v[w->slot[i] - 1].id, id); i = (i + 1) % w->n_slots)
		;
	return &w->slot[i];
}

static void grow(struct walk *w)
{
	w->cap = w->cap ? 2 * w->cap : 32;
	w->a->v = vt_xrealloc(w->a->v, w->cap * sizeof(*w->a->v));
	free(w->slot);
	w->n_slots = 2 * w->cap + 1;
	w->slot = vt_xcalloc(w->n_slots, sizeof(*w->slot));
	for (size_t i = 0; i < w->a->n; i++)
		*slot_of(w, w->a->v[i].id) = i + 1;
}

/* The index of an execution, -1 if it has none yet. */
static long known(struct walk *w, const char *id)
{
	return w->n_slots ? (long)*slot_of(w, id) - 1 : -1;
}

/* Takes the record. */
static long add_execution(struct walk *w, const char *id, struct vt_json *record)
{
	struct vt_ancestry *a = w->a;

	if (a->n == w->cap)
		grow(w);
	a->v[a->n] = (struct vt_execution){ .record = record };
	memcpy(a->v[a->n].id, id, VT_HEX);
	*slot_of(w, id) = a->n + 1;
	return (long)a->n++;
}

/* The index of an execution, added if it is new; -1 if its record cannot be found. */
static long execution(struct walk *w, const char *id)
{
	long k = known(w, id);
	struct vt_json *j = k < 0 ? record_of(w, id) : NULL;

	if (k >= 0)
		return k;
	if (j)
		return add_execution(w, id, j);
	add_once(&w->a->missing, id);
	return -1;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files of one input: their digests, sorted, and which of them a named parent has among its outputs. */
struct wanted {
	const char **v;
	bool *vouched;
	size_t n;
};

static struct wanted wanted_of(const struct vt_json *files)
{
	struct wanted w = { NULL, NULL, files ? files->n : 0 };

	w.v = vt_xcalloc(w.n + 1, sizeof(*w.v));
	w.vouched = vt_xcalloc(w.n + 1, sizeof(*w.vouched));
	for (size_t i = 0; i < w.n; i++)
		w.v[i] = vt_json_text(vt_json_get(files->item[i], "sha256"), "");
	qsort(w.v, w.n, sizeof(*w.v), by_text);
	return w;
}

/* First of the equal digests, n if there is none. */
static size_t wanted_index(const struct wanted *w, const char *sha256)
{
	size_t lo = 0, hi = w->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(w->v[mid], sha256) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->n && !strcmp(w->v[lo], sha256) ? lo : w->n;
}

/* Marks what the record has among its outputs; false if it is nothing. */
static bool vouch(struct wanted *w, const struct vt_json *record)
{
	const struct vt_json *outputs = vt_json_get(record, "outputs");
	bool any = false;

	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *files = vt_json_get(outputs->item[i], "files");

		for (size_t k = 0; files && k < files->n; k++) {
			size_t at = wanted_index(w, vt_json_text(vt_json_get(files->item[k], "sha256"), ""));

			if (at < w->n)
				any = w->vouched[at] = true;
		}
	}
	return any;
}

static void add_from(struct vt_execution *e, size_t i)
{
	for (size_t k = 0; k < e->n_from; k++)
		if (e->from[k] == i)
			return;
	e->from = vt_xrealloc(e->from, (e->n_from + 1) * sizeof(*e->from));
	e->from[e->n_from++] = i;
}

static void add_raw(struct vt_execution *e, const char *port, const struct vt_json *file)
{
	const char *path = vt_json_text(vt_json_get(file, "path"), ""), *slash = strchr(path, '/');

	e->raw = vt_xrealloc(e->raw, (e->n_raw + 1) * sizeof(*e->raw));
	e->raw[e->n_raw++] = (struct vt_raw_file){ .port = port, .path = path, .sha256 = vt_json_text(vt_json_get(file, "sha256"), ""),
		.subject = vt_xstrndup(path, slash ? (size_t)(slash - path) : 0), .size = (uint64_t)vt_json_integer(vt_json_get(file, "size"), 0) };
}

/* Executions that made this file, by the store's index; false if there is none. */
static int from_index(struct walk *w, size_t of, const char *sha256, bool *found, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	int rc = vt_store_producers(w->s, sha256, &ids, err);

	*found = false;
	for (size_t i = 0; !rc && i < ids.n; i++) {
		long k = strcmp(ids.v[i], w->a->v[of].id) ? execution(w, ids.v[i]) : -1;

		if (k >= 0) {
			add_from(&w->a->v[of], (size_t)k);
			*found = true;
		}
	}
	vt_strs_release(&ids);
	return rc;
}

/* A parent that is named but wrote nothing of this input has no part in it. */
static void named_parent(struct walk *w, size_t of, struct wanted *list, const char *id)
{
	long k = known(w, id);
	struct vt_json *j = k < 0 ? record_of(w, id) : NULL;

	if (k < 0 && !j)
		add_once(&w->a->missing, id);
	else if (!vouch(list, k < 0 ? j : w->a->v[k].record))
		vt_json_free(j);
	else
		add_from(&w->a->v[of], (size_t)(k < 0 ? add_execution(w, id, j) : k));
}

static int input(struct walk *w, size_t of, const struct vt_json *in, struct vt_err *err)
{
	const struct vt_json *parents = vt_json_get(in, "parents"), *files = vt_json_get(in, "files");
	const char *port = vt_json_text(vt_json_get(in, "port"), "");
	struct wanted list = wanted_of(files);
	int rc = 0;

	for (size_t i = 0; parents && i < parents->n; i++)
		named_parent(w, of, &list, vt_json_text(parents->item[i], ""));
	for (size_t i = 0; !rc && files && i < files->n; i++) {
		const char *sha256 = vt_json_text(vt_json_get(files->item[i], "sha256"), "");
		bool found = list.vouched[wanted_index(&list, sha256)];

		if (!found && w->s)
			rc = from_index(w, of, sha256, &found, err);
		if (!rc && !found)
			add_raw(&w->a->v[of], port, files->item[i]);
	}
	free(list.v);
	free(list.vouched);
	return rc;
}

static int walk_up(struct walk *w, const struct vt_strs *roots, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; i < roots->n; i++)
		execution(w, roots->v[i]);
	w->a->n_roots = w->a->n;
	for (size_t i = 0; !rc && i < w->a->n; i++) {
		const struct vt_json *inputs = vt_json_get(w->a->v[i].record, "inputs");

		for (size_t k = 0; !rc && inputs && k < inputs->n; k++)
			rc = input(w, i, inputs->item[k], err);
	}
	vt_strs_sort(&w->a->missing);
	return rc;
}

/* --- what the user named ---------------------------------------------------------------------------------------------------- */

static int producers_of_tree(struct vt_store *s, const struct vt_tree *t, struct vt_strs *roots, struct vt_err *err)
{
	char hex[VT_HEX];
	size_t before = roots->n;
	int rc;

	vt_digest_hex(hex, &t->id);
	rc = vt_store_producers(s, hex, roots, err);
	for (size_t i = 0; !rc && roots->n == before && i < t->n_files; i++) {
		struct vt_strs ids = VT_STRS_INIT;

		vt_digest_hex(hex, &t->file[i].digest);
		rc = vt_store_producers(s, hex, &ids, err);
		for (size_t k = 0; k < ids.n; k++)
			vt_strs_add(roots, ids.v[k]);
		vt_strs_release(&ids);
		before = roots->n > before ? (size_t)-1 : before;    /* one found: go on through all files */
	}
	return rc;
}

static int roots_of_path(struct walk *w, const char *path, struct vt_strs *roots, struct vt_err *err)
{
	struct vt_strs unvouched = VT_STRS_INIT;
	struct vt_tree *t = NULL;
	struct vt_digest d;
	char hex[VT_HEX];
	uint64_t size;
	int rc;

	if (!vt_fs_is_dir(path)) {
		rc = vt_digest_file(&d, &size, path, err);
		vt_digest_hex(hex, &d);
		return rc || !w->s ? rc : vt_store_producers(w->s, hex, roots, err);
	}
	rc = vt_carried_read(&w->carried, path, err);
	if (rc || (!w->carried.n && !w->s))
		return rc;
	rc = vt_tree_hash_dir(&t, path, err);
	if (!rc && w->carried.n)
		rc = vt_carried_check(&w->carried, t, path, VT_CARRIED_WHOLE, &unvouched, err);
	for (size_t i = 0; !rc && i < w->carried.n; i++)
		if (w->carried.v[i].own)
			vt_strs_add(roots, w->carried.v[i].id);
	if (!rc && !roots->n)
		rc = producers_of_tree(w->s, t, roots, err);
	vt_strs_release(&unvouched);
	vt_tree_free(t);
	return rc;
}

static int roots_of_repo(struct walk *w, const char *what, struct vt_strs *roots, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_tree *t = NULL;
	struct vt_digest d;
	int rc = vt_repo_resolve(w->s, &c, what, err);

	if (!rc && vt_digest_parse(&d, c.tree))
		rc = vt_store_get_tree(w->s, &t, &d, err);
	if (!rc)
		rc = producers_of_tree(w->s, t, roots, err);
	vt_tree_free(t);
	vt_commit_release(&c);
	return rc;
}

static bool is_hex(const char *s)
{
	return strspn(s, "0123456789abcdef") == strlen(s) && strlen(s) >= 8 && strlen(s) <= 64;
}

static int roots_of_digest(struct walk *w, const char *hex, struct vt_strs *roots, struct vt_err *err)
{
	int rc = vt_store_records(w->s, hex, roots, err);

	if (!rc && !roots->n)
		rc = vt_store_producers(w->s, hex, roots, err);
	return rc;
}

int vt_ancestry_find(struct vt_ancestry **out, struct vt_store *s, const char *what, struct vt_err *err)
{
	struct walk w = { .s = s, .a = vt_xcalloc(1, sizeof(*w.a)) };
	struct vt_strs roots = VT_STRS_INIT;
	int rc;

	if (vt_fs_exists(what))
		rc = roots_of_path(&w, what, &roots, err);
	else if (!s)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no such file, and no store was given", what);
	else if (is_hex(what))
		rc = roots_of_digest(&w, what, &roots, err);
	else
		rc = roots_of_repo(&w, what, &roots, err);
	if (!rc && !roots.n)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no execution is known to have made it; `voxtrail import DIR` takes in the output of a stage", what);
	vt_strs_sort(&roots);
	if (!rc)
		rc = walk_up(&w, &roots, err);
	if (rc)
		vt_ancestry_free(w.a);
	else
		*out = w.a;
	vt_carried_release(&w.carried);
	free(w.slot);
	vt_strs_release(&roots);
	return rc;
}

void vt_ancestry_free(struct vt_ancestry *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++) {
		for (size_t k = 0; k < a->v[i].n_raw; k++)
			free(a->v[i].raw[k].subject);
		free(a->v[i].raw);
		free(a->v[i].from);
		vt_json_free(a->v[i].record);
	}
	free(a->v);
	vt_strs_release(&a->missing);
	free(a);
}

void vt_ancestry_subjects(struct vt_strs *out, const struct vt_ancestry *a)
{
	struct vt_strs all = VT_STRS_INIT;

	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->v[i].n_raw; k++)
			if (*a->v[i].raw[k].subject)
				vt_strs_add(&all, a->v[i].raw[k].subject);
	vt_strs_sort(&all);
	for (size_t i = 0; i < all.n; i++)
		if (!i || strcmp(all.v[i], all.v[i - 1]))
			vt_strs_add(out, all.v[i]);
	vt_strs_release(&all);
}
