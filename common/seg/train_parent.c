/* train_parent.c - what a warm start may not mix: weights of other channels, regions or
 * preparation, and subjects that the parent learned from as this run's validation or test. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/seg/contract.h"
#include "common/seg/train_state.h"

/* A prediction resamples to the training's spacing, so there must be one, or none on purpose. */
static int check_spacing(const struct vt_trainer *trainer, struct vt_err *err)
{
	const struct vt_json *first = vt_json_get(trainer->d->file[0].header, "spacing_mm");

	for (size_t i = 1; !trainer->o->mixed_spacing && i < trainer->d->n; i++) {
		const struct vt_patch_file *f = &trainer->d->file[i];
		const struct vt_json *own = vt_json_get(f->header, "spacing_mm");

		for (size_t a = 0; a < 3; a++) {
			double x = vt_json_number(vt_json_at(first, a), 1),
			       y = vt_json_number(vt_json_at(own, a), 1);

			if (y < 0.999 * x || y > 1.001 * x)
				return vt_err_set(err, VT_EDATA,
					"subjects %s and %s have voxels of %g and %g mm (axis %zu "
					"of z, y, x); resample them to one spacing (spacing_mm in "
					"the manifest, --spacing of skullstrip-normalize), or "
					"train on all as they are with --mixed-spacing true",
					trainer->d->file[0].subject, f->subject, x, y, a);
		}
	}
	return 0;
}

/* Differences that the other options of a warm start speak for. */
static char *allowances(const struct vt_trainer *trainer)
{
	struct vt_buf b = VT_BUF_INIT;

	vt_buf_str(&b, trainer->o->allow ? trainer->o->allow : "");
	if (trainer->o->fit.repeat_input)
		vt_buf_str(&b, ",channels");
	if (trainer->o->fit.leave && trainer->o->fit.leave[0])
		vt_buf_str(&b, ",regions,activation,ignore");
	return vt_buf_detach(&b);
}

static bool learned(const struct vt_json *list, const char *subject)
{
	for (size_t i = 0; list && i < list->n; i++)
		if (!strcmp(vt_json_text(list->item[i], ""), subject))
			return true;
	return false;
}

static int check_subjects(const struct vt_trainer *trainer, const struct vt_json *parent,
	struct vt_err *err)
{
	const struct vt_json *train = vt_json_pointer(parent, "/subjects/train");

	for (size_t i = 0; i < trainer->d->n; i++) {
		const struct vt_patch_file *f = &trainer->d->file[i];
		bool kept_out = f->test ||
			((trainer->class_of ? trainer->class_of[i] >= 0 : f->labeled) &&
				f->fold == trainer->o->fold);

		if (kept_out && learned(train, f->subject))
			return vt_err_set(err, VT_EDATA,
				"subject %s is kept out here as %s, but the checkpoint of "
				"--previous was trained on it; give the same --fold and split, or "
				"accept it with --allow subjects",
				f->subject, f->test ? "test" : "validation");
	}
	return 0;
}

static int compare(const struct vt_trainer *trainer, const struct vt_json *parent,
	struct vt_err *err)
{
	struct vt_json *trained = vt_contract_of_checkpoint(parent),
		       *given = vt_contract_of_container(trainer->d->file[0].header);
	const char *was = vt_json_text(vt_json_get(parent, "activation"), "sigmoid"),
		   *is = trainer->o->loss.softmax ? "softmax" : "sigmoid";
	char *allow = allowances(trainer);
	int rc = vt_contract_adapt(trained, given, "--patches beside --previous", allow, err);

	if (!rc && strcmp(was, is) && !vt_contract_allows(allow, "activation"))
		rc = vt_err_set(err, VT_EDATA,
			"--activation is %s, the checkpoint of --previous was trained with %s; "
			"give that, or accept the difference with --allow activation",
			is, was);
	if (!rc && !vt_contract_allows(allow, "subjects"))
		rc = check_subjects(trainer, parent, err);
	free(allow);
	vt_json_free(trained);
	vt_json_free(given);
	return rc;
}

int vt_train_check_parent(const struct vt_trainer *trainer, struct vt_err *err)
{
	char *path = trainer->o->parent && trainer->o->parent_dir
		? vt_path_join(trainer->o->parent_dir, "checkpoint.json")
		: NULL;
	struct vt_json *parent = NULL;
	int rc = check_spacing(trainer, err);

	if (!rc && path && vt_fs_exists(path)) {
		rc = vt_json_read(&parent, path, err);
		if (!rc)
			rc = compare(trainer, parent, err);
	}
	vt_json_free(parent);
	free(path);
	return rc;
}

/* --- where it is --------------------------------------------------------- */

static bool is_weights(const char *name)
{
	static const char *const ends[] = { ".pth", ".pt", ".safetensors" };

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (strlen(name) > strlen(ends[i]) &&
			!strcmp(name + strlen(name) - strlen(ends[i]), ends[i]))
			return true;
	return false;
}

int vt_train_find_parent(char **out, const char *dir, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = 0;

	*out = dir ? vt_path_join(dir, "last.safetensors") : NULL;
	if (!dir || vt_fs_exists(*out))
		return 0;
	free(*out);
	*out = NULL;
	rc = vt_fs_list(&names, dir, err);
	for (size_t i = 0; !rc && i < names.n; i++) {
		if (!is_weights(names.v[i]))
			continue;
		if (*out)
			rc = vt_err_set(err, VT_EDATA,
				"--previous=%s: there is no last.safetensors and more than one "
				"other file of weights; keep one",
				dir);
		else
			*out = vt_path_join(dir, names.v[i]);
	}
	vt_strs_release(&names);
	return rc;
}
