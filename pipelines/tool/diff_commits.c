#include "pipelines/tool/diff_commits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/content/tree_diff.h"
#include "pipelines/tool/command.h"

struct side {
	const char *what;
	struct vt_commit commit;
	struct vt_tree *tree;
};

bool vt_diff_names_commit(struct vt_store *store, const char *what)
{
	char *repo = vt_xstrndup(what, strcspn(what, "@~"));
	bool yes = vt_repo_exists(store, repo);

	free(repo);
	return yes;
}

static int load(struct vt_store *store, struct side *side, const char *what, struct vt_err *err)
{
	struct vt_digest d;
	int rc = vt_repo_resolve(store, &side->commit, what, err);

	side->what = what;
	if (!rc && vt_digest_parse(&d, side->commit.tree))
		rc = vt_store_get_tree(store, &side->tree, &d, err);
	return rc;
}

static unsigned long long bytes(const struct vt_tree_file *file)
{
	return (unsigned long long)file->size;
}

static const char *mode_change(const struct vt_tree_change *c)
{
	if (c->after->executable == c->before->executable)
		return "";
	return c->after->executable ? ", now executable" : ", no longer executable";
}

static void print_text(const struct vt_tree_diff *diff)
{
	size_t count[5] = { 0 };

	for (size_t i = 0; i < diff->n; i++) {
		const struct vt_tree_change *c = &diff->v[i];

		count[c->change]++;
		if (c->change == VT_ADDED)
			vt_say("added    %12llu  %s\n", bytes(c->after), c->after->path);
		else if (c->change == VT_REMOVED)
			vt_say("removed  %12llu  %s\n", bytes(c->before), c->before->path);
		else if (c->change == VT_RENAMED)
			vt_say("renamed  %12llu  %s -> %s\n", bytes(c->after), c->before->path,
				c->after->path);
		else
			vt_say("changed  %12llu  %s (was %llu%s)\n", bytes(c->after),
				c->after->path, bytes(c->before), mode_change(c));
	}
	vt_say("%zu added, %zu removed, %zu changed, %zu renamed, %zu the same\n", count[VT_ADDED],
		count[VT_REMOVED], count[VT_CHANGED], count[VT_RENAMED], diff->n_same);
}

static struct vt_json *file_json(const struct vt_tree_file *file)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	char hex[VT_HEX];

	vt_digest_hex(hex, &file->digest);
	vt_json_put_text(j, "path", file->path);
	vt_json_put_int(j, "size", (int64_t)file->size);
	vt_json_put_text(j, "sha256", hex);
	vt_json_put_bool(j, "executable", file->executable);
	return j;
}

static struct vt_json *side_json(const struct side *side)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "ref", side->what);
	vt_json_put_text(j, "commit", side->commit.id);
	vt_json_put_text(j, "tree", side->commit.tree);
	return j;
}

static void print_json(const struct vt_tree_diff *diff, const struct side *side,
	const struct side *b)
{
	static const struct {
		enum vt_change change;
		const char *name;
	} kinds[] = { { VT_ADDED, "added" }, { VT_REMOVED, "removed" }, { VT_CHANGED, "changed" },
		{ VT_RENAMED, "renamed" } };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put(j, "before", side_json(side));
	vt_json_put(j, "after", side_json(b));
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

		for (size_t i = 0; i < diff->n; i++) {
			const struct vt_tree_change *c = &diff->v[i];
			struct vt_json *both;

			if (c->change != kinds[k].change)
				continue;
			both = file_json(c->after ? c->after : c->before);
			if (c->before && c->after)
				vt_json_put(both, "before", file_json(c->before));
			vt_json_push(list, both);
		}
		vt_json_put(j, kinds[k].name, list);
	}
	vt_json_put_int(j, "same", (int64_t)diff->n_same);
	vt_command_print(j);
}

int vt_diff_commits(struct vt_store *store, const char *before, const char *after, bool json,
	struct vt_err *err)
{
	struct side a = { .tree = NULL }, b = { .tree = NULL };
	struct vt_tree_diff d = { NULL, 0, 0, 0 };
	int rc = load(store, &a, before, err);

	if (!rc)
		rc = load(store, &b, after, err);
	if (!rc) {
		vt_tree_diff(&d, a.tree, b.tree);
		if (json)
			print_json(&d, &a, &b);
		else
			print_text(&d);
		if (d.n)
			rc = err->code = VT_EFAIL;
	}
	vt_tree_diff_release(&d);
	vt_tree_free(a.tree);
	vt_tree_free(b.tree);
	vt_commit_release(&a.commit);
	vt_commit_release(&b.commit);
	return rc;
}
