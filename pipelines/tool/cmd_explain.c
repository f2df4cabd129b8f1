/* voxtrail explain PIPELINE[@REF] PATH: which datum made a path of an output commit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/snapshot.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

static const struct vt_tree_file *find(const struct vt_snapshot *seen, const char *absolute)
{
	const struct vt_tree_path *p = vt_tree_paths_find(&seen->paths, absolute);

	return p && !p->dir ? &seen->tree->file[p->first] : NULL;
}

static int say(struct vt_store *s, const char *what, const struct vt_snapshot *seen,
	const struct vt_tree_file *f, const struct vt_result *r, struct vt_err *err)
{
	struct vt_tree *lineage = NULL;
	char hex[VT_HEX], key[VT_HEX];

	if (r->has_lineage && vt_store_get_tree(s, &lineage, &r->lineage, err))
		return err->code;
	vt_digest_hex(hex, &f->digest);
	vt_digest_hex(key, &r->key);
	vt_say("file      /%s\ncontent   %s, %llu bytes%s\ncommit    %s of %s\n", f->path, hex,
		(unsigned long long)f->size, f->executable ? ", executable" : "", seen->commit.id,
		what);
	vt_say("datum     %s\nkey       %s\nended     exit %d after %d tr%s, %lld ms\n", r->datum,
		key, r->exit_code, r->tries, r->tries == 1 ? "y" : "ies", (long long)r->wall_ms);
	vt_say("records   %zu\n", lineage ? lineage->n_files : 0);
	for (size_t i = 0; lineage && i < lineage->n_files; i++)
		vt_say("          /%s\n", lineage->file[i].path);
	vt_tree_free(lineage);
	return 0;
}

static void explain(struct vt_store *s, const char *what, const char *path, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_snapshot *seen = NULL;
	struct vt_result r;
	char *absolute = vt_asprintf("%s%s", path[0] == '/' ? "" : "/", path);

	if (!vt_repo_resolve(s, &c, what, err) && !vt_snapshot_of(&seen, s, c.id, err)) {
		const struct vt_tree_file *f = find(seen, absolute);

		if (!f)
			vt_err_set(err, VT_ENOINPUT, "%s has no file %s in commit %.16s", what,
				absolute, c.id);
		else if (!*c.provenance)
			vt_err_set(err, VT_ENOINPUT,
				"%s of %s was committed by hand, no datum made it", absolute, what);
		else if (!vt_snapshot_origin(seen, s, f->path, &r))
			vt_err_set(err, VT_ENOINPUT,
				"%s of %s: its datum's result is not in this store any more",
				absolute, what);
		else
			say(s, what, seen, f, &r, err);
	}
	vt_snapshot_close(seen);
	vt_commit_release(&c);
	free(absolute);
}

int vt_cmd_explain(int argc, char **argv)
{
	struct vt_call c = {
		.usage = "explain PIPELINE[@REF] PATH",
		.about = "Says which datum made a path of an output commit, by default the newest.",
		.least = 2,
		.most = 2,
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv))
		explain(c.s, c.args.v[0], c.args.v[1], &c.err);
	return vt_call_end(&c);
}
