/* result.h - results of datums by key: how a run knows what is done.
 *
 *      <store>/results/ab/cdef...    canonical JSON, named by the key:
 *      {"brought": true, "data": digest, "datum": id, "exit": 0, "format": 1, "inputs": [..],
 *       "lineage": tree id, "ms": 1234, "pipeline": "name", "state": "success",
 *       "transform": digest, "tree": tree id, "tries": 1}
 *
 * `tree` is the output without its .lineage directories; `lineage` is a tree of the files in those,
 * by whole path, and is left out if there are none.  `data` is the digest of the inputs alone, by
 * which a result of another program over the same data is found.  `transform` is the digest of an
 * object: the text whose hash is the program's part of the key.  `inputs` is the rest of the key,
 * if it is short.  Both only explain a key.
 *
 * `brought` is present if push or pull brought the result (reuse.h says when it is used then).
 *
 * Results are the only files here that are not named by their bytes.  They may be lost: the work is
 * then done again.  A result appears when its trees are durable, and a later result of the same key
 * replaces it.  gc keeps what results name, and removes a result whose trees are incomplete. */
#ifndef COMMON_STORE_RESULT_H
#define COMMON_STORE_RESULT_H

#include "common/store/store.h"

enum vt_result_state { VT_RESULT_SUCCESS = 1, VT_RESULT_QUARANTINED };

struct vt_result {
	struct vt_digest key, data, tree;
	struct vt_digest lineage;   /* only where has_lineage */
	struct vt_digest transform; /* only where has_transform */
	bool has_lineage, has_transform;
	bool brought; /* by push or pull: a claim of another store */
	enum vt_result_state state;
	int exit_code, tries;
	int64_t wall_ms;
	char pipeline[64], datum[VT_HEX];
	int64_t written; /* out: ns since 1970; in no file */
	/* in: JSON, borrowed; NULL: left out.  It is read with vt_result_inputs. */
	const struct vt_json *inputs;
};

/* The results are durable when it returns; their trees must be durable before. */
int vt_result_put(struct vt_store *store, const struct vt_result *result, size_t n,
	struct vt_err *err);

/* VT_ENOINPUT without a message if there is none, or if it cannot be read. */
int vt_result_get(struct vt_store *store, struct vt_result *out, const struct vt_digest *key,
	struct vt_err *err);

/* The inputs that vt_result_put was given; caller frees; NULL if there are none. */
struct vt_json *vt_result_inputs(struct vt_store *store, const struct vt_digest *key);

/* Every result, in order of the key; a non-zero return stops and is returned. */
typedef int (*vt_result_fn)(void *ctx, const struct vt_result *result, struct vt_err *err);
int vt_result_each(struct vt_store *store, vt_result_fn fn, void *ctx, struct vt_err *err);

/* True if the result has records and this store executed all of them. */
bool vt_result_made(struct vt_store *store, const struct vt_result *result);

/* usable[i]: result i succeeded, and its output tree and all files of it exist and match their
 * seals. */
int vt_result_usable(struct vt_store *store, const struct vt_result *result, size_t n, bool *usable,
	struct vt_err *err);

/* Stores, as an object, the list of keys whose outputs an output commit contains.  The commit's
 * provenance has its digest as "datums". */
int vt_result_list_put(struct vt_store *store, const struct vt_digest *key, size_t n,
	struct vt_digest *id, struct vt_err *err);
/* *out has *n keys, caller frees; none for a commit that no run made.  VT_ENOINPUT if the list is
 * missing, because a pull does not bring it. */
int vt_result_list_get(struct vt_store *store, const char *provenance, struct vt_digest **out,
	size_t *n, struct vt_err *err);

/* Its parts: the digest of the list, false where there is none, and the reading of a list. */
bool vt_result_list_named(struct vt_digest *out, const char *provenance);
int vt_result_list_parse(struct vt_digest **out, size_t *n, const struct vt_buf *text,
	const char *name, struct vt_err *err);

/* A result's text, without its key; false if it is none. */
bool vt_result_parse(struct vt_result *out, const char *text, size_t n);

/* Marks the file of a result that arrived as brought; a file that is not JSON stays as it is. */
int vt_result_mark_brought(const char *path, struct vt_err *err);

/* The digest that vt_result_list_put would return. */
struct vt_digest vt_result_list_id(const struct vt_digest *key, size_t n);

#endif
