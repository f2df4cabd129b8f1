#include "common/seg/train_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/nn/safetensors.h"

static char *best_path(const struct vt_trainer *t)
{
	return vt_path_join(t->scratch ? t->scratch : t->out, "best.safetensors");
}

int vt_train_keep_best(struct vt_trainer *t, struct vt_err *err)
{
	char *path = best_path(t);
	int rc = vt_weights_save(path, t->session, NULL, err);

	free(path);
	return rc;
}

static struct vt_json *state_metadata(const struct vt_trainer *t)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)t->step);
	vt_json_put_text(j, "step", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)t->best_step);
	vt_json_put_text(j, "best_step", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)t->loss_n);
	vt_json_put_text(j, "loss_n", text);
	snprintf(text, sizeof(text), "%.17g", t->best);
	vt_json_put_text(j, "best", text);
	snprintf(text, sizeof(text), "%.17g", t->loss_sum);
	vt_json_put_text(j, "loss_sum", text);
	vt_json_put_text(j, "history", t->history.data ? t->history.data : "");
	return j;
}

/* Weights by their names, Adam's moments by "adam_m." and "adam_v." and the name. */
static size_t state_entries(struct vt_trainer *t, struct vt_tensor_entry *e, char **names)
{
	size_t n = 0;

	for (int i = 0; i < vt_session_n_weights(t->session); i++) {
		const struct vt_weight *w = vt_session_weight(t->session, i);
		const float *part[3] = { w->value, vt_optim_m(t->optim, i), vt_optim_v(t->optim, i) };
		static const char *const prefix[3] = { "", "adam_m.", "adam_v." };

		for (int k = 0; k < 3; k++)
			if (part[k]) {
				names[n] = vt_asprintf("%s%s", prefix[k], w->name);
				e[n] = (struct vt_tensor_entry){ .name = names[n], .n_dims = w->n_dims, .data = part[k] };
				memcpy(e[n].dims, w->dims, sizeof(e[n].dims));
				n++;
			}
	}
	return n;
}

int vt_train_save(struct vt_trainer *t, struct vt_err *err)
{
	size_t most = 3 * (size_t)vt_session_n_weights(t->session), n;
	struct vt_tensor_entry *e;
	struct vt_json *metadata;
	char **names, *path;
	int rc;

	if (!t->scratch)
		return 0;
	e = vt_xcalloc(most, sizeof(*e));
	names = vt_xcalloc(most, sizeof(*names));
	metadata = state_metadata(t);
	path = vt_path_join(t->scratch, "state.safetensors");
	n = state_entries(t, e, names);
	rc = vt_safetensors_write(path, e, n, metadata, err);
	if (!rc)
		t->saved_step = t->step;
	for (size_t i = 0; i < most; i++)
		free(names[i]);
	free(names);
	free(e);
	vt_json_free(metadata);
	free(path);
	return rc;
}

static int load_arrays(struct vt_trainer *t, const struct vt_safetensors *f, struct vt_err *err)
{
	int rc = 0;

	for (int i = 0; !rc && i < vt_session_n_weights(t->session); i++) {
		struct vt_weight *w = vt_session_weight(t->session, i);
		char *m = vt_asprintf("adam_m.%s", w->name), *v = vt_asprintf("adam_v.%s", w->name);

		rc = vt_safetensors_get(f, w->name, w->dims, w->n_dims, w->value, err);
		if (!rc && w->trainable)
			rc = vt_safetensors_get(f, m, w->dims, w->n_dims, vt_optim_m(t->optim, i), err);
		if (!rc && w->trainable)
			rc = vt_safetensors_get(f, v, w->dims, w->n_dims, vt_optim_v(t->optim, i), err);
		free(m);
		free(v);
	}
	return rc;
}

static uint64_t whole(const struct vt_safetensors *f, const char *key)
{
	const char *text = vt_safetensors_metadata(f, key);

	return text ? strtoull(text, NULL, 10) : 0;
}

static double real(const struct vt_safetensors *f, const char *key)
{
	const char *text = vt_safetensors_metadata(f, key);

	return text ? strtod(text, NULL) : 0;
}

int vt_train_resume(struct vt_trainer *t, bool *resumed, struct vt_err *err)
{
	char *path = t->scratch ? vt_path_join(t->scratch, "state.safetensors") : NULL;
	struct vt_safetensors f;
	int rc = 0;

	if (!path || !vt_fs_exists(path))
		goto out;
	rc = vt_safetensors_open(&f, path, err);
	if (rc)
		goto out;
	rc = load_arrays(t, &f, err);
	t->step = t->saved_step = whole(&f, "step");
	t->best_step = whole(&f, "best_step");
	t->loss_n = whole(&f, "loss_n");
	t->best = real(&f, "best");
	t->loss_sum = real(&f, "loss_sum");
	vt_buf_str(&t->history, vt_safetensors_metadata(&f, "history") ? vt_safetensors_metadata(&f, "history") : "");
	vt_safetensors_close(&f);
	*resumed = !rc;
	if (!rc)
		vt_log(VT_LOG_INFO, "resume", "step=%llu", (unsigned long long)t->step);
out:
	free(path);
	return rc;
}

/* --- the checkpoint ------------------------------------------------------------------------------------------------------------------ */

static struct vt_json *subjects_json(const struct vt_trainer *t)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *train = vt_json_new(VT_JSON_ARRAY), *validation = vt_json_new(VT_JSON_ARRAY);
	struct vt_json *test = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < t->n_train; i++)
		vt_json_push(train, vt_json_new_text(t->d->file[t->train[i]].subject));
	for (size_t i = 0; i < t->n_validation; i++)
		vt_json_push(validation, vt_json_new_text(t->d->file[t->validation[i]].subject));
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

static struct vt_json *checkpoint_json(const struct vt_trainer *t)
{
	const struct vt_json *header = t->d->file[0].header;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *model = vt_json_new(VT_JSON_OBJECT), *patch = vt_json_new(VT_JSON_ARRAY);
	struct vt_json *best = vt_json_new(VT_JSON_OBJECT), *device = vt_device_describe(t->o->device);

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(model, "name", t->o->model);
	vt_json_put(model, "params", t->o->model_params ? vt_json_copy(t->o->model_params) : vt_json_new(VT_JSON_OBJECT));
	vt_json_put_int(model, "parameters", (int64_t)vt_graph_parameters(t->graph));
	vt_json_put(j, "model", model);
	vt_json_put(j, "channels", copy_or_null(vt_json_get(header, "channels")));
	vt_json_put(j, "regions", copy_or_null(vt_json_get(header, "regions")));
	for (int a = 0; a < 3; a++)
		vt_json_push(patch, vt_json_new_int(t->o->patch[a]));
	vt_json_put(j, "patch", patch);
	vt_json_put(j, "profile", vt_json_copy(vt_json_get(device, "profile")));
	if (t->o->device)
		vt_json_put(j, "device", device);
	else
		vt_json_free(device);
	vt_json_put_int(j, "seed", (int64_t)t->o->seed);
	vt_json_put_int(j, "steps", (int64_t)t->o->steps);
	vt_json_put_int(j, "fold", t->o->fold);
	vt_json_put(j, "subjects", subjects_json(t));
	if (t->o->parent_tree)
		vt_json_put_text(j, "parent", t->o->parent_tree);
	else
		vt_json_put(j, "parent", vt_json_new(VT_JSON_NULL));
	vt_json_put_int(best, "step", (int64_t)t->best_step);
	vt_json_put(best, "dice", t->n_validation ? vt_json_new_real(t->best) : vt_json_new(VT_JSON_NULL));
	vt_json_put(j, "best", best);
	vt_json_put(j, "spacing_mm", copy_or_null(vt_json_get(header, "spacing_mm")));
	vt_json_put(j, "normalise", copy_or_null(vt_json_pointer(header, "/geometry/channels/0/normalise/method")));
	vt_json_put(j, "manifest", copy_or_null(vt_json_get(header, "manifest")));
	return j;
}

static int write_text(const char *dir, const char *name, const struct vt_buf *text, struct vt_err *err)
{
	char *path = vt_path_join(dir, name);
	int rc = vt_fs_write_quick(path, text->data, text->len, 0644, err);

	free(path);
	return rc;
}

int vt_train_finish(struct vt_trainer *t, struct vt_err *err)
{
	char *from = best_path(t), *to = vt_path_join(t->out, "best.safetensors"), *last = vt_path_join(t->out, "last.safetensors");
	struct vt_json *j = checkpoint_json(t);
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_weights_save(last, t->session, NULL, err);

	if (!rc && t->scratch)
		rc = vt_fs_copy(from, to, 0644, err);
	vt_json_pretty(&text, j);
	if (!rc)
		rc = write_text(t->out, "checkpoint.json", &text, err);
	if (!rc)
		rc = write_text(t->out, "history.csv", &t->history, err);
	vt_buf_release(&text);
	vt_json_free(j);
	free(from);
	free(to);
	free(last);
	return rc;
}
