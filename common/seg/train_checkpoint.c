/* train_checkpoint.c - the checkpoint directory that a finished run leaves. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/backend.h"
#include "common/nn/weights.h"
#include "common/seg/contract.h"
#include "common/seg/train_state.h"

char *vt_train_best_path(const struct vt_trainer *t)
{
	return vt_path_join(t->scratch ? t->scratch : t->out, "best.safetensors");
}

static struct vt_json *subjects_json(const struct vt_trainer *t)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *train = vt_json_new(VT_JSON_ARRAY),
		       *validation = vt_json_new(VT_JSON_ARRAY);
	struct vt_json *test = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < t->n_train; i++)
		vt_json_push(train, vt_json_new_text(t->d->file[t->train[i]].subject));
	for (size_t i = 0; i < t->n_validation; i++)
		vt_json_push(validation, vt_json_new_text(t->d->file[t->validation[i]].subject));
	for (int k = 1; k < t->n_cohorts; k++)
		for (size_t i = 0; i < t->cohort[k].n_train; i++)
			vt_json_push(train,
				vt_json_new_text(
					t->cohort[k].d->file[t->cohort[k].train[i]].subject));
	for (size_t i = 0; i < t->d->n; i++)
		if (t->d->file[i].test)
			vt_json_push(test, vt_json_new_text(t->d->file[i].subject));
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
static const char *precision_of(const struct vt_trainer *t, const struct vt_json *device)
{
	if (vt_train_precision_varies(t->o))
		return "auto";
	return t->o->device[t->o->precision.first]
		? vt_json_text(vt_json_get(device, "precision"), "")
		: vt_level_names[t->o->precision.first];
}

static int lines(const struct vt_buf *text)
{
	int n = 0;

	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	return n;
}

/* The value that each region writes, in the order in which they are written. */
static struct vt_json *label_map_json(const struct vt_manifest *m)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int r = 0; r < m->n_regions; r++) {
		struct vt_json *one = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(one, "region", m->region[r].name);
		vt_json_put_int(one, "value", vt_manifest_own_value(m, r));
		vt_json_push(list, one);
	}
	return list;
}

/* Where the axes point to, null where that is not the same for all. */
static struct vt_json *axes_json(const struct vt_trainer *t)
{
	struct vt_json *first = vt_contract_axes(t->d->file[0].header);

	for (size_t i = 1; first && i < t->d->n; i++) {
		struct vt_json *other = vt_contract_axes(t->d->file[i].header);
		bool same = !strcmp(vt_json_text(first, ""), vt_json_text(other, ""));

		vt_json_free(other);
		if (!same) {
			vt_json_free(first);
			return vt_json_new(VT_JSON_NULL);
		}
	}
	return first;
}

static struct vt_json *model_json(const struct vt_trainer *t)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "name", t->o->model);
	vt_json_put(j, "params", t->params ? vt_json_copy(t->params) : vt_json_new(VT_JSON_OBJECT));
	vt_json_put_int(j, "parameters", (int64_t)vt_graph_parameters(t->graph));
	return j;
}

/* The step whose weights were kept, and what it scored. */
static struct vt_json *best_json(const struct vt_trainer *t)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "step", (int64_t)t->best_step);
	vt_json_put(j, t->o->classes ? "accuracy" : "dice",
		t->n_validation ? vt_json_new_real(t->best_dice) : vt_json_new(VT_JSON_NULL));
	if (t->n_validation && t->o->keep_loss)
		vt_json_put_real(j, "loss", -t->best);
	return j;
}

static struct vt_json *checkpoint_json(const struct vt_trainer *t)
{
	const struct vt_json *header = t->d->file[0].header;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *patch = vt_json_new(VT_JSON_ARRAY), *axes,
		       *device = vt_device_describe(t->o->device[t->o->precision.first]);

	/* they lie in engines.json */
	vt_json_put(device, "engines", vt_json_new(VT_JSON_NULL));

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "version", t->o->version ? t->o->version : "");
	vt_json_put(j, "model", model_json(t));
	vt_json_put(j, "channels", copy_or_null(vt_json_get(header, "channels")));
	vt_json_put(j, "regions", copy_or_null(vt_json_get(header, "regions")));
	vt_json_put_text(j, "plan", t->plan);
	vt_json_put_text(j, "activation", t->o->loss.softmax ? "softmax" : "sigmoid");
	for (int a = 0; a < 3; a++)
		vt_json_push(patch, vt_json_new_int(t->o->patch[a]));
	if (t->o->classes)
		vt_json_put_bool(j, "classifies", true);
	vt_json_put(j, "patch", patch);
	vt_json_put_text(j, "precision", precision_of(t, device));
	vt_json_put_int(j, "changes_of_precision", lines(&t->changes));
	if (t->o->device[t->o->precision.first])
		vt_json_put(j, "device", device);
	else
		vt_json_free(device);
	vt_json_put_int(j, "seed", (int64_t)t->o->seed);
	vt_json_put_int(j, "steps", (int64_t)t->o->steps);
	vt_json_put_int(j, "fold", t->o->fold);
	if (t->o->configured)
		vt_json_put(j, "configured", vt_json_copy(t->o->configured));
	vt_json_put(j, "subjects", subjects_json(t));
	if (t->n_cohorts)
		vt_json_put(j, "cohorts", vt_train_cohorts_json(t));
	if (t->o->parent_tree)
		vt_json_put_text(j, "parent", t->o->parent_tree);
	else
		vt_json_put(j, "parent", vt_json_new(VT_JSON_NULL));
	vt_json_put(j, "best", best_json(t));
	vt_json_put(j, "spacing_mm",
		t->o->mixed_spacing ? vt_json_new(VT_JSON_NULL)
				    : copy_or_null(vt_json_get(header, "spacing_mm")));
	vt_json_put_text(j, "axis_order", "z, y, x");
	vt_json_put(j, "orientation",
		copy_or_null(vt_json_pointer(header, "/geometry/settings/orient")));
	if ((axes = axes_json(t)) != NULL)
		vt_json_put(j, "axes", axes);
	vt_json_put(j, "label_map", label_map_json(t->manifest));
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
static int write_engines(const struct vt_trainer *t, struct vt_err *err)
{
	struct vt_json *all = NULL;
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	for (int level = 0; level < VT_LEVELS; level++) {
		struct vt_json *j = vt_device_engines(t->o->device[level]);

		if (j && !all)
			all = vt_json_new(VT_JSON_OBJECT);
		for (size_t i = 0; j && i < j->n; i++)
			vt_json_put(all, j->key[i], vt_json_copy(j->item[i]));
		vt_json_free(j);
	}
	if (!all)
		return 0;
	vt_json_pretty(&text, all);
	rc = write_text(t->out, "engines.json", &text, err);
	vt_buf_release(&text);
	vt_json_free(all);
	return rc;
}

int vt_train_finish(struct vt_trainer *t, struct vt_err *err)
{
	char *from = vt_train_best_path(t), *to = vt_path_join(t->out, "best.safetensors"),
	     *last = vt_path_join(t->out, "last.safetensors");
	struct vt_json *j = checkpoint_json(t);
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_weights_save(last, t->session, NULL, err);

	if (!rc)
		rc = vt_train_device_error(t, err);
	if (!rc && t->scratch)
		rc = vt_fs_copy(from, to, 0644, err);
	vt_json_pretty(&text, j);
	if (!rc)
		rc = write_text(t->out, "checkpoint.json", &text, err);
	if (!rc)
		rc = write_text(t->out, "history.csv", &t->history, err);
	if (!rc && vt_train_precision_varies(t->o))
		rc = write_text(t->out, "precision.jsonl", &t->changes, err);
	if (!rc)
		rc = write_engines(t, err);
	vt_buf_release(&text);
	vt_json_free(j);
	free(from);
	free(to);
	free(last);
	return rc;
}
