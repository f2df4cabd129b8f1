/* command.h - how a command of the tool begins and ends, and what several of them share.
 *
 *      int vt_cmd_log(int argc, char **argv)
 *      {
 *              int json = 0;
 *              const struct vt_opt opts[] = {
 *                      { 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON" },
 *                      VT_OPTS_END,
 *              };
 *              struct vt_call c = { .usage = "log [REPO]", .about = "Prints commits.", .most =
 *              1, .opts = opts,
 *                      .mode = VT_STORE_READ };
 *
 *              if (vt_call_begin(&c, argc, argv))
 *                      show(c.s, c.args.n ? c.args.v[0] : NULL, json, &c.err);
 *              return vt_call_end(&c);
 *      } */
#ifndef PIPELINES_TOOL_COMMAND_H
#define PIPELINES_TOOL_COMMAND_H

#include "common/base/opts.h"
#include "common/store/store.h"
#include "pipelines/spec/spec.h"

struct vt_call {
	/* the command, before vt_call_begin */
	const char *usage;         /* "verify", "diff A B": its name is the first word */
	const char *about;         /* what --help says of it: sentences */
	size_t least, most;        /* arguments that are no options; SIZE_MAX: any number */
	const struct vt_opt *opts; /* its own; --store and --help are added.  NULL: none */
	enum vt_store_mode mode;   /* how its store is opened; 0: not, or by itself */
	bool no_store;             /* there is no --store */
	bool verbs;                /* about lists them: printed where none is given */
	/* the call, behind it */
	const char *store;  /* --store, else $VOXTRAIL_STORE, else .voxtrail */
	struct vt_store *s; /* closed by vt_call_end, whoever opened it */
	struct vt_strs args;
	struct vt_err err;
};

/* True if there is something to do: options and arguments are right, it was not for --help, the
 * store is open. */
bool vt_call_begin(struct vt_call *call, int argc, char **argv);

/* Prints the error, if there is one with a text; returns the exit status.  Releases the arguments
 * and the lists that options were read into. */
int vt_call_end(struct vt_call *call);

/* On standard error: how many of n subjects are kept for testing, and what to do where none is. */
void vt_say_split(size_t n, size_t test);

/* Pretty JSON and a newline to stdout; frees value. */
void vt_command_print(struct vt_json *value);

/* Reads and lints; errors are printed one a line (`file: pointer: what`) and give VT_EDATA. */
int vt_command_spec(struct vt_spec **out, const char *path, struct vt_err *err);
void vt_findings_print(const struct vt_findings *findings, const char *path,
	enum vt_finding_level least);

#endif
