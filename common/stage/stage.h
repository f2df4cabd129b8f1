/* stage.h - a stage is three tables and one function.
 *
 *      struct params { int64_t margin; int64_t mode; };
 *      static const char *const modes[] = { "auto", "never", NULL };
 *      static const struct vt_port in[] = {
 *              { "scans", VT_PORT_DIR, false, "subjects as the manifest lays them out" },
 *              { 0 },
 *      };
 *      static const struct vt_param params[] = {
 *              VT_INT("margin", margin, 2, 0, 32, "voxel", "kept around the brain"),
 *              VT_ENUM("mode", mode, modes, 0, "when to strip"),
 *              { 0 },
 *      };
 *      static const struct vt_stage stage = {
 *              .name = "x", .version = "1", .summary = "...", .in = in,
 *              .params = params, .params_size = sizeof(struct params), .run = run,
 *      };
 *      int main(int argc, char **argv) { return vt_stage_main(&stage, argc, argv); }
 *
 * The tables are the only source of flags, defaults, ranges, units, --help, --describe, the
 * execution's key and the docs page. `version` is raised when equal inputs may give other bytes.
 *
 * Life of an execution: options -> recipe -> ranges -> resolve roots -> hash inputs ->
 * derivation id -> reuse it if the store has it -> run into <out>/.voxtrail-partial (or a
 * staging directory of the store) -> hash -> move into place -> record.  A killed execution
 * leaves a partial directory, which the next one clears with what was moved out of it; one that was
 * killed after its record left a whole result, and the same command again ends as that execution
 * did.  A failed one leaves a record that says why and no output.  A stage that quarantined
 * subjects keeps the others' output and exits with 65. */
#ifndef COMMON_STAGE_STAGE_H
#define COMMON_STAGE_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

/* a file port also takes a directory that holds <port>.json */
enum vt_port_kind { VT_PORT_DIR = 1, VT_PORT_FILE };

struct vt_port {
	const char *name; /* flag --name; the input's name in a pipeline spec */
	enum vt_port_kind kind;
	bool optional;
	const char *help;
};

enum vt_param_kind {
	VT_PARAM_INT = 1,
	VT_PARAM_REAL,
	VT_PARAM_BOOL,
	VT_PARAM_ENUM,
	VT_PARAM_TEXT,
	VT_PARAM_JSON
};

/* Fields in the params struct: int64_t, double, bool, int64_t (index into names), const char *,
 * const char * (the sorted text of a JSON object or array; a recipe may hold the value itself). */
struct vt_param {
	const char *name;
	enum vt_param_kind kind;
	size_t offset;
	double value;     /* default; an index for an enum, 0 or 1 for a bool */
	double min, max;  /* both ends allowed; min == max: no bound */
	const char *unit; /* "" if none */
	const char *help;
	const char *const *names; /* enum: NULL-terminated */
	const char *text;         /* default of a text or JSON */
};

/* Rows of a table: the flag's name, the field of the stage's `struct params`, the default, what it
 * may be, and what --help says. */
#define VT_INT(flag, field, value_, min_, max_, unit_, help_)                                      \
	{                                                                                          \
		.name = (flag), .kind = VT_PARAM_INT, .offset = offsetof(struct params, field),    \
		.value = (value_), .min = (min_), .max = (max_), .unit = (unit_), .help = (help_)  \
	}
#define VT_REAL(flag, field, value_, min_, max_, unit_, help_)                                     \
	{                                                                                          \
		.name = (flag), .kind = VT_PARAM_REAL, .offset = offsetof(struct params, field),   \
		.value = (value_), .min = (min_), .max = (max_), .unit = (unit_), .help = (help_)  \
	}
#define VT_BOOL(flag, field, value_, help_)                                                        \
	{                                                                                          \
		.name = (flag), .kind = VT_PARAM_BOOL, .offset = offsetof(struct params, field),   \
		.value = (value_), .unit = "", .help = (help_)                                     \
	}
/* names_: NULL-terminated; value_: index of the default */
#define VT_ENUM(flag, field, names_, value_, help_)                                                \
	{                                                                                          \
		.name = (flag), .kind = VT_PARAM_ENUM, .offset = offsetof(struct params, field),   \
		.value = (value_), .unit = "", .help = (help_), .names = (names_)                  \
	}
#define VT_TEXT(flag, field, text_, unit_, help_)                                                  \
	{                                                                                          \
		.name = (flag), .kind = VT_PARAM_TEXT, .offset = offsetof(struct params, field),   \
		.unit = (unit_), .help = (help_), .text = (text_)                                  \
	}
#define VT_JSON_TEXT(flag, field, text_, unit_, help_)                                             \
	{                                                                                          \
		.name = (flag), .kind = VT_PARAM_JSON, .offset = offsetof(struct params, field),   \
		.unit = (unit_), .help = (help_), .text = (text_)                                  \
	}

/* Stands above the param `first` in --help and on the docs page. */
struct vt_heading {
	const char *first, *text;
};

struct vt_stage_run;

struct vt_stage {
	const char *name, *version, *summary;
	/* paragraphs for --help and the docs page, an empty line between them; NULL: none */
	const char *about;
	const char *output; /* what lies in --out, one sentence */
	const struct vt_port *in;
	const struct vt_param *params;
	const struct vt_heading *headings; /* ends with first == NULL; NULL: none */
	size_t params_size;
	/* its output keeps what it learned: an input learned from a subject who withdrew is
	 * refused */
	bool learns;
	int (*run)(struct vt_stage_run *r, struct vt_err *err);
	/* --plan: what run() would take; NULL: none */
	int (*plan)(struct vt_stage_run *r, struct vt_buf *text, struct vt_err *err);
	/* may be NULL: turns a param's "auto" into what was chosen, before anything is hashed */
	void (*settle)(void *params);
};

int vt_stage_main(const struct vt_stage *stage, int argc, char **argv);

/* --- inside run() -------------------------------------------------------- */

const void *vt_stage_params(const struct vt_stage_run *run);
/* real path; NULL if not given */
const char *vt_stage_input(const struct vt_stage_run *run, const char *port);
/* tree id in hex; NULL if not given */
const char *vt_stage_tree(const struct vt_stage_run *run, const char *port);
/* an empty directory */
const char *vt_stage_out(const struct vt_stage_run *run);

/* Writes the file `name` of the output. */
int vt_stage_write(const struct vt_stage_run *run, const char *name, const struct vt_buf *text,
	struct vt_err *err);
/* Likewise j, with line breaks; j is freed. */
int vt_stage_write_json(const struct vt_stage_run *run, const char *name, struct vt_json *j,
	struct vt_err *err);

/* A directory of this derivation alone that survives SIGKILL and is removed after success; NULL
 * if there is none to be had.  Nothing in it may change the output's bytes. */
const char *vt_stage_scratch(const struct vt_stage_run *run);

/* values: params by name, of what was found out in run(): those whose param is at its default are
 * set, and are put into the record's notes under `note`. The execution's key does not change, so
 * they must follow from inputs and params alone. */
int vt_stage_propose(struct vt_stage_run *run, const char *note, const struct vt_json *values,
	struct vt_err *err);

/* Added to the record under `notes`; the value is owned by the run from then on.  Deterministic
 * facts only. */
void vt_stage_note(struct vt_stage_run *run, const char *key, struct vt_json *value);

/* A subject that failed for *why.  Bad input (VT_EDATA, VT_ENOINPUT), which another attempt cannot
 * help and other subjects do not share: removes what the output has of it, writes
 * quarantine/<subject>.json, logs it, and makes the exit status 65; 0, and other subjects go on.
 * Else it is the stage's error. */
int vt_stage_refuse(struct vt_stage_run *run, const char *subject, const struct vt_err *why,
	struct vt_err *err);

/* Calls one() for every subject, shows progress, refuses those it fails for, and stops where the
 * process was asked to. */
int vt_stage_each(struct vt_stage_run *run, const struct vt_strs *subjects,
	int (*one)(void *ctx, const char *subject, struct vt_err *why), void *ctx,
	struct vt_err *err);

/* why: how listing an input's subjects ended.  VT_EDATA: it holds files, and none is a subject's,
 * such as a table beside the subjects' directories, which comes alone where every entry is a datum:
 * the output is sealed without a subject, the note `passed_over` says why, and so does the error
 * of exit status 65; 0.  Else it is the stage's error. */
int vt_stage_listed(struct vt_stage_run *run, const struct vt_err *why, struct vt_err *err);

/* Whether the input holds nothing but what operating systems leave in directories (Thumbs.db,
 * ._name), which comes alone where every entry is a datum: no subject, and no bad input either.
 * Logs it. */
bool vt_stage_is_stray(const struct vt_stage_run *run, const char *input);

/* True once the process was asked to stop by SIGTERM or SIGINT: save to scratch and return
 * VT_EFAIL soon. */
bool vt_stage_stopping(void);

#endif
