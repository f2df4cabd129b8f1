/* voxtrail descendants WHAT: everything that was made from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

static int count_step(void *ctx, const struct vt_lineage_step *step)
{
	(void)step;
	*(size_t *)ctx += 1;
	return 0;
}

static void descendants(struct vt_store *store, const char *what, int subject, int json,
	int require, struct vt_err *err)
{
	struct vt_lineage *t = NULL;
	size_t n = 0;
	int rc = subject ? vt_lineage_open_subject(&t, store, what, err)
			 : vt_lineage_open(&t, store, what, VT_LINEAGE_ANY, err);

	if (!rc)
		rc = vt_claims_refuse(store, t, VT_LINEAGE_DESCENDANTS, require, err);
	if (!rc)
		rc = vt_lineage_descendants(t, count_step, &n, err);
	if (!rc)
		vt_lineage_list(t, VT_LIST_DESCENDANTS, json, err);
	/* no text: the list has said it */
	if (!rc && !n && !err->code)
		err->code = VT_EFAIL;
	if (!rc)
		vt_claims_say(t, VT_LINEAGE_DESCENDANTS, err);
	vt_lineage_close(t);
}

int vt_cmd_descendants(int argc, char **argv)
{
	int json = 0, subject = 0, require = 0;
	const struct vt_opt opts[] = {
		{ 0, "subject", VT_OPT_FLAG, &subject, NULL, "WHAT is the name of a subject" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON" },
		VT_REQUIRE_SIGNED(&require),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "descendants WHAT",
		.about = "Prints the executions whose output was made from WHAT, "
			 "directly or indirectly: record, stage, output tree. " VT_LINEAGE_WHAT
			 " A raw file is recognized by its bytes. Exits with 0 if there "
			 "are any, 1 if there are none, 3 if the answer rests on claims, "
			 "66 if WHAT is unknown.",
		.least = 1,
		.most = 1,
		.opts = opts,
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv))
		descendants(c.s, c.args.v[0], subject, json, require, &c.err);
	return vt_call_end(&c);
}
