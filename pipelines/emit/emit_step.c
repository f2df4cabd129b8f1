/* One datum of a pipeline as a POSIX shell script, for engines that know nothing of /pfs: it
 * lays out the view by links, sets the variables, keeps the promises of the spec (standard
 * input, retries, time-out, accepted codes, errCmd), and has `voxtrail record` look at what
 * came out.
 *   sh SCRIPT OUT SPEC VIEW [CONSENT]     VIEW is one that `voxtrail plan --views` wrote */
#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/attempt.h"
#include "pipelines/emit/emit_internal.h"
#include "pipelines/spec/glob.h"
#include "pipelines/spec/shell.h"

static bool fans(const struct vt_input *in)
{
	return in->kind == VT_INPUT_PFS && in->glob[vt_glob_literal(in->glob)] != 0;
}

static void find_fan(void *ctx, const struct vt_input *leaf)
{
	*(bool *)ctx |= fans(leaf);
}

bool vt_emit_fans(const struct vt_input *leaf)
{
	return fans(leaf);
}

bool vt_emit_is_fanned(const struct vt_pipeline *pipeline)
{
	bool fanned = false;
	vt_input_leaves(pipeline->input, find_fan, &fanned);
	return fanned;
}

/* 'text', with every /pfs that begins a path replaced by the view's directory. */
static void word(struct vt_buf *buf, const char *text)
{
	char *marked = vt_pfs_prefix(text, "\001");
	vt_buf_char(buf, '\'');
	for (const char *p = marked; *p; p++)
		if (*p == '\'')
			vt_buf_str(buf, "'\\''");
		else if (*p == '\001')
			vt_buf_str(buf, "'\"$PFS_ROOT\"'");
		else
			vt_buf_char(buf, *p);
	vt_buf_char(buf, '\'');
	free(marked);
}

static void command(struct vt_buf *buf, const struct vt_pipeline *pipeline, const char *key,
	const char *input)
{
	const struct vt_json *cmd = vt_json_get(pipeline->transform, key),
			     *lines = vt_json_get(pipeline->transform, input);
	if (lines && lines->n) {
		vt_buf_str(buf, "printf '%s\\n'");
		for (size_t i = 0; i < lines->n; i++) {
			vt_buf_char(buf, ' ');
			word(buf, vt_json_text(lines->item[i], ""));
		}
		vt_buf_str(buf, " |");
	}
	/* a program, even where the shell has a command of that name: export */
	vt_buf_str(buf, " env");
	if (pipeline->datum_timeout > 0 && !strcmp(key, "cmd"))
		vt_buf_printf(buf, " timeout -s KILL %g", pipeline->datum_timeout);
	for (size_t i = 0; i < cmd->n; i++) {
		vt_buf_char(buf, ' ');
		word(buf, vt_json_text(cmd->item[i], ""));
	}
	if (!lines || !lines->n)
		vt_buf_str(buf, " </dev/null");
}

/* A program that ended well is believed once its output is. */
static void accepted(struct vt_buf *buf, const struct vt_pipeline *pipeline)
{
	const struct vt_json *codes = vt_json_get(pipeline->transform, "acceptReturnCode");

	vt_buf_str(buf, "\tcase $code in 0");
	for (size_t i = 0; codes && i < codes->n; i++)
		if (vt_json_integer(codes->item[i], 0))
			vt_buf_printf(buf, "|%lld", (long long)vt_json_integer(codes->item[i], 0));
	vt_buf_printf(buf,
		")\n\t\tvoxtrail record \"$spec\" --pipeline %s --in \"$PFS_ROOT\" --out \"$out\" "
		"--code $code && exit 0\n\t\tcode=$? ;;\n\tesac\n",
		pipeline->name);
	if (pipeline->datum_timeout > 0)
		vt_buf_printf(buf,
			"\t[ $code != 137 ] || echo \"%s: killed; datumTimeout is %g s\" >&2\n",
			pipeline->name, pipeline->datum_timeout);
}

void vt_emit_step(struct vt_buf *buf, const struct vt_pipeline *pipeline)
{
	const struct vt_json *own = vt_json_get(pipeline->transform, "env");

	vt_buf_printf(buf,
		"# One datum of %s: OUT, the spec, its view, and the file of withdrawn consent.\n"
		"out=$1 spec=$2 view=$3\n[ $# -lt 4 ] || export VOXTRAIL_CONSENT=\"$4\"\n"
		"PFS_ROOT=$(mktemp -d) || exit 73\ntrap 'rm -rf \"$PFS_ROOT\"' EXIT\nset -a\n"
		"PPS_PIPELINE_NAME=%s PPS_PROJECT_NAME=",
		pipeline->name, pipeline->name);
	word(buf, pipeline->project);
	vt_buf_char(buf, '\n');
	for (size_t i = 0; own && i < own->n; i++) {
		vt_buf_printf(buf, "%s=", own->key[i]);
		word(buf, vt_json_text(own->item[i], ""));
		vt_buf_char(buf, '\n');
	}
	vt_buf_printf(buf,
		"for d in \"$view\"/*; do ln -s \"$(realpath \"$d\")\" \"$PFS_ROOT/${d##*/}\"; "
		"done\n"
		". \"$(realpath \"$view\")/.env\"\nset +a\nfor try in $(seq %lld); do\n"
		"\trm -rf \"$out\"; mkdir -p \"$out\" || exit 73\n"
		"\tln -sfn \"$(realpath \"$out\")\" \"$PFS_ROOT/out\"\n\t",
		pipeline->tries);
	command(buf, pipeline, "cmd", "stdin");
	vt_buf_str(buf, "\n\tcode=$?\n");
	accepted(buf, pipeline);
	if (vt_json_get(pipeline->transform, "errCmd")) {
		vt_buf_str(buf, "\trecovered=no;");
		command(buf, pipeline, "errCmd", "errStdin");
		vt_buf_str(buf, " && recovered=yes\n");
	}
	vt_buf_str(buf, "\t[ $code = 65 ] && break\ndone\n");
	if (vt_json_get(pipeline->transform, "errCmd"))
		vt_buf_str(buf,
			"[ $recovered = no ] || { rm -rf \"$out\"; mkdir -p \"$out\"; exit 0; }\n");
	vt_buf_str(buf, "exit $code\n");
}

char *vt_emit_one(const struct vt_pipeline *pipeline)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_json_compact(&b, pipeline->json);
	return vt_buf_detach(&b);
}

/* --- what a graph needs to know of the repos ----------------------------- */

struct naming {
	struct vt_strs *names;
	const struct vt_spec *s;
};

static void add_repo(void *ctx, const struct vt_input *leaf)
{
	struct naming *n = ctx;
	if (leaf->kind != VT_INPUT_PFS || (n->s && vt_spec_find(n->s, leaf->repo)))
		return;
	for (size_t i = 0; i < n->names->n; i++)
		if (!strcmp(n->names->v[i], leaf->repo))
			return;
	vt_strs_add(n->names, leaf->repo);
}

void vt_emit_source_repos(const struct vt_spec *spec, struct vt_strs *names)
{
	struct naming n = { names, spec };
	for (size_t i = 0; i < spec->n; i++)
		vt_input_leaves(spec->pipeline[spec->order[i]].input, add_repo, &n);
}

void vt_emit_repos_of(const struct vt_pipeline *pipeline, struct vt_strs *names)
{
	struct naming n = { names, NULL };
	vt_input_leaves(pipeline->input, add_repo, &n);
}

struct refusing {
	const char *engine;
	const struct vt_pipeline *p;
	struct vt_err *err;
};

static void refuse_leaf(void *ctx, const struct vt_input *leaf)
{
	struct refusing *r = ctx;
	if (r->err->code)
		return;
	if (leaf->kind == VT_INPUT_CRON)
		vt_err_set(r->err, VT_EDATA,
			"%s: a cron input has no meaning in %s; take it out and start %s from a "
			"clock",
			leaf->pointer, r->engine, r->engine);
	else if (leaf->warm)
		vt_err_set(r->err, VT_EDATA,
			"%s: a warm start reads the output of an earlier run, which %s does not "
			"keep",
			leaf->pointer, r->engine);
}

int vt_emit_refuse(const struct vt_spec *spec, const char *engine, struct vt_err *err)
{
	struct refusing r = { engine, NULL, err };
	for (size_t i = 0; i < spec->n && !err->code; i++)
		vt_input_leaves(spec->pipeline[i].input, refuse_leaf, &r);
	return err->code ? vt_err_prefix(err, "%s", spec->path) : 0;
}
