#include "pipelines/tool/refs_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/repo.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/command.h"

struct request {
	const char *kind, *word;
	const char *repo, *name, *to; /* NULL: not given */
	int force, remove, json;
	struct vt_approval approval;
};

static void print_refs(struct vt_store *store, const struct request *request,
	const struct vt_refs *refs, struct vt_err *err)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	struct vt_buf text = VT_BUF_INIT;
	size_t n = strlen(request->kind);

	for (size_t i = 0; !err->code && i < refs->n; i++) {
		struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
		struct vt_commit c = { .id = "" };

		if (!strncmp(refs->v[i].name, request->kind, n) && refs->v[i].name[n] == '/' &&
			!vt_commit_read(store, &c, refs->v[i].commit, err)) {
			vt_json_put_text(j, "name", refs->v[i].name + n + 1);
			vt_json_put_text(j, "commit", c.id);
			vt_json_put_text(j, "tree", c.tree);
			vt_json_put_int(j, "time", c.time);
			vt_json_put_text(j, "message", c.message);
			vt_json_push(list, j);
			j = NULL;
			vt_buf_say(&text, "%-20s %.16s  tree %.16s%s%s\n", refs->v[i].name + n + 1,
				c.id, c.tree, *c.message ? "  " : "", c.message);
		}
		vt_json_free(j);
		vt_commit_release(&c);
	}
	if (request->json) {
		vt_buf_clear(&text);
		vt_json_pretty(&text, list);
		vt_buf_char(&text, '\n');
	}
	if (!err->code && request->json)
		vt_json_say(text.data);
	else if (!err->code && text.len)
		fputs(text.data, stdout);
	vt_buf_release(&text);
	vt_json_free(list);
}

/* Would the commit still be reached from some ref of the repo if this one went? */
static int check_kept(struct vt_store *store, const struct vt_refs *refs, const char *name,
	const char *commit, struct vt_err *err)
{
	bool kept = false;
	int rc = 0;

	for (size_t i = 0; !rc && !kept && i < refs->n; i++)
		if (strcmp(refs->v[i].name, name))
			rc = vt_repo_descends(store, refs->v[i].commit, commit, &kept, err);
	if (!rc && !kept)
		rc = vt_err_set(err, VT_EFAIL,
			"%s: no other branch or tag reaches commit %.16s; --force gives it up",
			name, commit);
	return rc;
}

/* What --force gives up: from where a branch or tag goes, and to where, "" for nowhere. */
static bool may_drop(struct vt_store *store, struct request *request, const char *name,
	const char *from, const char *to, struct vt_err *err)
{
	char *ref = vt_asprintf("%s %s", request->repo, name);
	struct vt_json *decision = vt_decision("drop", "ref", ref, NULL);

	vt_json_put_text(decision, "from", from);
	vt_json_put_text(decision, "to", to);
	free(ref);
	return vt_decide(store, "drop", decision, &request->approval, err);
}

/* at: NULL for a branch or tag that is new. */
static bool may_change(struct vt_store *store, struct request *request, const char *name,
	const char *at, const char *to, struct vt_err *err)
{
	return at && request->force
		? may_drop(store, request, name, at, to, err)
		: !vt_decide_nothing(&request->approval, "--force on one that is there", err);
}

static void change(struct vt_store *store, struct request *request, const struct vt_refs *refs,
	struct vt_err *err)
{
	char *name = vt_asprintf("%s/%s", request->kind, request->name);
	const char *at = vt_refs_find(refs, name);
	size_t n_repo = strlen(request->repo);
	bool whole = request->to &&
		(strchr(request->to, '@') ||
			(!strncmp(request->to, request->repo, n_repo) &&
				request->to[n_repo] == '~'));
	char *what = whole
		? vt_xstrdup(request->to)
		: vt_asprintf("%s@%s", request->repo, request->to ? request->to : "heads/master");
	struct vt_commit c = { .id = "" };
	int rc = 0;

	if (request->remove && !at)
		rc = vt_err_set(err, VT_ENOINPUT, "%s has no %s \"%s\"", request->repo,
			request->word, request->name);
	else if (!request->remove && at && !request->force)
		rc = vt_err_set(err, VT_EUSAGE,
			"%s has the %s \"%s\" already, at %.16s; --force moves it", request->repo,
			request->word, request->name, at);
	else if (request->remove && !request->force)
		rc = check_kept(store, refs, name, at, err);
	else if (!request->remove)
		rc = vt_repo_resolve(store, &c, what, err);
	if (!rc && may_change(store, request, name, at, c.id, err) &&
		!vt_ref_move(store, request->repo, name, at ? at : "", c.id, err))
		vt_say("%s@%s %s %.16s\n", request->repo, request->name,
			request->remove ? "removed, was" : "is", request->remove ? at : c.id);
	vt_commit_release(&c);
	free(what);
	free(name);
}

static void answer(struct request *request, const char *store, struct vt_err *err)
{
	struct vt_store *s = NULL;
	struct vt_refs refs = { NULL, 0, 0 };

	if (vt_store_open(&s, store, request->name ? VT_STORE_OPEN : VT_STORE_READ, err) ||
		vt_refs_list(&refs, s, request->repo, err))
		;
	else if (!refs.n)
		vt_err_set(err, VT_ENOINPUT,
			"%s: there is no such repo in %s; `voxtrail log` lists them", request->repo,
			store);
	else if (request->name)
		change(s, request, &refs, err);
	else if (!vt_decide_nothing(&request->approval, "--force on one that is there", err))
		print_refs(s, request, &refs, err);
	vt_refs_release(&refs);
	vt_store_close(s);
}

int vt_refs_command(const char *kind, const char *word, int argc, char **argv)
{
	struct request q = { .kind = kind, .word = word };
	const struct vt_opt opts[] = {
		{ 'f', "force", VT_OPT_FLAG, &q.force, NULL,
			"move an existing one; remove one even if commits become unreachable" },
		{ 'd', "delete", VT_OPT_FLAG, &q.remove, NULL, "remove NAME" },
		{ 0, "json", VT_OPT_FLAG, &q.json, NULL, "list as a JSON array" },
		VT_APPROVAL_OPTS(&q.approval),
		VT_OPTS_END,
	};
	char *usage = vt_asprintf("%s REPO [NAME [REF]] | %s --delete REPO NAME", word, word);
	char *about = vt_asprintf("Lists the %s%s of a repo; with NAME, makes one at REF "
				  "(default the head of master; a branch, a tag, the "
				  "first digits of a commit id, ~N after it for N "
				  "commits back).",
		word, *word == 'b' ? "es" : "s");
	struct vt_call c = { .usage = usage, .about = about, .least = 1, .most = 3, .opts = opts };
	int rc;

	if (vt_call_begin(&c, argc, argv)) {
		q.repo = c.args.v[0];
		q.name = c.args.n > 1 ? c.args.v[1] : NULL;
		q.to = c.args.n > 2 ? c.args.v[2] : NULL;
		if (q.remove && c.args.n != 2)
			vt_err_set(&c.err, VT_EUSAGE, "usage: voxtrail %s", usage);
		else
			answer(&q, c.store, &c.err);
	}
	rc = vt_call_end(&c);
	free(about);
	free(usage);
	return rc;
}
