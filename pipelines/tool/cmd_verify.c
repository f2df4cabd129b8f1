/* voxtrail verify: re-hashes everything the store holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/erased.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static void found(void *ctx, const char *sentence)
{
	(void)ctx;
	printf("damaged: %s\n", sentence);
}

static void opened(void *ctx, const char *object)
{
	(void)ctx;
	printf("writable: objects/%s is sound, but its owner may write to it; the next checkout of "
	       "it gives the store "
	       "a copy of its own\n",
		object);
}

static void ignore(void *ctx, const char *digest_hex)
{
	(void)ctx;
	(void)digest_hex;
}

static void verify(struct vt_store *s, struct vt_err *err)
{
	size_t n = 0, erased = 0;

	if (vt_store_verify(s, found, opened, NULL, &n, err) ||
		vt_erased_check(s, ignore, NULL, &erased, err))
		return;
	printf("%zu blobs, trees and records are what their names say\n", n);
	if (erased)
		printf("%zu blobs were erased by decision\n", erased);
}

int vt_cmd_verify(int argc, char **argv)
{
	struct vt_call c = {
		.usage = "verify",
		.about = "Re-hashes every blob, tree and record; names what is damaged and exits "
			 "with 76.",
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv))
		verify(c.s, &c.err);
	return vt_call_end(&c);
}
