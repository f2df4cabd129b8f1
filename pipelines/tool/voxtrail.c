/* voxtrail: the control tool.  `voxtrail <command> ...`; commands.h lists the commands. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/stage/build.h"
#include "pipelines/tool/commands.h"

struct command {
	const char *group, *name, *summary;
	int (*main)(int argc, char **argv);
};

static const struct command commands[] = {
#define COMMAND_ROW(group_, name_, summary_) { group_, #name_, summary_, vt_cmd_##name_ },
	VT_COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
		{ NULL, NULL, NULL, NULL },
};

/* A name as it is typed: export-log. */
static bool is_spelled(const char *name, const char *typed)
{
	for (; *name && *typed == (*name == '_' ? '-' : *name); name++)
		typed++;
	return !*name && !*typed;
}

static void help_group(struct vt_buf *out, const char *group)
{
	vt_buf_printf(out, "\n%s\n", group);
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->group, group)) {
			char *name = vt_xstrdup(c->name);

			for (char *p = name; (p = strchr(p, '_'));)
				*p = '-';
			vt_buf_printf(out, "  %-11s %s\n", name, c->summary);
			free(name);
		}
}

static void help(FILE *to)
{
	struct vt_buf out = VT_BUF_INIT;
	vt_buf_str(&out,
		"usage: voxtrail COMMAND [OPTION...]\n"
		"Auditable brain-MRI segmentation pipelines.\n"
		"`voxtrail COMMAND --help` describes a command.\n"
		"`voxtrail --version` prints the commit it was built from.\n");
	for (const struct command *c = commands; c->name; c++) {
		const struct command *first = commands;
		while (strcmp(first->group, c->group))
			first++;
		if (first == c)
			help_group(&out, c->group);
	}
	fputs(out.data, to);
	vt_buf_release(&out);
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return VT_EUSAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		vt_say("voxtrail %s%s\n", vt_build_commit(), vt_build_dirty() ? ", modified" : "");
		return 0;
	}
	for (const struct command *c = commands; c->name; c++)
		if (is_spelled(c->name, argv[1]))
			return c->main(argc - 1, argv + 1);
	if (vt_build_has_stage(argv[1]))
		vt_say_err("voxtrail: %s is a stage, a program of its own: `%s --help`\n", argv[1],
			argv[1]);
	else
		vt_say_err("voxtrail: no command \"%s\"; `voxtrail --help` lists them, stages "
			   "such as train and predict are programs of their own\n",
			argv[1]);
	return VT_EUSAGE;
}

/* An answer that did not get out is none: exit 0 means that all of it was written. */
int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	int rc;

	vt_standard_open();
	rc = run(argc, argv);
	if (vt_standard_end(&err)) {
		vt_say_err("voxtrail %s: %s\n", argc > 1 ? argv[1] : "", err.text);
		rc = rc < VT_EUSAGE ? VT_EIO : rc; /* a status below is an answer */
	}
	return rc;
}
