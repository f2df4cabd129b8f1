/* result.h - what a piece of work gave, by the key of the work: how a run knows what is done.
 *
 *      <store>/results/ab/cdef...    canonical JSON, named by the key:
 *      {"brought": true, "data": digest, "datum": id, "exit": 0, "format": 1, "inputs": [..],
 *       "lineage": tree id, "ms": 1234, "pipeline": "name", "state": "success",
 *       "transform": digest, "tree": tree id, "tries": 1}
 *
 * `tree` is the output without its .lineage directories, `lineage` a tree of what lay in those, by
 * whole path; it is left out where there was none.  `data` is the digest of the inputs alone, by
 * which a result of another program over the same data is found.  `transform` is the digest of an
 * object, the text that the program's part of the key is the hash of, and `inputs` the rest of it,
 * as far as it is short: they explain a key and decide nothing.
 *
 * `brought` is there where push or pull brought it (reuse.h says when such a one is used).
 *
 * A result is the only thing here whose name does not follow from its bytes, and it may be lost:
 * then the work is done again.  It appears when its trees are durable, and the next result of the
 * key takes its place.  gc keeps what results name; one whose trees are not whole goes. */
#ifndef COMMON_STORE_RESULT_H
#define COMMON_STORE_RESULT_H

#include "common/store/store.h"

enum vt_result_state { VT_RESULT_SUCCESS = 1, VT_RESULT_QUARANTINED };

struct vt_result {
	struct vt_digest key, data, tree;
	struct vt_digest lineage;   /* only where has_lineage */
	struct vt_digest transform; /* only where has_transform */
	bool has_lineage, has_transform;
	bool brought; /* by push or pull: another store's word */
	enum vt_result_state state;
	int exit_code, tries;
	int64_t wall_ms;
	char pipeline[64], datum[VT_HEX];
	int64_t written; /* out: ns since 1970; in no file */
	/* in: JSON, borrowed; NULL: left out.  It is read with vt_result_inputs. */
	const struct vt_json *inputs;
};

/* Durable when it returns; their trees must be. */
int vt_result_put(struct vt_store *store, const struct vt_result *result, size_t n,
	struct vt_err *err);

/* VT_ENOINPUT and no text where there is none; one that cannot be read is none either. */
int vt_result_get(struct vt_store *store, struct vt_result *out, const struct vt_digest *key,
	struct vt_err *err);

/* What vt_result_put was given as inputs: caller frees; NULL where there is none. */
struct vt_json *vt_result_inputs(struct vt_store *store, const struct vt_digest *key);

/* Every result, in order of the key; a non-zero return stops and is returned. */
typedef int (*vt_result_fn)(void *ctx, const struct vt_result *result, struct vt_err *err);
int vt_result_each(struct vt_store *store, vt_result_fn fn, void *ctx, struct vt_err *err);

/* Is there a record with it, and was every one executed here?  What came from elsewhere was not. */
bool vt_result_made(struct vt_store *store, const struct vt_result *result);

/* Of n results, which may be used: bit i is set where the output tree and every file of it are
 * there and sound. */
int vt_result_usable(struct vt_store *store, const struct vt_result *result, size_t n, bool *usable,
	struct vt_err *err);

/* The list of keys that an output commit is the union of, kept as an object: its digest stands in
 * the commit's provenance as "datums". */
int vt_result_list_put(struct vt_store *store, const struct vt_digest *key, size_t n,
	struct vt_digest *id, struct vt_err *err);
/* *out has *n keys, caller frees; of a commit that no run made, none.  VT_ENOINPUT where the list
 * is not there: a pull leaves it behind. */
int vt_result_list_get(struct vt_store *store, const char *provenance, struct vt_digest **out,
	size_t *n, struct vt_err *err);

/* Its parts: the digest of the list, false where there is none, and the reading of a list. */
bool vt_result_list_named(struct vt_digest *out, const char *provenance);
int vt_result_list_parse(struct vt_digest **out, size_t *n, const struct vt_buf *text,
	const char *name, struct vt_err *err);

/* A result's text, without its key; false if it is none. */
bool vt_result_parse(struct vt_result *out, const char *text, size_t n);

/* The file of a result that arrived says from now on that it was brought; what is no JSON stays. */
int vt_result_mark_brought(const char *path, struct vt_err *err);

/* The digest that vt_result_list_put would give. */
struct vt_digest vt_result_list_id(const struct vt_digest *key, size_t n);

#endif
