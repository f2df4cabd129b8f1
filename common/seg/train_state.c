#include "common/seg/train_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/nn/safetensors.h"
#include "common/nn/weights.h"

static int keep_best(struct vt_trainer *trainer, struct vt_err *err)
{
	char *path = vt_train_best_path(trainer);
	int rc = vt_weights_save(path, trainer->eval, NULL, err);

	free(path);
	return rc;
}

int vt_train_keep_if_best(struct vt_trainer *trainer, size_t n, double score, double shown,
	struct vt_err *err)
{
	trainer->loss_sum = 0;
	trainer->loss_n = 0;
	if (n && !(score > trainer->best))
		return 0;
	trainer->best = score;
	trainer->best_dice = shown;
	trainer->best_step = trainer->step;
	return keep_best(trainer, err);
}

static struct vt_json *state_metadata(const struct vt_trainer *trainer)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf level = VT_BUF_INIT;
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)trainer->step);
	vt_json_put_text(j, "step", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)trainer->best_step);
	vt_json_put_text(j, "best_step", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)trainer->loss_n);
	vt_json_put_text(j, "loss_n", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)trainer->average.n);
	vt_json_put_text(j, "averaged", text);
	snprintf(text, sizeof(text), "%.17g", trainer->best);
	vt_json_put_text(j, "best", text);
	snprintf(text, sizeof(text), "%.17g", trainer->best_dice);
	vt_json_put_text(j, "best_dice", text);
	snprintf(text, sizeof(text), "%.17g", trainer->loss_sum);
	vt_json_put_text(j, "loss_sum", text);
	vt_precision_save(&level, &trainer->precision);
	vt_json_put_text(j, "precision", level.data);
	vt_json_put_text(j, "has_last", trainer->has_last ? "1" : "0");
	vt_json_put_text(j, "changes", trainer->changes.data ? trainer->changes.data : "");
	vt_buf_release(&level);
	vt_json_put_text(j, "history", trainer->history.data ? trainer->history.data : "");
	return j;
}

enum { PARTS = 7 };

/* The arrays kept of weight i: itself by its name, the optimizer's state and the mean with a
 * prefix.  A slot that this run does not have has no data. */
static int parts_of(struct vt_trainer *trainer, int i, struct vt_tensor_entry *entry)
{
	const struct vt_weight *w = vt_session_weight(trainer->session, i);
	int n = 0;

	entry[n++] = (struct vt_tensor_entry){ .name = vt_xstrdup(w->name), .data = w->value };
	for (int slot = 0; vt_optim_slot(slot); slot++)
		if (vt_optim_state(trainer->optim, i, slot))
			entry[n++] =
				(struct vt_tensor_entry){ .name = vt_asprintf("optim.%s.%s",
								  vt_optim_slot(slot), w->name),
					.data = vt_optim_state(trainer->optim, i, slot) };
	if (vt_slot_array(&trainer->last_value, i)) {
		entry[n++] =
			(struct vt_tensor_entry){ .name = vt_asprintf("last.value.%s", w->name),
				.data = vt_slot_array(&trainer->last_value, i) };
		entry[n++] = (struct vt_tensor_entry){ .name = vt_asprintf("last.grad.%s", w->name),
			.data = vt_slot_array(&trainer->last_grad, i) };
	}
	if (vt_slot_array(&trainer->average.mean, i))
		entry[n++] = (struct vt_tensor_entry){ .name = vt_asprintf("average.%s", w->name),
			.data = vt_slot_array(&trainer->average.mean, i) };
	for (int k = 0; k < n; k++) {
		entry[k].n_dims = w->n_dims;
		memcpy(entry[k].dims, w->dims, sizeof(entry[k].dims));
	}
	return n;
}

static struct vt_tensor_entry *all_parts(struct vt_trainer *trainer, size_t *n)
{
	struct vt_tensor_entry *e =
		vt_xcalloc(PARTS * (size_t)vt_session_n_weights(trainer->session), sizeof(*e));

	*n = 0;
	for (int i = 0; i < vt_session_n_weights(trainer->session); i++)
		*n += (size_t)parts_of(trainer, i, e + *n);
	return e;
}

static void free_parts(struct vt_tensor_entry *entry, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((char *)entry[i].name);
	free(entry);
}

int vt_train_save(struct vt_trainer *trainer, struct vt_err *err)
{
	struct vt_tensor_entry *e;
	struct vt_json *metadata;
	char *path;
	size_t n;
	int rc;

	if (!trainer->scratch)
		return 0;
	metadata = state_metadata(trainer);
	path = vt_path_join(trainer->scratch, "state.safetensors");
	e = all_parts(trainer, &n);
	rc = vt_train_device_error(trainer, err);
	if (!rc)
		rc = vt_safetensors_write(path, e, n, metadata, err);
	if (!rc)
		trainer->saved_step = trainer->step;
	free_parts(e, n);
	vt_json_free(metadata);
	free(path);
	return rc;
}

static int load_arrays(struct vt_trainer *trainer, const struct vt_safetensors *safetensors,
	struct vt_err *err)
{
	size_t n;
	struct vt_tensor_entry *e = all_parts(trainer, &n);
	int rc = 0;

	/* the entries point at this run's own arrays */
	for (size_t i = 0; !rc && i < n; i++)
		rc = vt_safetensors_get(safetensors, e[i].name, e[i].dims, e[i].n_dims,
			(float *)e[i].data, err);
	free_parts(e, n);
	return rc;
}

static uint64_t whole(const struct vt_safetensors *safetensors, const char *key)
{
	const char *text = vt_safetensors_metadata(safetensors, key);

	return text ? strtoull(text, NULL, 10) : 0;
}

static double real(const struct vt_safetensors *safetensors, const char *key)
{
	const char *text = vt_safetensors_metadata(safetensors, key);

	return text ? strtod(text, NULL) : 0;
}

/* The level that the state was saved at comes first: the arrays are read into its session. */
static int load_precision(struct vt_trainer *trainer, const struct vt_safetensors *safetensors,
	struct vt_err *err)
{
	const char *text = vt_safetensors_metadata(safetensors, "precision"),
		   *changes = vt_safetensors_metadata(safetensors, "changes");
	int rc = vt_precision_load(&trainer->precision, text ? text : "", err);

	if (rc)
		return rc;
	vt_train_precision_next(trainer);
	trainer->has_last = whole(safetensors, "has_last") != 0;
	vt_buf_str(&trainer->changes, changes ? changes : "");
	return 0;
}

int vt_train_resume(struct vt_trainer *trainer, bool *resumed, struct vt_err *err)
{
	char *path = trainer->scratch ? vt_path_join(trainer->scratch, "state.safetensors") : NULL;
	struct vt_safetensors f;
	int rc = 0;

	if (!path || !vt_fs_exists(path))
		goto out;
	rc = vt_safetensors_open(&f, path, err);
	if (rc)
		goto out;
	rc = load_precision(trainer, &f, err);
	if (!rc)
		rc = load_arrays(trainer, &f, err);
	trainer->step = trainer->saved_step = whole(&f, "step");
	trainer->best_step = whole(&f, "best_step");
	trainer->loss_n = whole(&f, "loss_n");
	trainer->average.n = whole(&f, "averaged");
	trainer->best = real(&f, "best");
	trainer->best_dice = real(&f, "best_dice");
	trainer->loss_sum = real(&f, "loss_sum");
	vt_buf_str(&trainer->history,
		vt_safetensors_metadata(&f, "history") ? vt_safetensors_metadata(&f, "history")
						       : "");
	vt_safetensors_close(&f);
	*resumed = !rc;
	if (!rc)
		vt_log(VT_LOG_INFO, "resume", "step=%llu", (unsigned long long)trainer->step);
out:
	free(path);
	return rc;
}
