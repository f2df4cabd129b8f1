/* voxtrail tick SPEC PIPELINE: commits the present time to the pipeline's cron input, as the
 * cluster's clock would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"
#include "pipelines/runner/content.h"
#include "pipelines/runner/depot.h"
#include "common/base/fs.h"

struct ticking {
	struct vt_depot *depot;
	const char *time;
	size_t n;
	struct vt_err *err;
};

/* One empty file named by the time; with overwrite it is the only one. */
static void tick_leaf(void *ctx, const struct vt_input *leaf)
{
	struct ticking *t = ctx;
	struct vt_head old = { 0 }, new = { 0 };
	struct vt_err none = VT_ERR_INIT;
	char *dir = vt_path_join(vt_depot_path(t->depot), "work/tick");
	if (leaf->kind != VT_INPUT_CRON || t->err->code) {
		free(dir);
		return;
	}
	char *file = vt_path_join(dir, t->time), *path = vt_asprintf("/%s", t->time);
	struct vt_result r = { .state = VT_RESULT_SUCCESS, .pipeline = "tick", .datum = "0" };
	struct vt_hash key;
	struct vt_content c;
	vt_content_begin(&c);
	vt_content_text(&c, "tick");
	vt_content_text(&c, t->time);
	vt_content_end(&c, &key);
	if (!vt_fs_mkdirs(dir, t->err) && !vt_fs_write_quick(file, "", 0, 0444, t->err) &&
		!vt_depot_publish(t->depot, &key, &r, dir, t->err)) {
		if (!leaf->overwrite && !vt_depot_head(t->depot, leaf->repo, &old, &none))
			for (size_t i = 0; i < old.files.n; i++)
				if (!old.files.v[i].dir && strcmp(old.files.v[i].path, path))
					vt_listing_add(&new.files, old.files.v[i].path,
						&old.files.v[i].hash, 0, NULL);
		vt_listing_add(&new.files, path, &r.files.v[0].hash, 0, NULL);
		if (!vt_listing_finish(&new.files, NULL, NULL, t->err) &&
			!vt_depot_set_head(t->depot, leaf->repo, &new, t->err))
			printf("%s: %s\n", leaf->repo, t->time);
	}
	t->n++;
	vt_result_release(&r);
	vt_head_release(&old);
	vt_head_release(&new);
	vt_fs_remove_tree(dir, &none);
	free(file);
	free(path);
	free(dir);
}

static int tick(const char *spec_path, const char *pipeline, const char *store, struct vt_err *err)
{
	struct vt_spec *spec = NULL;
	char text[32];
	time_t now = time(NULL);
	struct tm utc;
	struct ticking t = { NULL, text, 0, err };
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	if (!vt_command_spec(&spec, spec_path, err)) {
		const struct vt_pipeline *p = vt_spec_find(spec, pipeline);
		if (!p)
			vt_err_set(err, VT_EUSAGE, "%s has no pipeline \"%s\"", spec_path,
				pipeline);
		else if (!vt_depot_open(&t.depot, store, VT_DEPOT_WRITE, err)) {
			vt_input_leaves(p->input, tick_leaf, &t);
			if (!err->code && !t.n)
				vt_err_set(err, VT_EUSAGE, "pipeline %s has no cron input",
					pipeline);
		}
	}
	vt_depot_close(t.depot);
	vt_spec_free(spec);
	return err->code;
}

int vt_cmd_tick(int argc, char **argv)
{
	struct vt_call c = {
		.usage = "tick SPEC PIPELINE",
		.about = "Commits the present time to the pipeline's cron input.",
		.least = 2,
		.most = 2,
	};

	if (vt_call_begin(&c, argc, argv))
		tick(c.args.v[0], c.args.v[1], c.store, &c.err);
	return vt_call_end(&c);
}
