/* voxtrail serve: answers the push or pull of another store; started over ssh, not by hand. */
#include <stdio.h>

#include "common/store/peer.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

int vt_cmd_serve(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, writing = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "write", VT_OPT_FLAG, &writing, NULL, "allow pushes; make the store if there is none" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("serve", "Answers `voxtrail push` and `voxtrail pull` on stdin and stdout; "
				"they start it over ssh.", opts);
		else if (rest.n)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail serve");
		else if (vt_store_open(&s, store, writing ? VT_STORE_CREATE : VT_STORE_READ, &err))
			printf("no %d %s\n", err.code, err.text);
		else
			vt_peer_serve(s, 0, 1, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return err.code;
}
