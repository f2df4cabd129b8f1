/* Keys of datums, taken apart.
 *
 * A result holds the digest of its transform's text (an object) and, as far as they are short, its
 * inputs; vt_datum_inputs and vt_transform_text give the same of a datum as it is now.  Both are
 * compared part by part. */
#include "pipelines/tool/explain_key.h"

#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/programs.h"
#include "pipelines/tool/command.h"

struct vt_job *vt_datum_job(struct vt_run *run, const char *name, struct vt_err *err)
{
	struct vt_job *found = NULL;
	for (size_t i = 0; i < vt_run_jobs(run) && !err->code; i++) {
		struct vt_job *j = vt_run_job(run, i);
		if (strcmp(j->pipeline->name, name))
			continue;
		if (!vt_run_prepare(run, j, err))
			found = j;
	}
	if (!found && !err->code)
		vt_err_set(err, VT_EUSAGE, "the spec has no pipeline \"%s\"", name);
	return found;
}

/* "/sub-001/" is meant by "/sub-001", "sub-001" and "sub-001/", too. */
static bool same_path(const char *path, const char *which)
{
	size_t n;
	which += *which == '/';
	n = strlen(which);
	n -= n && which[n - 1] == '/';
	return !strncmp(path + 1, which, n) && (!path[1 + n] || !strcmp(path + 1 + n, "/"));
}

struct vt_task *vt_datum_task(struct vt_job *job, const char *which, struct vt_err *err)
{
	for (size_t i = 0; i < job->n && *which; i++) {
		const struct vt_datum *d = job->task[i].datum;
		if (!strncmp(d->id, which, strlen(which)))
			return &job->task[i];
		for (size_t k = 0; k < d->n; k++)
			if (d->file[k].entry && same_path(d->file[k].entry->path, which))
				return &job->task[i];
	}
	vt_err_set(err, VT_ENOINPUT,
		"no datum of %s has an id or a path \"%s\"; `voxtrail datum list` shows them",
		job->pipeline->name, which);
	return NULL;
}

/* --- one key --------------------------------------------------------------- */

struct key {
	struct vt_json *transform, *inputs; /* NULL: not known */
};

static void key_release(struct key *k)
{
	vt_json_free(k->transform);
	vt_json_free(k->inputs);
}

static struct key key_of_result(struct vt_store *store, const struct vt_result *result)
{
	struct key k = { NULL, vt_result_inputs(store, &result->key) };
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;

	if (result->has_transform && !vt_store_get_blob(store, &text, &result->transform, &none))
		vt_json_parse(&k.transform, text.data, text.len, "transform", &none);
	vt_buf_release(&text);
	return k;
}

static int key_of_task(struct key *k, const struct vt_job *j, const struct vt_task *task,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;

	*k = (struct key){ NULL, vt_datum_inputs(task->datum) };
	if (!vt_transform_text(&text, j->pipeline, &j->used, err))
		vt_json_parse(&k->transform, text.data, text.len, "transform", err);
	vt_buf_release(&text);
	return err->code;
}

static const char *text_of(const struct vt_json *list, size_t i)
{
	return list && i < list->n ? vt_json_text(list->item[i], "") : "";
}

static void say_program(const struct vt_json *one)
{
	vt_say("  program  %.16s  %s\n", vt_json_text(vt_json_get(one, "sha256"), ""),
		vt_json_text(vt_json_get(one, "name"), ""));
}

static void say_key(const struct key *k)
{
	for (size_t i = 0; k->transform && i < k->transform->n; i++) {
		const struct vt_json *part = k->transform->item[i];
		struct vt_buf text = VT_BUF_INIT;

		if (!strcmp(k->transform->key[i], "programs")) {
			for (size_t n = 0; n < part->n; n++)
				say_program(part->item[n]);
			continue;
		}
		vt_json_compact(&text, part);
		if (part->type != VT_JSON_STRING || *part->string)
			vt_say("  %-8s %s\n", k->transform->key[i], text.data);
		vt_buf_release(&text);
	}
	for (size_t i = 0; k->inputs && i < k->inputs->n; i++) {
		const struct vt_json *one = k->inputs->item[i];

		vt_say("  input    %.16s  %s: %s%s\n", text_of(one, 4), text_of(one, 0),
			text_of(one, 1), text_of(one, 2));
	}
	if (!k->transform)
		vt_say("  (the program's part is not known here)\n");
	if (!k->inputs)
		vt_say("  (its inputs are too many to be listed, or not known here)\n");
}

void vt_explain_result(struct vt_store *store, const struct vt_result *result)
{
	struct key k = key_of_result(store, result);

	vt_say("made of\n");
	say_key(&k);
	key_release(&k);
}

/* --- two keys -------------------------------------------------------------- */

static bool same(const struct vt_json *one, const struct vt_json *other)
{
	struct vt_buf x = VT_BUF_INIT, y = VT_BUF_INIT;
	bool equal;

	if (one)
		vt_json_sorted(&x, one);
	if (other)
		vt_json_sorted(&y, other);
	equal = x.len == y.len && (!x.len || !memcmp(x.data, y.data, x.len));
	vt_buf_release(&x);
	vt_buf_release(&y);
	return equal;
}

static void because(struct vt_buf *why, const char *what, const char *name)
{
	vt_buf_printf(why, "%s%s%s%s", why->len ? "; " : "", what, *name ? " " : "", name);
}

static const struct vt_json *named(const struct vt_json *programs, const char *name)
{
	for (size_t i = 0; programs && i < programs->n; i++)
		if (!strcmp(vt_json_text(vt_json_get(programs->item[i], "name"), ""), name))
			return programs->item[i];
	return NULL;
}

static void compare_programs(struct vt_buf *why, const struct vt_json *was,
	const struct vt_json *is)
{
	for (size_t i = 0; is && i < is->n; i++) {
		const char *name = vt_json_text(vt_json_get(is->item[i], "name"), "");
		const struct vt_json *old = named(was, name);

		if (!old)
			because(why, "new program", name);
		else if (!same(old, is->item[i]))
			because(why, "other bytes of program", name);
	}
	for (size_t i = 0; was && i < was->n; i++) {
		const char *name = vt_json_text(vt_json_get(was->item[i], "name"), "");

		if (!named(is, name))
			because(why, "no more program", name);
	}
}

static void compare_transform(struct vt_buf *why, const struct vt_json *was,
	const struct vt_json *is)
{
	for (size_t i = 0; i < is->n; i++)
		if (strcmp(is->key[i], "programs") &&
			!same(vt_json_get(was, is->key[i]), is->item[i]))
			because(why, "changed:", is->key[i]);
	for (size_t i = 0; i < was->n; i++)
		if (!vt_json_get(is, was->key[i]))
			because(why, "changed:", was->key[i]);
	compare_programs(why, vt_json_get(was, "programs"), vt_json_get(is, "programs"));
}

/* The input of this name, repo and path. */
static const struct vt_json *input_like(const struct vt_json *inputs, const struct vt_json *one)
{
	for (size_t i = 0; i < inputs->n; i++)
		if (!strcmp(text_of(inputs->item[i], 0), text_of(one, 0)) &&
			!strcmp(text_of(inputs->item[i], 1), text_of(one, 1)) &&
			!strcmp(text_of(inputs->item[i], 2), text_of(one, 2)))
			return inputs->item[i];
	return NULL;
}

static void say_input(struct vt_buf *why, const char *what, const struct vt_json *one)
{
	char *name = vt_asprintf("%s: %s%s", text_of(one, 0), text_of(one, 1), text_of(one, 2));

	because(why, what, name);
	free(name);
}

static void compare_inputs(struct vt_buf *why, const struct vt_json *was, const struct vt_json *is)
{
	for (size_t i = 0; i < is->n; i++) {
		const struct vt_json *old = input_like(was, is->item[i]);

		if (!old)
			say_input(why, "new input", is->item[i]);
		else if (!same(old, is->item[i]))
			say_input(why, "other content of input", is->item[i]);
	}
	for (size_t i = 0; i < was->n; i++)
		if (!input_like(is, was->item[i]))
			say_input(why, "no more input", was->item[i]);
}

/* --- why a datum is not done ----------------------------------------------- */

/* The newest results of the pipeline's datums. */
struct past {
	const char *pipeline;
	struct vt_result *v; /* in order of the datum, the newest first */
	size_t n, cap;
};

static int keep(void *ctx, const struct vt_result *result, struct vt_err *err)
{
	struct past *p = ctx;

	(void)err;
	if (strcmp(result->pipeline, p->pipeline))
		return 0;
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 256;
		p->v = vt_xrealloc(p->v, p->cap * sizeof(*p->v));
	}
	p->v[p->n++] = *result;
	return 0;
}

static int by_datum(const void *a, const void *b)
{
	const struct vt_result *x = a, *y = b;
	int c = strcmp(x->datum, y->datum);

	return c ? c : (x->written < y->written) - (x->written > y->written);
}

static const struct vt_result *newest(const struct past *past, const char *datum)
{
	size_t lo = 0, hi = past->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(past->v[mid].datum, datum) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < past->n && !strcmp(past->v[lo].datum, datum) ? &past->v[lo] : NULL;
}

static int compare(struct vt_buf *why, struct vt_store *store, const struct vt_job *j,
	const struct vt_task *task, const struct vt_result *last, struct vt_err *err)
{
	struct key was = key_of_result(store, last), is;
	int rc = key_of_task(&is, j, task, err);

	if (!rc && was.transform && is.transform)
		compare_transform(why, was.transform, is.transform);
	else if (!rc && last->has_transform && !vt_digest_equal(&last->transform, &j->transform))
		because(why, "changed: the program's part, whose former text is not here", "");
	if (!rc && was.inputs && is.inputs)
		compare_inputs(why, was.inputs, is.inputs);
	else if (!rc && !vt_digest_equal(&last->data, &task->data))
		because(why, "other inputs", "");
	if (!rc && !why->len)
		because(why, "the result is of a version that noted other parts", "");
	key_release(&was);
	key_release(&is);
	return rc;
}

/* Of a result of the same key. */
static const char *not_used(const struct vt_result *at)
{
	if (at->state != VT_RESULT_SUCCESS)
		return "quarantined last time, and tried again in every run";
	if (at->brought)
		return "another store brought its result, whose records are claims (`voxtrail "
		       "trust`) or do not tell of all its files";
	return "the key is as it was, but files of its result are lost or were written to, or a "
	       "record of it was rejected";
}

static int reason(struct vt_buf *why, struct vt_store *store, const struct vt_job *j,
	const struct vt_task *task, const struct past *past, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	const struct vt_result *last = newest(past, task->datum->id);
	struct vt_result at;

	if (task->state == VT_DATUM_SKIPPED)
		vt_buf_str(why, "done: nothing in its key changed");
	else if (j->pipeline->every_job)
		vt_buf_str(why, "runs in every job (reprocessSpec every_job)");
	else if (!vt_result_get(store, &at, &task->key, &none))
		vt_buf_str(why, not_used(&at));
	else if (!last)
		vt_buf_str(why, "no result: it was never computed here under this name");
	else
		return compare(why, store, j, task, last, err);
	return 0;
}

static int explain_task(struct vt_store *store, const struct vt_job *j, const struct vt_task *task,
	const struct past *past, bool whole, struct vt_err *err)
{
	struct vt_buf why = VT_BUF_INIT;
	char *label = vt_datum_label(task->datum), hex[VT_HEX];
	struct key k = { NULL, NULL };

	vt_digest_hex(hex, &task->key);
	if (!reason(&why, store, j, task, past, err) && whole && !key_of_task(&k, j, task, err)) {
		vt_say("datum     %s  %s\nkey       %s\nmade of\n", task->datum->id, label, hex);
		say_key(&k);
		vt_say("state     %s: %s\n",
			task->state == VT_DATUM_SKIPPED ? "skipped" : "would run", why.data);
	} else if (!err->code) {
		vt_say("%.16s  %s: %s\n", task->datum->id, label, why.data);
	}
	key_release(&k);
	free(label);
	vt_buf_release(&why);
	return err->code;
}

int vt_explain_keys(struct vt_run *run, const char *pipeline, const char *which, struct vt_err *err)
{
	struct vt_job *j = vt_datum_job(run, pipeline, err);
	struct vt_task *t = j && which ? vt_datum_task(j, which, err) : NULL;
	struct past p = { .pipeline = pipeline };

	if (!err->code && (!which || t->state != VT_DATUM_SKIPPED))
		vt_result_each(vt_run_store(run), keep, &p, err);
	if (p.n > 1)
		qsort(p.v, p.n, sizeof(*p.v), by_datum);
	if (!err->code && t)
		explain_task(vt_run_store(run), j, t, &p, true, err);
	for (size_t i = 0; !err->code && !which && i < j->n; i++)
		if (j->task[i].state != VT_DATUM_SKIPPED)
			explain_task(vt_run_store(run), j, &j->task[i], &p, false, err);
	if (!err->code && !which)
		vt_say("%s: %zu datum%s, %zu would run\n", pipeline, j->n, j->n == 1 ? "" : "s",
			j->count[VT_DATUM_PENDING]);
	free(p.v);
	return err->code;
}
