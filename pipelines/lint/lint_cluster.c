/* Fields that a cluster gives a meaning which this runner cannot: said, so that nobody waits for
 * what they ask for.  Those that change where and how a datum runs but not what it makes
 * (scheduling, sidecars, autoscaling, datum sets...) are passed on and need no word. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/lint/lint_internal.h"

struct leaves {
	const struct vt_pipeline *p;
	struct vt_findings *f;
};

static void say(struct vt_findings *findings, enum vt_finding_level level, const char *pointer,
	const char *rest, const char *text)
{
	char *where = vt_asprintf("%s%s", pointer, rest);
	vt_findings_add(findings, level, where, "%s", text);
	free(where);
}

static void lint_leaf(void *ctx, const struct vt_input *leaf)
{
	struct leaves *l = ctx;
	const char *project = vt_json_text(vt_json_get(leaf->json, "project"), l->p->project);
	const char *type = vt_json_text(vt_json_get(leaf->json, "repoType"), "user");
	if (strcmp(project, l->p->project))
		say(l->f, VT_FINDING_WARNING, leaf->pointer,
			leaf->kind == VT_INPUT_CRON ? "/cron/project" : "/pfs/project",
			"is another project; here the repo of that name in the store is read");
	if (strcmp(type, "user"))
		say(l->f, VT_FINDING_ERROR, leaf->pointer, "/pfs/repoType",
			"is not \"user\", and no other kind of repo has files here; remove it");
	if (vt_json_true(vt_json_pointer(leaf->json, "/propagationSpec/never"), false))
		say(l->f, VT_FINDING_WARNING, leaf->pointer, "/pfs/propagationSpec",
			"has no effect here: a run sees "
			"every input as it is now; write a trigger to hold one back");
	if (leaf->kind == VT_INPUT_CRON && vt_json_get(leaf->json, "commit"))
		say(l->f, VT_FINDING_ERROR, leaf->pointer, "/cron/commit",
			"must not be set in a spec; remove it");
}

void vt_lint_cluster(const struct vt_pipeline *pipeline, struct vt_findings *findings)
{
	struct leaves l = { pipeline, findings };
	if (vt_json_get(pipeline->json, "egress"))
		say(findings, VT_FINDING_WARNING, pipeline->pointer, "/egress",
			"is not done here; copy what `voxtrail checkout` "
			"writes, or let a stage do it");
	if (vt_json_get(pipeline->json, "determined"))
		say(findings, VT_FINDING_WARNING, pipeline->pointer, "/determined",
			"is not done here: no workspace is prepared");
	if (strcmp(pipeline->output_branch, "master"))
		say(findings, VT_FINDING_WARNING, pipeline->pointer, "/outputBranch",
			"is master here; `voxtrail branch` gives a commit another name");
	vt_input_leaves(pipeline->input, lint_leaf, &l);
}
