#include "common/seg/quantize.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/seg/contract.h"

struct quantizing {
	const struct vt_quantize_opts *o;
	struct vt_checkpoint c;
	struct vt_graph *graph;
	struct vt_session *session; /* f32, shows the finder what convolutions read */
	struct vt_int8_finder *finder;
};

/* role: "train", "validation" or "test", as the checkpoint has it */
static bool has_role(const struct vt_checkpoint *c, const char *role, const char *subject)
{
	const struct vt_json *list = vt_json_get(vt_json_get(c->json, "subjects"), role);

	for (size_t i = 0; i < vt_json_length(list); i++)
		if (!strcmp(vt_json_text(list->item[i], ""), subject))
			return true;
	return false;
}

/* A test subject, of the checkpoint or of the containers, is never looked at, whatever is asked. */
static bool is_chosen(const struct quantizing *quantizing, const struct vt_patch_file *file)
{
	if (file->test || has_role(&quantizing->c, "test", file->subject))
		return false;
	return quantizing->o->any_subject || has_role(&quantizing->c, "validation", file->subject);
}

static int look_at(struct quantizing *quantizing, const struct vt_patch_file *file,
	struct vt_err *err)
{
	struct vt_prediction *p = NULL;
	char *who = vt_asprintf("subject %s", file->subject);
	int rc = vt_contract_admits(quantizing->c.json, file->header, who, quantizing->o->allow,
		err);

	free(who);
	if (!rc)
		rc = vt_predict_begin(&p, &quantizing->session, 1, quantizing->c.softmax, file,
			&(struct vt_predict_opts){ .overlap = 0 }, err);
	vt_predict_free(p);
	return rc;
}

static int look_at_all(struct quantizing *quantizing, const struct vt_dataset *dataset,
	struct vt_strs *subjects, struct vt_err *err)
{
	size_t chosen = 0, most;
	int rc = 0;

	for (size_t i = 0; i < dataset->n; i++)
		chosen += is_chosen(quantizing, &dataset->file[i]);
	if (!chosen)
		return vt_err_set(err, VT_EDATA,
			"none of the containers is of a validation subject of the checkpoint; give "
			"the --patches that it was trained with, or look at any but test subjects "
			"with --subjects any");
	most = quantizing->o->most && quantizing->o->most < chosen ? quantizing->o->most : chosen;
	vt_progress_begin("quantize", "subject", most);
	for (size_t i = 0; !rc && i < dataset->n && subjects->n < most; i++) {
		if (!is_chosen(quantizing, &dataset->file[i]))
			continue;
		rc = look_at(quantizing, &dataset->file[i], err);
		vt_strs_add(subjects, dataset->file[i].subject);
		vt_progress_step(subjects->n, "subject=\"%s\"", dataset->file[i].subject);
	}
	vt_progress_end();
	return rc;
}

static int write_json(const struct quantizing *quantizing, const char *out, struct vt_json *layers,
	const struct vt_strs *subjects, struct vt_err *err)
{
	struct vt_json *j = vt_json_copy(quantizing->c.json), *int8 = vt_json_new(VT_JSON_OBJECT);
	char *path = vt_path_join(out, "checkpoint.json");
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	vt_json_put_text(int8, "weights", quantizing->o->weights);
	if (quantizing->o->tree)
		vt_json_put_text(int8, "checkpoint", quantizing->o->tree);
	vt_json_put_text(int8, "range", vt_int8_ranges[quantizing->o->range]);
	vt_json_put(int8, "subjects", vt_json_new_texts(subjects));
	vt_json_put(int8, "layers", layers);
	vt_json_put(j, "int8", int8);
	vt_json_pretty(&text, j);
	vt_buf_char(&text, '\n');
	rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	vt_json_free(j);
	free(path);
	return rc;
}

static int copy_file(const char *out, const char *model, const char *name, struct vt_err *err)
{
	char *from = vt_path_join(model, name), *to = vt_path_join(out, name);
	int rc = vt_fs_exists(from) ? vt_fs_copy(from, to, 0644, err) : 0;

	free(from);
	free(to);
	return rc;
}

static int write_all(const struct quantizing *quantizing, const char *out, const char *model,
	const struct vt_strs *subjects, struct vt_err *err)
{
	struct vt_json *layers = vt_int8_finder_scales(quantizing->finder, quantizing->session,
		quantizing->o->range, err);
	char *weights = vt_asprintf("%s.safetensors", quantizing->o->weights);
	int rc = layers ? write_json(quantizing, out, layers, subjects, err) : err->code;

	if (!rc)
		rc = copy_file(out, model, weights, err);
	if (!rc)
		rc = copy_file(out, model, "history.csv", err);
	free(weights);
	return rc;
}

static int open_all(struct quantizing *quantizing, const char *model, struct vt_err *err)
{
	int rc = vt_checkpoint_open(&quantizing->c, model, err);

	quantizing->c.observed = true;
	if (!rc)
		rc = vt_checkpoint_session(&quantizing->graph, &quantizing->session, &quantizing->c,
			model, quantizing->o->weights, 1, NULL, NULL, err);
	if (!rc && !vt_int8_takes_any(quantizing->graph))
		rc = vt_err_set(err, VT_EDATA,
			"%s: int8 would compute nothing of this network: no convolution between "
			"two others has eight channels or more on both sides; use f32 or bf16",
			model);
	if (rc)
		return rc;
	quantizing->finder = vt_int8_finder_new(quantizing->graph);
	vt_session_observe(quantizing->session, vt_int8_look, quantizing->finder);
	return 0;
}

int vt_quantize(const char *out, const char *model, const struct vt_dataset *dataset,
	const struct vt_quantize_opts *opts, struct vt_strs *subjects, struct vt_err *err)
{
	struct quantizing q = { .o = opts };
	int rc = open_all(&q, model, err);

	if (!rc)
		rc = look_at_all(&q, dataset, subjects, err);
	if (!rc)
		rc = write_all(&q, out, model, subjects, err);
	vt_int8_finder_free(q.finder);
	vt_session_free(q.session);
	vt_graph_free(q.graph);
	vt_checkpoint_close(&q.c);
	return rc;
}
