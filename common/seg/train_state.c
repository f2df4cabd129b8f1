#include "common/seg/train_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/nn/safetensors.h"
#include "common/nn/weights.h"

static int keep_best(struct vt_trainer *t, struct vt_err *err)
{
	char *path = vt_train_best_path(t);
	int rc = vt_weights_save(path, t->eval, NULL, err);

	free(path);
	return rc;
}

int vt_train_keep_if_best(struct vt_trainer *t, size_t n, double score, double shown,
	struct vt_err *err)
{
	t->loss_sum = 0;
	t->loss_n = 0;
	if (n && !(score > t->best))
		return 0;
	t->best = score;
	t->best_dice = shown;
	t->best_step = t->step;
	return keep_best(t, err);
}

static struct vt_json *state_metadata(const struct vt_trainer *t)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf level = VT_BUF_INIT;
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)t->step);
	vt_json_put_text(j, "step", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)t->best_step);
	vt_json_put_text(j, "best_step", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)t->loss_n);
	vt_json_put_text(j, "loss_n", text);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)t->average.n);
	vt_json_put_text(j, "averaged", text);
	snprintf(text, sizeof(text), "%.17g", t->best);
	vt_json_put_text(j, "best", text);
	snprintf(text, sizeof(text), "%.17g", t->best_dice);
	vt_json_put_text(j, "best_dice", text);
	snprintf(text, sizeof(text), "%.17g", t->loss_sum);
	vt_json_put_text(j, "loss_sum", text);
	vt_precision_save(&level, &t->precision);
	vt_json_put_text(j, "precision", level.data);
	vt_json_put_text(j, "has_last", t->has_last ? "1" : "0");
	vt_json_put_text(j, "changes", t->changes.data ? t->changes.data : "");
	vt_buf_release(&level);
	vt_json_put_text(j, "history", t->history.data ? t->history.data : "");
	return j;
}

enum { PARTS = 7 };

/* The arrays kept of weight i: itself by its name, the optimizer's state and the mean with a
 * prefix.  A slot that this run does not have has no data. */
static int parts_of(struct vt_trainer *t, int i, struct vt_tensor_entry *e)
{
	const struct vt_weight *w = vt_session_weight(t->session, i);
	int n = 0;

	e[n++] = (struct vt_tensor_entry){ .name = vt_xstrdup(w->name), .data = w->value };
	for (int slot = 0; vt_optim_slot(slot); slot++)
		if (vt_optim_state(t->optim, i, slot))
			e[n++] = (struct vt_tensor_entry){ .name = vt_asprintf("optim.%s.%s",
								   vt_optim_slot(slot), w->name),
				.data = vt_optim_state(t->optim, i, slot) };
	if (vt_slot_array(&t->last_value, i)) {
		e[n++] = (struct vt_tensor_entry){ .name = vt_asprintf("last.value.%s", w->name),
			.data = vt_slot_array(&t->last_value, i) };
		e[n++] = (struct vt_tensor_entry){ .name = vt_asprintf("last.grad.%s", w->name),
			.data = vt_slot_array(&t->last_grad, i) };
	}
	if (vt_slot_array(&t->average.mean, i))
		e[n++] = (struct vt_tensor_entry){ .name = vt_asprintf("average.%s", w->name),
			.data = vt_slot_array(&t->average.mean, i) };
	for (int k = 0; k < n; k++) {
		e[k].n_dims = w->n_dims;
		memcpy(e[k].dims, w->dims, sizeof(e[k].dims));
	}
	return n;
}

static struct vt_tensor_entry *all_parts(struct vt_trainer *t, size_t *n)
{
	struct vt_tensor_entry *e =
		vt_xcalloc(PARTS * (size_t)vt_session_n_weights(t->session), sizeof(*e));

	*n = 0;
	for (int i = 0; i < vt_session_n_weights(t->session); i++)
		*n += (size_t)parts_of(t, i, e + *n);
	return e;
}

static void free_parts(struct vt_tensor_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((char *)e[i].name);
	free(e);
}

int vt_train_save(struct vt_trainer *t, struct vt_err *err)
{
	struct vt_tensor_entry *e;
	struct vt_json *metadata;
	char *path;
	size_t n;
	int rc;

	if (!t->scratch)
		return 0;
	metadata = state_metadata(t);
	path = vt_path_join(t->scratch, "state.safetensors");
	e = all_parts(t, &n);
	rc = vt_train_device_error(t, err);
	if (!rc)
		rc = vt_safetensors_write(path, e, n, metadata, err);
	if (!rc)
		t->saved_step = t->step;
	free_parts(e, n);
	vt_json_free(metadata);
	free(path);
	return rc;
}

static int load_arrays(struct vt_trainer *t, const struct vt_safetensors *f, struct vt_err *err)
{
	size_t n;
	struct vt_tensor_entry *e = all_parts(t, &n);
	int rc = 0;

	/* the entries point at this run's own arrays */
	for (size_t i = 0; !rc && i < n; i++)
		rc = vt_safetensors_get(f, e[i].name, e[i].dims, e[i].n_dims, (float *)e[i].data,
			err);
	free_parts(e, n);
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

/* The level that the state was saved at comes first: the arrays are read into its session. */
static int load_precision(struct vt_trainer *t, const struct vt_safetensors *f, struct vt_err *err)
{
	const char *text = vt_safetensors_metadata(f, "precision"),
		   *changes = vt_safetensors_metadata(f, "changes");
	int rc = vt_precision_load(&t->precision, text ? text : "", err);

	if (rc)
		return rc;
	vt_train_precision_next(t);
	t->has_last = whole(f, "has_last") != 0;
	vt_buf_str(&t->changes, changes ? changes : "");
	return 0;
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
	rc = load_precision(t, &f, err);
	if (!rc)
		rc = load_arrays(t, &f, err);
	t->step = t->saved_step = whole(&f, "step");
	t->best_step = whole(&f, "best_step");
	t->loss_n = whole(&f, "loss_n");
	t->average.n = whole(&f, "averaged");
	t->best = real(&f, "best");
	t->best_dice = real(&f, "best_dice");
	t->loss_sum = real(&f, "loss_sum");
	vt_buf_str(&t->history,
		vt_safetensors_metadata(&f, "history") ? vt_safetensors_metadata(&f, "history")
						       : "");
	vt_safetensors_close(&f);
	*resumed = !rc;
	if (!rc)
		vt_log(VT_LOG_INFO, "resume", "step=%llu", (unsigned long long)t->step);
out:
	free(path);
	return rc;
}
