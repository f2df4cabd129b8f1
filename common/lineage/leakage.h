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
 * A side is its subjects and their volumes: what the preparations among its ancestors say their
 * scans show (notes.subjects.*.content), so that a scan compressed anew or stored in another type
 * is the same; the bytes of raw files where they say nothing.  A volume is a file of an image
 * format (.nii, .img, with or without .gz) that is somebody's: a license that lies in every
 * subject's directory is shared by all and says nothing.  Label maps do not count either: two
 * people without a tumor have the same, empty one. */
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
	struct vt_strs decoded; /* subjects of whom v says what their scans show, not their bytes */
	struct vt_json *patients; /* subject -> patient, where the records or a manifest say so */
};

#define VT_SIDE_INIT                                                                               \
	{                                                                                          \
		VT_STRS_INIT, NULL, 0, 0, VT_STRS_INIT, NULL                                       \
	}

/* Trained on: what the trainings in the ancestry note (/notes/split/train), through every
 * fine-tuning; where none of them notes anything, everybody. choosing: those that chose the
 * weights (/notes/split/validation) too. */
void vt_side_trained(struct vt_side *side, const struct vt_ancestry *ancestry, bool choosing);

/* Evaluated on: what the executions that made it note (/notes/subjects), else everybody in the
 * ancestry. */
void vt_side_evaluated(struct vt_side *side, const struct vt_ancestry *ancestry);

/* Files that no execution made: a test set on disk, the first element of a path its subject. */
int vt_side_directory(struct vt_side *side, const char *dir, struct vt_err *err);
/* Gives each volume of a directory's side what digest() says of it instead of its bytes' digest:
 * any number of them, none for what shows nothing.  It returns false for what it cannot read. */
void vt_side_decode(struct vt_side *side, const char *dir,
	bool (*digest)(struct vt_strs *hex, const char *path));
void vt_side_release(struct vt_side *side);

struct vt_leak_pair {
	const struct vt_side_volume *training, *evaluation;
};

/* Two subjects of one patient. */
struct vt_leak_patient {
	const char *patient, *training, *evaluation;
};

struct vt_leak {
	struct vt_strs subjects; /* on both sides, sorted */
	/* equal bytes; but for those of a shared subject under its own name */
	struct vt_leak_pair *volume;
	size_t n_volumes, cap;
	/* on both sides under different names; in the order of the evaluation's subjects */
	struct vt_leak_patient *patient;
	size_t n_patients;
};

/* Borrows from both sides. */
void vt_leak_find(struct vt_leak *out, const struct vt_side *training,
	const struct vt_side *evaluation);
void vt_leak_release(struct vt_leak *leak);

#endif
