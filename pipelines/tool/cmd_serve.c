/* voxtrail serve: answers the push or pull of another store; started over ssh, not by hand. */
#include <stdio.h>

#include "common/transfer/peer.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

int vt_cmd_serve(int argc, char **argv)
{
	struct vt_strs repos = VT_STRS_INIT;
	int writing = 0, append = 0;
	const struct vt_opt opts[] = {
		{ 0, "write", VT_OPT_FLAG, &writing, NULL,
			"allow pushes; make the store if there is none" },
		{ 0, "append-only", VT_OPT_FLAG, &append, NULL,
			"allow pushes that add: branches move forward only, tags stay, nothing is "
			"erased or replaced" },
		{ 0, "repo", VT_OPT_LIST, &repos, "NAME",
			"use this repo only (repeatable); no other repo is shown, sent or "
			"changed" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "serve",
		.about = "Serves `voxtrail push` and `voxtrail pull` on stdin and "
			 "stdout. They start it over ssh.",
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		const struct vt_peer_limits limits = { &repos, append != 0 };

		if (vt_store_open(&c.s, c.store,
			    writing || append ? VT_STORE_CREATE : VT_STORE_READ, &c.err))
			vt_say("no %d %s\n", c.err.code, c.err.text);
		else
			vt_peer_serve(c.s, &limits, 0, 1, &c.err);
		c.err.text[0] = '\0'; /* the other end says what went wrong */
	}
	return vt_call_end(&c);
}
