/* import.h - ingests a stage's output with its records.
 *
 *      struct vt_import got;
 *      if (vt_store_import_dir(s, dir, &opts, &got, err))
 *              return err->code;
 *      use(got.tree->id, got.n_records);
 *      vt_import_release(&got);
 *
 * Importing is idempotent, and the order of directories does not matter.  A directory may have gone
 * through a bucket: times, permissions and empty directories are not needed, and each record's own
 * tree is stored with the executable bits that the record states.  A record that contradicts its
 * files is VT_EINTEGRITY with the path (record_dir.h), and so is a claim that contradicts the store
 * (trust.h); nothing is ingested then. */
#ifndef COMMON_LINEAGE_IMPORT_H
#define COMMON_LINEAGE_IMPORT_H

#include "common/record/record_dir.h"
#include "common/store/store.h"

struct vt_import_opts {
	enum vt_record_dir_extent extent; /* 0 is VT_RECORD_DIR_WHOLE */
	bool strict;                      /* a file that no record lists is VT_EINTEGRITY */
	bool copy;                        /* the files stay as they are, see vt_ingest_opts */
	bool follow;                      /* symbolic links to files, see vt_ingest_opts */
	bool believed;                    /* a claim is VT_ECLAIM */
	const char
		*vouch; /* the reason why the caller vouches for the records; NULL: no vouching */
};

struct vt_import {
	struct vt_tree *tree;      /* the directory as it is */
	size_t n_own, n_ancestors; /* records beside it; records of what it was made from */
	struct vt_strs unvouched;  /* files that no record lists */
};

int vt_store_import_dir(struct vt_store *store, const char *dir, const struct vt_import_opts *opts,
	struct vt_import *out, struct vt_err *err);
void vt_import_release(struct vt_import *import);

/* Ingests records alone, given as texts, without their files.  A record that contradicts the store
 * (store/trust.h) is left out and logged.  origin: where they came from, for messages. */
int vt_store_import_records(struct vt_store *store, const struct vt_strs *texts, const char *origin,
	struct vt_err *err);

/* Ingests the records of outputs that were executed here, all published together.  Own records are
 * believed as made here, even if they were claims before.  None may be a copy of an input's. */
int vt_store_import_made(struct vt_store *store, const struct vt_strs *dirs, struct vt_err *err);

#endif
