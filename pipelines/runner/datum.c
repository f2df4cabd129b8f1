/* A tree of inputs becomes a list of datums from the leaves up: a leaf gives one datum for each
 * path its glob matches, cross the product of its children's lists, join and group bring together
 * what has the same key, union appends.  Keys are sorted with the serial of their datum, so the
 * order is that of the inputs and never that of the sort.  Datums with the same id are one at
 * last.
 *
 * A vt_datum_file borrows its input from the spec and its entry from the snapshot; only the keys
 * of join and group are its own. */
#include "pipelines/runner/datum.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "pipelines/runner/datum_id.h"
#include "pipelines/spec/glob.h"

struct source {
	vt_snapshot_fn snapshot;
	void *ctx;
};

static void enumerate(struct vt_datums *out, const struct vt_input *in,
	const struct source *source);

static char *copy_or_null(const char *text)
{
	return text ? vt_xstrdup(text) : NULL;
}

static struct vt_datum *push(struct vt_datums *datums)
{
	if (datums->n == datums->cap)
		datums->v = vt_xrealloc(datums->v,
			(datums->cap = datums->cap ? 2 * datums->cap : 8) * sizeof *datums->v);
	datums->v[datums->n] = (struct vt_datum){ NULL, 0, "" };
	return &datums->v[datums->n++];
}

static void append(struct vt_datum *to, const struct vt_datum *from)
{
	if (!from->n)
		return;
	to->file = vt_xrealloc(to->file, (to->n + from->n) * sizeof *to->file);
	for (size_t i = 0; i < from->n; i++) {
		struct vt_datum_file f = from->file[i];
		f.join_on = copy_or_null(f.join_on);
		f.group_by = copy_or_null(f.group_by);
		to->file[to->n++] = f;
	}
}

static void datum_release(struct vt_datum *datum)
{
	for (size_t i = 0; i < datum->n; i++) {
		free(datum->file[i].join_on);
		free(datum->file[i].group_by);
	}
	free(datum->file);
}

void vt_datums_release(struct vt_datums *datums)
{
	for (size_t i = 0; i < datums->n; i++)
		datum_release(&datums->v[i]);
	free(datums->v);
	*datums = (struct vt_datums){ NULL, 0, 0 };
}

static void leaf(struct vt_datums *out, const struct vt_input *in, const struct source *source)
{
	struct vt_snapshot *seen = source->snapshot(source->ctx, in);
	const struct vt_tree_paths *paths = seen ? &seen->paths : NULL;

	if (in->warm) {
		struct vt_datum *d = push(out);
		d->file = vt_xcalloc(1, sizeof *d->file);
		d->n = 1;
		d->file[0] = (struct vt_datum_file){ .in = in,
			.seen = seen,
			.entry = paths && paths->n ? paths->v : NULL };
		return;
	}
	for (size_t i = 0; paths && i < paths->n; i++) {
		struct vt_glob_match m;
		char *path = vt_glob_clean(paths->v[i].path);
		if (vt_glob_match(&m, in->glob, path)) {
			struct vt_datum *d = push(out);
			d->file = vt_xcalloc(1, sizeof *d->file);
			d->n = 1;
			d->file[0] = (struct vt_datum_file){ in, seen, &paths->v[i],
				*in->join_on ? vt_glob_replace(&m, in->join_on) : NULL,
				*in->group_by ? vt_glob_replace(&m, in->group_by) : NULL };
		}
		free(path);
	}
}

/* Appends to *out every combination of one datum of each list, the first list outermost. */
static void product(struct vt_datums *out, const struct vt_datums *lists, size_t n)
{
	size_t total = n ? 1 : 0;
	for (size_t i = 0; i < n; i++)
		total *= lists[i].n;
	for (size_t c = 0; c < total; c++) {
		struct vt_datum *d = push(out);
		size_t rest = total, at = c;
		for (size_t i = 0; i < n; i++) {
			rest /= lists[i].n;
			append(d, &lists[i].v[at / rest]);
			at %= rest;
		}
	}
}

struct keyed {
	const char *key;
	const struct vt_datum *datum;
	size_t child, serial;
};

static int by_key(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	int c = strcmp(x->key, y->key);
	if (c)
		return c;
	if (x->serial < y->serial)
		return -1;
	return x->serial > y->serial;
}

/* One key's datums, [from, to) of k: the product over the children that have it; if one lacks
 * it, over those that are outer-join members. */
static void join_key(struct vt_datums *out, const struct vt_input *in, const struct keyed *k,
	size_t from, size_t to)
{
	struct vt_datums *parts = vt_xcalloc(in->n, sizeof *parts);
	size_t n = 0;
	bool complete = true;
	for (size_t i = from; i < to; i++) {
		assert(k[i].child < in->n);
		append(push(&parts[k[i].child]), k[i].datum);
	}
	for (size_t c = 0; c < in->n; c++)
		complete &= parts[c].n > 0;
	struct vt_datums *chosen = vt_xcalloc(in->n, sizeof *chosen);
	for (size_t c = 0; c < in->n; c++)
		if (parts[c].n && (complete || in->child[c]->outer_join))
			chosen[n++] = parts[c];
	product(out, chosen, n);
	for (size_t c = 0; c < in->n; c++)
		vt_datums_release(&parts[c]);
	free(parts);
	free(chosen);
}

static void by_keys(struct vt_datums *out, const struct vt_input *in, const struct vt_datums *lists)
{
	size_t total = 0, n = 0;
	for (size_t c = 0; c < in->n; c++)
		total += lists[c].n;
	struct keyed *k = vt_xcalloc(total + 1, sizeof *k);
	for (size_t c = 0; c < in->n; c++)
		for (size_t i = 0; i < lists[c].n; i++) {
			const struct vt_datum_file *f = lists[c].v[i].file;
			const char *key = in->kind == VT_INPUT_JOIN ? f->join_on : f->group_by;
			k[n] = (struct keyed){ key ? key : "", &lists[c].v[i], c, n };
			n++;
		}
	assert(n == total);
	qsort(k, n, sizeof *k, by_key);
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from; to < n && !strcmp(k[to].key, k[from].key); to++)
			;
		if (in->kind == VT_INPUT_JOIN) {
			join_key(out, in, k, from, to);
		} else {
			struct vt_datum *d = push(out);
			for (size_t i = from; i < to; i++)
				append(d, k[i].datum);
		}
	}
	free(k);
}

static void enumerate(struct vt_datums *out, const struct vt_input *in, const struct source *source)
{
	if (in->kind == VT_INPUT_PFS || in->kind == VT_INPUT_CRON) {
		leaf(out, in, source);
		return;
	}
	struct vt_datums *lists = vt_xcalloc(in->n + 1, sizeof *lists);
	for (size_t i = 0; i < in->n; i++)
		enumerate(in->kind == VT_INPUT_UNION ? out : &lists[i], in->child[i], source);
	if (in->kind == VT_INPUT_CROSS)
		product(out, lists, in->n);
	else if (in->kind == VT_INPUT_JOIN || in->kind == VT_INPUT_GROUP)
		by_keys(out, in, lists);
	for (size_t i = 0; i < in->n; i++)
		vt_datums_release(&lists[i]);
	free(lists);
}

struct seat {
	const char *id;
	size_t at;
};

static int by_id(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;
	int c = strcmp(x->id, y->id);
	if (c)
		return c;
	if (x->at < y->at)
		return -1;
	return x->at > y->at;
}

static void collapse(struct vt_datums *datums)
{
	struct seat *s = vt_xcalloc(datums->n + 1, sizeof *s);
	bool *drop = vt_xcalloc(datums->n + 1, sizeof *drop);
	size_t kept = 0;
	for (size_t i = 0; i < datums->n; i++)
		s[i] = (struct seat){ datums->v[i].id, i };
	qsort(s, datums->n, sizeof *s, by_id);
	for (size_t i = 1; i < datums->n; i++)
		drop[s[i].at] = !strcmp(s[i].id, s[i - 1].id);
	for (size_t i = 0; i < datums->n; i++)
		if (drop[i])
			datum_release(&datums->v[i]);
		else
			datums->v[kept++] = datums->v[i];
	datums->n = kept;
	free(s);
	free(drop);
}

void vt_datums_enumerate(struct vt_datums *out, const struct vt_pipeline *pipeline,
	vt_snapshot_fn snapshot, void *ctx)
{
	struct source s = { snapshot, ctx };
	*out = (struct vt_datums){ NULL, 0, 0 };
	if (pipeline->input)
		enumerate(out, pipeline->input, &s);
	for (size_t i = 0; i < out->n; i++) {
		struct vt_datum_id id;
		vt_datum_id_begin(&id);
		for (size_t j = 0; j < out->v[i].n; j++) {
			const struct vt_datum_file *f = &out->v[i].file[j];
			vt_datum_id_input(&id, f->in->name, f->in->repo, f->in->branch,
				f->entry ? f->entry->path : "/");
		}
		vt_datum_id_end(&id, out->v[i].id);
	}
	collapse(out);
}

struct missing {
	vt_snapshot_fn snapshot;
	void *ctx;
	bool all_hold_files;
};

static void look_at_leaf(void *ctx, const struct vt_input *in)
{
	struct missing *m = ctx;
	const struct vt_snapshot *seen = in->warm ? NULL : m->snapshot(m->ctx, in);

	if (!in->warm && (!seen || !seen->paths.n))
		m->all_hold_files = false;
}

bool vt_datums_missing(const struct vt_pipeline *pipeline, vt_snapshot_fn snapshot, void *ctx)
{
	struct missing m = { snapshot, ctx, true };

	vt_input_leaves(pipeline->input, look_at_leaf, &m);
	return m.all_hold_files;
}

char *vt_datum_label(const struct vt_datum *datum)
{
	enum { SHOWN = 4 };
	const char *shown[SHOWN];
	size_t n = 0, more = 0;
	struct vt_buf b = VT_BUF_INIT;

	for (size_t i = 0; i < datum->n; i++) {
		const char *path = datum->file[i].entry ? datum->file[i].entry->path : "/";
		const char *glob = datum->file[i].in->glob;
		bool known = !path[1] || !glob[vt_glob_literal(glob)];

		for (size_t k = 0; k < n && !known; k++)
			known = !strcmp(shown[k], path);
		if (known)
			continue;
		if (n < SHOWN)
			shown[n++] = path;
		else
			more++;
	}
	for (size_t i = 0; i < n; i++)
		vt_buf_printf(&b, "%s%s", i ? " + " : "", shown[i]);
	if (more)
		vt_buf_printf(&b, " and %zu more", more);
	if (!b.len)
		vt_buf_str(&b, "/");
	return vt_buf_detach(&b);
}
