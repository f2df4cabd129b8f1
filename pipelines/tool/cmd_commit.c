/* voxtrail commit REPO[@BRANCH] DIR: takes a directory into the store and moves the branch to
 * it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/lineage/import.h"
#include "common/store/repo.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static void print_dir_hash(const struct vt_tree *tree)
{
	struct vt_digest d = vt_tree_dir_hash(tree);
	char hex[VT_HEX];

	vt_digest_hex(hex, &d);
	vt_say("dirHash %s\n", hex);
}

/* Files of a branch's head; 0 if there is none. */
static size_t files_of_head(struct vt_store *store, const char *repo, const char *branch)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_commit head = { .id = "" };
	struct vt_tree *t = NULL;
	struct vt_digest id;
	char *what = vt_asprintf("%s@heads/%s", repo, branch);
	size_t n = 0;

	if (!vt_repo_resolve(store, &head, what, &none) && vt_digest_parse(&id, head.tree) &&
		!vt_store_get_tree(store, &t, &id, &none))
		n = t->n_files;
	vt_tree_free(t);
	vt_commit_release(&head);
	free(what);
	return n;
}

/* A disk that is not mounted is an empty directory, too. */
static void say_emptied(const char *repo, const char *branch, const char *dir, size_t had)
{
	vt_log(VT_LOG_WARN, "emptied",
		"dir=\"%s\" repo=\"%s@%s\" files=%zu note=\"the directory holds no file: is its "
		"disk mounted? `voxtrail branch %s %s %s@%s~1 --force` takes the commit back\"",
		dir, repo, branch, had, repo, branch, repo, branch);
}

enum { COPY = 1, DIR_HASH = 2, FOLLOW = 4 };

static void commit(struct vt_store *store, const char *repo, const char *branch, const char *dir,
	int how, const char *vouch, const struct vt_commit_note *note, struct vt_err *err)
{
	const struct vt_import_opts opts = { .extent = VT_RECORD_DIR_WHOLE,
		.copy = (how & COPY) != 0,
		.follow = (how & FOLLOW) != 0,
		.vouch = vouch };
	struct vt_import got;
	struct vt_commit c = { .id = "" };
	size_t had = 0;
	bool made;
	const char *why = *note->message
		? "; nothing changed, so nothing was committed and the message was dropped"
		: "; nothing changed";

	if (vt_store_import_dir(store, dir, &opts, &got, err))
		return;
	if (!got.tree->n_files)
		had = files_of_head(store, repo, branch);
	if (!vt_repo_commit(store, &c, &made, repo, branch, &got.tree->id, note, err)) {
		if (made && had)
			say_emptied(repo, branch, dir, had);
		vt_say("%s@%s %.16s tree %s, %zu files, %llu bytes%s\n", repo, branch, c.id, c.tree,
			got.tree->n_files, (unsigned long long)got.tree->size, made ? "" : why);
	}
	if (!err->code && (how & DIR_HASH))
		print_dir_hash(got.tree);
	vt_commit_release(&c);
	vt_import_release(&got);
}

static bool may_vouch(struct vt_store *store, const char *dir, const char *reason,
	struct vt_approval *approval, struct vt_err *err)
{
	struct vt_strs dirs = VT_STRS_INIT;
	bool may;

	if (!reason)
		return !vt_decide_nothing(approval, "--vouch", err);
	vt_strs_add(&dirs, dir);
	may = vt_decide_vouch(store, &dirs, reason, approval, err);
	vt_strs_release(&dirs);
	return may;
}

int vt_cmd_commit(int argc, char **argv)
{
	const char *branch = NULL, *message = "", *author = getenv("VOXTRAIL_AUTHOR");
	int empty = 0, copy = 0, dir_hash = 0, follow = 0;
	const char *vouch = NULL;
	struct vt_approval approval = { .ask = NULL };
	char *at;
	const struct vt_opt opts[] = {
		{ 0, "branch", VT_OPT_STRING, &branch, "NAME",
			"the branch to commit to (default master)" },
		{ 'm', "message", VT_OPT_STRING, &message, "TEXT", "why" },
		{ 0, "author", VT_OPT_STRING, &author, "TEXT", "who (default $VOXTRAIL_AUTHOR)" },
		{ 0, "allow-empty", VT_OPT_FLAG, &empty, NULL, "commit even if nothing changed" },
		{ 0, "copy", VT_OPT_FLAG, &copy, NULL,
			"reflink or copy the files, and do not touch them" },
		{ 0, "follow-links", VT_OPT_FLAG, &follow, NULL,
			"commit the target of a symbolic link to a file (datalad, git-annex)" },
		{ 0, "dirhash", VT_OPT_FLAG, &dir_hash, NULL,
			"also print in-toto's dirHash (Go's H1) of DIR" },
		{ 0, "vouch", VT_OPT_STRING, &vouch, "REASON",
			"vouch for the records in DIR/.lineage: this store then believes them" },
		VT_APPROVAL_OPTS(&approval),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "commit REPO[@BRANCH] DIR",
		.about = "Ingests DIR (files are linked, not copied, and become "
			 "read-only) and commits it to REPO.",
		.least = 2,
		.most = 2,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		at = strchr(c.args.v[0], '@');
		if (at && branch) {
			vt_err_set(&c.err, VT_EUSAGE, "%s: names a branch, as --branch does",
				c.args.v[0]);
		} else if (at) {
			*at = '\0';
			branch = at + 1;
		}
		if (!c.err.code && !vt_store_open(&c.s, c.store, VT_STORE_CREATE, &c.err) &&
			may_vouch(c.s, c.args.v[1], vouch, &approval, &c.err))
			commit(c.s, c.args.v[0], branch ? branch : "master", c.args.v[1],
				(copy ? COPY : 0) | (dir_hash ? DIR_HASH : 0) |
					(follow ? FOLLOW : 0),
				vouch,
				&(struct vt_commit_note){ .message = message,
					.author = author,
					.allow_empty = empty != 0 },
				&c.err);
	}
	return vt_call_end(&c);
}
