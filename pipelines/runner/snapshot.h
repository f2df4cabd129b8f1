/* snapshot.h - a repo as a run sees it: a commit with its tree, by path.
 *
 *      struct vt_snapshot *seen;
 *      if (vt_snapshot_open(&seen, store, "scans", "master", err))
 *              return err->code;
 *      use(seen->commit.id, seen->paths.v, seen->paths.n);
 *      vt_snapshot_close(seen);
 *
 * The origin of each file can be asked: of a commit that a run made, the result that wrote it and
 * the lineage files that lay beside it; of another, those of the record that made it. */
#ifndef PIPELINES_RUNNER_SNAPSHOT_H
#define PIPELINES_RUNNER_SNAPSHOT_H

#include "common/content/tree_paths.h"
#include "common/store/repo.h"
#include "common/store/result.h"

struct vt_origins;

struct vt_snapshot {
	struct vt_commit commit; /* id "": of no commit */
	struct vt_tree *tree;
	struct vt_tree_paths paths;
	struct vt_origins *origins; /* once they were asked for */
	size_t shared;              /* closings to come before the last */
};

/* The head of a branch; VT_ENOINPUT where there is none. */
int vt_snapshot_open(struct vt_snapshot **out, struct vt_store *store, const char *repo,
	const char *branch, struct vt_err *err);

/* A commit by its id; VT_ENOINPUT where it is gone. */
int vt_snapshot_of(struct vt_snapshot **out, struct vt_store *store, const char *commit,
	struct vt_err *err);

/* The same of a commit that was just made of the tree, which is taken over, also on failure. */
int vt_snapshot_made(struct vt_snapshot **out, struct vt_store *store, const char *commit,
	struct vt_tree *tree, struct vt_err *err);

/* Of files that are in no store; takes the tree over. */
struct vt_snapshot *vt_snapshot_of_tree(struct vt_tree *tree);
/* One more owner. */
struct vt_snapshot *vt_snapshot_share(struct vt_snapshot *seen);
void vt_snapshot_close(struct vt_snapshot *seen);

/* The lineage files of the result, or by the record, that made a file of the snapshot, borrowed;
 * NULL where nothing is known of it. */
int vt_snapshot_lineage(struct vt_snapshot *seen, struct vt_store *store,
	const struct vt_tree_file *file, const struct vt_tree **out, struct vt_err *err);

/* The result that wrote the file with this path; false if no run did. */
bool vt_snapshot_origin(const struct vt_snapshot *seen, struct vt_store *store, const char *path,
	struct vt_result *out);

#endif
