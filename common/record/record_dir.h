/* record_dir.h - the records in .lineage/ of a directory and of the directories in it, checked
 * against the files beside them.
 *
 *      .lineage/<result id>/record.json     a record that vouches for files of this directory
 *                                           ("own")
 *      .lineage/<result id>/parents.jsonl   the records of its ancestors, one canonical text a line
 *      .lineage/failed-<record id>/         a failed execution; it has no outputs
 *      f1/.lineage/...                      records of the files in f1, a member of an ensemble
 *
 *      struct vt_record_dir c;
 *      if (vt_record_dir_read(&c, dir, err) || vt_record_dir_check(&c, tree, dir,
 *      VT_RECORD_DIR_WHOLE, &unvouched, err))
 *              return err->code;
 *      vt_record_dir_release(&c);
 *
 * VT_EINTEGRITY, with the path, for a record whose ids do not follow from its contents, a listed
 * file that is missing or has other bytes, and an ancestor that nothing names. */
#ifndef COMMON_RECORD_RECORD_DIR_H
#define COMMON_RECORD_RECORD_DIR_H

#include "common/base/json.h"
#include "common/content/tree.h"

struct vt_record_dir_record {
	char id[VT_HEX];
	struct vt_json *record;
	char *text; /* canonical bytes */
	size_t len;
	char *origin; /* path of the file it was read from */
	bool own;
	struct vt_strs at; /* where an own record lies: "" or a directory, "f1" */
};

struct vt_record_dir {
	struct vt_record_dir_record *v; /* sorted by id, each id once */
	size_t n, cap;
};

/* The directories at or below dir (8 levels) that have a .lineage: relative, sorted; "" is dir. */
int vt_record_dir_carriers(struct vt_strs *out, const char *dir, struct vt_err *err);

/* If there is no .lineage, n is 0 and the result 0. */
int vt_record_dir_read(struct vt_record_dir *out, const char *dir, struct vt_err *err);
/* Only the records of dir/.lineage. */
int vt_record_dir_read_top(struct vt_record_dir *out, const char *dir, struct vt_err *err);
void vt_record_dir_release(struct vt_record_dir *dir);
/* NULL if there is none with this id. */
const struct vt_record_dir_record *vt_record_dir_find(const struct vt_record_dir *dir,
	const char *id);

/* VT_RECORD_DIR_PART: a listed file may be missing; the files that are there must be right.
 * Executable bits do not count: a bucket loses them. */
enum vt_record_dir_extent { VT_RECORD_DIR_WHOLE = 1, VT_RECORD_DIR_PART };

/* Compares what own records list with tree, the tree of `dir`.  Adds the paths of files that no own
 * record lists to *unvouched and, with VT_RECORD_DIR_PART, of listed files that are missing to
 * *absent; both may be NULL. */
int vt_record_dir_check(const struct vt_record_dir *records, const struct vt_tree *tree,
	const char *dir, enum vt_record_dir_extent extent, struct vt_strs *unvouched,
	struct vt_strs *absent, struct vt_err *err);

/* Is every output the record lists in tree, under its path and with its digest?  If so, marks those
 * files in covered (tree->n_files flags). */
bool vt_record_dir_fits(const struct vt_json *record, const struct vt_tree *tree, bool *covered);

/* Writes dir/.lineage as a stage would: each of the records (ids) with those of its ancestors
 * that the store knows, up to 64 MiB.  tree: the tree of dir; the record of a result in a
 * directory below is written there. */
struct vt_store;
int vt_record_dir_write(struct vt_store *store, const struct vt_strs *ids,
	const struct vt_tree *tree, const char *dir, struct vt_err *err);

#endif
