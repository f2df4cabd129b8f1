#include "common/transfer/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "common/store/store_internal.h"
#include "common/store/tree_check.h"
#include "common/transfer/transfer_internal.h"

enum {
	FLUSH_OBJECTS = 1000, /* what an interruption can cost at most */
};
/* of a thousand small files or some large ones, whichever comes first */
static const uint64_t flush_bytes = 64u << 20;

void vt_transfer_release(struct vt_transfer *transfer)
{
	vt_refs_release(&transfer->moved);
	vt_strs_release(&transfer->ahead);
}

static void add_name(struct vt_strs *list, const char *kind, const char *id)
{
	char *name = vt_asprintf("%s %s", kind, id);

	vt_strs_add(list, name);
	free(name);
}

/* --- what is lacking ----------------------------------------------------- */

struct lack {
	struct vt_transfer_texts commits, trees;
	struct vt_strs roots;            /* tree ids of the commits */
	struct vt_strs heads;            /* tree ids whose records go along */
	struct vt_strs objects, records; /* names */
	/* lines of objects that the source has no more, by decision */
	struct vt_strs erased;
	/* names of what the destination should have, and has lost or damaged; sorted */
	struct vt_strs unsound;
	struct vt_lacking_results results, signatures;
};

static void lack_release(struct lack *lack)
{
	vt_transfer_texts_release(&lack->commits);
	vt_transfer_texts_release(&lack->trees);
	vt_strs_release(&lack->roots);
	vt_strs_release(&lack->heads);
	vt_strs_release(&lack->objects);
	vt_strs_release(&lack->records);
	vt_strs_release(&lack->erased);
	vt_strs_release(&lack->unsound);
	vt_lacking_results_release(&lack->results);
	vt_lacking_results_release(&lack->signatures);
}

/* Of the kind. */
static void add_unsound(const struct lack *lack, const char *kind, struct vt_strs *names)
{
	size_t n = strlen(kind);

	for (size_t i = 0; i < lack->unsound.n; i++)
		if (!strncmp(lack->unsound.v[i], kind, n) && lack->unsound.v[i][n] == ' ')
			vt_strs_add(names, lack->unsound.v[i]);
	vt_strs_unique(names);
}

/* Of the names, sorted, those that are not lacking: what is wrong behind them. */
static int find_unsound(struct lack *lack, struct vt_peer *from, struct vt_peer *to,
	const struct vt_strs *all, struct vt_strs *lacking, struct vt_err *err)
{
	struct vt_strs there = VT_STRS_INIT, unsound = VT_STRS_INIT;
	size_t k = 0;
	int rc;

	/* both lists are sorted: one pass */
	vt_strs_unique(lacking);
	for (size_t i = 0; i < all->n; i++) {
		while (k < lacking->n && strcmp(lacking->v[k], all->v[i]) < 0)
			k++;
		if (k == lacking->n || strcmp(lacking->v[k], all->v[i]))
			vt_strs_add(&there, all->v[i]);
	}
	rc = vt_transfer_ask(to, to->ops->unsound, &unsound, &there, err);
	if (!rc && to->foreign)
		rc = vt_transfer_check_reached(from, to, &there, &unsound, err);
	for (size_t i = 0; !rc && i < unsound.n; i++)
		vt_strs_add(&lack->unsound, unsound.v[i]);
	vt_strs_unique(&lack->unsound);
	vt_strs_release(&unsound);
	vt_strs_release(&there);
	return rc;
}

static int find_commits(struct lack *lack, struct vt_peer *from, struct vt_peer *to,
	const struct vt_strs *tips, struct vt_err *err)
{
	struct vt_strs all = VT_STRS_INIT, names = VT_STRS_INIT, lacking = VT_STRS_INIT;
	int rc = from->ops->history(from, &all, tips, err);

	vt_strs_unique(&all);
	for (size_t i = 0; !rc && i < all.n; i++)
		add_name(&names, "commits", all.v[i]);
	vt_strs_release(&all);
	if (!rc)
		rc = vt_transfer_missing(to, &lacking, &names, err);
	if (!rc)
		rc = find_unsound(lack, from, to, &names, &lacking, err);
	add_unsound(lack, "commits", &lacking);
	if (!rc)
		rc = vt_transfer_get(from, &lacking, vt_transfer_keep_text, &lack->commits, err);
	for (size_t i = 0; !rc && i < lack->commits.n; i++) {
		struct vt_transfer_text *node = &lack->commits.v[i];
		struct vt_commit c = { .id = "" };

		rc = vt_commit_parse(&c, node->text.data, node->text.len, node->name, err);
		if (rc)
			break;
		vt_strs_add(&lack->roots, c.tree);
		for (size_t k = 0; k < c.parents.n; k++)
			/* parents go first, see vt_transfer_put_in_order() */
			add_name(&node->needs, "commits", c.parents.v[k]);
		vt_commit_release(&c);
	}
	vt_strs_unique(&lack->roots);
	vt_strs_release(&names);
	vt_strs_release(&lacking);
	return rc;
}

/* The entries of a tree: subtrees go to `below` and its own needs, files to the objects. */
static int read_entries(struct lack *lack, struct vt_transfer_text *node, struct vt_strs *below,
	struct vt_err *err)
{
	const char *at = strchr(node->text.data, '\n');
	struct vt_tree_line line;
	int more = 0;

	/* behind the header line */
	for (at = at ? at + 1 : ""; (more = vt_tree_line_next(&at, &line, err)) > 0;) {
		char id[VT_HEX];

		vt_digest_hex(id, &line.digest);
		if (line.type == 'd') {
			add_name(&node->needs, "trees", id);
			add_name(below, "trees", id);
		} else {
			add_name(&lack->objects, "objects", id);
		}
	}
	return more < 0 ? vt_err_prefix(err, "%s", node->name) : 0;
}

/* Level by level, going below a tree only where the destination lacks it.  A tree met again on a
 * deeper level is asked for once: the names seen so far are kept sorted.  What a damaged text of
 * the destination names it cannot know, so it is asked on every level then. */
static int find_trees(struct lack *lack, struct vt_peer *from, struct vt_peer *to,
	struct vt_err *err)
{
	struct vt_strs level = VT_STRS_INIT;
	size_t depth = 0;
	int rc = 0;

	for (size_t i = 0; i < lack->roots.n; i++)
		add_name(&level, "trees", lack->roots.v[i]);
	add_unsound(lack, "trees", &level);
	while (!rc && level.n) {
		struct vt_strs lacking = VT_STRS_INIT, fresh = VT_STRS_INIT, below = VT_STRS_INIT;
		size_t before = lack->trees.n;

		/* a name and a slash each */
		if (++depth > VT_TREE_PATH / 2)
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: %s lies deeper than a path of %d bytes can go", from->said,
				level.v[0], VT_TREE_PATH);
		if (!rc)
			rc = vt_transfer_missing(to, &lacking, &level, err);
		if (!rc && lack->unsound.n)
			rc = find_unsound(lack, from, to, &level, &lacking, err);
		add_unsound(lack, "trees", &lacking);
		/* sorted for the search; those that arrive are appended, from `before` on */
		vt_transfer_texts_sort(&lack->trees);
		for (size_t i = 0; i < lacking.n; i++)
			if (!vt_transfer_texts_find(&lack->trees, lacking.v[i]))
				vt_strs_add(&fresh, lacking.v[i]);
		if (!rc)
			rc = vt_transfer_get(from, &fresh, vt_transfer_keep_text, &lack->trees,
				err);
		for (size_t i = before; !rc && i < lack->trees.n; i++)
			rc = read_entries(lack, &lack->trees.v[i], &below, err);
		vt_strs_unique(&below);
		vt_strs_release(&lacking);
		vt_strs_release(&fresh);
		vt_strs_release(&level);
		/* next is a level deeper */
		level = below;
	}
	vt_strs_release(&level);
	return rc;
}

/* Takes those objects out of the list that were erased where they should come from. */
static int set_erased_apart(struct lack *lack, struct vt_peer *from, struct vt_strs *objects,
	struct vt_err *err)
{
	struct vt_strs asked = VT_STRS_INIT;
	size_t kept = 0, e = 0;
	int rc;

	rc = vt_transfer_ask(from, from->ops->erased, &lack->erased, objects, err);
	vt_strs_sort(&lack->erased);
	/* Both lists are sorted by digest.  What was not asked for is nobody's business here. */
	for (size_t i = 0; i < objects->n; i++) {
		const char *id = strchr(objects->v[i], ' ') + 1;

		while (e < lack->erased.n && strncmp(lack->erased.v[e], id, VT_HEX - 1) < 0)
			e++;
		if (e < lack->erased.n && !strncmp(lack->erased.v[e], id, VT_HEX - 1)) {
			vt_strs_add(&asked, lack->erased.v[e]);
			/* taken out of the list, which owns it */
			free(objects->v[i]);
		} else {
			objects->v[kept++] = objects->v[i];
		}
	}
	vt_strs_release(&lack->erased);
	lack->erased = asked;
	objects->n = kept;
	return rc;
}

/* The trees of the wanted heads, for records that came to them since they were sent. */
static int find_heads(struct lack *lack, struct vt_peer *from, const struct vt_strs *tips,
	struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_transfer_texts g = { NULL, 0, 0 };
	int rc;

	for (size_t i = 0; i < tips->n; i++)
		add_name(&names, "commits", tips->v[i]);
	rc = vt_transfer_get(from, &names, vt_transfer_keep_text, &g, err);
	for (size_t i = 0; !rc && i < g.n; i++) {
		struct vt_commit c = { .id = "" };

		rc = vt_commit_parse(&c, g.v[i].text.data, g.v[i].text.len, g.v[i].name, err);
		if (!rc)
			vt_strs_add(&lack->heads, c.tree);
		vt_commit_release(&c);
	}
	vt_strs_release(&names);
	vt_transfer_texts_release(&g);
	return rc;
}

static int find_rest(struct lack *lack, struct vt_peer *from, struct vt_peer *to,
	struct vt_err *err)
{
	struct vt_strs objects = VT_STRS_INIT, vouchers = VT_STRS_INIT, records = VT_STRS_INIT;
	int rc;

	vt_strs_unique(&lack->objects);
	rc = vt_transfer_missing(to, &objects, &lack->objects, err);
	add_unsound(lack, "objects", &objects);
	if (!rc)
		rc = set_erased_apart(lack, from, &objects, err);
	/* records go along with every commit's tree that goes, and with the heads' */
	for (size_t i = 0; i < lack->roots.n; i++)
		vt_strs_add(&lack->heads, lack->roots.v[i]);
	vt_strs_unique(&lack->heads);
	if (!rc && lack->heads.n)
		rc = from->ops->vouchers(from, &vouchers, &lack->heads, err);
	if (!rc)
		rc = vt_transfer_find_signatures(&lack->signatures, from, to, &vouchers, err);
	for (size_t i = 0; !rc && i < vouchers.n; i++)
		add_name(&records, "records", vouchers.v[i]);
	if (!rc)
		rc = vt_transfer_missing(to, &lack->records, &records, err);
	vt_strs_release(&vouchers);
	vt_strs_release(&records);
	vt_strs_release(&lack->objects);
	lack->objects = objects;
	return rc;
}

/* --- sending ------------------------------------------------------------- */

struct sending {
	struct vt_peer *to;
	uint64_t bytes; /* since the last flush */
	size_t n;
	struct vt_transfer *t;
};

static int pass_on(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	struct sending *s = ctx;

	if (s->to->ops->put(s->to, name, size, reader, err))
		return err->code;
	s->t->bytes += size;
	s->bytes += size;
	/* a flush checks and publishes: what was flushed need not come again */
	if (++s->n < FLUSH_OBJECTS && s->bytes < flush_bytes)
		return 0;
	s->n = 0;
	s->bytes = 0;
	return s->to->ops->flush(s->to, err);
}

static int send_all(struct vt_transfer *transfer, struct lack *lack, struct vt_peer *from,
	struct vt_peer *to, bool new_commits, struct vt_err *err)
{
	struct sending s = { to, 0, 0, transfer };
	uint64_t bytes;
	int rc = vt_transfer_get(from, &lack->objects, pass_on, &s, err);

	if (!rc)
		rc = to->ops->flush(to, err);
	/* records and signatures are not counted: a summary tells of data */
	bytes = transfer->bytes;
	if (!rc)
		rc = vt_transfer_put_results(&lack->signatures, to, err);
	if (!rc)
		rc = vt_transfer_get(from, &lack->records, pass_on, &s, err);
	transfer->bytes = bytes;
	/* tombstones before the trees that name what is erased, or the trees would be refused */
	for (size_t i = 0; !rc && i < lack->erased.n; i++)
		rc = to->ops->bury(to, lack->erased.v[i], from->said, err);
	if (!rc)
		rc = vt_transfer_put_in_order(&lack->trees, to, err);
	if (!rc)
		rc = vt_transfer_put_results(&lack->results, to, err);
	if (!rc)
		rc = vt_transfer_put_in_order(&lack->commits, to, err);
	transfer->n_commits = lack->commits.n;
	transfer->n_trees = lack->trees.n;
	transfer->n_objects = lack->objects.n;
	transfer->n_records = lack->records.n;
	transfer->n_erased = lack->erased.n;
	transfer->n_results = lack->results.n;
	transfer->n_signed = lack->signatures.n;
	/* without new commits all that went is what the destination had lost */
	transfer->n_healed = new_commits || transfer->n_results
		? lack->unsound.n
		: transfer->n_commits + transfer->n_trees + transfer->n_objects;
	return rc ? rc : to->ops->flush(to, err);
}

/* --- refs ---------------------------------------------------------------- */

/* Does `tip`, a commit of peer, descend from `ancestor`? */
static int descends(struct vt_peer *peer, const char *tip, const char *ancestor, bool *yes,
	struct vt_err *err)
{
	struct vt_strs tips = VT_STRS_INIT, all = VT_STRS_INIT;
	int rc;

	vt_strs_add(&tips, tip);
	rc = peer->ops->history(peer, &all, &tips, err);
	*yes = false;
	for (size_t i = 0; !rc && !*yes && i < all.n; i++)
		*yes = !strcmp(all.v[i], ancestor);
	vt_strs_release(&tips);
	vt_strs_release(&all);
	return rc;
}

static bool wanted(const struct vt_transfer *transfer, const struct vt_ref *ref)
{
	return (!transfer->repo || !strcmp(ref->repo, transfer->repo)) &&
		(!transfer->name || !strcmp(ref->name, transfer->name) ||
			!strcmp(strchr(ref->name, '/') + 1, transfer->name));
}

/* A ref that would move: forward, or the destination is ahead already, or not at all. */
static int plan_one(struct vt_transfer *transfer, struct vt_refs *plan, struct vt_peer *from,
	struct vt_peer *to, const struct vt_ref *ref, const char *at, struct vt_err *err)
{
	const char *word = strchr(ref->name, '/') + 1;
	bool forward = !at || transfer->force, behind = false;
	int rc = 0;

	if (at && !strcmp(at, ref->commit))
		return 0;
	if (!forward && !strncmp(ref->name, "heads/", 6)) {
		rc = descends(from, ref->commit, at, &forward, err);
		/* backward, then: does the destination's hold ours? */
		if (!rc && !forward)
			rc = descends(to, at, ref->commit, &behind, err);
	}
	if (rc)
		return rc;
	if (forward) {
		vt_refs_add(plan, ref->repo, ref->name, ref->commit);
	} else if (behind) {
		char *said = vt_asprintf("%s@%s", ref->repo, word);

		vt_strs_add(&transfer->ahead, said);
		free(said);
	} else {
		rc = vt_err_set(err, VT_EFAIL,
			"%s@%s is %.16s in %s and %.16s in %s, and neither holds the other's "
			"history; commit on top of one of them, or --force gives up the one in %s",
			ref->repo, word, ref->commit, from->said, at, to->said, to->said);
	}
	return rc;
}

static int plan(struct vt_transfer *transfer, struct vt_refs *out, struct vt_refs *there,
	struct vt_peer *from, struct vt_peer *to, struct vt_err *err)
{
	struct vt_refs here = { NULL, 0, 0 };
	size_t n = 0;
	int rc = from->ops->refs(from, &here, transfer->repo, err);

	if (!rc)
		rc = to->ops->refs(to, there, transfer->repo, err);
	for (size_t i = 0; !rc && i < here.n; i++)
		if (wanted(transfer, &here.v[i])) {
			n++;
			rc = plan_one(transfer, out, from, to, &here.v[i],
				vt_refs_at(there, here.v[i].repo, here.v[i].name), err);
		}
	if (!rc && !n)
		rc = vt_err_set(err, VT_ENOINPUT, "%s has no %s%s%s", from->said,
			transfer->repo ? transfer->repo : "repo", transfer->name ? "@" : "",
			transfer->name ? transfer->name : "");
	vt_refs_release(&here);
	return rc;
}

/* The commits that the wanted refs of the source name, whether they move or not. */
static int wanted_commits(const struct vt_transfer *transfer, struct vt_strs *out,
	struct vt_peer *from, struct vt_err *err)
{
	struct vt_refs here = { NULL, 0, 0 };
	int rc = from->ops->refs(from, &here, transfer->repo, err);

	for (size_t i = 0; !rc && i < here.n; i++)
		if (wanted(transfer, &here.v[i]))
			vt_strs_add(out, here.v[i].commit);
	vt_strs_unique(out);
	vt_refs_release(&here);
	return rc;
}

static int find_results(const struct vt_transfer *transfer, struct lack *lack, struct vt_peer *from,
	struct vt_peer *to, struct vt_err *err)
{
	struct vt_strs commits = VT_STRS_INIT;
	int rc = wanted_commits(transfer, &commits, from, err);

	if (!rc)
		rc = vt_transfer_find_results(&lack->results, from, to, &commits, &lack->objects,
			&lack->roots, err);
	vt_strs_release(&commits);
	return rc;
}

int vt_transfer_run(struct vt_transfer *transfer, struct vt_peer *from, struct vt_peer *to,
	struct vt_err *err)
{
	struct vt_refs todo = { NULL, 0, 0 }, there = { NULL, 0, 0 };
	struct vt_strs tips = VT_STRS_INIT;
	struct lack l = { .roots = VT_STRS_INIT };
	int rc = plan(transfer, &todo, &there, from, to, err);

	if (!rc)
		rc = wanted_commits(transfer, &tips, from, err);
	if (!rc)
		rc = find_commits(&l, from, to, &tips, err);
	if (!rc)
		rc = find_heads(&l, from, &tips, err);
	if (!rc && transfer->results)
		rc = find_results(transfer, &l, from, to, err);
	if (!rc)
		rc = find_trees(&l, from, to, err);
	if (!rc)
		rc = find_rest(&l, from, to, err);
	if (!rc &&
		(todo.n || l.results.n || l.records.n || l.commits.n || l.trees.n || l.objects.n ||
			l.erased.n || l.signatures.n))
		rc = send_all(transfer, &l, from, to, todo.n != 0, err);
	for (size_t i = 0; !rc && i < todo.n; i++) {
		const struct vt_ref *r = &todo.v[i];
		/* where the ref stood when the plan was made; a move since is refused there */
		const char *at = vt_refs_at(&there, r->repo, r->name);

		rc = to->ops->move(to, r->repo, r->name, at ? at : "", r->commit, transfer->force,
			err);
		if (!rc)
			vt_refs_add(&transfer->moved, r->repo, r->name, r->commit);
	}
	lack_release(&l);
	vt_strs_release(&tips);
	vt_refs_release(&todo);
	vt_refs_release(&there);
	return rc;
}
