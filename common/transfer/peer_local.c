/* A store on this machine as one end of a transfer: what is there, and its branches and tags.
 * peer_local_put.c takes in what comes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/erased.h"
#include "common/store/policy.h"
#include "common/store/repo_internal.h"
#include "common/transfer/peer_local.h"

const char vt_peer_greeting[] = "voxtrail 2";

static int local_refs(struct vt_peer *peer, struct vt_refs *out, const char *repo,
	struct vt_err *err)
{
	return vt_refs_list(out, ((struct local *)peer)->s, repo, err);
}

static int add_commit(void *ctx, const struct vt_commit *c, struct vt_err *err)
{
	(void)err;
	vt_strs_add(ctx, c->id);
	return 0;
}

static int local_history(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *tips,
	struct vt_err *err)
{
	return vt_repo_walk(((struct local *)peer)->s, tips, add_commit, out, err);
}

static int local_unsound(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	struct vt_store *s = ((struct local *)peer)->s;
	struct vt_strs commits = VT_STRS_INIT, trees = VT_STRS_INIT;
	int rc = vt_store_use(s, err);

	for (size_t i = 0; i < names->n; i++) {
		const char *kind;
		struct vt_digest id;

		if (vt_local_parse_name(names->v[i], &kind, &id))
			vt_strs_add(*kind == 't' ? &trees : &commits, strchr(names->v[i], ' ') + 1);
	}
	if (!rc)
		rc = vt_store_unsound(s, &commits, &trees, out, err);
	vt_strs_release(&commits);
	vt_strs_release(&trees);
	return rc;
}

/* "ID SIZE REASON" of those objects that were erased here. */
static int local_erased(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	struct vt_store *s = ((struct local *)peer)->s;

	(void)err;
	for (size_t i = 0; i < names->n; i++) {
		const char *kind;
		struct vt_digest id;
		struct vt_json *tomb;
		char *line;

		if (!vt_local_parse_name(names->v[i], &kind, &id) || strcmp(kind, "objects"))
			continue;
		tomb = vt_erased_read(s, &id);
		/* one that was proposed and not decided yet is told, too */
		if (!tomb && vt_erased_proposed(s, &id))
			tomb = vt_erased_proposal(s, &id);
		if (!tomb)
			continue;
		line = vt_asprintf("%s %lld %s", strchr(names->v[i], ' ') + 1,
			(long long)vt_json_integer(vt_json_get(tomb, "size"), 0),
			vt_json_text(vt_json_get(tomb, "reason"), ""));
		/* one answer, one line */
		for (char *c = line; *c; c++)
			if (*c == '\n')
				*c = ' ';
		vt_strs_add(out, line);
		free(line);
		vt_json_free(tomb);
	}
	return 0;
}

static int local_bury(struct vt_peer *peer, const char *line, const char *who, struct vt_err *err)
{
	struct local *l = (struct local *)peer;
	struct vt_digest id;
	char *reason;
	unsigned long long size;

	/* "ID SIZE REASON" */
	if (strlen(line) < VT_HEX || line[VT_HEX - 1] != ' ' || !vt_digest_parse_n(&id, line))
		return vt_err_set(err, VT_EDATA,
			"\"%.100s\" does not name an erased file (ID SIZE REASON)", line);
	if (vt_store_use(l->s, err))
		return err->code;
	size = strtoull(line + VT_HEX, &reason, 10);
	return vt_erased_propose(l->s, &id, size, *reason ? reason + 1 : "", who, err);
}

static int local_vouchers(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *trees,
	struct vt_err *err)
{
	return vt_transfer_vouchers(((struct local *)peer)->s, out, trees, err);
}

/* --- reading and taking in ----------------------------------------------- */

static int get_one(struct local *local, const char *name, vt_sink sink, void *ctx,
	struct vt_err *err)
{
	char *path = vt_local_path(local->s, name, err);
	struct vt_reader r = VT_READER_INIT;
	struct stat st;
	int rc;

	if (!path)
		return err->code;
	r.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r.fd < 0 || fstat(r.fd, &st))
		rc = vt_err_errno(err, VT_EINTEGRITY,
			"%s: named by a commit, but cannot be opened; `voxtrail verify` "
			"lists what is damaged",
			path);
	else
		rc = sink(ctx, name, (uint64_t)st.st_size, &r, err);
	if (r.fd >= 0)
		close(r.fd);
	vt_reader_release(&r);
	free(path);
	return rc;
}

static int local_get(struct vt_peer *peer, const struct vt_strs *names, vt_sink sink, void *ctx,
	struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < names->n; i++)
		rc = get_one((struct local *)peer, names->v[i], sink, ctx, err);
	return rc;
}

/* Elsewhere than forward: what one person alone must not do where the policy says so. */
static int check_drop(struct local *local, const char *repo, const char *name, struct vt_err *err)
{
	const char *kind = *name == 't' ? "tag" : "branch", *word = strchr(name, '/') + 1;
	struct vt_policy policy;

	if (vt_policy_read(&policy, local->s, err))
		return err->code;
	if (vt_policy_has(&policy, "approved", "drop"))
		vt_err_set(err, VT_ECLAIM,
			"%s: the policy asks for a second person before %s@%s gives up what it "
			"holds: there, `voxtrail %s --delete --force %s %s --ask FILE` first",
			local->peer.said, repo, word, kind, repo, word);
	vt_policy_release(&policy);
	return err->code;
}

static int local_move(struct vt_peer *peer, const char *repo, const char *name, const char *from,
	const char *to, bool force, struct vt_err *err)
{
	struct local *l = (struct local *)peer;
	bool forward = true;
	int rc = 0;

	/* forward: the ref is new, or `to` descends from where it is; a tag never moves */
	if (*from && !strncmp(name, "tags/", 5))
		forward = !strcmp(from, to);
	else if (*from)
		rc = vt_repo_descends(l->s, to, from, &forward, err);
	if (!rc && !forward && force)
		rc = check_drop(l, repo, name, err);
	else if (!rc && !forward)
		rc = vt_err_set(err, VT_EFAIL,
			"%s@%s at %s is %.16s, which %.16s does not descend from; --force moves "
			"it all the same",
			repo, strchr(name, '/') + 1, peer->said, from, to);
	return rc ? rc : vt_ref_move(l->s, repo, name, from, to, err);
}

static void local_close(struct vt_peer *peer)
{
	struct local *l = (struct local *)peer;

	vt_local_forget(l);
	vt_tree_sums_release(&l->sums);
	if (l->owns)
		vt_store_close(l->s);
	vt_buf_release(&l->said);
	free(l);
}

static const struct vt_peer_ops ops = { local_refs, local_history, vt_local_missing, local_unsound,
	local_vouchers, local_erased, local_bury, local_get, vt_local_put, vt_local_flush,
	local_move, local_close };

struct vt_peer *vt_peer_local(struct vt_store *store)
{
	struct local *l = vt_xcalloc(1, sizeof(*l));

	l->s = store;
	vt_buf_str(&l->said, vt_store_dir(store));
	l->peer = (struct vt_peer){ &ops, l->said.data, false };
	return &l->peer;
}

int vt_peer_directory(struct vt_peer **out, const char *dir, bool writing, struct vt_err *err)
{
	struct vt_store *s = NULL;

	if (vt_store_open(&s, dir, writing ? VT_STORE_CREATE : VT_STORE_READ, err))
		return err->code;
	*out = vt_peer_local(s);
	((struct local *)*out)->owns = true;
	return 0;
}
