#include "pipelines/tool/transfer_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/transfer/transfer.h"
#include "pipelines/tool/command.h"

static void report(const struct vt_transfer *t, const char *verb)
{
	for (size_t i = 0; i < t->moved.n; i++)
		vt_say("%s@%s is %.16s\n", t->moved.v[i].repo, strchr(t->moved.v[i].name, '/') + 1,
			t->moved.v[i].commit);
	for (size_t i = 0; i < t->ahead.n; i++)
		vt_say("%s: the destination is ahead\n", t->ahead.v[i]);
	if (t->moved.n || t->n_results || t->n_healed || t->n_records || t->n_erased || t->n_signed)
		vt_say("%s %zu commits, %zu trees, %zu files (%llu bytes), %zu records\n", verb,
			t->n_commits, t->n_trees, t->n_objects, (unsigned long long)t->bytes,
			t->n_records);
	else
		puts("nothing to do");
	if (t->n_signed)
		vt_say("attestations of %zu records\n", t->n_signed);
	if (t->n_healed)
		vt_say("%zu files, trees and commits that the destination had lost or found "
		       "damaged are whole again there\n",
			t->n_healed);
	if (t->n_results)
		vt_say("%zu results of datums: a run there uses those whose records it believes\n",
			t->n_results);
	if (t->n_erased)
		vt_say("%zu files were erased at the source; at the destination that is a proposal "
		       "(`voxtrail erase --proposed`)\n",
			t->n_erased);
}

/* One store at both ends would wait for its own lock. */
static int check_distinct(const struct vt_store *store, const char *remote, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	char *real = vt_fs_realpath(remote, &none);
	int rc = real && !strcmp(real, vt_store_dir(store))
		? vt_err_set(err, VT_EUSAGE, "%s is this store itself", remote)
		: 0;

	free(real);
	return rc;
}

static void transfer(struct vt_transfer *t, int pull, const char *store, const char *remote,
	struct vt_err *err)
{
	struct vt_store *s = NULL;
	struct vt_peer *here = NULL, *there = NULL;

	if (vt_store_open(&s, store, pull ? VT_STORE_CREATE : VT_STORE_READ, err) ||
		check_distinct(s, remote, err))
		goto out;
	here = vt_peer_local(s);
	if (!vt_peer_open(&there, remote, !pull, err) &&
		!vt_transfer_run(t, pull ? there : here, pull ? here : there, err))
		report(t, pull ? "pulled" : "pushed");
out:
	vt_peer_close(there);
	vt_peer_close(here);
	vt_store_close(s);
}

int vt_transfer_command(int pull, int argc, char **argv)
{
	const char *word = pull ? "pull" : "push";
	struct vt_transfer t = { .repo = NULL };
	int all = 0, force = 0, results = 0, rc;
	const struct vt_opt opts[] = {
		{ 0, "all", VT_OPT_FLAG, &all, NULL, "every repo" },
		{ 0, "results", VT_OPT_FLAG, &results, NULL,
			"also the results of the heads' datums, so that a run there skips them" },
		{ 'f', "force", VT_OPT_FLAG, &force, NULL,
			"also move branches and tags that cannot move forward" },
		VT_OPTS_END,
	};
	char *usage = vt_asprintf("%s REPO[@NAME] REMOTE | %s --all REMOTE", word, word), *at;
	char *about = vt_asprintf("Copies branches and tags of REPO (or one) %s REMOTE, with the "
				  "files and records that are not there yet. REMOTE is a store's "
				  "directory, HOST:PATH or ssh://HOST[:PORT]/PATH.",
		pull ? "from" : "to");
	struct vt_call c = { .usage = usage, .about = about, .least = 1, .most = 2, .opts = opts };

	if (vt_call_begin(&c, argc, argv)) {
		at = all ? NULL : strchr(c.args.v[0], '@');
		if (at)
			*at++ = '\0';
		t.repo = all ? NULL : c.args.v[0];
		t.name = at;
		t.results = results != 0;
		t.force = force != 0;
		if (c.args.n != (all ? 1 : 2))
			vt_err_set(&c.err, VT_EUSAGE, "usage: voxtrail %s", usage);
		else
			transfer(&t, pull, c.store, c.args.v[c.args.n - 1], &c.err);
	}
	vt_transfer_release(&t);
	rc = vt_call_end(&c);
	free(about);
	free(usage);
	return rc;
}
