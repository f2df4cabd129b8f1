/* Appending commits, naming them, walking them.
 *
 * A commit is composed on the branch's head, stored under its own digest and then named, all under
 * the store's lock and after in-use, so the head cannot move in between; the git mirror follows
 * when the lock is free again.  Walks go breadth first from the tips, each commit once, whatever
 * the number of ways to it; a parent that is missing is VT_EINTEGRITY. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/fs.h"
#include "common/content/digest_set.h"
#include "common/store/git_mirror.h"
#include "common/store/repo_internal.h"

/* --- committing ---------------------------------------------------------- */

static int now(int64_t *out, struct vt_err *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	char *end;

	*out = (int64_t)time(NULL);
	if (!epoch || !*epoch)
		return 0;
	/* git's and Debian's variable: commits of equal content have equal ids */
	*out = strtoll(epoch, &end, 10);
	if (*end || *out < 0)
		return vt_err_set(err, VT_EUSAGE,
			"SOURCE_DATE_EPOCH=%s: must be a whole number of seconds since 1970",
			epoch);
	return 0;
}

/* The bytes of a commit on top of `head` ("" for none). */
static int compose(struct vt_commit *commit, struct vt_buf *text, const char *head,
	const struct vt_digest *tree, const struct vt_commit_note *note, struct vt_err *err)
{
	int rc = now(&commit->time, err);

	vt_digest_hex(commit->tree, tree);
	if (*head)
		vt_strs_add(&commit->parents, head);
	commit->message = vt_xstrdup(note->message ? note->message : "");
	commit->author = vt_xstrdup(note->author ? note->author : "");
	commit->provenance = vt_xstrdup(note->provenance ? note->provenance : "");
	commit->source = vt_xstrdup(note->source ? note->source : "");
	return rc ? rc : vt_commit_write(text, commit, err);
}

static bool same_work(const struct vt_commit *head, const struct vt_commit *commit)
{
	/* Content that a command chose by default is confirmed by a commit by hand: that is new
	 * work. */
	return !strcmp(head->tree, commit->tree) && !strcmp(head->provenance, commit->provenance) &&
		(!vt_commit_by_default(head) || vt_commit_by_default(commit));
}

/* What a run made is made again by the next one: a commit by hand on top of it would be another
 * truth about the same branch until then. */
static int refuse_over_output(const struct vt_commit *head, const struct vt_commit *commit,
	const char *repo, const char *name, struct vt_err *err)
{
	/* only over a commit with provenance, and only by one without */
	if (!*head->id || !*head->provenance || *commit->provenance ||
		!strcmp(head->tree, commit->tree))
		return 0;
	return vt_err_set(err, VT_EUSAGE,
		"%s@%s is written by a pipeline, whose next run would replace this commit; "
		"commit to another repo or branch",
		repo, strchr(name, '/') + 1);
}

static int append(struct vt_store *store, struct vt_commit *out, bool *made, const char *repo,
	const char *name, const struct vt_digest *tree, const struct vt_commit_note *note,
	struct vt_err *err)
{
	struct vt_commit head = { .id = "" }, c = { .id = "" }, parsed = { .id = "" };
	struct vt_buf text = VT_BUF_INIT;
	char at[VT_HEX] = "";
	int rc = vt_ref_read(store, at, repo, name, err);

	assert(store->lock_depth > 0);
	if (rc == VT_ENOINPUT)
		rc = 0;
	if (!rc && *at)
		rc = vt_commit_read(store, &head, at, err);
	if (!rc)
		rc = compose(&c, &text, at, tree, note, err);
	/* read back, so that provenance is compared and returned in its canonical form */
	if (!rc)
		rc = vt_commit_parse(&parsed, text.data, text.len, "commit", err);
	/* onto: the caller composed its tree on that head */
	if (!rc && note->onto && strcmp(note->onto, at))
		rc = vt_err_set(err, VT_EFAIL, "%s@%s has moved meanwhile", repo,
			strchr(name, '/') + 1);
	if (!rc)
		rc = refuse_over_output(&head, &parsed, repo, name, err);
	/* An empty commit is made only if it is asked for. */
	*made = !rc && (!*at || note->allow_empty || !same_work(&head, &parsed));
	if (!rc && *made)
		rc = vt_commit_put(store, &parsed, &text, err);
	if (!rc && *made)
		rc = vt_ref_write(store, repo, name, at, parsed.id, err);
	/* the caller gets the new commit, or the head that has the same work */
	if (!rc) {
		struct vt_commit *keep = *made ? &parsed : &head;

		*out = *keep;
		*keep = (struct vt_commit){ .id = "" };
	}
	vt_commit_release(&head);
	vt_commit_release(&parsed);
	vt_commit_release(&c);
	vt_buf_release(&text);
	return rc;
}

int vt_repo_commit(struct vt_store *store, struct vt_commit *out, bool *made, const char *repo,
	const char *branch, const struct vt_digest *tree, const struct vt_commit_note *note,
	struct vt_err *err)
{
	char *name, *path;
	bool wrote = false;
	int rc = 0;

	if (!vt_repo_name_is_good(repo) || !vt_ref_name_is_good(branch))
		return vt_err_set(err, VT_EUSAGE,
			"\"%s@%s\": names of repos are 1 to 63 letters, digits, _ and -, of "
			"branches also single dots inside",
			repo, branch);
	path = vt_store_path(store, "trees", tree);
	if (!vt_fs_exists(path))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: the tree to commit is not in the store",
			path);
	free(path);
	if (!rc)
		rc = vt_store_use(store, err); /* before the lock, as gc takes them */
	if (!rc)
		rc = vt_store_lock(store, err);
	if (rc)
		return rc;
	name = vt_asprintf("heads/%s", branch);
	rc = append(store, out, &wrote, repo, name, tree, note, err);
	vt_store_unlock(store);
	/* after the lock: the mirror may take long, and a failure of it is only logged */
	if (wrote)
		vt_git_mirror_try(store, repo);
	free(name);
	if (made)
		*made = wrote;
	return rc;
}

int vt_ref_move(struct vt_store *store, const char *repo, const char *name, const char *from,
	const char *to, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	/* `to` must be a commit of this store */
	int rc = *to ? vt_commit_read(store, &c, to, err) : 0;

	vt_commit_release(&c);
	if (!rc)
		rc = vt_store_use(store, err); /* before the lock, as gc takes them */
	if (!rc)
		rc = vt_store_lock(store, err);
	if (rc)
		return rc;
	rc = vt_ref_write(store, repo, name, from, to, err);
	vt_store_unlock(store);
	if (!rc)
		vt_git_mirror_try(store, repo);
	return rc;
}

/* --- walks --------------------------------------------------------------- */

/* Of a commit that something here names. */
static int read_named(struct vt_store *store, struct vt_commit *out, const char *id,
	struct vt_err *err)
{
	int rc = vt_commit_read(store, out, id, err);

	if (rc == VT_ENOINPUT)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: commit %s is missing; pull it from a copy of the store", store->dir,
			id);
	return rc;
}

static void queue(struct vt_digest_set *set, struct vt_strs *todo, const char *id)
{
	struct vt_digest d;

	/* each id once: todo grows, seen never repeats */
	if (vt_digest_parse(&d, id) && vt_digest_set_add(set, &d))
		vt_strs_add(todo, id);
}

int vt_repo_walk(struct vt_store *store, const struct vt_strs *tips, vt_commit_fn fn, void *ctx,
	struct vt_err *err)
{
	struct vt_digest_set seen = VT_DIGEST_SET_INIT;
	struct vt_strs todo = VT_STRS_INIT;
	int rc = 0;

	for (size_t i = 0; i < tips->n; i++)
		queue(&seen, &todo, tips->v[i]);
	/* todo grows while it is walked: breadth first */
	for (size_t i = 0; !rc && i < todo.n; i++) {
		struct vt_commit c = { .id = "" };

		rc = read_named(store, &c, todo.v[i], err);
		for (size_t k = 0; !rc && k < c.parents.n; k++)
			queue(&seen, &todo, c.parents.v[k]);
		if (!rc)
			rc = fn(ctx, &c, err);
		vt_commit_release(&c);
	}
	vt_strs_release(&todo);
	vt_digest_set_release(&seen);
	return rc;
}

int vt_repo_walk_all(struct vt_store *store, vt_commit_fn fn, void *ctx, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_strs tips = VT_STRS_INIT;
	int rc = vt_refs_list(&refs, store, NULL, err);

	for (size_t i = 0; i < refs.n; i++)
		vt_strs_add(&tips, refs.v[i].commit);
	if (!rc)
		rc = vt_repo_walk(store, &tips, fn, ctx, err);
	vt_strs_release(&tips);
	vt_refs_release(&refs);
	return rc;
}

struct each {
	struct vt_store *s;
	vt_commit_fn fn;
	void *ctx;
};

static int each_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	const struct each *e = ctx;
	struct vt_commit c = { .id = "" };
	char id[VT_HEX];
	int rc;

	if (type != 'f' || !vt_store_hex_of_name(id, rel))
		return 0;
	rc = vt_commit_read(e->s, &c, id, err);
	if (!rc)
		rc = e->fn(e->ctx, &c, err);
	vt_commit_release(&c);
	return rc;
}

int vt_repo_each_commit(struct vt_store *store, vt_commit_fn fn, void *ctx, struct vt_err *err)
{
	struct each e = { store, fn, ctx };
	char *dir = vt_path_join(store->dir, "commits");
	int rc = vt_fs_is_dir(dir) ? vt_fs_walk(dir, each_file, &e, err) : 0;

	free(dir);
	return rc;
}

enum { FOUND = -1 }; /* no error code, all of which are positive */

static int is_wanted(void *ctx, const struct vt_commit *commit, struct vt_err *err)
{
	(void)err;
	/* stops the walk */
	return strcmp(commit->id, ctx) ? 0 : FOUND;
}

static int reaches(struct vt_store *store, const struct vt_strs *tips, const char *id, bool *yes,
	struct vt_err *err)
{
	char *wanted = vt_xstrdup(id);
	int rc = vt_repo_walk(store, tips, is_wanted, wanted, err);

	free(wanted);
	*yes = rc == FOUND;
	return rc == FOUND ? 0 : rc;
}

int vt_repo_descends(struct vt_store *store, const char *of, const char *ancestor, bool *yes,
	struct vt_err *err)
{
	struct vt_strs tips = VT_STRS_INIT;
	int rc;

	vt_strs_add(&tips, of);
	rc = reaches(store, &tips, ancestor, yes, err);
	vt_strs_release(&tips);
	return rc;
}

/* --- names of commits ---------------------------------------------------- */

bool vt_repo_exists(struct vt_store *store, const char *repo)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_refs refs = { NULL, 0, 0 };
	bool there =
		vt_repo_name_is_good(repo) && !vt_refs_list(&refs, store, repo, &none) && refs.n;

	vt_refs_release(&refs);
	return there;
}

/* What REPO@WORD may mean. */
struct meaning {
	/* said: how each is written so that it means only this */
	struct vt_strs id, said;
};

static void mean(struct meaning *meaning, const char *id, const char *repo, const char *word)
{
	char *said;

	for (size_t i = 0; i < meaning->id.n; i++)
		if (!strcmp(meaning->id.v[i], id))
			return;
	said = vt_asprintf("%s@%s", repo, word);
	vt_strs_add(&meaning->id, id);
	vt_strs_add(&meaning->said, said);
	free(said);
}

static int add_prefixed(struct meaning *meaning, struct vt_store *store, const struct vt_strs *tips,
	const char *repo, const char *word, struct vt_err *err)
{
	char *dir;
	struct vt_strs names = VT_STRS_INIT;
	size_t n = strlen(word);
	int rc;

	/* as much of an id as git takes at least */
	if (n < 4 || n > 64 || strspn(word, "0123456789abcdef") != n)
		return 0;
	dir = vt_asprintf("%s/commits/%.2s", store->dir, word);
	rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *id = vt_asprintf("%.2s%s", word, names.v[i]);
		bool ours = false;

		/* Only commits that the repo's refs reach are its own. */
		if (strlen(id) == 64 && !strncmp(id, word, n))
			rc = reaches(store, tips, id, &ours, err);
		if (ours)
			mean(meaning, id, repo, id);
		free(id);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

struct by_job {
	struct meaning *meaning;
	const char *repo, *job;
};

/* The newest comes first. */
static int add_of_job(void *ctx, const struct vt_commit *commit, struct vt_err *err)
{
	const struct by_job *b = ctx;
	struct vt_json *j = NULL;
	int rc = 0;

	if (*commit->provenance)
		rc = vt_json_parse(&j, commit->provenance, strlen(commit->provenance), commit->id,
			err);
	/* the first one that the walk meets */
	if (!rc && !b->meaning->id.n && !strcmp(vt_json_text(vt_json_get(j, "job"), ""), b->job))
		mean(b->meaning, commit->id, b->repo, commit->id);
	vt_json_free(j);
	return rc;
}

/* A commit that a run made is known by its job as well, of which its stages were told when there
 * was no commit yet. */
static int add_by_job(struct meaning *meaning, struct vt_store *store, const struct vt_strs *tips,
	const char *repo, const char *word, struct vt_err *err)
{
	struct by_job b = { meaning, repo, word };

	/* a job's id has 32 digits */
	if (strlen(word) != 32 || strspn(word, "0123456789abcdef") != 32)
		return 0;
	return vt_repo_walk(store, tips, add_of_job, &b, err);
}

static int say_meanings(const struct meaning *meaning, const struct vt_refs *refs, const char *repo,
	const char *word, struct vt_err *err)
{
	struct vt_buf list = VT_BUF_INIT;

	if (meaning->id.n) {
		for (size_t i = 0; i < meaning->id.n && i < 8; i++)
			vt_buf_printf(&list, "%s%s", i ? ", " : "", meaning->said.v[i]);
		vt_err_set(err, VT_EUSAGE, "%s@%s can mean %zu commits; write one of %s", repo,
			word, meaning->id.n, list.data);
	} else {
		for (size_t i = 0; i < refs->n && i < 8; i++)
			vt_buf_printf(&list, "%s%s", i ? ", " : "",
				strchr(refs->v[i].name, '/') + 1);
		vt_err_set(err, VT_ENOINPUT,
			"%s@%s: no branch, tag or commit of the repo; it has %s%s", repo, word,
			list.data, refs->n > 8 ? ", ..." : "");
	}
	vt_buf_release(&list);
	return err->code;
}

/* The commit id of REPO@WORD. */
static int resolve_word(struct vt_store *store, char out[VT_HEX], const char *repo,
	const char *word, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_strs tips = VT_STRS_INIT;
	struct meaning m = { VT_STRS_INIT, VT_STRS_INIT };
	int rc = vt_refs_list(&refs, store, repo, err);

	if (!rc && !refs.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: there is no such repo in %s; `voxtrail log` lists them", repo,
			store->dir);
	for (size_t i = 0; i < refs.n; i++) {
		const char *name = refs.v[i].name, *last = strchr(name, '/') + 1;

		vt_strs_add(&tips, refs.v[i].commit);
		/* heads/x, or x alone */
		if (!strcmp(word, name) || !strcmp(word, last))
			mean(&m, refs.v[i].commit, repo, name);
	}
	if (!rc)
		rc = add_prefixed(&m, store, &tips, repo, word, err);
	/* a job's id only where nothing else fits */
	if (!rc && !m.id.n)
		rc = add_by_job(&m, store, &tips, repo, word, err);
	if (!rc && m.id.n != 1)
		rc = say_meanings(&m, &refs, repo, word, err);
	if (!rc)
		memcpy(out, m.id.v[0], VT_HEX);
	vt_strs_release(&m.id);
	vt_strs_release(&m.said);
	vt_strs_release(&tips);
	vt_refs_release(&refs);
	return rc;
}

/* Follows n first parents. */
static int go_back(struct vt_store *store, struct vt_commit *commit, unsigned long n,
	const char *what, struct vt_err *err)
{
	assert(*commit->id);
	for (unsigned long i = 0; i < n; i++) {
		struct vt_commit parent = { .id = "" };

		if (!commit->parents.n)
			return vt_err_set(err, VT_ENOINPUT,
				"%s: there are only %lu commits before it", what, i);
		if (read_named(store, &parent, commit->parents.v[0], err))
			return err->code;
		vt_commit_release(commit);
		*commit = parent;
	}
	return 0;
}

int vt_repo_resolve(struct vt_store *store, struct vt_commit *out, const char *what,
	struct vt_err *err)
{
	size_t n_repo = strcspn(what, "@~");
	char *repo = vt_xstrndup(what, n_repo),
	     *word = vt_xstrdup(what[n_repo] == '@' ? what + n_repo + 1 : "master");
	const char *back = strchr(what, '~');
	char *end = NULL, id[VT_HEX];
	/* REPO~ is one step back, as in git */
	unsigned long steps = back && back[1] ? strtoul(back + 1, &end, 10) : back != NULL;
	struct vt_commit c = { .id = "" };
	int rc = 0;

	/* word may be BRANCH~N */
	if (strchr(word, '~'))
		*strchr(word, '~') = '\0';
	/* strtoul would take a sign or a space */
	if (!vt_repo_name_is_good(repo) || !*word || (end && *end) ||
		(back && back[1] && (back[1] < '0' || back[1] > '9')))
		rc = vt_err_set(err, VT_EUSAGE,
			"\"%s\": write REPO, REPO@BRANCH, REPO@TAG or REPO@COMMIT, and ~N "
			"behind it for N commits back",
			what);
	if (!rc)
		rc = resolve_word(store, id, repo, word, err);
	if (!rc)
		rc = read_named(store, &c, id, err);
	if (!rc)
		rc = go_back(store, &c, steps, what, err);
	if (rc)
		vt_commit_release(&c);
	else
		*out = c;
	free(repo);
	free(word);
	return rc;
}
