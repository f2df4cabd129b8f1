/* record.h - what one execution of a stage was, as canonical JSON.
 *
 * derivation id = SHA-256 of canonical JSON {stage, version, binary, params, inputs: [[port,
 * tree id]...]}.
 * result id     = SHA-256 of canonical JSON {derivation, outputs: [[port, tree id]...]}.
 * record id     = SHA-256 of the record's canonical bytes.
 * No time, host or path is in any of them: the same work done twice writes the same record.
 * What was observed (times, host, resources) is a second file, observed-<record id>.json, beside
 * it. */
#ifndef COMMON_RECORD_RECORD_H
#define COMMON_RECORD_RECORD_H

#include "common/base/json.h"
#include "common/content/tree.h"

/* A port with the tree that was read or written there. */
struct vt_record_port {
	const char *port;
	const struct vt_tree *tree; /* NULL: an optional port that was not given */
	/* record ids found beside an input; NULL for outputs */
	const struct vt_strs *parents;
};

struct vt_record {
	const char *stage, *version;
	struct vt_digest binary;
	const char *commit;
	bool dirty;
	const struct vt_json *params; /* object of texts */
	const struct vt_record_port *input, *output;
	size_t n_inputs, n_outputs;
	/* object the stage added: subjects, metrics, warnings; NULL if none */
	const struct vt_json *notes;
	const char *failure; /* NULL: it succeeded */
};

int vt_record_derivation(struct vt_digest *out, const struct vt_record *record, struct vt_err *err);
int vt_record_result(struct vt_digest *out, const struct vt_record *record, struct vt_err *err);

/* Appends the canonical bytes; *id is their digest. */
int vt_record_write(struct vt_buf *out, struct vt_digest *id, const struct vt_record *record,
	struct vt_err *err);

/* A record in both its forms. */
struct vt_record_text {
	const char *text; /* canonical bytes */
	size_t n;
	const struct vt_json *record;
};

/* Parses and checks a record: known format, canonical bytes, trees, derivation and result ids
 * that follow from its contents. */
int vt_record_parse(struct vt_json **out, const char *text, size_t n, const char *origin,
	struct vt_err *err);

/* The tree an entry of `inputs` or `outputs` lists. */
int vt_record_tree(struct vt_tree **out, const struct vt_json *port, struct vt_err *err);

/* Adds the directories among n paths that hold a result and are nobody's: those with
 * checkpoint.json and weights (*.safetensors), as a member of an ensemble, and those with
 * metrics.json and subjects.csv, an evaluation.  Sorted.  path: the one of index i. */
void vt_record_results(struct vt_strs *dirs, size_t n,
	const char *(*path)(const void *ctx, size_t i), const void *ctx);
/* Those of an entry of `inputs` or `outputs`. */
void vt_record_port_results(struct vt_strs *dirs, const struct vt_json *port);

/* Whose file an input path is: the longest of the subjects the record's notes name (`subjects`:
 * names or an object by name; `quarantined`) that stands in the path between characters that are
 * no letters or digits, else the first element of a path that has more than one, else "".  What
 * lies in one of `results` (NULL: none) is judged from there on and only by the names: f1 of an
 * ensemble is no patient.  Caller frees. */
char *vt_record_subject(const struct vt_json *record, const struct vt_strs *results,
	const char *path);

/* Does `name` stand in the path between characters that are no letters or digits?  Both in one
 * Unicode form (unicode.h).  A directory wins over a file's name: 002/run-001.nii.gz does not name
 * 001, because 002 is a name of the same scheme. */
bool vt_record_names(const char *path, const char *name);

#endif
