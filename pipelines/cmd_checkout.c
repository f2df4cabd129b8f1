/* voxtrail checkout REPO DIR: a commit's files, with the records that vouch for them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/repo.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

/* Writes the records of the tree's producers below dir/.lineage, so that the directory answers for itself. */
static int write_records(struct vt_store *s, const struct vt_strs *ids, const char *dir, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ids->n; i++) {
		struct vt_json *j = NULL;
		struct vt_buf text = VT_BUF_INIT;
		char *base, *path;

		if (i && !strcmp(ids->v[i], ids->v[i - 1]))
			continue;
		rc = vt_store_get_record(s, &j, ids->v[i], err);
		if (rc)
			break;
		base = vt_asprintf("%s/.lineage/%s", dir, vt_json_text(vt_json_get(j, "result"), "unknown"));
		path = vt_path_join(base, "record.json");
		rc = vt_json_canonical(&text, j, err);
		if (!rc)
			rc = vt_fs_mkdirs(base, err);
		if (!rc)
			rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
		vt_buf_release(&text);
		vt_json_free(j);
		free(base);
		free(path);
	}
	return rc;
}

static void checkout(struct vt_store *s, const char *what, const char *dir, int writable, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_digest id;
	struct vt_tree *t = NULL;
	int rc = vt_repo_resolve(s, &c, what, err);

	if (!rc && !vt_digest_parse(&id, c.tree))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s names no tree", what);
	if (!rc)
		rc = vt_store_get_tree(s, &t, &id, err);
	if (!rc)
		rc = vt_store_checkout(s, t, dir, writable ? VT_CHECKOUT_COPY : VT_CHECKOUT_LINK, err);
	/* whoever made the tree as a whole vouches for it; a merged tree is vouched for file by file */
	if (!rc)
		rc = vt_store_producers(s, c.tree, &ids, err);
	for (size_t i = 0, whole = ids.n; !rc && !whole && i < t->n_files; i++) {
		char hex[VT_HEX];

		vt_digest_hex(hex, &t->file[i].digest);
		rc = vt_store_producers(s, hex, &ids, err);
	}
	vt_strs_sort(&ids);
	if (!rc)
		rc = write_records(s, &ids, dir, err);
	if (!rc)
		printf("%s: %zu files of %s, commit %.16s, tree %s\n", dir, t->n_files, what, c.id, c.tree);
	vt_strs_release(&ids);
	vt_tree_free(t);
	vt_commit_release(&c);
}

int vt_cmd_checkout(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, writable = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR", "where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "writable", VT_OPT_FLAG, &writable, NULL, "copies that may be changed" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("checkout REPO[@REF] DIR", "Writes a commit's files into DIR: read-only links, or with --writable copies. REF is a branch (default master), a tag or the first digits of a commit id, with ~N behind it for N commits back.", opts);
		else if (rest.n != 2)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail checkout REPO[@REF] DIR");
		else if (!vt_store_open(&s, store, VT_STORE_OPEN, &err))
			checkout(s, rest.v[0], rest.v[1], writable, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("checkout", &err);
}
