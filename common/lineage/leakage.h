/* leakage.h - does an evaluation share a subject, or the bytes of a volume, with what a
 * checkpoint was trained on?
 *
 *      struct vt_side train = VT_SIDE_INIT, test = VT_SIDE_INIT;
 *      vt_side_trained(&train, ancestry, 0);
 *      vt_side_evaluated(&test, ancestry);
 *      struct vt_leak leak;
 *      vt_leak_find(&leak, &train, &test);
 *      vt_leak_release(&leak); vt_side_release(&train); vt_side_release(&test);
 *
 * A side is its subjects and their raw volumes.  A volume is a file of an image format (.nii,
 * .img, with or without .gz) that is somebody's: a license that lies in every subject's
 * directory is shared by all and says nothing.  Label maps do not count either: two people
 * without a tumor have the same, empty one. */
#ifndef COMMON_LINEAGE_LEAKAGE_H
#define COMMON_LINEAGE_LEAKAGE_H

#include "common/lineage/ancestry.h"

struct vt_side_volume {
	char sha256[VT_HEX];
	char *subject, *path;
};

struct vt_side {
	struct vt_strs subjects;  /* sorted, once each */
	struct vt_side_volume *v; /* in order of digest and path, once each */
	size_t n, cap;
};

#define VT_SIDE_INIT                                                                               \
	{                                                                                          \
		VT_STRS_INIT, NULL, 0, 0                                                           \
	}

/* Trained on: what the trainings in the ancestry note (/notes/split/train), through every
 * fine-tuning; where none of them notes anything, everybody. choosing: those that chose the
 * weights (/notes/split/validation) too. */
void vt_side_trained(struct vt_side *s, const struct vt_ancestry *a, bool choosing);

/* Evaluated on: what the executions that made it note (/notes/subjects), else everybody in the
 * ancestry. */
void vt_side_evaluated(struct vt_side *s, const struct vt_ancestry *a);

/* Files that no execution made: a test set on disk, the first element of a path its subject. */
int vt_side_directory(struct vt_side *s, const char *dir, struct vt_err *err);
void vt_side_release(struct vt_side *s);

struct vt_leak_pair {
	const struct vt_side_volume *training, *evaluation;
};

struct vt_leak {
	struct vt_strs subjects; /* on both sides, sorted */
	/* equal bytes; but for those of a shared subject under its own name */
	struct vt_leak_pair *volume;
	size_t n_volumes, cap;
};

/* Borrows from both sides. */
void vt_leak_find(struct vt_leak *out, const struct vt_side *training,
	const struct vt_side *evaluation);
void vt_leak_release(struct vt_leak *l);

#endif
