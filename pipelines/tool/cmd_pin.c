/* voxtrail pin: what gc must keep, for how long, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/pin.h"
#include "common/store/repo.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

/* An id as it is, or the commit that REPO[@REF] means. */
static int id_of(char out[VT_HEX], struct vt_store *store, const char *what, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_digest d;
	int rc = 0;

	if (vt_digest_parse(&d, what)) {
		memcpy(out, what, VT_HEX);
		return 0;
	}
	rc = vt_repo_resolve(store, &c, what, err);
	if (!rc)
		memcpy(out, c.id, VT_HEX);
	vt_commit_release(&c);
	return rc;
}

static void list(struct vt_store *store, struct vt_err *err)
{
	struct vt_pins pins;

	if (vt_pin_list(&pins, store, err))
		return;
	for (size_t i = 0; i < pins.n; i++) {
		const struct vt_pin *p = &pins.v[i];

		vt_say("%s %-6s %-10s %s%s\n", p->id, p->kind, *p->until ? p->until : "for good",
			p->reason, vt_pin_is_over(p) ? " (over)" : "");
	}
	vt_pins_release(&pins);
}

struct wish {
	const char *reason, *until;
	int remove, force;
	struct vt_approval approval;
};

static void change(struct vt_store *store, const char *what, struct wish *wish, struct vt_err *err)
{
	char id[VT_HEX];

	if (id_of(id, store, what, err))
		return;
	if (wish->remove && wish->force &&
		!vt_decide(store, "unpin", vt_decision("unpin", "id", id, NULL), &wish->approval,
			err))
		return;
	if (wish->remove) {
		if (!vt_pin_remove(store, id,
			    wish->force ? VT_PIN_BEFORE_ITS_DATE : VT_PIN_WHEN_OVER, err))
			vt_say("%s is no longer pinned\n", id);
	} else if (!vt_pin_add(store, id, wish->reason, wish->until, err)) {
		vt_say("%s is pinned %s%s\n", id, *wish->until ? "until " : "for good",
			wish->until);
	}
}

static void change_or_list(struct vt_store *store, const struct vt_strs *what, struct wish *wish,
	struct vt_err *err)
{
	bool decides = what->n && wish->remove && wish->force;

	if (!decides && vt_decide_nothing(&wish->approval, "--remove --force", err))
		return;
	if (what->n)
		change(store, what->v[0], wish, err);
	else
		list(store, err);
}

int vt_cmd_pin(int argc, char **argv)
{
	struct wish w = { .reason = "", .until = "" };
	const struct vt_opt opts[] = {
		{ 'm', "reason", VT_OPT_STRING, &w.reason, "TEXT", "why" },
		{ 0, "until", VT_OPT_STRING, &w.until, "YYYY-MM-DD",
			"last day of the pin (default: no end)" },
		{ 0, "remove", VT_OPT_FLAG, &w.remove, NULL, "remove the pin" },
		{ 0, "force", VT_OPT_FLAG, &w.force, NULL, "with --remove: also before its date" },
		VT_APPROVAL_OPTS(&w.approval),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "pin [REPO[@REF] | ID]",
		.about = "Protects a commit with its history, or a record, tree or blob "
			 "by its id, from gc. Without an argument, lists the pins.",
		.most = 1,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv) &&
		!vt_store_open(&c.s, c.store, c.args.n ? VT_STORE_OPEN : VT_STORE_READ, &c.err))
		change_or_list(c.s, &c.args, &w, &c.err);
	return vt_call_end(&c);
}
