/* datum.h - the datums of a pipeline: which files each try of the transform sees. */
#ifndef PIPELINES_RUNNER_DATUM_H
#define PIPELINES_RUNNER_DATUM_H

#include "pipelines/runner/snapshot.h"
#include "pipelines/spec/spec.h"

struct vt_datum_file {
	const struct vt_input *in;
	struct vt_snapshot *seen;         /* the repo that it is of; NULL with entry NULL only */
	const struct vt_tree_path *entry; /* NULL: a warm-start input with nothing to start from */
	char *join_on, *group_by;
};

struct vt_datum {
	struct vt_datum_file *file;
	size_t n;
	char id[65];
};

struct vt_datums {
	struct vt_datum *v;
	size_t n, cap;
};

/* The repo that a leaf reads; NULL or one without files: no datum. */
typedef struct vt_snapshot *(*vt_snapshot_fn)(void *ctx, const struct vt_input *leaf);

/* Pachyderm's order and rules; datums with equal ids collapse.  The entries stay borrowed from
 * the snapshots. */
void vt_datums_enumerate(struct vt_datums *out, const struct vt_pipeline *pipeline,
	vt_snapshot_fn snapshot, void *ctx);
void vt_datums_release(struct vt_datums *datums);

/* Of a pipeline without a datum: do all its inputs hold files?  Then a glob or a key is wrong;
 * where one is empty, or waits for a trigger or a tick, there is nothing to do yet. */
#define VT_DATUMS_MISSING                                                                          \
	"its inputs hold files and no datum comes of them: a glob, or a key of join or group, "    \
	"matches nothing"
bool vt_datums_missing(const struct vt_pipeline *pipeline, vt_snapshot_fn snapshot, void *ctx);

/* "/sub-001/" or "/a + /b": what people call the datum. */
char *vt_datum_label(const struct vt_datum *datum);

/* The hash of the transform: command, environment, accepted codes, image, salt and the bytes of the
 * programs it consists of, which *used gets (programs.h). */
struct vt_programs;
int vt_transform_hash(struct vt_digest *out, struct vt_programs *used,
	const struct vt_pipeline *pipeline, struct vt_err *err);

/* The text that this is the hash of: canonical JSON. */
int vt_transform_text(struct vt_buf *out, const struct vt_pipeline *pipeline,
	const struct vt_programs *used, struct vt_err *err);

/* The rest of the key: [[input, repo, path, kind, id]..] with kind "d", "f" or "x" of a directory,
 * file or executable file, "e" where the program sees names only, and "r" where the path alone
 * counts (no id).  NULL where there are more than VT_DATUM_INPUTS, or VT_DATUM_PATHS bytes of
 * paths. */
enum { VT_DATUM_INPUTS = 64, VT_DATUM_PATHS = 1 << 14 };
struct vt_json *vt_datum_inputs(const struct vt_datum *datum);

/* The key: transform and the content of every input that counts. */
void vt_datum_key(struct vt_digest *out, const struct vt_datum *datum,
	const struct vt_digest *transform);

#endif
