/* fuzz_store.c - what a store keeps, and what another store or its messenger says. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attest/attest.h"
#include "common/attest/dsse.h"
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/lineage/consent.h"
#include "common/record/record.h"
#include "common/record/record_dir.h"
#include "common/store/erased.h"
#include "common/store/history.h"
#include "common/store/repo_internal.h"
#include "common/store/store_internal.h"
#include "common/transfer/peer.h"
#include "tests/fuzz/fuzz.h"

static void record(const uint8_t *bytes, size_t n)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;

	if (vt_record_parse(&j, (const char *)bytes, n, "input", &err)) {
		fuzz_refused(&err);
	} else {
		char *subject = vt_record_subject(j, NULL, "sub-001/t1.nii.gz");

		free(subject);
	}
	vt_json_free(j);
}

/* One file of a .lineage, and the check of an empty directory against it. */
static void record_dir(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("carried/.lineage/x/record.json", bytes, n),
	     *dir = vt_path_join(fuzz_dir(), "carried");
	struct vt_record_dir c;
	struct vt_tree *t = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_record_dir_read(&c, dir, &err)) {
		fuzz_refused(&err);
	} else {
		if (vt_tree_hash_dir(&t, dir, &err))
			abort();
		if (vt_record_dir_check(&c, t, dir, VT_RECORD_DIR_PART, NULL, NULL, &err))
			fuzz_refused(&err);
		vt_tree_free(t);
		vt_record_dir_release(&c);
	}
	free(dir);
	free(path);
}

static void tree(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n);
	const char *at = text;
	struct vt_tree_line line;
	struct vt_err err = VT_ERR_INIT;
	int more;

	while ((more = vt_tree_line_next(&at, &line, &err)) > 0)
		if (line.name < text || line.name + line.name_len >= text + n + 1)
			abort();
	if (more < 0)
		fuzz_refused(&err);
	free(text);
}

static void commit(const uint8_t *bytes, size_t n)
{
	struct vt_commit c;
	struct vt_err err = VT_ERR_INIT;

	if (vt_commit_parse(&c, (const char *)bytes, n, "input", &err))
		fuzz_refused(&err);
	else
		vt_commit_release(&c);
}

static void history(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("store/history", bytes, n), *dir = vt_path_join(fuzz_dir(), "store");
	struct vt_store s = { .dir = dir };
	struct vt_err err = VT_ERR_INIT;

	if (vt_history_read(&s, NULL, NULL, &err))
		fuzz_refused(&err);
	free(dir);
	free(path);
}

static void consent(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("consent.json", bytes, n);
	struct vt_consent c;
	struct vt_err err = VT_ERR_INIT;

	if (vt_consent_read(&c, path, &err)) {
		fuzz_refused(&err);
	} else {
		vt_consent_named(&c, "sub-001/t1.nii.gz");
		vt_consent_decision(&c, "00", "sub-001");
		vt_consent_count(&c);
		vt_consent_release(&c);
	}
	free(path);
}

static void tomb(const uint8_t *bytes, size_t n)
{
	struct vt_digest d = vt_digest_bytes("x", 1);
	char *dir = vt_path_join(fuzz_dir(), "store");
	struct vt_store s = { .dir = dir };
	char *full = vt_store_path(&s, "tombs", &d),
	     *path = fuzz_file(full + strlen(fuzz_dir()) + 1, bytes, n);

	vt_json_free(vt_erased_read(&s, &d));
	free(path);
	free(full);
	free(dir);
}

static struct vt_key *key_of(enum vt_key_kind kind)
{
	static struct vt_key *key[3];
	struct vt_err err = VT_ERR_INIT;

	if (!key[kind] && vt_key_generate(&key[kind], kind, &err))
		abort();
	return key[kind];
}

static void dsse(const uint8_t *bytes, size_t n)
{
	struct vt_json *j = fuzz_json(bytes, n);
	struct vt_buf payload = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;

	if (j && vt_dsse_open(&payload, j, VT_DSSE_IN_TOTO, key_of(VT_KEY_ED25519), &err))
		fuzz_refused(&err);
	vt_buf_release(&payload);
	vt_json_free(j);
}

static void oms(const uint8_t *bytes, size_t n)
{
	struct vt_json *j = fuzz_json(bytes, n);
	struct vt_err err = VT_ERR_INIT;

	if (j && vt_oms_verify(j, fuzz_dir(), key_of(VT_KEY_P256), &err))
		fuzz_refused(&err);
	vt_json_free(j);
}

static void key(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("key.pem", bytes, n);
	struct vt_key *k = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_key_read(&k, path, &err))
		fuzz_refused(&err);
	else
		vt_key_free(k);
	free(path);
}

/* Requests to `voxtrail serve` over a store that lives as long as the process. */
static void serve(const uint8_t *bytes, size_t n)
{
	static struct vt_store *s;
	struct vt_err err = VT_ERR_INIT;
	char *dir = vt_path_join(fuzz_dir(), "served"), *path = fuzz_file("requests", bytes, n);
	int in = open(path, O_RDONLY | O_CLOEXEC), out = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!s && vt_store_open(&s, dir, VT_STORE_CREATE, &err))
		abort();
	if (in < 0 || out < 0)
		abort();
	if (vt_peer_serve(s, &(struct vt_peer_limits){ NULL, false }, in, out, &err))
		fuzz_refused(&err);
	close(in);
	close(out);
	free(path);
	free(dir);
}

static int keep_text(void *ctx, const char *name, uint64_t size, struct vt_reader *reader,
	struct vt_err *err)
{
	return size > 1 << 20 ? vt_err_set(err, VT_EDATA, "%s: too long", name)
			      : vt_reader_bytes(reader, size, ctx, name, err);
}

/* One request of each kind, as long as the answers are answers. */
static int ask_all(struct vt_peer *p, struct vt_refs *refs, const struct vt_strs *asked,
	struct vt_strs *got, struct vt_buf *text, struct vt_err *err)
{
	int rc = p->ops->refs(p, refs, NULL, err);

	if (!rc)
		rc = p->ops->history(p, got, asked, err);
	if (!rc)
		rc = p->ops->missing(p, got, asked, err);
	if (!rc)
		rc = p->ops->get(p, asked, keep_text, text, err);
	if (!rc)
		rc = p->ops->erased(p, got, asked, err);
	if (!rc)
		rc = p->ops->unsound(p, got, asked, err);
	return rc ? rc : p->ops->vouchers(p, got, asked, err);
}

/* What a server answers: `cat` of the input stands in for ssh. */
static void answers(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("answers", bytes, n), *ssh = vt_asprintf("cat %s; :", path);
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_strs asked = VT_STRS_INIT, got = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_peer *p = NULL;
	struct vt_err err = VT_ERR_INIT;

	vt_strs_add(&asked,
		"objects 0000000000000000000000000000000000000000000000000000000000000000");
	setenv("VOXTRAIL_SSH", ssh, 1);
	if (vt_peer_open(&p, "host:path", false, &err)) {
		fuzz_refused(&err);
	} else {
		if (ask_all(p, &refs, &asked, &got, &text, &err))
			fuzz_refused(&err);
		vt_peer_close(p);
	}
	vt_refs_release(&refs);
	vt_buf_release(&text);
	vt_strs_release(&asked);
	vt_strs_release(&got);
	free(ssh);
	free(path);
}

const struct fuzz_target fuzz_store_targets[] = {
	{ "record", record },
	{ "record-dir", record_dir },
	{ "tree", tree },
	{ "commit", commit },
	{ "history", history },
	{ "consent", consent },
	{ "tomb", tomb },
	{ "dsse", dsse },
	{ "oms", oms },
	{ "key", key },
	{ "serve", serve },
	{ "answers", answers },
	{ NULL, NULL },
};
