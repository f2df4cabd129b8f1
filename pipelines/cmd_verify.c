/* voxtrail verify: re-hashes everything the store holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/tomb.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static void found(void *ctx, const char *sentence)
{
	(void)ctx;
	printf("damaged: %s\n", sentence);
}

static void opened(void *ctx, const char *object)
{
	(void)ctx;
	printf("writable: objects/%s is sound, but its owner may write to it; the next checkout of it gives the store "
		"a copy of its own\n", object);
}

static void ignore(void *ctx, const char *digest_hex)
{
	(void)ctx;
	(void)digest_hex;
}

static void verify(struct vt_store *s, struct vt_err *err)
{
	size_t n = 0, erased = 0;

	if (vt_store_verify(s, found, opened, NULL, &n, err) || vt_tomb_check(s, ignore, NULL, &erased, err))
		return;
	printf("%zu blobs, trees and records are what their names say\n", n);
	if (erased)
		printf("%zu blobs were erased by decision\n", erased);
}

int vt_cmd_verify(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("verify", "Re-hashes every blob, tree and record; names what is damaged and "
				"exits with 76.", opts);
		else if (rest.n)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail verify");
		else if (!vt_store_open(&s, store, VT_STORE_READ, &err))
			verify(s, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("verify", &err);
}
