/* voxtrail erase SUBJECT: what would go; with --yes it goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lineage/consent.h"
#include "common/lineage/erase.h"
#include "common/store/erased.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

struct wishes {
	const char *reason;
	const char *accept, *lift;
	int yes, json, claims_too, proposed;
	struct vt_approval approval;
};

struct sums {
	size_t raw, derived, shared, linked, gone;
	unsigned long long bytes;
};

static struct sums sum(const struct vt_erasure *erasure)
{
	struct sums n = { 0 };

	for (size_t i = 0; i < erasure->n_blobs; i++) {
		const struct vt_erased_blob *b = &erasure->blob[i];

		n.shared += b->shared;
		n.gone += b->gone;
		n.linked += b->linked && !b->shared;
		n.raw += !b->shared && !b->gone && !b->derived;
		n.derived += !b->shared && !b->gone && b->derived;
		n.bytes += b->shared || b->gone ? 0 : b->size;
	}
	return n;
}

static const char *state_of(const struct vt_erased_blob *blob)
{
	if (blob->gone)
		return "gone";
	if (blob->shared)
		return "kept";
	return blob->derived ? "derived" : "raw";
}

static const char *note_on(const struct vt_erased_blob *blob)
{
	if (blob->shared)
		return "  (others have the same bytes)";
	if (blob->claimed)
		return "  (a claim says that others have the same bytes)";
	return blob->linked ? "  (has other names on the disk)" : "";
}

static void print_text(const struct vt_erasure *erasure, bool done)
{
	struct sums n = sum(erasure);
	char hex[VT_HEX];

	for (size_t i = 0; i < erasure->n_blobs; i++) {
		const struct vt_erased_blob *b = &erasure->blob[i];

		vt_digest_hex(hex, &b->digest);
		vt_say("%-8s %s %12llu  %s%s\n", state_of(b), hex, (unsigned long long)b->size,
			b->path, note_on(b));
	}
	for (size_t i = 0; i < erasure->mixed.n; i++)
		vt_say("mixed    %s  made of others too: stays\n", erasure->mixed.v[i]);
	vt_say("%s: %zu raw and %zu derived files, %llu bytes %s; %zu kept because others have the "
	       "same bytes; %zu gone before; %zu executions are mixed\n",
		erasure->subject, n.raw, n.derived, n.bytes,
		done ? "erased" : "would be erased with --yes", n.shared, n.gone, erasure->mixed.n);
	if (n.linked)
		vt_say("%zu of them %s other names on the disk (hard links of directories that "
		       "were taken in or checked out): remove those too\n",
			n.linked, done ? "had" : "have");
	for (size_t i = 0; i < erasure->left.n; i++)
		vt_say("left     %s\n", erasure->left.v[i]);
	for (size_t i = 0; i < erasure->outside.n; i++)
		vt_say("outside  %s\n", erasure->outside.v[i]);
	if (erasure->mixed.n)
		vt_say("decide about the mixed ones: voxtrail consent decide RECORD %s "
		       "retrain|accept|retire --reason TEXT\n",
			erasure->subject);
}

static void print_json(const struct vt_erasure *erasure, bool done)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *list = vt_json_new(VT_JSON_ARRAY);
	char hex[VT_HEX];

	for (size_t i = 0; i < erasure->n_blobs; i++) {
		struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

		vt_digest_hex(hex, &erasure->blob[i].digest);
		vt_json_put_text(o, "sha256", hex);
		vt_json_put_text(o, "path", erasure->blob[i].path);
		vt_json_put_int(o, "size", (int64_t)erasure->blob[i].size);
		vt_json_put_bool(o, "derived", erasure->blob[i].derived);
		vt_json_put_bool(o, "kept", erasure->blob[i].shared);
		vt_json_put_bool(o, "gone_before", erasure->blob[i].gone);
		vt_json_put_bool(o, "other_names", erasure->blob[i].linked);
		vt_json_push(list, o);
	}
	vt_json_put_text(j, "subject", erasure->subject);
	vt_json_put_bool(j, "erased", done);
	vt_json_put(j, "files", list);
	vt_json_put(j, "mixed", vt_lineage_names(&erasure->mixed));
	vt_json_put(j, "left", vt_lineage_names(&erasure->left));
	vt_json_put(j, "outside", vt_lineage_names(&erasure->outside));
	vt_json_put(j, "unreadable", vt_lineage_names(&erasure->unreadable));
	vt_command_print(j);
}

/* What was asked for is what goes: other files than those that were signed need asking again. */
static bool may_erase(struct vt_store *store, const struct vt_erasure *erasure,
	struct wishes *wishes, struct vt_err *err)
{
	struct vt_json *decision =
		vt_decision("erase", "subject", erasure->subject, wishes->reason);
	struct vt_strs content = VT_STRS_INIT;
	struct vt_buf all = VT_BUF_INIT;
	struct vt_digest d;
	char hex[VT_HEX];

	vt_erasure_content(erasure, &content);
	for (size_t i = 0; i < content.n; i++)
		vt_buf_printf(&all, "%s\n", content.v[i]);
	d = vt_digest_bytes(all.data ? all.data : "", all.len);
	vt_digest_hex(hex, &d);
	vt_json_put_int(decision, "files", (int64_t)content.n);
	vt_json_put_text(decision, "files_sha256", hex);
	vt_json_put_bool(decision, "claims_too", wishes->claims_too != 0);
	vt_buf_release(&all);
	vt_strs_release(&content);
	return vt_decide(store, "erase", decision, &wishes->approval, err);
}

static void erase(struct vt_store *store, const char *subject, struct wishes *wishes,
	struct vt_err *err)
{
	struct vt_erasure e;
	int rc = vt_erase_plan(&e, store, subject, err);

	if (rc)
		return;
	if (wishes->yes && !may_erase(store, &e, wishes, err)) {
		vt_erasure_release(&e);
		return;
	}
	if (wishes->yes)
		rc = vt_erase_do(&e, store, wishes->reason, wishes->claims_too != 0, err);
	if (!rc || rc == VT_EINTEGRITY)
		wishes->json ? print_json(&e, wishes->yes != 0) : print_text(&e, wishes->yes != 0);
	if (!wishes->yes && !rc && e.unreadable.n)
		vt_err_set(err, VT_EINTEGRITY, "%zu commits cannot be read: %s", e.unreadable.n,
			e.unreadable.v[0]);
	vt_erasure_release(&e);
}

static void print_proposal(void *ctx, const char *digest_hex)
{
	const struct vt_store *s = ctx;
	struct vt_digest d;
	struct vt_json *j = vt_digest_parse(&d, digest_hex) ? vt_erased_proposal(s, &d) : NULL;

	vt_say("%s %12lld  by %s: %s\n", digest_hex,
		(long long)vt_json_integer(vt_json_get(j, "size"), 0),
		vt_json_text(vt_json_get(j, "from"), "?"),
		vt_json_text(vt_json_get(j, "reason"), ""));
	vt_json_free(j);
}

static void list_proposals(struct vt_store *store, struct vt_err *err)
{
	size_t n = 0;

	if (!vt_erased_each_proposal(store, print_proposal, store, &n, err))
		vt_say("%zu files were erased elsewhere and wait for a decision here: erase "
		       "--accept or --lift DIGEST --reason TEXT\n",
			n);
}

static void decide(struct vt_store *store, struct wishes *wishes, struct vt_err *err)
{
	const char *kind = wishes->accept ? "erase" : "lift",
		   *which = wishes->accept ? wishes->accept : wishes->lift;
	struct vt_digest d;

	if (!vt_digest_parse(&d, which))
		vt_err_set(err, VT_EUSAGE, "%s: the 64 digits of a file's SHA-256 are wanted",
			which);
	else if (!vt_decide(store, kind, vt_decision(kind, "file", which, wishes->reason),
			 &wishes->approval, err))
		return;
	else if (wishes->accept)
		vt_erased_accept(store, &d, wishes->reason, err);
	else
		vt_erased_lift(store, &d, wishes->reason, err);
}

int vt_cmd_erase(int argc, char **argv)
{
	struct wishes w = { .reason = NULL };
	const struct vt_opt opts[] = {
		{ 0, "reason", VT_OPT_STRING, &w.reason, "TEXT", "why; needed with --yes" },
		{ 0, "yes", VT_OPT_FLAG, &w.yes, NULL,
			"remove the files; without --yes they are only listed" },
		{ 0, "claims-too", VT_OPT_FLAG, &w.claims_too, NULL,
			"also bytes that other subjects share only according to claims" },
		{ 0, "proposed", VT_OPT_FLAG, &w.proposed, NULL,
			"list erasures that other stores report" },
		{ 0, "accept", VT_OPT_STRING, &w.accept, "DIGEST", "erase such a file here too" },
		{ 0, "lift", VT_OPT_STRING, &w.lift, "DIGEST",
			"withdraw a proposal or an erasure: the bytes may come again" },
		{ 0, "json", VT_OPT_FLAG, &w.json, NULL, "as JSON" },
		VT_APPROVAL_OPTS(&w.approval),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "erase SUBJECT | --proposed | --accept DIGEST | --lift DIGEST",
		.about = "Removes a subject's files from the store: raw files, and files "
			 "derived from this subject alone. Each leaves a tombstone, so that verify "
			 "and audit report it as erased and the bytes cannot come back. The "
			 "subject counts as withdrawn. Files made from several subjects stay and "
			 "are listed as mixed. Checkouts that the store knows of are named; "
			 "nothing outside the store is touched.",
		.most = 1,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		bool other = w.proposed || w.accept || w.lift,
		     decides = w.yes || w.accept || w.lift;

		if (c.args.n != !other || w.proposed + (w.accept != NULL) + (w.lift != NULL) > 1)
			vt_err_set(&c.err, VT_EUSAGE, "usage: voxtrail %s", c.usage);
		else if (!decides &&
			vt_decide_nothing(&w.approval, "--yes, --accept and --lift", &c.err))
			;
		else if (w.proposed) {
			if (!vt_store_open(&c.s, c.store, VT_STORE_READ, &c.err))
				list_proposals(c.s, &c.err);
		} else if (other && w.reason && *w.reason) {
			if (!vt_store_open(&c.s, c.store, VT_STORE_OPEN, &c.err))
				decide(c.s, &w, &c.err);
		} else if ((w.yes || other) && (!w.reason || !*w.reason))
			vt_err_set(&c.err, VT_EUSAGE,
				"--reason is missing: why the subject's files are erased");
		else if (!vt_store_open(&c.s, c.store, w.yes ? VT_STORE_OPEN : VT_STORE_READ,
				 &c.err))
			erase(c.s, c.args.v[0], &w, &c.err);
	}
	return vt_call_end(&c);
}
