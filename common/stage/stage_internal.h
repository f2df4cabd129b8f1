/* stage_internal.h - for common/stage/ only. */
#ifndef COMMON_STAGE_STAGE_INTERNAL_H
#define COMMON_STAGE_STAGE_INTERNAL_H

#include "common/base/buf.h"
#include "common/stage/build.h"
#include "common/stage/stage.h"
#include "common/lineage/consent.h"
#include "common/record/record.h"
#include "common/store/store.h"

enum { VT_MAX_PORTS = 16, VT_MAX_PARAMS = 96 };

struct vt_stage_run {
	const struct vt_stage *stage;
	void *params;
	struct vt_json *params_json, *notes;
	const char *given[VT_MAX_PORTS]; /* as on the command line */
	struct vt_strs numbered;         /* flags of ports that were given again */
	char *root[VT_MAX_PORTS];        /* resolved */
	struct vt_tree *tree[VT_MAX_PORTS];
	char tree_hex[VT_MAX_PORTS][VT_HEX];
	struct vt_strs parents[VT_MAX_PORTS];
	/* texts of the records that came with the inputs, as they were checked */
	struct vt_strs ancestors;
	struct vt_digest binary, derivation;
	char derivation_hex[VT_HEX];
	char *out, *work, *scratch; /* out: given; work: where run() writes */
	struct vt_store *store;
	struct vt_consent consent; /* who withdrew */
	size_t n_quarantined;
	char *passed_over;  /* why it holds no subject; NULL: it does */
	const char *recipe; /* path, NULL if none */
	double begun;
	bool follow_links;
};

int vt_stage_n_ports(const struct vt_stage *stage);
int vt_stage_n_params(const struct vt_stage *stage);

/* params.c: defaults, recipe and command-line texts into the struct and into canonical texts. */
int vt_stage_set_params(struct vt_stage_run *run, const char *const *given, struct vt_err *err);

/* portable.c: the text with ports in the place of their directories, which differ between machines
 * and would tell where data lies; caller frees. */
char *vt_stage_portable(const struct vt_stage_run *run, const char *text);

/* code.c: the digest of what computes, run->binary; the plugin that was loaded since, for the
 * record's notes; every shared library, for what is observed. */
int vt_stage_identify(struct vt_stage_run *run, struct vt_err *err);
void vt_stage_note_plugin(struct vt_stage_run *run);
struct vt_json *vt_stage_libraries(void);

/* inputs.c */
int vt_stage_port(const struct vt_stage_run *run,
	const char *name); /* its index; -1: there is none */
/* /pfs/... lies below PFS_ROOT where a runner without a mount namespace set it; caller frees. */
char *vt_stage_real_place(const char *path);
/* Whose data may not be read: as the store says, or the runner that knows one. */
int vt_stage_read_consent(struct vt_stage_run *run, const char *store, struct vt_err *err);
/* Roots, trees, parents and ancestors of the ports, as consent allows; then the derivation. */
int vt_stage_open_inputs(struct vt_stage_run *run, struct vt_err *err);

/* describe.c */
void vt_stage_help(struct vt_buf *out, const struct vt_stage *stage);
int vt_stage_describe(struct vt_buf *out, const struct vt_stage *stage, const char *form,
	struct vt_err *err);

/* seal.c: from a finished work directory to output, record and store. */
int vt_stage_seal(struct vt_stage_run *run, struct vt_err *err);
void vt_stage_record_failure(struct vt_stage_run *run, const struct vt_err *why);
/* Does --out hold the whole result of this execution already?  Its record is of this derivation and
 * its files are those that the record lists: a step that was killed at its end, or that a scheduler
 * started again, ends as it did the first time. */
int vt_stage_find_in_out(struct vt_stage_run *run, bool *found, struct vt_err *err);
int vt_stage_reuse(struct vt_stage_run *run, bool *reused, struct vt_err *err);

#endif
