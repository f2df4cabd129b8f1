/* A store as one end of a transfer for who may not do everything there.
 *
 * Of the repos that are shown everything is known that their branches and tags reach, and what is
 * sent meanwhile; of anything else nothing, whoever knows a digest: it is neither there nor lacking
 * but not spoken of.  What is put is checked as ever, by the peer inside. */
#include <stdlib.h>
#include <string.h>

#include "common/content/digest_set.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"
#include "common/transfer/peer_internal.h"

struct limited {
	struct vt_peer peer, *inner; /* inner is owned */
	struct vt_store *s;          /* borrowed: what may be known is read from it */
	struct vt_peer_limits limits;
	struct vt_digest_set known; /* what the shown repos reach, and what was put */
	bool counted;               /* known is filled: on the first request that needs it */
};

static bool all_repos(const struct limited *limited)
{
	/* no list of repos: all of them */
	return !limited->limits.repos || !limited->limits.repos->n;
}

static bool shows(const struct limited *limited, const char *repo)
{
	for (size_t i = 0; limited->limits.repos && i < limited->limits.repos->n; i++)
		if (!strcmp(limited->limits.repos->v[i], repo))
			return true;
	return all_repos(limited);
}

static int refuse(const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EUSAGE, "this store does not allow that here: %s", what);
}

/* --- what may be known --------------------------------------------------- */

static void know_tree(struct limited *limited, const struct vt_digest *id)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree_line line;
	const char *at = NULL;

	/* seen before, and with it all below */
	if (!vt_digest_set_add(&limited->known, id))
		return;
	/* a tree that cannot be read is known, what it names is not */
	vt_store_tree_text(limited->s, &text, &at, id, &none);
	while (at && vt_tree_line_next(&at, &line, &none) > 0)
		if (line.type == 'd')
			know_tree(limited, &line.digest);
		else
			vt_digest_set_add(&limited->known, &line.digest);
	vt_buf_release(&text);
}

/* With the digests that a run's provenance names: the list of its datums. */
static int know_commit(void *ctx, const struct vt_commit *c, struct vt_err *err)
{
	struct limited *l = ctx;
	struct vt_digest id;

	(void)err;
	if (vt_digest_parse(&id, c->id))
		vt_digest_set_add(&l->known, &id);
	if (vt_digest_parse(&id, c->tree))
		know_tree(l, &id);
	return 0;
}

static int know_records(struct limited *limited, const struct vt_refs *refs, struct vt_err *err)
{
	struct vt_strs trees = VT_STRS_INIT, records = VT_STRS_INIT;
	int rc = 0;

	/* Records are looked for from the heads alone; of older trees they come by
	 * limited_vouchers(). */
	for (size_t i = 0; !rc && i < refs->n; i++) {
		struct vt_commit c = { .id = "" };

		if (shows(limited, refs->v[i].repo)) {
			rc = vt_commit_read(limited->s, &c, refs->v[i].commit, err);
			if (!rc)
				vt_strs_add(&trees, c.tree);
		}
		vt_commit_release(&c);
	}
	if (!rc)
		rc = vt_transfer_vouchers(limited->s, &records, &trees, err);
	for (size_t i = 0; i < records.n; i++) {
		struct vt_digest id;

		if (vt_digest_parse(&id, records.v[i]))
			vt_digest_set_add(&limited->known, &id);
	}
	vt_strs_release(&trees);
	vt_strs_release(&records);
	return rc;
}

static int count(struct limited *limited, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_strs tips = VT_STRS_INIT;
	int rc;

	if (limited->counted || all_repos(limited))
		return 0;
	rc = vt_refs_list(&refs, limited->s, NULL, err);
	for (size_t i = 0; !rc && i < refs.n; i++)
		if (shows(limited, refs.v[i].repo))
			vt_strs_add(&tips, refs.v[i].commit);
	if (!rc)
		rc = vt_repo_walk(limited->s, &tips, know_commit, limited, err);
	if (!rc)
		rc = know_records(limited, &refs, err);
	limited->counted = !rc;
	vt_strs_release(&tips);
	vt_refs_release(&refs);
	return rc;
}

/* An id, or "KIND ID". */
static bool knows(const struct limited *limited, const char *name)
{
	const char *space = strchr(name, ' ');
	struct vt_digest id;

	return all_repos(limited) ||
		(vt_digest_parse(&id, space ? space + 1 : name) &&
			vt_digest_set_has(&limited->known, &id));
}

static void sift(const struct limited *limited, const struct vt_strs *names, struct vt_strs *known,
	struct vt_strs *others)
{
	for (size_t i = 0; i < names->n; i++)
		if (knows(limited, names->v[i]))
			vt_strs_add(known, names->v[i]);
		else if (others)
			vt_strs_add(others, names->v[i]);
}

/* --- requests ------------------------------------------------------------ */

static int limited_refs(struct vt_peer *peer, struct vt_refs *out, const char *repo,
	struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;
	struct vt_refs all = { NULL, 0, 0 };
	int rc = l->inner->ops->refs(l->inner, &all, repo, err);

	for (size_t i = 0; !rc && i < all.n; i++)
		if (shows(l, all.v[i].repo))
			vt_refs_add(out, all.v[i].repo, all.v[i].name, all.v[i].commit);
	vt_refs_release(&all);
	return rc;
}

/* Asked of what may be known only. */
static int ask(struct limited *limited, vt_listing listing, struct vt_strs *out,
	const struct vt_strs *names, struct vt_strs *others, struct vt_err *err)
{
	struct vt_strs known = VT_STRS_INIT;
	int rc = count(limited, err);

	sift(limited, names, &known, others);
	if (!rc)
		rc = listing(limited->inner, out, &known, err);
	vt_strs_release(&known);
	return rc;
}

static int limited_history(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *tips,
	struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;

	return ask(l, l->inner->ops->history, out, tips, NULL, err);
}

/* What may not be known is lacking: it is sent, and found equal. */
static int limited_missing(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;

	return ask(l, l->inner->ops->missing, out, names, out, err);
}

static int limited_unsound(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;

	return ask(l, l->inner->ops->unsound, out, names, NULL, err);
}

static int limited_vouchers(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *trees,
	struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;
	struct vt_strs found = VT_STRS_INIT;
	int rc = ask(l, l->inner->ops->vouchers, &found, trees, NULL, err);

	/* of older commits, too: who may read a tree may read what it was made by */
	for (size_t i = 0; !rc && i < found.n; i++) {
		struct vt_digest id;

		if (vt_digest_parse(&id, found.v[i]))
			vt_digest_set_add(&l->known, &id);
		vt_strs_add(out, found.v[i]);
	}
	vt_strs_release(&found);
	return rc;
}

static int limited_erased(struct vt_peer *peer, struct vt_strs *out, const struct vt_strs *names,
	struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;

	return ask(l, l->inner->ops->erased, out, names, NULL, err);
}

static int limited_bury(struct vt_peer *peer, const char *line, const char *who, struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;

	if (l->limits.append_only)
		return refuse("it only takes things in (--append-only), no erasures", err);
	return l->inner->ops->bury(l->inner, line, who, err);
}

static int limited_get(struct vt_peer *peer, const struct vt_strs *names, vt_sink sink, void *ctx,
	struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;
	int rc = count(l, err);

	for (size_t i = 0; !rc && i < names->n; i++)
		if (!knows(l, names->v[i]))
			rc = vt_err_set(err, VT_ENOINPUT,
				"%.100s: not part of the repos shown here", names->v[i]);
	return rc ? rc : l->inner->ops->get(l->inner, names, sink, ctx, err);
}

/* A result is named by a key and takes the place of another: where nothing is replaced the first
 * one stays. */
static int limited_put(struct vt_peer *peer, const char *name, uint64_t size,
	struct vt_reader *reader, struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;
	const char *id = strchr(name, ' ');
	struct vt_digest d;
	int rc = count(l, err);

	if (!rc && !strncmp(name, "results ", 8) && (l->limits.append_only || !all_repos(l)))
		return refuse("results are taken in nowhere but with every right", err);
	/* what was put may be named by what follows */
	if (!rc && id && vt_digest_parse(&d, id + 1))
		vt_digest_set_add(&l->known, &d);
	return rc ? rc : l->inner->ops->put(l->inner, name, size, reader, err);
}

static int limited_flush(struct vt_peer *peer, struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;

	return l->inner->ops->flush(l->inner, err);
}

static int limited_move(struct vt_peer *peer, const char *repo, const char *name, const char *from,
	const char *to, bool force, struct vt_err *err)
{
	struct limited *l = (struct limited *)peer;

	if (!shows(l, repo))
		return refuse("it is of other repos (--repo)", err);
	/* a branch is moved to what is known only: an id alone opens nothing */
	if (!knows(l, to))
		return vt_err_set(err, VT_ENOINPUT, "%.16s: not a commit of the repos shown here",
			to);
	if (l->limits.append_only && force)
		return refuse("branches move forward only and tags stay (--append-only)", err);
	return l->inner->ops->move(l->inner, repo, name, from, to, force, err);
}

static void limited_close(struct vt_peer *peer)
{
	struct limited *l = (struct limited *)peer;

	vt_peer_close(l->inner);
	vt_digest_set_release(&l->known);
	free(l);
}

static const struct vt_peer_ops ops = { limited_refs, limited_history, limited_missing,
	limited_unsound, limited_vouchers, limited_erased, limited_bury, limited_get, limited_put,
	limited_flush, limited_move, limited_close };

struct vt_peer *vt_peer_limited(struct vt_peer *inner, struct vt_store *store,
	const struct vt_peer_limits *limits)
{
	struct limited *l = vt_xcalloc(1, sizeof(*l));

	l->peer = (struct vt_peer){ &ops, inner->said, inner->foreign };
	l->inner = inner;
	l->s = store;
	l->limits = *limits;
	return &l->peer;
}
