/* attest.h - records in the words of others: one record (or one ancestry) in, a document of a
 * published form out.
 *
 *      slsa          in-toto Statement v1 with SLSA provenance v1, one an execution
 *      oms           OpenSSF model signing 1.0: a Sigstore bundle over the files of a directory
 *      openlineage   OpenLineage 2-0-2 RunEvents: START and COMPLETE, or FAIL
 *      prov          W3C PROV-JSON of an ancestry
 *      crate         Provenance Run Crate 0.5 (RO-Crate 1.1) of a directory and its ancestry
 *
 * Times come from what was observed beside a record (seal.c), where that is at hand; digests and
 * all else from the records alone.  Names that the standards leave to us are URNs
 * "urn:voxtrail:...". */
#ifndef COMMON_ATTEST_ATTEST_H
#define COMMON_ATTEST_ATTEST_H

#include "common/lineage/ancestry.h"
#include "common/attest/sign.h"

struct vt_attested {
	const char *id; /* record id */
	const struct vt_json *record;
	const struct vt_json *observed; /* NULL: not at hand */
};

/* --- (a) in-toto and SLSA ------------------------------------------------ */

/* A failed execution made nothing that a statement could be about: VT_EFAIL. */
int vt_attest_slsa(struct vt_json **out, const struct vt_attested *attested, struct vt_err *err);

/* Does the statement's subject list hold for the files below dir?  VT_EINTEGRITY names the first
 * that does not. */
int vt_attest_check_files(const struct vt_json *statement, const char *dir, struct vt_err *err);

/* in-toto's dirHash of a tree: SHA-256 of its sha256sum lines in order of path. */
void vt_attest_dir_hash(char out[VT_HEX], const struct vt_json *files);

/* --- (b) OpenSSF model signing ------------------------------------------- */

/* The Sigstore bundle for the files of dir; .lineage, .git* and the file `ignore` (a path within
 * dir, may be NULL) are left out.  The key must be P-256, which is what the specification has. */
int vt_oms_sign(struct vt_json **out, const char *dir, const char *ignore, const struct vt_key *key,
	struct vt_err *err);

/* Signature, manifest and every file: changed, missing and added files are VT_EINTEGRITY. */
int vt_oms_verify(const struct vt_json *bundle, const char *dir, const struct vt_key *key,
	struct vt_err *err);

/* --- (c) OpenLineage ----------------------------------------------------- */

/* Appends two lines.  `now` stands in for times that were not observed: "2026-01-01T00:00:00Z". */
int vt_attest_openlineage(struct vt_buf *out, const struct vt_attested *attested, const char *now,
	struct vt_err *err);

/* --- (d) PROV-JSON ------------------------------------------------------- */

/* observed: n of them, in the order of ancestry->v, or NULL each. */
struct vt_json *vt_attest_prov(const struct vt_ancestry *ancestry, struct vt_json *const *observed);

/* --- (e) Provenance Run Crate -------------------------------------------- */

struct vt_crate {
	const char *name, *license;  /* license: URL or NULL */
	const char *now;             /* datePublished where nothing was observed */
	const struct vt_tree *files; /* what lies in the crate */
};

/* ro-crate-metadata.json, and workflow.json: the chain of stages as it was executed. */
struct vt_json *vt_attest_crate(const struct vt_ancestry *ancestry, struct vt_json *const *observed,
	const struct vt_crate *crate);
struct vt_json *vt_attest_workflow(const struct vt_ancestry *ancestry);

#endif
