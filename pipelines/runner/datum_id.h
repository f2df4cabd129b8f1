/* datum_id.h - the name of a datum, equal to Pachyderm's: BLAKE2b-256 over, per input, name,
 * repo, branch and path, each followed by its length as eight big-endian bytes. */
#ifndef PIPELINES_RUNNER_DATUM_ID_H
#define PIPELINES_RUNNER_DATUM_ID_H

#include "pipelines/runner/blake2b.h"

struct vt_datum_id {
	struct vt_blake2b hash;
};

void vt_datum_id_begin(struct vt_datum_id *id);
void vt_datum_id_input(struct vt_datum_id *id, const char *name, const char *repo,
	const char *branch, const char *path);
void vt_datum_id_end(struct vt_datum_id *id, char hex[65]);

#endif
