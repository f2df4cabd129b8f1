/* The records behind an artifact as a graph: executions, edges from child to parent, and raw files.
 *
 * The index lists executions in the order of ids. order() brings them into breadth-first order from
 * the roots, so that every execution comes after one that it led to. An ancestry owns its records
 * and names. */
#include "common/lineage/ancestry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/record/record.h"

struct loading {
	struct vt_ancestry *a;
	size_t cap;
	size_t *by_id; /* indices in a->v in the order of ids */
	struct vt_lineage *t;
	struct vt_err *err;
};

static int add_execution(void *ctx, const struct vt_lineage_step *step)
{
	struct loading *l = ctx;
	struct vt_ancestry *a = l->a;

	if (a->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 32;
		a->v = vt_xrealloc(a->v, l->cap * sizeof(*a->v));
	}
	a->v[a->n] = (struct vt_execution){ .record = NULL };
	memcpy(a->v[a->n].id, step->id, VT_HEX);
	return vt_lineage_record(l->t, &a->v[a->n++].record, step->id, l->err);
}

static int by_id(const void *x, const void *y, void *ctx)
{
	const struct vt_ancestry *a = ctx;

	return strcmp(a->v[*(const size_t *)x].id, a->v[*(const size_t *)y].id);
}

static void sort_ids(struct loading *loading)
{
	assert(!loading->by_id);
	loading->by_id = vt_xcalloc(loading->a->n + 1, sizeof(*loading->by_id));
	for (size_t i = 0; i < loading->a->n; i++)
		loading->by_id[i] = i;
	qsort_r(loading->by_id, loading->a->n, sizeof(*loading->by_id), by_id, loading->a);
}

/* the edges name executions that the same state of the tables has, so it is there */
static size_t find(const struct loading *loading, const char *id)
{
	size_t lo = 0, hi = loading->a->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(loading->a->v[loading->by_id[mid]].id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	assert(lo < loading->a->n && !strcmp(loading->a->v[loading->by_id[lo]].id, id));
	return loading->by_id[lo];
}

static int add_edge(void *ctx, const char *child, const char *parent)
{
	struct loading *l = ctx;
	struct vt_execution *e = &l->a->v[find(l, child)];

	e->from = vt_xrealloc(e->from, (e->n_from + 1) * sizeof(*e->from));
	e->from[e->n_from++] = find(l, parent); /* n_from is small: the executions one reads from */
	return 0;
}

static void add_raw_file(struct vt_execution *execution, const char *port,
	const struct vt_strs *results, const struct vt_json *file)
{
	const char *path = vt_json_text(vt_json_get(file, "path"), "");

	execution->raw =
		vt_xrealloc(execution->raw, (execution->n_raw + 1) * sizeof(*execution->raw));
	execution->raw[execution->n_raw++] = (struct vt_raw_file){ .port = port,
		.path = path,
		.sha256 = vt_json_text(vt_json_get(file, "sha256"), ""),
		.subject = vt_record_subject(execution->record, results, path),
		.size = (uint64_t)vt_json_integer(vt_json_get(file, "size"), 0) };
}

/* The raw digests of one port of one execution, sorted. */
struct digests {
	struct loading *l;
	char id[VT_HEX];
	char *port;
	struct vt_strs v;
};

/* Every path of the port that has one of them. */
static void add_raw_files(struct digests *digests)
{
	struct vt_execution *e =
		digests->v.n ? &digests->l->a->v[find(digests->l, digests->id)] : NULL;
	const struct vt_json *inputs = e ? vt_json_get(e->record, "inputs") : NULL;

	for (size_t i = 0; inputs && i < inputs->n; i++) {
		const struct vt_json *files = vt_json_get(inputs->item[i], "files");
		const char *port = vt_json_text(vt_json_get(inputs->item[i], "port"), "");
		struct vt_strs results = VT_STRS_INIT;

		/* results are looked at for this port alone */
		if (!strcmp(port, digests->port))
			vt_record_port_results(&results, inputs->item[i]);
		for (size_t k = 0; files && !strcmp(port, digests->port) && k < files->n; k++) {
			const char *sha256 =
				vt_json_text(vt_json_get(files->item[k], "sha256"), "");

			if (vt_strs_hold(&digests->v, sha256))
				add_raw_file(e, port, &results, files->item[k]);
		}
		vt_strs_release(&results);
	}
	vt_strs_release(&digests->v);
	free(digests->port);
	digests->port = NULL;
}

static int add_raw(void *ctx, const char *id, const char *port, const char *sha256)
{
	struct digests *d = ctx;

	/* rows come sorted by execution and port: a new pair ends the one before */
	if (!d->port || strcmp(d->id, id) || strcmp(d->port, port)) {
		add_raw_files(d);
		memcpy(d->id, id, VT_HEX);
		d->port = vt_xstrdup(port);
	}
	vt_strs_add(&d->v, sha256);
	return 0;
}

/* From the order of ids, roots first, to breadth first: what led to an execution stands before
 * it. */
static void order(struct vt_ancestry *ancestry)
{
	struct vt_execution *v = vt_xcalloc(ancestry->n + 1, sizeof(*v));
	size_t *queue = vt_xcalloc(ancestry->n + 1, sizeof(*queue)),
	       *place = vt_xcalloc(ancestry->n + 1, sizeof(*place)), n = 0;

	for (; n < ancestry->n_roots; n++) /* place: 1 + the place in the queue; 0: not seen */
		place[queue[n] = n] = n + 1;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ancestry->v[queue[i]].n_from; k++)
			if (!place[ancestry->v[queue[i]].from[k]]) {
				queue[n] = ancestry->v[queue[i]].from[k];
				place[queue[n]] = n + 1;
				n++;
			}
	assert(n == ancestry->n); /* every ancestor is reached from a root */
	for (size_t i = 0; i < n; i++) {
		v[i] = ancestry->v[queue[i]];
		for (size_t k = 0; k < v[i].n_from; k++)
			v[i].from[k] = place[v[i].from[k]] - 1;
	}
	free(ancestry->v);
	ancestry->v = v;
	free(queue);
	free(place);
}

/* They come first.  A root may have left the tables since the lineage was opened. */
static int count_roots(struct vt_ancestry *ancestry, const struct vt_lineage *lineage,
	struct vt_err *err)
{
	const struct vt_strs *roots = vt_lineage_roots(lineage);

	while (ancestry->n_roots < ancestry->n && /* sorted first by vt_lineage_ancestors() */
		vt_strs_hold(roots, ancestry->v[ancestry->n_roots].id))
		ancestry->n_roots++;
	return ancestry->n_roots == roots->n
		? 0
		: vt_err_set(err, VT_EDEVICE,
			  "the store's records changed while they were read; try again");
}

/* Within one state of the tables: each id that an answer names was in the first one. */
static int load(struct loading *loading, struct vt_lineage *lineage, struct vt_err *err)
{
	struct digests d = { .l = loading, .id = "" };
	int rc = vt_lineage_ancestors(lineage, add_execution, loading, err);

	if (!rc)
		rc = count_roots(loading->a, lineage, err);
	if (!rc) {
		sort_ids(loading);
		rc = vt_lineage_edges(lineage, add_edge, loading, err);
	}
	if (!rc)
		rc = vt_lineage_raw(lineage, add_raw, &d, err);
	add_raw_files(&d); /* the last pair */
	return rc ? rc : vt_lineage_missing(lineage, &loading->a->missing, err);
}

int vt_ancestry_load(struct vt_ancestry **out, struct vt_lineage *lineage, struct vt_err *err)
{
	struct loading l = { .a = vt_xcalloc(1, sizeof(*l.a)), .t = lineage, .err = err };
	int rc = vt_lineage_begin(lineage, err);

	if (!rc)
		rc = vt_lineage_end(lineage, load(&l, lineage, err), err);
	free(l.by_id);
	if (rc) {
		vt_ancestry_free(l.a);
		return rc;
	}
	order(l.a);
	*out = l.a;
	return 0;
}

void vt_ancestry_free(struct vt_ancestry *ancestry)
{
	if (!ancestry)
		return;
	for (size_t i = 0; i < ancestry->n; i++) {
		for (size_t k = 0; k < ancestry->v[i].n_raw; k++)
			free(ancestry->v[i].raw[k].subject);
		free(ancestry->v[i].raw);
		free(ancestry->v[i].from);
		vt_json_free(ancestry->v[i].record);
	}
	free(ancestry->v);
	vt_strs_release(&ancestry->missing);
	free(ancestry);
}

void vt_ancestry_subjects(struct vt_strs *out, const struct vt_ancestry *ancestry)
{
	struct vt_strs all = VT_STRS_INIT;

	for (size_t i = 0; i < ancestry->n; i++)
		for (size_t k = 0; k < ancestry->v[i].n_raw; k++)
			if (*ancestry->v[i].raw[k].subject)
				vt_strs_add(&all, ancestry->v[i].raw[k].subject);
	vt_strs_sort(&all);
	for (size_t i = 0; i < all.n; i++)
		if (!i || strcmp(all.v[i], all.v[i - 1]))
			vt_strs_add(out, all.v[i]);
	vt_strs_release(&all);
}
