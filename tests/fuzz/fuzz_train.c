/* fuzz_train.c - what a training left behind, and what stages read of each other's refusals: the
 * state that a killed run goes on from, scales of int8, and quarantine/<subject>.json. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/model.h"
#include "common/seg/evaluator_internal.h"
#include "common/seg/train_state.h"
#include "tests/fuzz/fuzz.h"

static struct vt_json *text_json(const char *text)
{
	struct vt_json *j = fuzz_json((const uint8_t *)text, strlen(text));

	if (!j)
		abort();
	return j;
}

static struct vt_graph *small_graph(int channels)
{
	char *text = vt_asprintf("{\"channels\":%d,\"dilations\":[1,1]}", channels);
	struct vt_json *params = text_json(text);
	struct vt_model_request r = { "meshnet", params, 1, 1, 1, { 8, 8, 8 } };
	struct vt_err err = VT_ERR_INIT;
	struct vt_graph *g;

	if (vt_model_build(&g, &r, &err))
		abort();
	vt_json_free(params);
	free(text);
	return g;
}

/* A training of few weights, between two steps. */
static struct vt_trainer *small_trainer(void)
{
	static struct vt_train_opts o = { .precision = { .top = VT_LEVEL_BF16 },
		.optim = { .kind = VT_OPTIM_ADAMW, .momentum = 0.9, .beta2 = 0.999, .eps = 1e-8 },
		.averaging = VT_AVERAGE_EMA,
		.steps = 100 };
	struct vt_trainer *t = vt_xcalloc(1, sizeof(*t));
	struct vt_err err = VT_ERR_INIT;

	t->o = &o;
	t->scratch = vt_path_join(fuzz_dir(), "train");
	t->graph = small_graph(2);
	if (vt_train_precision_begin(t, &err))
		abort();
	t->optim = vt_optim_new(t->session, &o.optim);
	vt_average_init(&t->average, t->session, 0.9);
	return t;
}

/* A state that is taken is written as one that is taken again, at the same step. */
static void train_state(const uint8_t *bytes, size_t n)
{
	static struct vt_trainer *t;
	char *path = fuzz_file("train/state.safetensors", bytes, n);
	struct vt_err err = VT_ERR_INIT;
	bool resumed = false;

	t = t ? t : small_trainer();
	vt_buf_clear(&t->history);
	vt_buf_clear(&t->changes);
	if (vt_train_resume(t, &resumed, &err)) {
		fuzz_refused(&err);
	} else {
		uint64_t step = t->step;

		if (t->precision.level > VT_LEVEL_BF16 || vt_train_save(t, &err))
			abort();
		vt_buf_clear(&t->history);
		vt_buf_clear(&t->changes);
		if (vt_train_resume(t, &resumed, &err) || !resumed || t->step != step)
			abort();
	}
	free(path);
}

/* Scales are taken whole, for weights of their own, or refused. */
static void int8_scales(const uint8_t *bytes, size_t n)
{
	static struct vt_graph *g;
	struct vt_json *j = fuzz_json(bytes, n);
	struct vt_session *s = NULL;
	struct vt_err err = VT_ERR_INIT;
	float x[512];
	const float *answer = NULL;
	int rc;

	if (!j)
		return;
	g = g ? g : small_graph(8);
	rc = vt_session_new(&s, g, &(struct vt_session_opts){ .int8 = j, .blank = true }, &err);
	for (int i = 0; !rc && i < vt_session_n_weights(s); i++)
		for (size_t k = 0; k < vt_session_size(s, i); k++) /* a scale of 2^-10 */
			vt_session_weight(s, i)->value[k] = 127.0f / 1024;
	if (!rc)
		rc = vt_session_take_int8(s, &err);
	if (!rc) {
		for (size_t i = 0; i < 512; i++)
			x[i] = (float)i / 100 - 2;
		vt_session_set_input(s, x);
		vt_session_forward(s, 0);
		vt_session_get_output(s, x);
		answer = x;
	}
	for (size_t i = 0; answer && i < 512; i++)
		if (!isfinite(answer[i]))
			abort();
	if (rc)
		fuzz_refused(&err);
	vt_session_free(s);
	vt_json_free(j);
}

static const char manifest[] =
	"{\"format\":1,\"name\":\"m\",\"channels\":[{\"role\":\"t1\",\"files\":[\"{subject}/"
	"t1.nii\"]}],"
	"\"label\":{\"files\":[\"{subject}/l.nii\"],\"values\":{\"0\":\"none\",\"1\":\"core\"}},"
	"\"regions\":[{\"name\":\"R\",\"values\":[1]}],\"split\":{\"seed\":1,\"test\":0.5,"
	"\"folds\":5}}";

/* Who is scored beside one subject that has a container: each name once, sorted, with a reason. */
static void refused(const uint8_t *bytes, size_t n)
{
	static struct vt_member m;
	static struct vt_segmenter all = { .member = &m, .n = 1, .first = &m.checkpoint };
	static struct vt_patch_file one = { .labeled = true, .test = true };
	char *path = fuzz_file("patches/quarantine/x.json", bytes, n),
	     *root = vt_path_join(fuzz_dir(), "patches"), *text;
	struct vt_evaluate_opts o = { .which = n % 2 ? VT_WHICH_ALL : VT_WHICH_TEST,
		.allow = "channels,regions,ignore,settings,crop,spacing_mm,axes" };
	struct vt_dataset d = { &one, 1 };
	struct vt_choice c = { .s = &all, .d = &d, .o = &o };
	struct vt_err err = VT_ERR_INIT;

	if (!one.header) {
		text = vt_asprintf("{\"manifest\":%s,\"channels\":[\"t1\"],\"regions\":[\"R\"]}",
			manifest);
		one.header = text_json(text);
		m.checkpoint.json = text_json(text);
		one.subject = vt_xstrdup("s");
		free(text);
	}
	if (vt_choice_make(&c, root, &err))
		fuzz_refused(&err);
	for (size_t i = 0; !err.code && i < c.n; i++)
		if ((i && strcmp(c.target[i - 1].subject, c.target[i].subject) >= 0) ||
			(!c.target[i].file && !c.target[i].why))
			abort();
	vt_choice_release(&c);
	free(root);
	free(path);
}

const struct fuzz_target fuzz_train_targets[] = {
	{ "train-state", train_state },
	{ "int8-scales", int8_scales },
	{ "refused", refused },
	{ NULL, NULL },
};
