/* opts.h - command-line options from a table; the same table prints the help.
 *
 *      static const struct vt_opt opts[] = {
 *              { 'o', "out", VT_OPT_STRING, &out, "DIR", "where the result goes" },
 *              { 0, "all", VT_OPT_FLAG, &all, NULL, "show failed executions too" },
 *              VT_OPTS_END,
 *      };
 *      n = vt_opts_parse(opts, argc, argv, rest, err);
 *
 * Accepted: --name VALUE, --name=VALUE, -oVALUE, -o VALUE, -- ends options; '_' may be written
 * for '-' in a name.  An unknown option is VT_EUSAGE and names the nearest known one, or the one
 * that other tools call by the unknown name; so is an option that is given twice, unless it is a
 * list. */
#ifndef COMMON_BASE_OPTS_H
#define COMMON_BASE_OPTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum vt_opt_kind {
	VT_OPT_END = 0,
	VT_OPT_FLAG,   /* int *: set to 1 */
	VT_OPT_STRING, /* const char **: borrowed from argv */
	VT_OPT_INT,    /* long long *: decimal, whole */
	VT_OPT_REAL,   /* double * */
	VT_OPT_LIST,   /* struct vt_strs *: may be given again and again */
};

struct vt_opt {
	char letter;      /* 0 if none */
	const char *name; /* without "--" */
	enum vt_opt_kind kind;
	void *to;
	const char *value_name; /* e.g. "DIR"; NULL for a flag */
	const char *help;       /* one line */
};

/* Ends a table. */
#define VT_OPTS_END                                                                                \
	{                                                                                          \
		0, NULL, VT_OPT_END, NULL, NULL, NULL                                              \
	}

/* Whether text[0..n) is `name`, with '_' taken for '-'. */
bool vt_opts_same_name(const char *name, const char *text, size_t n);

/* The known name that `text` most likely means; NULL if none is near.  Borrowed from known. */
const char *vt_opts_nearest(const char *const *known, size_t n_known, const char *text);

/* Positional arguments are appended to *rest. --help is left to the caller: declare it as a
 * flag. */
int vt_opts_parse(const struct vt_opt *opts, int argc, char **argv, struct vt_strs *rest,
	struct vt_err *err);

/* One "  -o, --out DIR   where the result goes" line an option, at most 80 columns. */
void vt_opts_help(struct vt_buf *out, const struct vt_opt *opts);

#endif
