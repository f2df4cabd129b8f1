/* voxtrail import DIR...: takes in outputs and their records, in any order, any number of times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attest/believe.h"
#include "common/base/fs.h"
#include "common/lineage/import.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

/* Attestations beside the records count before the records are looked at. */
static int believe(struct vt_store *store, const char *dir, const struct vt_policy *policy,
	struct vt_err *err)
{
	struct vt_believed_list found = { .v = NULL };
	size_t unknown = 0;
	int rc = vt_believe_beside(&found, &unknown, dir, policy, err);

	if (!rc)
		rc = vt_believe_note(store, &found, err);
	if (!rc && unknown)
		vt_say_err("voxtrail import: note: %zu attestations in %s are by no key of the "
			   "policy\n",
			unknown, dir);
	vt_believe_release(&found);
	return rc;
}

static void import_one(struct vt_store *store, const char *dir, const struct vt_policy *policy,
	const struct vt_import_opts *opts, struct vt_err *err)
{
	struct vt_import got;

	if (!vt_fs_is_dir(dir))
		vt_err_set(err, VT_ENOINPUT, "%s: not a directory", dir);
	else if (!believe(store, dir, policy, err) &&
		!vt_store_import_dir(store, dir, opts, &got, err)) {
		vt_say("%s: %zu files, %zu records, %zu ancestors", dir, got.tree->n_files,
			got.n_own, got.n_ancestors);
		if (got.unvouched.n)
			vt_say(", %zu files that no record lists (%s)", got.unvouched.n,
				got.unvouched.v[0]);
		putchar('\n');
		vt_import_release(&got);
	}
}

static void import(struct vt_store *store, const struct vt_strs *dirs, struct vt_import_opts *opts,
	struct vt_err *err)
{
	struct vt_policy p;

	if (vt_policy_read(&p, store, err))
		return;
	opts->believed = opts->believed || vt_policy_has(&p, "believed", "import");
	for (size_t i = 0; !err->code && i < dirs->n; i++)
		import_one(store, dirs->v[i], &p, opts, err);
	if (err->code == VT_EINTEGRITY || err->code == VT_ECLAIM)
		vt_err_prefix(err, "nothing was taken in");
	vt_policy_release(&p);
}

int vt_cmd_import(int argc, char **argv)
{
	int strict = 0, partial = 0, require = 0;
	const char *vouch = NULL;
	struct vt_approval approval = { .ask = NULL };
	const struct vt_opt opts[] = {
		{ 0, "partial", VT_OPT_FLAG, &partial, NULL,
			"accept missing files that a record lists; files that exist must match" },
		{ 0, "strict", VT_OPT_FLAG, &strict, NULL, "refuse a file that no record lists" },
		{ 0, "vouch", VT_OPT_STRING, &vouch, "REASON",
			"vouch for the records for this reason: this store then believes them" },
		{ 0, "require-signed", VT_OPT_FLAG, &require, NULL,
			"refuse claims (3): records that nobody signed or vouched for" },
		VT_APPROVAL_OPTS(&approval),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "import DIR...",
		.about = "Ingests outputs of stages with their records and the records "
			 "of their ancestors. The order does not matter, and importing again "
			 "changes nothing. A record that contradicts its files is refused with "
			 "status 76, and so is a claim that contradicts this store. A record is a "
			 "claim until a key of the policy has signed it (attestations.jsonl beside "
			 "it) or somebody vouches for it.",
		.least = 1,
		.most = SIZE_MAX,
		.opts = opts,
		.mode = VT_STORE_CREATE,
	};

	if (vt_call_begin(&c, argc, argv)) {
		struct vt_import_opts how = { .extent = partial ? VT_RECORD_DIR_PART
								: VT_RECORD_DIR_WHOLE,
			.strict = strict != 0,
			.believed = require != 0,
			.vouch = vouch };

		if (vouch ? vt_decide_vouch(c.s, &c.args, vouch, &approval, &c.err)
			  : !vt_decide_nothing(&approval, "--vouch", &c.err))
			import(c.s, &c.args, &how, &c.err);
	}
	return vt_call_end(&c);
}
