/* voxtrail log [REPO[@REF]]: commits, newest first; without REPO, the repos there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/store/repo.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

struct showing {
	const struct vt_refs *refs;
	struct vt_json *list; /* NULL: text */
	long long left;       /* how many may still be shown; < 0: all */
};

enum { ENOUGH = -1 };

static void when(char out[32], int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm);
}

static void show_text(const struct vt_commit *c, const struct vt_refs *refs)
{
	struct vt_buf b = VT_BUF_INIT;
	char at[32];
	size_t named = 0;

	when(at, c->time);
	vt_buf_say(&b, "%.16s  %s  tree %.16s", c->id, at, c->tree);
	for (size_t i = 0; i < refs->n; i++)
		if (!strcmp(refs->v[i].commit, c->id))
			vt_buf_say(&b, "%s%s", named++ ? ", " : "  (",
				strchr(refs->v[i].name, '/') + 1);
	vt_buf_say(&b, "%s%s%s%s%s\n", named ? ")" : "", *c->message ? "  " : "", c->message,
		*c->author ? "  -- " : "", c->author);
	fputs(b.data, stdout);
	vt_buf_release(&b);
}

static void put_object(struct vt_json *j, const char *key, const char *text)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *p = NULL;

	if (*text && !vt_json_parse(&p, text, strlen(text), key, &none))
		vt_json_put(j, key, p);
}

static struct vt_json *commit_json(const struct vt_commit *c, const struct vt_refs *refs)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *parents = vt_json_new(VT_JSON_ARRAY),
		       *names = vt_json_new(VT_JSON_ARRAY);

	vt_json_put_text(j, "commit", c->id);
	vt_json_put_text(j, "tree", c->tree);
	for (size_t i = 0; i < c->parents.n; i++)
		vt_json_push(parents, vt_json_new_text(c->parents.v[i]));
	vt_json_put(j, "parents", parents);
	vt_json_put_text(j, "message", c->message);
	vt_json_put_text(j, "author", c->author);
	vt_json_put_int(j, "time", c->time);
	put_object(j, "provenance", c->provenance);
	put_object(j, "source", c->source);
	for (size_t i = 0; i < refs->n; i++)
		if (!strcmp(refs->v[i].commit, c->id))
			vt_json_push(names, vt_json_new_text(refs->v[i].name));
	vt_json_put(j, "refs", names);
	return j;
}

static int show_commit(void *ctx, const struct vt_commit *c, struct vt_err *err)
{
	struct showing *s = ctx;

	(void)err;
	if (s->left == 0)
		return ENOUGH;
	s->left--;
	if (s->list)
		vt_json_push(s->list, commit_json(c, s->refs));
	else
		show_text(c, s->refs);
	return 0;
}

static void show_log(struct vt_store *store, const char *what, long long count, int json,
	struct vt_err *err)
{
	char *repo = vt_xstrndup(what, strcspn(what, "@~"));
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_commit c = { .id = "" };
	struct vt_strs tips = VT_STRS_INIT;
	struct showing show = { &refs, NULL, count };
	int rc = vt_repo_resolve(store, &c, what, err);

	if (!rc)
		rc = vt_refs_list(&refs, store, repo, err);
	if (!rc) {
		show.list = json ? vt_json_new(VT_JSON_ARRAY) : NULL;
		vt_strs_add(&tips, c.id);
		rc = vt_repo_walk(store, &tips, show_commit, &show, err);
	}
	if (show.list && (!rc || rc == ENOUGH))
		vt_command_print(show.list);
	else
		vt_json_free(show.list);
	vt_strs_release(&tips);
	vt_refs_release(&refs);
	vt_commit_release(&c);
	free(repo);
}

static void list_repos(struct vt_store *store, int json, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_json *list = json ? vt_json_new(VT_JSON_ARRAY) : NULL;

	vt_refs_list(&refs, store, NULL, err);
	for (size_t i = 0; i < refs.n; i++) {
		if (list) {
			struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

			vt_json_put_text(j, "repo", refs.v[i].repo);
			vt_json_put_text(j, "ref", refs.v[i].name);
			vt_json_put_text(j, "commit", refs.v[i].commit);
			vt_json_push(list, j);
		} else if (!strncmp(refs.v[i].name, "heads/", 6)) {
			vt_say("%s@%s\n", refs.v[i].repo, refs.v[i].name + 6);
		}
	}
	if (list && !err->code)
		vt_command_print(list);
	else
		vt_json_free(list);
	vt_refs_release(&refs);
}

int vt_cmd_log(int argc, char **argv)
{
	long long count = -1;
	int json = 0;
	const struct vt_opt opts[] = {
		{ 'n', "count", VT_OPT_INT, &count, "N", "print at most N commits" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL,
			"a JSON array with all fields of the commits" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "log [REPO[@REF]]",
		.about = "Prints commits, newest first, from REF back: id, time, tree, names, "
			 "message, author. REF is a branch (default master), a tag or the first "
			 "digits of a commit id; ~N after it means N commits back. Without REPO, "
			 "lists the repos and their branches.",
		.most = 1,
		.opts = opts,
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv))
		c.args.n ? show_log(c.s, c.args.v[0], count, json, &c.err)
			 : list_repos(c.s, json, &c.err);
	return vt_call_end(&c);
}
