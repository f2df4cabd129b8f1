/* voxtrail record SPEC: what every datum of another engine ends with; see docs/pipelines.md.
 *
 * The runner does the same by itself (datum_record.h): a stage that left no record, and a
 * program that wrote nothing, have failed whatever their exit status says; for all else there
 * is a record afterwards. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/lineage/consent.h"
#include "common/record/record_dir.h"
#include "pipelines/runner/datum_record.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"

/* Nothing is recorded of the data of somebody who withdrew. */
static int check_consent(const char *in, struct vt_err *err)
{
	const char *path = getenv("VOXTRAIL_CONSENT");
	struct vt_consent consent = { .j = NULL };
	struct vt_strs names = VT_STRS_INIT;
	int rc = path && *path ? vt_consent_read_named(&consent, path, err) : 0;

	if (!rc && vt_consent_count(&consent))
		rc = vt_fs_list(&names, in, err);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *root = vt_path_join(in, names.v[i]);
		struct vt_tree *tree = NULL;

		if (strcmp(names.v[i], "out") && vt_fs_is_dir(root) &&
			!(rc = vt_tree_hash_dir(&tree, root, err)))
			rc = vt_consent_check_input(&consent, tree, NULL, root, err);
		vt_tree_free(tree);
		free(root);
	}
	vt_strs_release(&names);
	vt_consent_release(&consent);
	return rc;
}

int vt_cmd_record(int argc, char **argv)
{
	const char *pipeline = NULL, *in = NULL, *out = NULL;
	long long code = 0;
	const struct vt_opt opts[] = {
		{ 0, "pipeline", VT_OPT_STRING, &pipeline, "NAME", "the pipeline of the datum" },
		{ 0, "in", VT_OPT_STRING, &in, "DIR",
			"the directory that it saw as /pfs, with one directory per input" },
		{ 'o', "out", VT_OPT_STRING, &out, "DIR", "the directory that it wrote" },
		{ 0, "code", VT_OPT_INT, &code, "N", "its exit status (default 0)" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "record SPEC --pipeline NAME --in DIR --out DIR",
		.about = "Writes the record of a datum that another engine ran, if its "
			 "program wrote none. If the datum failed, exits with 1 (a stage "
			 "left no record, or the program wrote nothing) or with 65 "
			 "(--code is 65 and the quarantine is empty).",
		.least = 1,
		.most = 1,
		.opts = opts,
		.no_store = true,
	};
	struct vt_spec *spec = NULL;
	struct vt_programs used = { .v = NULL };

	if (vt_call_begin(&c, argc, argv)) {
		const struct vt_pipeline *p = NULL;

		if (!pipeline || !in || !out)
			vt_err_set(&c.err, VT_EUSAGE, "give --pipeline, --in and --out");
		else if (code < 0 || code > 255)
			vt_err_set(&c.err, VT_EUSAGE,
				"--code %lld: an exit status lies from 0 to 255", code);
		else if (!vt_command_spec(&spec, c.args.v[0], &c.err) &&
			!(p = vt_spec_find(spec, pipeline)))
			vt_err_set(&c.err, VT_EUSAGE, "%s has no pipeline \"%s\"", spec->path,
				pipeline);
		if (p && !check_consent(in, &c.err) && !vt_programs_find(&used, p, &c.err)) {
			const struct vt_done done = { .pipeline = p,
				.used = &used,
				.in = in,
				.out = out,
				.exit_code = (int)code };

			if (vt_datum_seal(&done, &c.err))
				vt_err_prefix(&c.err, "pipeline %s", pipeline);
		}
	}
	vt_programs_release(&used);
	vt_spec_free(spec);
	return vt_call_end(&c);
}
