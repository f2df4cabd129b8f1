/* train_classes.c - a network with one answer for a whole patch, which learns the class that the
 * manifest's table gives each subject.
 *
 * Everything else is the trainer's: what is drawn, steps, kills. The target of a batch is a class
 * an item at its first bytes, which is what the losses take for outputs of one voxel. */
#include <math.h>
#include <stdlib.h>

#include "common/base/fmath.h"
#include "common/base/log.h"
#include "common/base/text_out.h"
#include "common/nn/model.h"
#include "common/seg/classifier.h"
#include "common/seg/train_state.h"

bool vt_train_answers_once(const struct vt_train_opts *opts, int channels)
{
	const struct vt_model_request r = { opts->model, opts->model_params, 1, channels, 2,
		{ opts->patch[0], opts->patch[1], opts->patch[2] } };
	struct vt_err none = VT_ERR_INIT;
	struct vt_graph *g = NULL;
	bool once = false;

	if (!vt_model_build(&g, &r, &none)) {
		struct vt_shape s = vt_graph_shape(g, vt_graph_output_at(g, 0).tensor);

		once = s.d == 1 && s.h == 1 && s.w == 1;
	}
	vt_graph_free(g);
	return once;
}

int vt_train_classes_opts(struct vt_train_opts *opts, struct vt_err *err)
{
	if (opts->loss.generalized > 0 || opts->loss.tversky > 0)
		return vt_err_set(err, VT_EUSAGE,
			"--generalized-dice and --tversky compare voxels; a network that gives one "
			"answer for a whole scan learns by --cross-entropy or --focal");
	opts->classes = true;
	opts->loss.softmax = true;
	opts->loss.dice = opts->loss.generalized = opts->loss.tversky = 0;
	if (opts->loss.cross_entropy <= 0 && opts->loss.focal <= 0)
		opts->loss.cross_entropy = 1;
	if (opts->draw.center_sd <= 0)
		opts->draw.center_sd = 1e-9; /* about the middle, where answers are asked for */
	return 0;
}

int vt_train_classes_check(const struct vt_trainer *trainer, struct vt_err *err)
{
	size_t n[VT_MAX_CLASSES] = { 0 };
	int there = 0, one = 0;

	for (size_t i = 0; trainer->class_of && i < trainer->n_train; i++)
		n[trainer->class_of[trainer->train[i]]]++;
	for (int c = 0; trainer->class_of && c < trainer->outputs; c++) {
		there += n[c] > 0;
		one = n[c] ? c : one;
	}
	if (trainer->class_of && there < 2)
		return vt_err_set(err, VT_EDATA,
			"all %zu subjects to train on are of class \"%s\": there is nothing to "
			"tell apart; give another fold, or a split with subjects of each class",
			trainer->n_train, trainer->manifest->classes.v[one]);
	for (int c = 0; trainer->class_of && c < trainer->outputs; c++)
		if (!n[c])
			vt_log(VT_LOG_WARN, "absent-class",
				"class=\"%s\" note=\"no subject to train on has it: it will not be "
				"learned\"",
				trainer->manifest->classes.v[c]);
	return 0;
}

int vt_train_classes_begin(struct vt_trainer *trainer, struct vt_err *err)
{
	size_t without = 0;

	if (!trainer->o->classes)
		return 0;
	if (!trainer->manifest->classes.n)
		return vt_err_set(err, VT_EDATA,
			"the network gives one answer for a whole scan, and the manifest %s has no "
			"\"classes\": say there {\"names\": [...], \"subjects\": {\"id\": "
			"\"name\", ...}} and crop again, or give the network another head",
			trainer->manifest->name);
	if (trainer->o->n_more || trainer->o->on_device)
		return vt_err_set(err, VT_EUSAGE,
			"classes of whole scans are learned from one cohort, on the CPU; give "
			"--patches once and --device cpu");
	trainer->outputs = (int)trainer->manifest->classes.n;
	trainer->class_of = vt_xcalloc(trainer->d->n, sizeof(*trainer->class_of));
	for (size_t i = 0; i < trainer->d->n; i++) {
		trainer->class_of[i] = vt_class_of(&trainer->d->file[i], trainer->manifest);
		without += trainer->class_of[i] < 0;
	}
	if (without)
		vt_log(VT_LOG_WARN, "without-class", "subjects=%zu of=%zu note=\"left out\"",
			without, trainer->d->n);
	return 0;
}

/* Share of the first n validation subjects that are answered right, and the mean of -ln of the
 * right class's probability. */
static void score(const struct vt_trainer *trainer, size_t n, double *accuracy,
	double *cross_entropy)
{
	double *p = vt_xmalloc((size_t)trainer->outputs * sizeof(*p));
	float *y = vt_xmalloc((size_t)trainer->outputs * sizeof(*y));

	*accuracy = *cross_entropy = 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = trainer->validation[i];

		vt_class_window(trainer->image, &trainer->d->file[at], trainer->o->patch);
		vt_session_set_input(trainer->eval, trainer->image);
		vt_session_forward(trainer->eval, 0);
		vt_session_get_output(trainer->eval, y);
		vt_class_probabilities(p, y, trainer->outputs);
		*accuracy += vt_class_likeliest(p, trainer->outputs) == trainer->class_of[at];
		*cross_entropy -= vt_ln(fmax(p[trainer->class_of[at]], 1e-300));
	}
	if (n) {
		*accuracy /= (double)n;
		*cross_entropy /= (double)n;
	}
	free(p);
	free(y);
}

int vt_train_validate_classes(struct vt_trainer *trainer, size_t n, struct vt_err *err)
{
	double loss = trainer->loss_n ? trainer->loss_sum / (double)trainer->loss_n : 0, accuracy,
	       cross_entropy;
	char text[3][32];

	score(trainer, n, &accuracy, &cross_entropy);
	vt_json_real_text(text[0], loss);
	vt_json_real_text(text[1], accuracy);
	vt_json_real_text(text[2], cross_entropy);
	vt_buf_printf(&trainer->history, "%llu,%s,%s,%s\n", (unsigned long long)trainer->step,
		text[0], n ? text[1] : "", n ? text[2] : "");
	vt_log(VT_LOG_INFO, "validate", "step=%llu loss=%.4f accuracy=%.4f cross_entropy=%.4f",
		(unsigned long long)trainer->step, loss, accuracy, cross_entropy);
	return vt_train_keep_if_best(trainer, n, trainer->o->keep_loss ? -cross_entropy : accuracy,
		accuracy, err);
}
