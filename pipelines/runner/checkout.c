/* The outputs of a run as plain directories. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "pipelines/runner/job.h"

static int link_file(struct vt_run *r, const char *root, const struct vt_entry *e,
	struct vt_err *err)
{
	char *to = vt_asprintf("%s%s", root, e->path),
	     *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to));
	if (!vt_fs_exists(to) && !vt_fs_mkdirs(dir, err)) {
		struct vt_err far = VT_ERR_INIT;
		/* another file system: a copy */
		if (vt_depot_place(vt_run_depot(r), &e->hash, to, &far)) {
			char *object = vt_depot_object(vt_run_depot(r), &e->hash);
			vt_fs_copy(object, to, 0444, err);
			free(object);
		}
	}
	free(to);
	free(dir);
	return err->code;
}

static int checkout_job(struct vt_run *r, const struct vt_job *j, const char *root,
	struct vt_err *err)
{
	struct vt_head h;
	if (vt_depot_head(vt_run_depot(r), j->pipeline->name, &h, err))
		return err->code;
	for (size_t i = 0; i < h.files.n && !err->code; i++)
		if (!h.files.v[i].dir)
			link_file(r, root, &h.files.v[i], err);
	vt_head_release(&h);
	for (size_t i = 0; i < j->n && !err->code; i++) {
		struct vt_result result;
		if (j->task[i].state == VT_DATUM_RECOVERED ||
			vt_depot_result(vt_run_depot(r), &j->task[i].key, &result, err))
			continue;
		for (size_t k = 0; k < result.lineage.n && !err->code; k++)
			link_file(r, root, &result.lineage.v[k], err);
		vt_result_release(&result);
	}
	return err->code;
}

int vt_run_checkout(struct vt_run *r, const char *dir, struct vt_err *err)
{
	for (size_t i = 0; i < vt_run_jobs(r) && !err->code; i++) {
		const struct vt_job *j = vt_run_job(r, i);
		char *root = vt_path_join(dir, j->pipeline->name);
		if (j->state == VT_JOB_DONE && !vt_fs_remove_tree(root, err) &&
			!vt_fs_mkdirs(root, err))
			checkout_job(r, j, root, err);
		free(root);
	}
	return err->code;
}
