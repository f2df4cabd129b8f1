#include "pipelines/lint/lint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/repo.h"
#include "pipelines/runner/datum.h"
#include "pipelines/runner/programs.h"
#include "pipelines/spec/cron.h"
#include "pipelines/spec/glob.h"
#include "pipelines/spec/shell.h"
#include "pipelines/lint/lint_internal.h"

#define ERROR(at, ...) vt_findings_add(findings, VT_FINDING_ERROR, at, __VA_ARGS__)
#define WARN(at, ...)  vt_findings_add(findings, VT_FINDING_WARNING, at, __VA_ARGS__)

static char *below(const char *pointer, const char *rest)
{
	return vt_asprintf("%s%s", pointer, rest);
}

static void at(struct vt_findings *findings, enum vt_finding_level level, const char *pointer,
	const char *rest, const char *text)
{
	char *where = below(pointer, rest);
	vt_findings_add(findings, level, where, "%s", text);
	free(where);
}

static bool is_identifier(const char *name)
{
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			return false;
	return true;
}

/* Letters, digits, - and _: what a repo or project may be called in a cluster, and what is no code
 * in any file that `voxtrail emit` writes. */
static bool is_plain(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	return strspn(name, plain) == strlen(name);
}

static void lint_names(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	struct vt_findings *findings)
{
	size_t n = strlen(pipeline->name);
	if (!n)
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/pipeline/name",
			"is missing; write \"pipeline\": {\"name\": \"...\"}");
	else if (n > 51 || !isalnum((unsigned char)pipeline->name[0]) ||
		strspn(pipeline->name,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != n)
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/pipeline/name",
			"write letters, digits, - and _ only, beginning with a letter or digit, at "
			"most 51");
	if (n + strlen(pipeline->project) + strlen("--v99") > 63)
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/pipeline",
			"project and name together pass 58 characters; shorten one");
	if (!is_plain(pipeline->project))
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/pipeline/project",
			"write letters, digits, - and _ only");
	if (n && vt_spec_find(spec, pipeline->name) != pipeline)
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/pipeline/name",
			"another pipeline of this file has that name; choose a new one");
}

static void lint_transform(const struct vt_pipeline *pipeline, struct vt_findings *findings)
{
	static const char *const refused[] = { "service", "spout", "tfJob", "s3Out", "podSpec" };
	const char *image = vt_json_text(vt_json_get(pipeline->transform, "image"), "");
	const struct vt_json *cmd = vt_json_get(pipeline->transform, "cmd");
	if (!pipeline->transform) {
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/transform",
			"is missing; write an image and a cmd");
		return;
	}
	if (!*image)
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/transform/image",
			"is missing; write image@sha256:...");
	else if (!strstr(image, "@sha256:"))
		at(findings, VT_FINDING_WARNING, pipeline->pointer, "/transform/image",
			"has no digest, so it may change under the "
			"same name; write image@sha256:...");
	if (!cmd || !cmd->n || !*vt_json_text(cmd->item[0], ""))
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/transform/cmd",
			"is missing; write [\"program\", \"argument\", ...]");
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (vt_json_get(pipeline->json, refused[i])) {
			char *where = vt_asprintf("%s/%s", pipeline->pointer, refused[i]);
			ERROR(where, "is not runnable locally; remove it");
			free(where);
		}
	if (vt_json_true(vt_json_get(pipeline->transform, "datumBatching"), false))
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/transform/datumBatching",
			"is not runnable locally; remove it");
	const struct vt_json *env = vt_json_get(pipeline->transform, "env");

	for (size_t i = 0; env && i < env->n; i++)
		if (!is_identifier(env->key[i]))
			at(findings, VT_FINDING_ERROR, pipeline->pointer, "/transform/env",
				"holds a name that no shell takes; write letters, digits and _");
	const struct vt_json *secrets = vt_json_get(pipeline->transform, "secrets");
	for (size_t i = 0; secrets && i < secrets->n; i++)
		if (vt_json_get(secrets->item[i], "envVar") &&
			!vt_json_get(secrets->item[i], "key"))
			at(findings, VT_FINDING_ERROR, pipeline->pointer, "/transform/secrets",
				"a secret with envVar needs a key; add \"key\"");
}

/* Files that a program reads and no word names are not in the key; `salt` stands for them. */
static void lint_salt(const struct vt_pipeline *pipeline, struct vt_findings *findings)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_programs used;
	char *where;

	if (!pipeline->transform || *vt_json_text(vt_json_get(pipeline->json, "salt"), "") ||
		vt_programs_find(&used, pipeline, &none))
		return;
	where = below(pipeline->pointer, "/salt");
	if (used.open)
		WARN(where,
			"%s reads files that are not in a datum's key, such as modules: one that "
			"changes is not seen; write \"salt\": \"1\" and raise it when one does",
			used.open);
	free(where);
	vt_programs_release(&used);
}

static void lint_numbers(const struct vt_pipeline *pipeline, struct vt_findings *findings)
{
	const char *reprocess =
		vt_json_text(vt_json_get(pipeline->json, "reprocessSpec"), "until_success");
	const char *patch = vt_json_text(vt_json_get(pipeline->json, "podPatch"), NULL);
	if (strcmp(reprocess, "until_success") && strcmp(reprocess, "every_job"))
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/reprocessSpec",
			"write \"until_success\" or \"every_job\"");
	else if (pipeline->every_job)
		at(findings, VT_FINDING_WARNING, pipeline->pointer, "/reprocessSpec",
			"every_job never skips; leave it out if the transform is deterministic");
	if (pipeline->tries < 1)
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/datumTries", "write 1 or more");
	if (pipeline->parallelism < 1)
		at(findings, VT_FINDING_ERROR, pipeline->pointer, "/parallelismSpec/constant",
			"write 1 or more");
	if (pipeline->parallelism > 1 && pipeline->gpus)
		at(findings, VT_FINDING_WARNING, pipeline->pointer, "/parallelismSpec/constant",
			"asks for several datums on GPUs at a time; one device serves one");
	if (patch) {
		struct vt_json *j = NULL;
		struct vt_err err = VT_ERR_INIT;
		if (vt_json_parse(&j, patch, strlen(patch), "podPatch", &err))
			at(findings, VT_FINDING_ERROR, pipeline->pointer, "/podPatch",
				"is no valid JSON text");
		vt_json_free(j);
	}
}

static void lint_trigger(const struct vt_input *in, const struct vt_json *trigger,
	struct vt_findings *findings)
{
	const char *rate = vt_json_text(vt_json_get(trigger, "rateLimitSpec"), NULL),
		   *cron = vt_json_text(vt_json_get(trigger, "cronSpec"), NULL);
	const char *size = vt_json_text(vt_json_get(trigger, "size"), NULL);
	double number;
	if (rate && !vt_cron_valid(rate))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/trigger/rateLimitSpec",
			"write \"@every 1h\", or five fields such as \"0 3 * * *\"");
	if (cron && !vt_cron_valid(cron))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/trigger/cronSpec",
			"write five fields such as \"0 3 * * *\", or \"@every 24h\"");
	if (size && !vt_spec_quantity(size, &number))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/trigger/size",
			"is no amount; write for example \"100M\"");
	if (vt_json_get(trigger, "commits") &&
		vt_json_integer(vt_json_get(trigger, "commits"), 0) < 1)
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/trigger/commits",
			"write 1 or more");
}

static void lint_glob(const struct vt_input *in, const struct vt_json *pfs,
	struct vt_findings *findings)
{
	struct vt_err bad = VT_ERR_INIT;

	if (!*vt_json_text(vt_json_get(pfs, "glob"), ""))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/glob",
			"is missing; write \"/\" for the whole repo or "
			"\"/*\" for one datum an entry");
	else if (vt_glob_check(in->glob, &bad))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/glob", bad.text);
	else if (vt_glob_has_double_star(in->glob))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/glob",
			"** matches directories and the files in them, so "
			"files come twice; write one * a level");
}

/* The keys of join and group take their text from groups of the glob. */
static void lint_group_key(const struct vt_input *in, const struct vt_input *parent,
	struct vt_findings *findings)
{
	const bool joined = parent && parent->kind == VT_INPUT_JOIN;
	const char *key = joined ? "/pfs/joinOn" : "/pfs/groupBy", *on = NULL;

	if (joined)
		on = in->join_on;
	else if (parent && parent->kind == VT_INPUT_GROUP)
		on = in->group_by;
	if (on && !vt_glob_highest(on))
		at(findings, VT_FINDING_ERROR, in->pointer, key,
			"has no $1, so every path gets one key; write \"$1\" and a "
			"(group) in the glob");
	else if (on && vt_glob_highest(on) > vt_glob_groups(in->glob))
		at(findings, VT_FINDING_ERROR, in->pointer, key,
			"names a group that the glob does not have; add a (group) to the glob");
}

static void lint_pfs(const struct vt_pipeline *pipeline, const struct vt_input *in,
	const struct vt_input *parent, struct vt_findings *findings)
{
	const struct vt_json *j = vt_json_get(vt_json_pointer(pipeline->json,
						      in->pointer + strlen(pipeline->pointer)),
		"pfs");
	if (!*in->repo)
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/repo",
			"is missing; name the repo");
	else if (!is_plain(in->repo))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/repo",
			"write letters, digits, - and _ only");
	if (!in->named)
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/name",
			"is missing, and the default changes how inputs sort; write the name");
	lint_glob(in, j, findings);
	if (!vt_ref_name_is_good(in->branch))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/branch",
			"is no name of a branch; write 1 to 63 letters, digits, _, - and single "
			"dots inside");
	if (vt_json_get(j, "commit"))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/commit",
			"must not be set in a spec; name a branch");
	if (in->s3)
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/s3",
			"is not runnable locally; remove it");
	if (in->lazy)
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/lazy",
			"gives pipes, which image readers cannot seek in; remove it");
	if (in->reference)
		at(findings, VT_FINDING_WARNING, in->pointer, "/pfs/reference",
			"takes the input out of the key, so lineage "
			"no longer explains the output; remove it");
	lint_group_key(in, parent, findings);
	if (in->trigger)
		lint_trigger(in, in->trigger, findings);
	if (in->warm && strcmp(in->repo, pipeline->name))
		at(findings, VT_FINDING_ERROR, in->pointer, "/pfs/repo",
			"is the warm-start input and must read the pipeline's own output");
}

/* It becomes a directory, a name in emitted programs and a word of their shells. */
static bool is_repo(const char *name)
{
	return !*name ||
		(isalnum((unsigned char)name[0]) &&
			strspn(name,
				"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				"0123456789._-") == strlen(name));
}

static void lint_cron(const struct vt_input *in, struct vt_findings *findings)
{
	if (!vt_cron_valid(in->cron_spec))
		at(findings, VT_FINDING_ERROR, in->pointer, "/cron/spec",
			"write five fields such as \"0 3 * * *\", or \"@every 24h\"");
}

static void lint_input(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	const struct vt_input *in, const struct vt_input *parent, struct vt_findings *findings)
{
	if (in->kind == VT_INPUT_PFS)
		lint_pfs(pipeline, in, parent, findings);
	if (in->kind == VT_INPUT_CRON)
		lint_cron(in, findings);
	if ((in->kind == VT_INPUT_PFS || in->kind == VT_INPUT_CRON) && in->named &&
		(!is_identifier(in->name) || !strcmp(in->name, "out") || strlen(in->name) > 60))
		at(findings, VT_FINDING_ERROR, in->pointer,
			in->kind == VT_INPUT_PFS ? "/pfs/name" : "/cron/name",
			"is no usable variable name; write letters, digits and _, and not \"out\"");
	if ((in->kind == VT_INPUT_PFS || in->kind == VT_INPUT_CRON) && !is_repo(in->repo))
		at(findings, VT_FINDING_ERROR, in->pointer,
			in->kind == VT_INPUT_PFS ? "/pfs/repo" : "/cron/repo",
			"write letters, digits, ., - and _ only, beginning with a letter or digit");
	if (in->kind >= VT_INPUT_CROSS && !in->n)
		at(findings, VT_FINDING_ERROR, in->pointer, "", "has no inputs; list at least one");
	for (size_t i = 0; i < in->n; i++) {
		if ((in->kind == VT_INPUT_JOIN || in->kind == VT_INPUT_GROUP) &&
			in->child[i]->kind != VT_INPUT_PFS)
			at(findings, VT_FINDING_ERROR, in->child[i]->pointer, "",
				"join and group take pfs inputs only");
		lint_input(spec, pipeline, in->child[i], in, findings);
	}
}

struct names {
	const char *v[256];
	size_t n;
};

static void collect(void *ctx, const struct vt_input *leaf)
{
	struct names *n = ctx;
	if (n->n < 256)
		n->v[n->n++] = leaf->name;
}

/* Branches of a union may share a name: only one of them is in a datum. */
static bool repeats(const struct vt_input *in, const char *name, size_t *seen)
{
	if ((in->kind == VT_INPUT_PFS || in->kind == VT_INPUT_CRON) && !strcmp(in->name, name))
		(*seen)++;
	size_t most = 0, before = *seen;
	for (size_t i = 0; i < in->n; i++) {
		if (in->kind == VT_INPUT_UNION) {
			*seen = before;
			repeats(in->child[i], name, seen);
			most = *seen > most ? *seen : most;
		} else {
			repeats(in->child[i], name, seen);
		}
	}
	if (in->kind == VT_INPUT_UNION)
		*seen = most > before ? most : before;
	return *seen > 1;
}

static void lint_unique(const struct vt_pipeline *pipeline, const struct names *n,
	struct vt_findings *findings)
{
	for (size_t i = 0; i < n->n; i++) {
		size_t seen = 0;
		bool told = false;
		for (size_t k = 0; k < i; k++)
			told |= !strcmp(n->v[k], n->v[i]);
		if (!told && repeats(pipeline->input, n->v[i], &seen)) {
			char *text =
				vt_asprintf("two inputs are named \"%s\"; give each its own name",
					n->v[i]);
			at(findings, VT_FINDING_ERROR, pipeline->input->pointer, "", text);
			free(text);
		}
	}
}

/* "out", ".env" or an input; what a shell computes or matches cannot be told. */
static bool is_known(const struct names *n, const char *name, size_t len)
{
	if (!len || strchr("$*?[{", *name) || (len == 3 && !strncmp(name, "out", 3)) ||
		(len == 4 && !strncmp(name, ".env", 4)))
		return true;
	for (size_t k = 0; k < n->n; k++)
		if (strlen(n->v[k]) == len && !strncmp(n->v[k], name, len))
			return true;
	return false;
}

/* /pfs/x in a word must be something that a datum sees. */
static void lint_words(const struct vt_pipeline *pipeline, const char *list, const struct names *n,
	struct vt_findings *findings)
{
	const struct vt_json *words = vt_json_get(pipeline->transform, list);

	for (size_t i = 0; words && i < words->n; i++) {
		const char *w = vt_json_text(words->item[i], "");
		char *where = vt_asprintf("%s/transform/%s/%zu", pipeline->pointer, list, i);
		size_t total;

		for (const char *q = vt_pfs_next(w, w, &total); q;
			q = vt_pfs_next(q + 1, w, &total)) {
			const char *name = q + 4 + (q[4] == '/');
			size_t left = total - (size_t)(name - q), len = strcspn(name, "/");

			len = len < left ? len : left;
			if (!is_known(n, name, len))
				ERROR(where,
					"/pfs/%.*s is no input of this pipeline; add the input or "
					"correct the name",
					(int)len, name);
			if (!strncmp(list, "err", 3) && len == 3 && !strncmp(name, "out", 3))
				WARN(where,
					"what errCmd writes to /pfs/out is thrown away; let "
					"the stage exit 65 with a quarantine file");
		}
		free(where);
	}
}

struct repos {
	const struct vt_spec *s;
	const struct vt_pipeline *p;
	struct vt_findings *f;
};

static void lint_branch(void *ctx, const struct vt_input *leaf)
{
	struct repos *r = ctx;
	const struct vt_pipeline *up = vt_spec_find(r->s, leaf->repo);
	if (leaf->kind == VT_INPUT_PFS && up && strcmp(up->output_branch, leaf->branch) &&
		!leaf->warm)
		at(r->f, VT_FINDING_ERROR, leaf->pointer, "/pfs/branch",
			"is not the branch that the pipeline of that "
			"name writes; correct one of them");
}

void vt_lint(const struct vt_spec *spec, struct vt_findings *findings)
{
	for (size_t i = 0; i < spec->n; i++) {
		const struct vt_pipeline *p = &spec->pipeline[i];
		struct names names = { .n = 0 };
		struct repos r = { spec, p, findings };
		lint_names(spec, p, findings);
		lint_transform(p, findings);
		lint_salt(p, findings);
		lint_numbers(p, findings);
		if (!p->input) {
			at(findings, VT_FINDING_ERROR, p->pointer, "/input",
				"is missing; a pipeline without input never runs");
			continue;
		}
		lint_input(spec, p, p->input, NULL, findings);
		vt_input_leaves(p->input, collect, &names);
		lint_unique(p, &names, findings);
		vt_input_leaves(p->input, lint_branch, &r);
		vt_lint_stage(spec, p, findings);
		vt_lint_cluster(p, findings);
		lint_words(p, "cmd", &names, findings);
		lint_words(p, "stdin", &names, findings);
		lint_words(p, "errCmd", &names, findings);
		lint_words(p, "errStdin", &names, findings);
		if (p->warm && (!vt_spec_find(spec, p->name) || strlen(p->warm) == 0))
			at(findings, VT_FINDING_ERROR, p->pointer, "/metadata/annotations",
				"voxtrail/warm-start names no input");
	}
}
