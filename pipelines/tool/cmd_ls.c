/* voxtrail ls REPO: the files of a commit, a directory at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/repo.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

/* What stands below a path: a file itself, or the entries of a directory. */
struct listing {
	const struct vt_tree *t;
	const char *at; /* without a '/' at its end; "" is the root */
	bool recursive, json;
	struct vt_json *list;
	size_t n;
};

static void put(struct listing *listing, const char *path, size_t n, uint64_t size,
	const char *digest, size_t n_files)
{
	struct vt_json *j;
	char *text;

	listing->n++;
	if (!listing->json) {
		vt_say("%12llu  %.*s%s\n", (unsigned long long)size, (int)n, path,
			digest ? "" : "/");
		return;
	}
	j = vt_json_new(VT_JSON_OBJECT);
	text = vt_xstrndup(path, n);
	vt_json_put_text(j, "path", text);
	free(text);
	vt_json_put_text(j, "type", digest ? "file" : "directory");
	vt_json_put_int(j, "size", (int64_t)size);
	if (digest)
		vt_json_put_text(j, "sha256", digest);
	else
		vt_json_put_int(j, "files", (int64_t)n_files);
	vt_json_push(listing->list, j);
}

static void put_file(struct listing *listing, const struct vt_tree_file *file)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, &file->digest);
	put(listing, file->path, strlen(file->path), file->size, hex, 1);
}

/* Files are sorted by path, so that a directory's are one run. */
static void list(struct listing *listing)
{
	size_t stem = strlen(listing->at);

	for (size_t i = 0; i < listing->t->n_files; i++) {
		const struct vt_tree_file *f = &listing->t->file[i];
		const char *below;
		size_t n, k = i;
		uint64_t size = 0;

		if (strncmp(f->path, listing->at, stem) ||
			(stem && f->path[stem] && f->path[stem] != '/'))
			continue;
		below = f->path + stem + (stem && f->path[stem] == '/');
		n = strcspn(below, "/");
		if (listing->recursive || !below[n]) {
			put_file(listing, f);
			continue;
		}
		n += (size_t)(below - f->path);
		for (; k < listing->t->n_files && !strncmp(listing->t->file[k].path, f->path, n) &&
			listing->t->file[k].path[n] == '/';
			k++)
			size += listing->t->file[k].size;
		put(listing, f->path, n, size, NULL, k - i);
		i = k - 1;
	}
}

static int load(struct vt_store *store, struct vt_commit *c, struct vt_tree **tree,
	const char *what, struct vt_err *err)
{
	struct vt_digest id;
	int rc = vt_repo_resolve(store, c, what, err);

	if (!rc && !vt_digest_parse(&id, c->tree))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s names no tree", what);
	return rc ? rc : vt_store_get_tree(store, tree, &id, err);
}

static void show(struct vt_store *store, const char *what, bool recursive, bool json,
	struct vt_err *err)
{
	size_t n = strcspn(what, ":");
	char *repo = vt_xstrndup(what, n), *at = vt_xstrdup(what[n] ? what + n + 1 : "");
	struct listing l = { .at = at, .recursive = recursive, .json = json };
	struct vt_commit c = { .id = "" };
	struct vt_tree *t = NULL;
	int rc = load(store, &c, &t, repo, err);

	while (*at && at[strlen(at) - 1] == '/')
		at[strlen(at) - 1] = '\0';
	if (!rc) {
		l.t = t;
		l.list = vt_json_new(VT_JSON_ARRAY);
		list(&l);
		if (!l.n && *at)
			rc = vt_err_set(err, VT_ENOINPUT, "%s: no file or directory %s in it", repo,
				at);
	}
	if (!rc && json) {
		struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(j, "repo", repo);
		vt_json_put_text(j, "commit", c.id);
		vt_json_put_text(j, "path", at);
		vt_json_put(j, "entries", l.list);
		vt_command_print(j);
	} else {
		vt_json_free(l.list);
	}
	vt_tree_free(t);
	vt_commit_release(&c);
	free(repo);
	free(at);
}

int vt_cmd_ls(int argc, char **argv)
{
	int recursive = 0, json = 0;
	const struct vt_opt opts[] = {
		{ 'r', "recursive", VT_OPT_FLAG, &recursive, NULL, "list every file below" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON, with the files' SHA-256" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "ls REPO[@REF][:PATH]",
		.about = "Lists the files of a commit, one directory at a time, with "
			 "bytes and path. A directory ends in / and shows the bytes "
			 "below it. Nothing is checked out.",
		.least = 1,
		.most = 1,
		.opts = opts,
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv))
		show(c.s, c.args.v[0], recursive != 0, json != 0, &c.err);
	return vt_call_end(&c);
}
