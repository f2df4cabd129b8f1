/* voxtrail tick SPEC PIPELINE: commits the present time to the pipeline's cron input, as the
 * cluster's clock would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/fs.h"
#include "common/store/repo.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

struct ticking {
	struct vt_store *store;
	const char *time;
	size_t n;
	struct vt_err *err;
};

/* The tree of the head with one empty file more, named by the time; with overwrite it is the only
 * one. */
static int ticked_tree(const struct ticking *ticking, const struct vt_tree *old, bool overwrite,
	struct vt_tree **out)
{
	struct vt_tree_file *file = vt_xcalloc((old ? old->n_files : 0) + 1, sizeof(*file));
	size_t n = 0;
	char *name = vt_xstrdup(ticking->time);

	for (size_t i = 0; old && !overwrite && i < old->n_files; i++)
		if (strcmp(old->file[i].path, name))
			file[n++] = old->file[i];
	file[n].path = name;
	if (!vt_store_put_blob(ticking->store, "", 0, &file[n].digest, ticking->err) &&
		!vt_tree_from_files(out, file, n + 1, ticking->err))
		vt_store_put_tree(ticking->store, *out, ticking->err);
	free(name);
	free(file);
	return ticking->err->code;
}

/* VT_EFAIL if another process moved the branch meanwhile. */
static int tick_once(const struct ticking *ticking, const struct vt_input *leaf)
{
	struct vt_commit head = { .id = "" }, c = { .id = "" };
	struct vt_commit_note note = { .message = "tick" };
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *old = NULL, *new = NULL;
	struct vt_digest id;
	char *what = vt_asprintf("%s@heads/%s", leaf->repo, leaf->branch);

	if (!vt_repo_resolve(ticking->store, &head, what, &none) && vt_digest_parse(&id, head.tree))
		vt_store_get_tree(ticking->store, &old, &id, ticking->err);
	note.onto = head.id;
	if (!ticking->err->code && !ticked_tree(ticking, old, leaf->overwrite, &new) &&
		!vt_repo_commit(ticking->store, &c, NULL, leaf->repo, leaf->branch, &new->id, &note,
			ticking->err))
		vt_say("%s: %s\n", leaf->repo, ticking->time);
	vt_commit_release(&head);
	vt_commit_release(&c);
	vt_tree_free(old);
	vt_tree_free(new);
	free(what);
	return ticking->err->code;
}

static void tick_leaf(void *ctx, const struct vt_input *leaf)
{
	struct ticking *t = ctx;

	if (leaf->kind != VT_INPUT_CRON || t->err->code)
		return;
	t->n++;
	for (int left = 10; tick_once(t, leaf) == VT_EFAIL && left; left--)
		*t->err = (struct vt_err)VT_ERR_INIT;
}

static void tick(struct vt_call *c)
{
	struct vt_spec *spec = NULL;
	char text[32];
	time_t now = time(NULL);
	struct tm utc;
	struct ticking t = { NULL, text, 0, &c->err };

	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	if (!vt_command_spec(&spec, c->args.v[0], &c->err)) {
		const struct vt_pipeline *p = vt_spec_find(spec, c->args.v[1]);

		if (!p)
			vt_err_set(&c->err, VT_EUSAGE, "%s has no pipeline \"%s\"", c->args.v[0],
				c->args.v[1]);
		else if (!vt_store_open(&c->s, c->store, VT_STORE_CREATE, &c->err)) {
			t.store = c->s;
			vt_input_leaves(p->input, tick_leaf, &t);
			if (!c->err.code && !t.n)
				vt_err_set(&c->err, VT_EUSAGE, "pipeline %s has no cron input",
					c->args.v[1]);
		}
	}
	vt_spec_free(spec);
}

int vt_cmd_tick(int argc, char **argv)
{
	struct vt_call c = {
		.usage = "tick SPEC PIPELINE",
		.about = "Commits the current time to the pipeline's cron input.",
		.least = 2,
		.most = 2,
	};

	if (vt_call_begin(&c, argc, argv))
		tick(&c);
	return vt_call_end(&c);
}
