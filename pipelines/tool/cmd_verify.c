/* voxtrail verify: re-hashes everything the store holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attest/anchor.h"
#include "common/lineage/consent.h"
#include "common/store/erased.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static void found(void *ctx, const char *sentence)
{
	(void)ctx;
	vt_say("damaged: %s\n", sentence);
}

enum { LISTED = 10 }; /* a copy that was made without permissions is writable as a whole */

static void opened(void *ctx, const char *object)
{
	size_t *n = ctx;

	if (++*n > LISTED)
		return;
	vt_say("writable: objects/%s is sound, but its owner may write to it; the next checkout of "
	       "it gives the store a copy of its own\n",
		object);
}

static void ignore(void *ctx, const char *digest_hex)
{
	(void)ctx;
	(void)digest_hex;
}

/* The anchor first: what was rewritten as a whole is sound in itself. */
static int check_anchor(struct vt_store *store, const char *anchor, const char *key,
	struct vt_err *err)
{
	struct vt_key *k = NULL;
	int rc;

	if (!anchor)
		return 0;
	rc = key
		? vt_key_read(&k, key, err)
		: vt_err_set(err, VT_EUSAGE, "--anchor goes with --key FILE, the public key of it");
	if (!rc)
		rc = vt_anchor_check(store, anchor, k, err);
	if (!rc)
		vt_say("the history holds the head that %s names: nothing up to it was changed\n",
			anchor);
	vt_key_free(k);
	return rc;
}

/* The history knows who is in it, not whether it can be used. */
static int check_consent(const struct vt_store *store, struct vt_err *err)
{
	struct vt_consent consent;

	if (vt_consent_read_store(&consent, vt_store_dir(store), err)) {
		found(NULL, err->text);
		vt_err_as(err, VT_EINTEGRITY);
	}
	vt_consent_release(&consent);
	return err->code;
}

static void verify(struct vt_store *store, struct vt_err *err)
{
	size_t n = 0, erased = 0, proposed = 0, writable = 0;
	int rc = vt_store_verify(store, found, opened, &writable, &n, err);

	if (!rc)
		rc = check_consent(store, err);

	if (writable > LISTED)
		vt_say("writable: %zu objects in all\n", writable);
	if (rc || vt_erased_check(store, ignore, NULL, &erased, err) ||
		vt_erased_each_proposal(store, ignore, NULL, &proposed, err))
		return;
	vt_say("%zu blobs, trees and records are what their names say\n", n);
	if (erased)
		vt_say("%zu blobs were erased by decision\n", erased);
	if (proposed)
		vt_say("%zu blobs were erased elsewhere; nobody here has decided about them "
		       "(`voxtrail "
		       "erase --proposed`)\n",
			proposed);
}

int vt_cmd_verify(int argc, char **argv)
{
	const char *anchor = NULL, *key = NULL;
	const struct vt_opt opts[] = {
		{ 0, "anchor", VT_OPT_STRING, &anchor, "FILE",
			"a head written by `voxtrail history --anchor`, which the "
			"history must contain" },
		{ 0, "key", VT_OPT_STRING, &key, "FILE",
			"the public key for the anchor's signature" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "verify",
		.opts = opts,
		.about = "Hashes every blob, tree and record again, and checks refs, "
			 "consent, policy, tombstones and belief against the history. If "
			 "anything is damaged, it is named and the exit status is 76.",
		.mode = VT_STORE_READ,
	};

	if (vt_call_begin(&c, argc, argv) && !check_anchor(c.s, anchor, key, &c.err))
		verify(c.s, &c.err);
	return vt_call_end(&c);
}
