#include "common/base/opts.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Levenshtein distance, for "did you mean". */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(b), row[64];

	if (n >= 64)
		return 99;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; *a; a++, i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[n];
}

static int unknown(const struct vt_opt *opts, const char *name, struct vt_err *err)
{
	const char *nearest = NULL;
	size_t best = 4;

	for (; opts->kind; opts++)
		if (opts->name && distance(name, opts->name) < best) {
			best = distance(name, opts->name);
			nearest = opts->name;
		}
	if (nearest)
		return vt_err_set(err, VT_EUSAGE, "unknown option --%s; did you mean --%s?", name,
			nearest);
	return vt_err_set(err, VT_EUSAGE, "unknown option --%s; see --help", name);
}

static int set_number(const struct vt_opt *o, const char *value, struct vt_err *err)
{
	char *end;

	errno = 0;
	if (o->kind == VT_OPT_INT)
		*(long long *)o->to = strtoll(value, &end, 10);
	else
		*(double *)o->to = strtod(value, &end);
	if (end == value || *end || errno == ERANGE ||
		(o->kind == VT_OPT_REAL && !isfinite(*(double *)o->to)))
		return vt_err_set(err, VT_EUSAGE, "--%s: \"%s\" is not a %s", o->name, value,
			o->kind == VT_OPT_INT ? "whole number" : "number");
	return 0;
}

static int set(const struct vt_opt *o, const char *value, struct vt_err *err)
{
	switch (o->kind) {
	case VT_OPT_FLAG: *(int *)o->to = 1; return 0;
	case VT_OPT_STRING: *(const char **)o->to = value; return 0;
	case VT_OPT_LIST: vt_strs_add(o->to, value); return 0;
	case VT_OPT_INT:
	case VT_OPT_REAL: return set_number(o, value, err);
	case VT_OPT_END: break;
	}
	return vt_err_set(err, VT_EBUG, "option --%s has no kind", o->name);
}

static const struct vt_opt *by_name(const struct vt_opt *o, const char *name, size_t n)
{
	for (; o->kind; o++)
		if (o->name && strlen(o->name) == n && !memcmp(o->name, name, n))
			return o;
	return NULL;
}

static const struct vt_opt *by_letter(const struct vt_opt *o, char letter)
{
	for (; o->kind; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

/* --name, --name=VALUE, -o, -oVALUE: the option and the value glued to it, if any. */
static int split(const struct vt_opt *opts, const char *arg, const struct vt_opt **o,
	const char **glued, struct vt_err *err)
{
	if (arg[1] == '-') {
		size_t n = strcspn(arg + 2, "=");

		*o = by_name(opts, arg + 2, n);
		*glued = arg[2 + n] ? arg + 3 + n : NULL;
		if (!*o) {
			char *name = vt_xstrndup(arg + 2, n);
			int rc = unknown(opts, name, err);

			free(name);
			return rc;
		}
		return 0;
	}
	*o = by_letter(opts, arg[1]);
	*glued = arg[2] ? arg + 2 : NULL;
	return *o ? 0 : vt_err_set(err, VT_EUSAGE, "unknown option -%c; see --help", arg[1]);
}

int vt_opts_parse(const struct vt_opt *opts, int argc, char **argv, struct vt_strs *rest,
	struct vt_err *err)
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		const struct vt_opt *o;
		const char *value;

		if (!options || argv[i][0] != '-' || !argv[i][1]) {
			vt_strs_add(rest, argv[i]);
			continue;
		}
		if (!strcmp(argv[i], "--")) {
			options = false;
			continue;
		}
		if (split(opts, argv[i], &o, &value, err))
			return err->code;
		if (o->kind == VT_OPT_FLAG && value)
			return vt_err_set(err, VT_EUSAGE, "%s: this option takes no value",
				argv[i]);
		if (o->kind != VT_OPT_FLAG && !value) {
			if (++i == argc)
				return vt_err_set(err, VT_EUSAGE, "--%s needs a value (%s)",
					o->name, o->value_name);
			value = argv[i];
		}
		if (set(o, value, err))
			return err->code;
	}
	return 0;
}

void vt_opts_help(struct vt_buf *out, const struct vt_opt *o)
{
	enum { COLUMN = 28 };

	for (; o->kind; o++) {
		size_t begun = out->len, col;

		if (o->letter)
			vt_buf_printf(out, "  -%c, --%s", o->letter, o->name);
		else
			vt_buf_printf(out, "      --%s", o->name);
		if (o->value_name)
			vt_buf_printf(out, " %s", o->value_name);
		col = out->len - begun;
		if (col + 2 > COLUMN) {
			vt_buf_char(out, '\n');
			col = 0;
		}
		vt_buf_printf(out, "%*s", (int)(COLUMN - col), "");
		vt_buf_wrap(out, o->help, COLUMN);
	}
}
