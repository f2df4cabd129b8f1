#include "pipelines/tool/diff_artifacts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/lineage/ancestry.h"
#include "common/record/record.h"
#include "common/content/tree_diff.h"
#include "pipelines/tool/audit_report.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/tensor_diff.h"

struct side {
	const char *what;
	struct vt_ancestry *a;
	struct vt_audit audit;
	/* "port/path" of each raw file, and its digest behind a tab; sorted */
	struct vt_strs raw;
	struct vt_tree *tree; /* of the first root's first output */
};

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

static int load(struct side *side, struct vt_store *store, const char *what, struct vt_err *err)
{
	struct vt_lineage *t = NULL;
	int rc = vt_lineage_open(&t, store, what, VT_LINEAGE_MADE, err);

	side->what = what;
	if (!rc)
		rc = vt_ancestry_load(&side->a, t, err);
	vt_lineage_close(t);
	if (rc)
		return rc;
	side->audit = (struct vt_audit){ .what = what, .a = side->a };
	vt_audit_collect(&side->audit);
	for (size_t i = 0; i < side->a->n; i++)
		for (size_t k = 0; k < side->a->v[i].n_raw; k++) {
			char *line = vt_asprintf("%s/%s\t%s", side->a->v[i].raw[k].port,
				side->a->v[i].raw[k].path, side->a->v[i].raw[k].sha256);

			vt_strs_add(&side->raw, line);
			free(line);
		}
	vt_strs_unique(&side->raw);
	return vt_record_tree(&side->tree, vt_json_pointer(side->a->v[0].record, "/outputs/0"),
		err);
}

static void release(struct side *side)
{
	vt_audit_release(&side->audit);
	vt_ancestry_free(side->a);
	vt_strs_release(&side->raw);
	vt_tree_free(side->tree);
}

/* --- findings: {"section", "what", "before", "after"} -------------------- */

static void find(struct vt_json *list, const char *section, const char *what, const char *before,
	const char *after)
{
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(o, "section", section);
	vt_json_put_text(o, "what", what);
	vt_json_put_text(o, "before", before);
	vt_json_put_text(o, "after", after);
	vt_json_push(list, o);
}

static void find_if(struct vt_json *list, const char *section, const char *what, const char *before,
	const char *after)
{
	if (strcmp(before, after))
		find(list, section, what, before, after);
}

/* Two sorted lists, each entry once. */
static void compare_names(struct vt_json *list, const char *section, const struct vt_strs *strs,
	const struct vt_strs *b)
{
	for (size_t i = 0, k = 0; i < strs->n || k < b->n;) {
		int c;

		if (i == strs->n)
			c = 1;
		else if (k == b->n)
			c = -1;
		else
			c = strcmp(strs->v[i], b->v[k]);

		if (c)
			find(list, section, c < 0 ? strs->v[i] : b->v[k], c < 0 ? "there" : "",
				c < 0 ? "" : "there");
		i += c <= 0;
		k += c >= 0;
	}
}

static size_t path_length(const char *line)
{
	return strcspn(line, "\t");
}

/* Entries "path\tdigest": the same path on both sides is one file that changed. */
static void compare_raw(struct vt_json *list, const struct vt_strs *strs, const struct vt_strs *b)
{
	for (size_t i = 0, k = 0; i < strs->n || k < b->n;) {
		const char *x = i < strs->n ? strs->v[i] : "", *y = k < b->n ? b->v[k] : "";
		char *px = vt_xstrndup(x, path_length(x)), *py = vt_xstrndup(y, path_length(y));
		int c;

		if (i == strs->n)
			c = 1;
		else if (k == b->n)
			c = -1;
		else
			c = strcmp(px, py);

		if (c)
			find(list, "data", c < 0 ? px : py, c < 0 ? x + path_length(x) + 1 : "",
				c < 0 ? "" : y + path_length(y) + 1);
		else
			find_if(list, "data", px, x + path_length(x) + 1, y + path_length(y) + 1);
		i += c <= 0;
		k += c >= 0;
		free(px);
		free(py);
	}
}

static void compare_roles(struct vt_json *list, const struct vt_audit *audit,
	const struct vt_audit *b)
{
	for (size_t i = 0; i < audit->subjects.n; i++)
		if (vt_strs_hold(&b->subjects, audit->subjects.v[i]))
			find_if(list, "role", audit->subjects.v[i],
				vt_audit_role(audit, audit->subjects.v[i]),
				vt_audit_role(b, audit->subjects.v[i]));
}

static void compare_params(struct vt_json *list, const char *stage, const struct vt_json *json,
	const struct vt_json *b)
{
	for (size_t i = 0; json && i < json->n; i++) {
		char *what = vt_asprintf("%s --%s", stage, json->key[i]);

		find_if(list, "params", what, vt_json_text(json->item[i], ""),
			vt_json_text(vt_json_get(b, json->key[i]), "(not there)"));
		free(what);
	}
	for (size_t i = 0; b && i < b->n; i++)
		if (!vt_json_get(json, b->key[i])) {
			char *what = vt_asprintf("%s --%s", stage, b->key[i]);

			find(list, "params", what, "(not there)", vt_json_text(b->item[i], ""));
			free(what);
		}
}

static char *device_of(const struct vt_json *record)
{
	const struct vt_json *d = vt_json_pointer(record, "/notes/device");
	struct vt_buf b = VT_BUF_INIT;

	if (d)
		vt_json_compact(&b, d);
	return vt_buf_detach(&b);
}

static void compare_records(struct vt_json *list, const struct vt_json *json,
	const struct vt_json *b)
{
	const char *stage = text(json, "stage");
	const struct vt_json *x = vt_json_get(json, "code"), *y = vt_json_get(b, "code");
	char *before = vt_asprintf("%s%s", text(x, "commit"),
		vt_json_true(vt_json_get(x, "dirty"), false) ? " "
							       "(modified)"
							     : "");
	char *after = vt_asprintf("%s%s", text(y, "commit"),
		vt_json_true(vt_json_get(y, "dirty"), false) ? " "
							       "(modified)"
							     : "");

	find_if(list, "code", stage, before, after);
	find_if(list, "binary", stage, text(json, "binary"), text(b, "binary"));
	find_if(list, "interface", stage, text(json, "version"), text(b, "version"));
	compare_params(list, stage, vt_json_get(json, "params"), vt_json_get(b, "params"));
	free(before);
	free(after);
	before = device_of(json);
	after = device_of(b);
	find_if(list, "environment", stage, before, after);
	free(before);
	free(after);
}

/* The first execution of each stage, breadth first: the one next to the artifact.  Others of the
 * stage differ in their subjects. */
static const struct vt_json *first_of(const struct vt_ancestry *ancestry, const char *stage)
{
	for (size_t i = 0; i < ancestry->n; i++)
		if (!strcmp(text(ancestry->v[i].record, "stage"), stage))
			return ancestry->v[i].record;
	return NULL;
}

static void compare_stages(struct vt_json *list, const struct vt_ancestry *ancestry,
	const struct vt_ancestry *b)
{
	struct vt_strs stages = VT_STRS_INIT;

	for (size_t i = 0; i < ancestry->n; i++)
		vt_strs_add(&stages, text(ancestry->v[i].record, "stage"));
	for (size_t i = 0; i < b->n; i++)
		vt_strs_add(&stages, text(b->v[i].record, "stage"));
	vt_strs_unique(&stages);
	for (size_t i = 0; i < stages.n; i++) {
		const struct vt_json *x = first_of(ancestry, stages.v[i]),
				     *y = first_of(b, stages.v[i]);

		if (x && y)
			compare_records(list, x, y);
		else
			find(list, "stage", stages.v[i], x ? "there" : "", y ? "there" : "");
	}
	vt_strs_release(&stages);
}

/* Where the bytes of a file of a side are: in the directory that was named, or in the store.
 * NULL: nowhere. */
static char *bytes_of(struct vt_store *store, const struct side *side,
	const struct vt_tree_file *file)
{
	char *path;

	if (vt_fs_is_dir(side->what))
		path = vt_path_join(side->what, file->path);
	else if (store)
		path = vt_store_object_path(store, &file->digest);
	else
		path = NULL;

	if (path && !vt_fs_exists(path)) {
		free(path);
		path = NULL;
	}
	return path;
}

static void compare_file(struct vt_json *list, struct vt_store *store, const struct side *side,
	const struct side *b, const struct vt_tree_change *c)
{
	char was[VT_HEX] = "", is[VT_HEX] = "", *x = NULL, *y = NULL;
	const char *path = (c->after ? c->after : c->before)->path;
	struct vt_buf tensors = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;

	if (c->before)
		vt_digest_hex(was, &c->before->digest);
	if (c->after)
		vt_digest_hex(is, &c->after->digest);
	find(list, "files", path, was, is);
	if (c->change == VT_CHANGED && strlen(path) > 12 &&
		!strcmp(path + strlen(path) - 12, ".safetensors") &&
		(x = bytes_of(store, side, c->before)) && (y = bytes_of(store, b, c->after)) &&
		!vt_tensor_diff(&tensors, x, y, &none) && tensors.len)
		find(list, "tensors", path, "", tensors.data);
	vt_buf_release(&tensors);
	free(x);
	free(y);
}

static void compare_files(struct vt_json *list, struct vt_store *store, const struct side *side,
	const struct side *b)
{
	struct vt_tree_diff d;

	vt_tree_diff(&d, side->tree, b->tree);
	for (size_t i = 0; i < d.n; i++)
		compare_file(list, store, side, b, &d.v[i]);
	vt_tree_diff_release(&d);
}

static void print_text(const struct vt_json *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct vt_json *o = list->item[i];
		const char *before = text(o, "before"), *after = text(o, "after");

		vt_say("%-11s  %s", text(o, "section"), text(o, "what"));
		if (!*before && !strcmp(after, "there"))
			vt_say("  only in the second");
		else if (!*after && !strcmp(before, "there"))
			vt_say("  only in the first");
		else if (!*before && strcmp(text(o, "section"), "tensors"))
			vt_say("  new: %s", after);
		else if (!*after)
			vt_say("  gone: %s", before);
		else
			vt_say("  %s%s%s", before, *before ? " -> " : "", after);
		putchar('\n');
	}
	vt_say("%zu differences\n", list->n);
}

int vt_diff_artifacts(struct vt_store *store, const char *before, const char *after, bool json,
	struct vt_err *err)
{
	struct side a = { .what = NULL }, b = { .what = NULL };
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	size_t n = 0;
	int rc = load(&a, store, before, err);

	if (!rc)
		rc = load(&b, store, after, err);
	if (!rc) {
		compare_files(list, store, &a, &b);
		compare_names(list, "subjects", &a.audit.subjects, &b.audit.subjects);
		compare_roles(list, &a.audit, &b.audit);
		compare_raw(list, &a.raw, &b.raw);
		compare_stages(list, a.a, b.a);
		n = list->n;
		if (json)
			vt_command_print(vt_json_copy(list));
		else
			print_text(list);
		vt_record_index_incomplete(a.a->missing.n ? &a.a->missing : &b.a->missing, err);
		if (n && !err->code)
			err->code = VT_EFAIL;
		rc = err->code;
	}
	vt_json_free(list);
	release(&a);
	release(&b);
	return rc;
}
