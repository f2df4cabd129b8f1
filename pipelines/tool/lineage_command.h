/* lineage_command.h - what the commands that ask about lineage share. */
#ifndef PIPELINES_TOOL_LINEAGE_COMMAND_H
#define PIPELINES_TOOL_LINEAGE_COMMAND_H

#include "common/lineage/lineage_query.h"

/* For help texts. */
#define VT_LINEAGE_WHAT                                                                            \
	"WHAT is a directory, a file, a commit (REPO or REPO@REF), or the digest of a record, "    \
	"tree or file."

/* Opens the store for reading.  There need not be one if `what` is a directory that carries its
 * lineage: *out is NULL then. */
int vt_lineage_store(struct vt_store **out, const char *dir, const char *what, struct vt_err *err);

/* The whole id of the one record that begins with these digits; VT_ENOINPUT: none, or several. */
int vt_command_record(char id[VT_HEX], struct vt_store *store, const char *digits,
	struct vt_err *err);

/* VT_EFAIL, with the first of them, if any records are missing and there is no error yet. */
void vt_record_index_incomplete(const struct vt_strs *missing, struct vt_err *err);

/* For an option of the commands that answer from records. */
#define VT_REQUIRE_SIGNED(flag)                                                                    \
	{                                                                                          \
		0, "require-signed", VT_OPT_FLAG, flag, NULL,                                      \
			"refuse (3) an answer that rests on claims"                                \
	}

/* Before an answer: VT_EINTEGRITY if the directory holds files that none of its records lists, or
 * an ancestor's derivation is known with another result; VT_ECLAIM if the answer would rest on
 * claims and `required`, or the policy, wants none. */
int vt_claims_refuse(struct vt_store *store, struct vt_lineage *lineage, enum vt_lineage_side side,
	int required, struct vt_err *err);

/* Behind an answer: VT_ECLAIM, with the first of them, if it rests on claims and there is no error
 * yet. */
void vt_claims_say(struct vt_lineage *lineage, enum vt_lineage_side side, struct vt_err *err);

/* One line an execution, or JSON. */
enum vt_list_of { VT_LIST_ANCESTORS = 1, VT_LIST_DESCENDANTS };
void vt_lineage_list(struct vt_lineage *lineage, enum vt_list_of of, int json, struct vt_err *err);

/* Array of texts. */
struct vt_json *vt_lineage_names(const struct vt_strs *strs);

#endif
