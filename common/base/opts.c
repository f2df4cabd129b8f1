/* One table a command says what its options are called and where their values go: parsing, help
 * and "did you mean" read the same rows.  `-` and `_` are equal in names, and names that other
 * tools use are answered with ours.  Values point into argv and the table points at the caller's
 * variables: nothing here is allocated but the texts of a list. */
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

/* What other tools call an option, and what it is called here. */
static const char *const elsewhere[][2] = {
	{ "lr", "learning-rate" },
	{ "rate", "learning-rate" },
	{ "wd", "weight-decay" },
	{ "optim", "optimizer" },
	{ "optimiser", "optimizer" },
	{ "normalise", "normalize" },
	{ "normalization", "normalize" },
	{ "profile", "precision" },
	{ "amp", "precision" },
	{ "dtype", "precision" },
	{ "least-rate", "min-rate-factor" },
	{ "min-lr", "min-rate-factor" },
	{ "leave", "reinitialize" },
	{ "transfer-rate", "pretrained-rate-factor" },
	{ "centralise", "centralize-gradients" },
	{ "slow-share", "lookahead-alpha" },
	{ "lookahead", "lookahead-steps" },
	{ "clip", "clip-norm" },
	{ "clip-grad", "clip-norm" },
	{ "power", "poly-power" },
	{ "gamma", "exponential-gamma" },
	{ "growth", "period-factor" },
	{ "average-decay", "ema-decay" },
	{ "average-from", "swa-start" },
	{ "average-every", "swa-interval" },
	{ "generalised", "generalized-dice" },
	{ "smooth", "smooth-numerator" },
	{ "smooth-below", "smooth-denominator" },
	{ "squared", "squared-denominator" },
	{ "background", "include-background" },
	{ "false-positive", "tversky-alpha" },
	{ "false-negative", "tversky-beta" },
	{ "focus", "focal-gamma" },
	{ "balance", "focal-alpha" },
	{ "validate", "validate-every" },
	{ "save", "save-every" },
	{ "memory", "memory-limit" },
	{ "least", "min-size" },
	{ "epochs", "steps" },
	{ "iterations", "steps" },
	{ "max-steps", "steps" },
	{ "batch-size", "batch" },
	{ "patch-size", "patch" },
	{ "gpus", "devices" },
	{ "output", "out" },
	{ "config", "recipe" },
	{ "pretrained", "previous" },
};

bool vt_opts_same_name(const char *name, const char *text, size_t n)
{
	if (strlen(name) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] != text[i] && !(name[i] == '-' && text[i] == '_'))
			return false;
	return true;
}

const char *vt_opts_nearest(const char *const *known, size_t n_known, const char *text)
{
	const char *nearest = NULL, *meant = NULL;
	size_t best = 4;

	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(*elsewhere); i++)
		if (vt_opts_same_name(elsewhere[i][0], text, strlen(text)))
			meant = elsewhere[i][1];
	for (size_t i = 0; i < n_known; i++) {
		size_t far = distance(text, known[i]);

		if (meant && !strcmp(meant, known[i]))
			return known[i];
		if (far < best) {
			best = far;
			nearest = known[i];
		}
	}
	return nearest;
}

static int unknown(const struct vt_opt *opts, const char *name, struct vt_err *err)
{
	const char *known[128], *nearest;
	size_t n = 0;

	for (; opts->kind && n < sizeof(known) / sizeof(*known); opts++)
		if (opts->name)
			known[n++] = opts->name;
	nearest = vt_opts_nearest(known, n, name);
	if (nearest)
		return vt_err_set(err, VT_EUSAGE, "unknown option --%s; did you mean --%s?", name,
			nearest);
	return vt_err_set(err, VT_EUSAGE, "unknown option --%s; see --help", name);
}

static int set_number(const struct vt_opt *opt, const char *value, struct vt_err *err)
{
	char *end;

	errno = 0;
	if (opt->kind == VT_OPT_INT)
		*(long long *)opt->to = strtoll(value, &end, 10);
	else
		*(double *)opt->to = strtod(value, &end);
	if (end == value || *end || errno == ERANGE ||
		(opt->kind == VT_OPT_REAL && !isfinite(*(double *)opt->to)))
		return vt_err_set(err, VT_EUSAGE, "--%s: \"%s\" is not a %s", opt->name, value,
			opt->kind == VT_OPT_INT ? "whole number" : "number");
	return 0;
}

static int set(const struct vt_opt *opt, const char *value, struct vt_err *err)
{
	switch (opt->kind) {
	case VT_OPT_FLAG: *(int *)opt->to = 1; return 0;
	case VT_OPT_STRING: *(const char **)opt->to = value; return 0;
	case VT_OPT_LIST: vt_strs_add(opt->to, value); return 0;
	case VT_OPT_INT:
	case VT_OPT_REAL: return set_number(opt, value, err);
	case VT_OPT_END: break;
	}
	return vt_err_set(err, VT_EBUG, "option --%s has no kind", opt->name);
}

static const struct vt_opt *by_name(const struct vt_opt *opt, const char *name, size_t n)
{
	for (; opt->kind; opt++)
		if (opt->name && vt_opts_same_name(opt->name, name, n))
			return opt;
	return NULL;
}

static const struct vt_opt *by_letter(const struct vt_opt *opt, char letter)
{
	for (; opt->kind; opt++)
		if (opt->letter == letter)
			return opt;
	return NULL;
}

/* --name, --name=VALUE, -o, -oVALUE: the option and the value glued to it, if any. */
static int split(const struct vt_opt *opts, const char *arg, const struct vt_opt **opt,
	const char **glued, struct vt_err *err)
{
	if (arg[1] == '-') {
		size_t n = strcspn(arg + 2, "=");

		*opt = by_name(opts, arg + 2, n);
		*glued = arg[2 + n] ? arg + 3 + n : NULL;
		if (!*opt) {
			char *name = vt_xstrndup(arg + 2, n);
			int rc = unknown(opts, name, err);

			free(name);
			return rc;
		}
		return 0;
	}
	*opt = by_letter(opts, arg[1]);
	*glued = arg[2] ? arg + 2 : NULL;
	return *opt ? 0 : vt_err_set(err, VT_EUSAGE, "unknown option -%c; see --help", arg[1]);
}

static size_t count(const struct vt_opt *opts)
{
	size_t n = 0;

	while (opts[n].kind)
		n++;
	return n;
}

/* The option at argv[*i] and its value, which may be the next argument. */
static int parse_one(const struct vt_opt *opts, int argc, char **argv, int *i, bool *given,
	struct vt_err *err)
{
	const struct vt_opt *o;
	const char *value;

	if (split(opts, argv[*i], &o, &value, err))
		return err->code;
	if (o->kind == VT_OPT_FLAG && value)
		return vt_err_set(err, VT_EUSAGE, "%s: this option takes no value", argv[*i]);
	if (o->kind != VT_OPT_FLAG && !value) {
		if (++*i == argc)
			return vt_err_set(err, VT_EUSAGE, "--%s needs a value (%s)", o->name,
				o->value_name);
		value = argv[*i];
	}
	if (given[o - opts] && o->kind != VT_OPT_LIST)
		return vt_err_set(err, VT_EUSAGE, "--%s is given twice; give it once", o->name);
	given[o - opts] = true;
	return set(o, value, err);
}

int vt_opts_parse(const struct vt_opt *opts, int argc, char **argv, struct vt_strs *rest,
	struct vt_err *err)
{
	bool options = true, *given = vt_xcalloc(count(opts) + 1, sizeof(*given));
	int rc = 0;

	for (int i = 1; !rc && i < argc; i++) {
		if (!options || argv[i][0] != '-' || !argv[i][1])
			vt_strs_add(rest, argv[i]);
		else if (!strcmp(argv[i], "--"))
			options = false;
		else
			rc = parse_one(opts, argc, argv, &i, given, err);
	}
	free(given);
	return rc;
}

void vt_opts_help(struct vt_buf *out, const struct vt_opt *opt)
{
	enum { COLUMN = 28 };

	for (; opt->kind; opt++) {
		size_t begun = out->len, col;

		if (opt->letter)
			vt_buf_printf(out, "  -%c, --%s", opt->letter, opt->name);
		else
			vt_buf_printf(out, "      --%s", opt->name);
		if (opt->value_name)
			vt_buf_printf(out, " %s", opt->value_name);
		col = out->len - begun;
		if (col + 2 > COLUMN) {
			vt_buf_char(out, '\n');
			col = 0;
		}
		vt_buf_printf(out, "%*s", (int)(COLUMN - col), "");
		vt_buf_wrap(out, opt->help, COLUMN);
	}
}
