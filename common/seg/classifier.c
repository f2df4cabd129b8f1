#include "common/seg/classifier.h"

#include <stdlib.h>

#include "common/base/fmath.h"
#include "common/seg/window.h"

int vt_class_of(const struct vt_patch_file *file, const struct vt_manifest *manifest)
{
	return vt_manifest_class_number(manifest,
		vt_json_text(vt_json_get(file->header, "class"), NULL));
}

void vt_class_window(float *x, const struct vt_patch_file *file, const int patch[3])
{
	const int dim[3] = { file->d, file->h, file->w };
	int at[3];

	for (int a = 0; a < 3; a++)
		at[a] = dim[a] >= patch[a] ? (dim[a] - patch[a]) / 2 : -((patch[a] - dim[a]) / 2);
	vt_window_read(x, file, at, patch, 0);
}

void vt_class_probabilities(double *probability, const float *logits, int n)
{
	double most = (double)logits[0], sum = 0;

	for (int k = 1; k < n; k++)
		most = (double)logits[k] > most ? (double)logits[k] : most;
	for (int k = 0; k < n; k++)
		sum += probability[k] = vt_exp((double)logits[k] - most);
	for (int k = 0; k < n; k++)
		probability[k] /= sum;
}

int vt_class_likeliest(const double *probability, int n)
{
	int best = 0;

	for (int k = 1; k < n; k++)
		best = probability[k] > probability[best] ? k : best;
	return best;
}

int vt_classifier_open(struct vt_classifier **out, const char *dir, const char *weights,
	struct vt_err *err)
{
	struct vt_classifier *c = vt_xcalloc(1, sizeof(*c));
	const int *p = c->checkpoint.patch;
	int rc = vt_checkpoint_open_classes(&c->checkpoint, dir, err);

	if (!rc)
		rc = vt_checkpoint_session(&c->graph, &c->session, &c->checkpoint, dir, weights, 1,
			NULL, NULL, err);
	if (rc) {
		vt_classifier_close(c);
		return rc;
	}
	c->window = vt_xmalloc((size_t)c->checkpoint.n_channels * (size_t)p[0] * (size_t)p[1] *
		(size_t)p[2] * sizeof(float));
	c->logits = vt_xmalloc((size_t)c->checkpoint.n_outputs * sizeof(float));
	*out = c;
	return 0;
}

void vt_classifier_close(struct vt_classifier *c)
{
	if (!c)
		return;
	vt_session_free(c->session);
	vt_graph_free(c->graph);
	vt_checkpoint_close(&c->checkpoint);
	free(c->window);
	free(c->logits);
	free(c);
}

int vt_classifier_answer(double *probability, const struct vt_classifier *c,
	const struct vt_patch_file *file, struct vt_err *err)
{
	if (file->c != c->checkpoint.n_channels)
		return vt_err_set(err, VT_EDATA, "subject %s: %d channels, the network takes %d",
			file->subject, file->c, c->checkpoint.n_channels);
	vt_class_window(c->window, file, c->checkpoint.patch);
	vt_session_set_input(c->session, c->window);
	vt_session_forward(c->session, 0);
	vt_session_get_output(c->session, c->logits);
	vt_class_probabilities(probability, c->logits, c->checkpoint.n_outputs);
	return 0;
}
