/* voxtrail pin: what gc must keep, for how long, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/pin.h"
#include "common/store/repo.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

/* An id as it is, or the commit that REPO[@REF] means. */
static int id_of(char out[VT_HEX], struct vt_store *s, const char *what, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_digest d;
	int rc = 0;

	if (vt_digest_parse(&d, what)) {
		memcpy(out, what, VT_HEX);
		return 0;
	}
	rc = vt_repo_resolve(s, &c, what, err);
	if (!rc)
		memcpy(out, c.id, VT_HEX);
	vt_commit_release(&c);
	return rc;
}

static void list(struct vt_store *s, struct vt_err *err)
{
	struct vt_pins pins;

	if (vt_pin_list(&pins, s, err))
		return;
	for (size_t i = 0; i < pins.n; i++) {
		const struct vt_pin *p = &pins.v[i];

		printf("%s %-6s %-10s %s%s\n", p->id, p->kind, *p->until ? p->until : "for good", p->reason,
			vt_pin_is_over(p) ? " (over)" : "");
	}
	vt_pins_release(&pins);
}

struct wish {
	const char *reason, *until;
	int remove, force;
};

static void change(struct vt_store *s, const char *what, const struct wish *w, struct vt_err *err)
{
	char id[VT_HEX];

	if (id_of(id, s, what, err))
		return;
	if (w->remove) {
		if (!vt_pin_remove(s, id, w->force ? VT_PIN_BEFORE_ITS_DATE : VT_PIN_WHEN_OVER, err))
			printf("%s is no longer pinned\n", id);
	} else if (!vt_pin_add(s, id, w->reason, w->until, err)) {
		printf("%s is pinned %s%s\n", id, *w->until ? "until " : "for good", w->until);
	}
}

int vt_cmd_pin(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	struct wish w = { "", "", 0, 0 };
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 'm', "reason", VT_OPT_STRING, &w.reason, "TEXT", "why" },
		{ 0, "until", VT_OPT_STRING, &w.until, "YYYY-MM-DD", "last day it holds (default for good)" },
		{ 0, "remove", VT_OPT_FLAG, &w.remove, NULL, "let it go" },
		{ 0, "force", VT_OPT_FLAG, &w.force, NULL, "with --remove: before its date" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("pin [REPO[@REF] | ID]", "Keeps a commit with its history, or a record, tree "
				"or blob by its id, from gc; without an argument lists what is pinned.", opts);
		else if (rest.n > 1)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail pin [REPO[@REF] | ID]");
		else if (!vt_store_open(&s, store, rest.n ? VT_STORE_OPEN : VT_STORE_READ, &err)) {
			if (rest.n)
				change(s, rest.v[0], &w, &err);
			else
				list(s, &err);
		}
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("pin", &err);
}
