/* voxtrail rebuild: lineage.db made again from the records. */
#include <stdio.h>
#include <stdlib.h>

#include "common/store/rebuild.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static void refused(void *ctx, const char *sentence)
{
	(void)ctx;
	vt_say("left out: %s\n", sentence);
}

int vt_cmd_rebuild(int argc, char **argv)
{
	struct vt_rebuild r;
	struct vt_call c = {
		.usage = "rebuild",
		.about = "Makes the index lineage.db again from the records. Every "
			 "question has the same answer before and after. A damaged "
			 "record is left out and named, and the exit status is 76.",
	};

	if (vt_call_begin(&c, argc, argv) &&
		(!vt_store_rebuild(c.store, &r, refused, NULL, &c.err) || r.n_refused))
		vt_say("%s: an index of %zu records\n", c.store, r.n_records);
	return vt_call_end(&c);
}
