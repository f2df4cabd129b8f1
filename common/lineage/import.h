/* import.h - taking a stage's output, with the records that vouch for it, into a store.
 *
 *      struct vt_import got;
 *      if (vt_store_import_dir(s, dir, &opts, &got, err))
 *              return err->code;
 *      use(got.tree->id, got.n_records);
 *      vt_import_release(&got);
 *
 * Idempotent, and the order in which directories are taken in does not matter.  The directory
 * may have gone through a bucket: times, permissions and empty directories are not needed; each
 * record's own tree is stored with the executable bits the record states.  A record that lies
 * about the files beside it is VT_EINTEGRITY with the path (record_dir.h), and so is a claim that
 * contradicts what is known (trust.h); nothing is taken in then. */
#ifndef COMMON_LINEAGE_IMPORT_H
#define COMMON_LINEAGE_IMPORT_H

#include "common/record/record_dir.h"
#include "common/store/store.h"

struct vt_import_opts {
	enum vt_record_dir_extent extent; /* 0 is VT_CARRIED_WHOLE */
	bool strict;                      /* a file that no record lists is VT_EINTEGRITY */
	bool copy;                        /* the files stay as they are, see vt_take */
	bool follow;                      /* symbolic links to files, see vt_take */
	bool believed;                    /* a record that nobody vouches for is VT_ECLAIM */
	const char *vouch; /* who imports answers for the records, on these grounds; NULL: no */
};

struct vt_import {
	struct vt_tree *tree;      /* the directory as it is */
	size_t n_own, n_ancestors; /* records beside it; records of what it was made from */
	struct vt_strs unvouched;  /* files that no record lists */
};

int vt_store_import_dir(struct vt_store *store, const char *dir, const struct vt_import_opts *opts,
	struct vt_import *out, struct vt_err *err);
void vt_import_release(struct vt_import *import);

/* Takes in records alone, by their texts, without looking at any files.  What contradicts the store
 * (store/trust.h) is left out and logged; origin: where they came from, for messages. */
int vt_store_import_records(struct vt_store *store, const struct vt_strs *texts, const char *origin,
	struct vt_err *err);

/* Takes in the records beside outputs that were executed here, published together: own records are
 * believed as made here, also those that were claims until now.  None may be a copy of an
 * input's. */
int vt_store_import_made(struct vt_store *store, const struct vt_strs *dirs, struct vt_err *err);

#endif
