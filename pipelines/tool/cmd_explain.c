/* voxtrail explain PIPELINE[@REF] PATH: which datum made a path of an output commit; with --spec:
 * what the keys of datums are made of, and why one is not done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/snapshot.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/explain_key.h"

static const struct vt_tree_file *find(const struct vt_snapshot *seen, const char *absolute)
{
	const struct vt_tree_path *p = vt_tree_paths_find(&seen->paths, absolute);

	return p && !p->dir ? &seen->tree->file[p->first] : NULL;
}

static int say(struct vt_store *store, const char *what, const struct vt_snapshot *seen,
	const struct vt_tree_file *file, const struct vt_result *result, struct vt_err *err)
{
	struct vt_tree *lineage = NULL;
	char hex[VT_HEX], key[VT_HEX];

	if (result->has_lineage && vt_store_get_tree(store, &lineage, &result->lineage, err))
		return err->code;
	vt_digest_hex(hex, &file->digest);
	vt_digest_hex(key, &result->key);
	vt_say("file      /%s\ncontent   %s, %llu bytes%s\ncommit    %s of %s\n", file->path, hex,
		(unsigned long long)file->size, file->executable ? ", executable" : "",
		seen->commit.id, what);
	vt_say("datum     %s\nkey       %s\nended     exit %d after %d tr%s, %lld ms\n",
		result->datum, key, result->exit_code, result->tries,
		result->tries == 1 ? "y" : "ies", (long long)result->wall_ms);
	vt_say("records   %zu\n", lineage ? lineage->n_files : 0);
	for (size_t i = 0; lineage && i < lineage->n_files; i++)
		vt_say("          /%s\n", lineage->file[i].path);
	vt_tree_free(lineage);
	vt_explain_result(store, result);
	return 0;
}

static void explain(struct vt_store *store, const char *what, const char *path, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_snapshot *seen = NULL;
	struct vt_result r;
	char *absolute = vt_asprintf("%s%s", path[0] == '/' ? "" : "/", path);

	if (!vt_repo_resolve(store, &c, what, err) && !vt_snapshot_of(&seen, store, c.id, err)) {
		const struct vt_tree_file *f = find(seen, absolute);

		if (!f)
			vt_err_set(err, VT_ENOINPUT, "%s has no file %s in commit %.16s", what,
				absolute, c.id);
		else if (!*c.provenance)
			vt_err_set(err, VT_ENOINPUT,
				"%s of %s was committed by hand, no datum made it", absolute, what);
		else if (!vt_snapshot_origin(seen, store, f->path, &r))
			vt_err_set(err, VT_ENOINPUT,
				"%s of %s: its datum's result is not in this store any more",
				absolute, what);
		else
			say(store, what, seen, f, &r, err);
	}
	vt_snapshot_close(seen);
	vt_commit_release(&c);
	free(absolute);
}

static void explain_spec(const char *path, const struct vt_strs *repos, const struct vt_call *c,
	struct vt_err *err)
{
	const struct vt_run_opts o = { .store = c->store,
		.planning = true,
		.jobs = 1,
		.repos = repos };
	struct vt_spec *spec = NULL;
	struct vt_run *run = NULL;

	if (!vt_command_spec(&spec, path, err) && !vt_run_open(&run, spec, &o, err))
		vt_explain_keys(run, c->args.v[0], c->args.n > 1 ? c->args.v[1] : NULL, err);
	vt_run_close(run);
	vt_spec_free(spec);
}

int vt_cmd_explain(int argc, char **argv)
{
	struct vt_strs repos = VT_STRS_INIT;
	const char *spec = NULL;
	const struct vt_opt opts[] = {
		{ 0, "spec", VT_OPT_STRING, &spec, "FILE",
			"print why datums of PIPELINE would run now" },
		{ 0, "repo", VT_OPT_LIST, &repos, "NAME=DIR",
			"with --spec: as if DIR were committed to the repo NAME (repeatable)" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "explain PIPELINE[@REF] PATH | --spec FILE PIPELINE [DATUM]",
		.about = "Prints which datum wrote a path of an output commit (by "
			 "default the newest), and the parts of its key. With --spec: prints the "
			 "parts of a datum's key for the present spec and data, and which of them "
			 "changed since the datum was last computed. DATUM is an id or a path; "
			 "without it, prints one line for each datum that would run.",
		.least = 1,
		.most = 2,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		if (spec)
			explain_spec(spec, &repos, &c, &c.err);
		else if (c.args.n != 2 || repos.n)
			vt_err_set(&c.err, VT_EUSAGE, "usage: voxtrail %s", c.usage);
		else if (!vt_store_open(&c.s, c.store, VT_STORE_READ, &c.err))
			explain(c.s, c.args.v[0], c.args.v[1], &c.err);
	}
	return vt_call_end(&c);
}
