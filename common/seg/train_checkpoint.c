/* train_checkpoint.c - the checkpoint directory that a finished run leaves. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/backend.h"
#include "common/nn/weights.h"
#include "common/seg/contract.h"
#include "common/seg/train_state.h"

char *vt_train_best_path(const struct vt_trainer *trainer)
{
	return vt_path_join(trainer->scratch ? trainer->scratch : trainer->out, "best.safetensors");
}

static struct vt_json *subjects_json(const struct vt_trainer *trainer)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *train = vt_json_new(VT_JSON_ARRAY),
		       *validation = vt_json_new(VT_JSON_ARRAY);
	struct vt_json *test = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < trainer->n_train; i++)
		vt_json_push(train, vt_json_new_text(trainer->d->file[trainer->train[i]].subject));
	for (size_t i = 0; i < trainer->n_validation; i++)
		vt_json_push(validation,
			vt_json_new_text(trainer->d->file[trainer->validation[i]].subject));
	for (int k = 1; k < trainer->n_cohorts; k++)
		for (size_t i = 0; i < trainer->cohort[k].n_train; i++)
			vt_json_push(train,
				vt_json_new_text(trainer->cohort[k]
							 .d->file[trainer->cohort[k].train[i]]
							 .subject));
	for (size_t i = 0; i < trainer->d->n; i++)
		if (trainer->d->file[i].test)
			vt_json_push(test, vt_json_new_text(trainer->d->file[i].subject));
	vt_json_put(j, "train", train);
	vt_json_put(j, "validation", validation);
	vt_json_put(j, "test", test);
	return j;
}

static struct vt_json *copy_or_null(const struct vt_json *j)
{
	return j ? vt_json_copy(j) : vt_json_new(VT_JSON_NULL);
}

/* A card may have rounded f32 otherwise than the CPU does, and says so itself. */
static const char *precision_of(const struct vt_trainer *trainer, const struct vt_json *device)
{
	if (vt_train_precision_varies(trainer->o))
		return "auto";
	return trainer->o->device[trainer->o->precision.first]
		? vt_json_text(vt_json_get(device, "precision"), "")
		: vt_level_names[trainer->o->precision.first];
}

static int lines(const struct vt_buf *text)
{
	int n = 0;

	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	return n;
}

/* The value that each region writes, in the order in which they are written. */
static struct vt_json *label_map_json(const struct vt_manifest *manifest)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int r = 0; r < manifest->n_regions; r++) {
		struct vt_json *one = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(one, "region", manifest->region[r].name);
		vt_json_put_int(one, "value", vt_manifest_own_value(manifest, r));
		vt_json_push(list, one);
	}
	return list;
}

/* Where the axes point to, null where that is not the same for all. */
static struct vt_json *axes_json(const struct vt_trainer *trainer)
{
	struct vt_json *first = vt_contract_axes(trainer->d->file[0].header);

	for (size_t i = 1; first && i < trainer->d->n; i++) {
		struct vt_json *other = vt_contract_axes(trainer->d->file[i].header);
		bool same = !strcmp(vt_json_text(first, ""), vt_json_text(other, ""));

		vt_json_free(other);
		if (!same) {
			vt_json_free(first);
			return vt_json_new(VT_JSON_NULL);
		}
	}
	return first;
}

static struct vt_json *model_json(const struct vt_trainer *trainer)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "name", trainer->o->model);
	vt_json_put(j, "params",
		trainer->params ? vt_json_copy(trainer->params) : vt_json_new(VT_JSON_OBJECT));
	vt_json_put_int(j, "parameters", (int64_t)vt_graph_parameters(trainer->graph));
	return j;
}

/* The step whose weights were kept, and what it scored. */
static struct vt_json *best_json(const struct vt_trainer *trainer)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "step", (int64_t)trainer->best_step);
	vt_json_put(j, trainer->o->classes ? "accuracy" : "dice",
		trainer->n_validation ? vt_json_new_real(trainer->best_dice)
				      : vt_json_new(VT_JSON_NULL));
	if (trainer->n_validation && trainer->o->keep_loss)
		vt_json_put_real(j, "loss", -trainer->best);
	return j;
}

static struct vt_json *checkpoint_json(const struct vt_trainer *trainer)
{
	const struct vt_json *header = trainer->d->file[0].header;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *patch = vt_json_new(VT_JSON_ARRAY), *axes,
		       *device =
			       vt_device_describe(trainer->o->device[trainer->o->precision.first]);

	/* they lie in engines.json */
	vt_json_put(device, "engines", vt_json_new(VT_JSON_NULL));

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "version", trainer->o->version ? trainer->o->version : "");
	vt_json_put(j, "model", model_json(trainer));
	vt_json_put(j, "channels", copy_or_null(vt_json_get(header, "channels")));
	vt_json_put(j, "regions", copy_or_null(vt_json_get(header, "regions")));
	vt_json_put_text(j, "plan", trainer->plan);
	vt_json_put_text(j, "activation", trainer->o->loss.softmax ? "softmax" : "sigmoid");
	for (int a = 0; a < 3; a++)
		vt_json_push(patch, vt_json_new_int(trainer->o->patch[a]));
	if (trainer->o->classes)
		vt_json_put_bool(j, "classifies", true);
	vt_json_put(j, "patch", patch);
	vt_json_put_text(j, "precision", precision_of(trainer, device));
	vt_json_put_int(j, "changes_of_precision", lines(&trainer->changes));
	if (trainer->o->device[trainer->o->precision.first])
		vt_json_put(j, "device", device);
	else
		vt_json_free(device);
	vt_json_put_int(j, "seed", (int64_t)trainer->o->seed);
	vt_json_put_int(j, "steps", (int64_t)trainer->o->steps);
	vt_json_put_int(j, "fold", trainer->o->fold);
	if (trainer->o->configured)
		vt_json_put(j, "configured", vt_json_copy(trainer->o->configured));
	vt_json_put(j, "subjects", subjects_json(trainer));
	if (trainer->n_cohorts)
		vt_json_put(j, "cohorts", vt_train_cohorts_json(trainer));
	if (trainer->o->parent_tree)
		vt_json_put_text(j, "parent", trainer->o->parent_tree);
	else
		vt_json_put(j, "parent", vt_json_new(VT_JSON_NULL));
	vt_json_put(j, "best", best_json(trainer));
	vt_json_put(j, "spacing_mm",
		trainer->o->mixed_spacing ? vt_json_new(VT_JSON_NULL)
					  : copy_or_null(vt_json_get(header, "spacing_mm")));
	vt_json_put_text(j, "axis_order", "z, y, x");
	vt_json_put(j, "orientation",
		copy_or_null(vt_json_pointer(header, "/geometry/settings/orient")));
	if ((axes = axes_json(trainer)) != NULL)
		vt_json_put(j, "axes", axes);
	vt_json_put(j, "label_map", label_map_json(trainer->manifest));
	vt_json_put(j, "crop", copy_or_null(vt_json_get(header, "crop")));
	vt_json_put(j, "settings", copy_or_null(vt_json_pointer(header, "/geometry/settings")));
	vt_json_put(j, "manifest", copy_or_null(vt_json_get(header, "manifest")));
	return j;
}

static int write_text(const char *dir, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	char *path = vt_path_join(dir, name);
	int rc = vt_fs_write_quick(path, text->data, text->len, 0644, err);

	free(path);
	return rc;
}

/* What --engines of a later run repeats, of every level; nothing on the CPU. */
static int write_engines(const struct vt_trainer *trainer, struct vt_err *err)
{
	struct vt_json *all = NULL;
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	for (int level = 0; level < VT_LEVELS; level++) {
		struct vt_json *j = vt_device_engines(trainer->o->device[level]);

		if (j && !all)
			all = vt_json_new(VT_JSON_OBJECT);
		for (size_t i = 0; j && i < j->n; i++)
			vt_json_put(all, j->key[i], vt_json_copy(j->item[i]));
		vt_json_free(j);
	}
	if (!all)
		return 0;
	vt_json_pretty(&text, all);
	rc = write_text(trainer->out, "engines.json", &text, err);
	vt_buf_release(&text);
	vt_json_free(all);
	return rc;
}

int vt_train_finish(struct vt_trainer *trainer, struct vt_err *err)
{
	char *from = vt_train_best_path(trainer),
	     *to = vt_path_join(trainer->out, "best.safetensors"),
	     *last = vt_path_join(trainer->out, "last.safetensors");
	struct vt_json *j = checkpoint_json(trainer);
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_weights_save(last, trainer->session, NULL, err);

	if (!rc)
		rc = vt_train_device_error(trainer, err);
	if (!rc && trainer->scratch)
		rc = vt_fs_copy(from, to, 0644, err);
	vt_json_pretty(&text, j);
	if (!rc)
		rc = write_text(trainer->out, "checkpoint.json", &text, err);
	if (!rc)
		rc = write_text(trainer->out, "history.csv", &trainer->history, err);
	if (!rc && vt_train_precision_varies(trainer->o))
		rc = write_text(trainer->out, "precision.jsonl", &trainer->changes, err);
	if (!rc)
		rc = write_engines(trainer, err);
	vt_buf_release(&text);
	vt_json_free(j);
	free(from);
	free(to);
	free(last);
	return rc;
}
