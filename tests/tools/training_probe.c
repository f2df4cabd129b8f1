/* training_probe loss|optimizer|schedule REQUEST.json IN OUT: the arithmetic of a training step
 * on given numbers, for tests/oracle/nn/training.py.
 *
 * loss       REQUEST: vt_loss's fields, n, c, voxels.  IN: f32 logits, u8 target.  OUT: f64
 *            loss, f32 gradient.
 * optimizer  REQUEST: vt_optim_opts' fields, steps, lr, average.  IN: f32 weights, then a
 *            gradient of the same sizes a
 * step.
 *            OUT: f32 weights after the last step, then the averaged ones.  Weights: [3,2,3,3,3],
 *            [3], frozen [2,3,1,1,1].
 * schedule   REQUEST: vt_schedule's fields.  OUT: f64 rate and momentum of each step; IN is not
 *            read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/nn/average.h"
#include "common/nn/loss.h"
#include "common/nn/optim.h"
#include "common/nn/schedule.h"

static double real(const struct vt_json *j, const char *key, double otherwise)
{
	return vt_json_number(vt_json_get(j, key), otherwise);
}

static int whole(const struct vt_json *j, const char *key, int otherwise)
{
	return (int)vt_json_integer(vt_json_get(j, key), otherwise);
}

static void take(FILE *f, void *to, size_t n)
{
	if (fread(to, 1, n, f) != n)
		exit(3);
}

static int loss(const struct vt_json *j, FILE *in, FILE *out)
{
	int n = whole(j, "n", 1), c = whole(j, "c", 1);
	size_t voxels = (size_t)whole(j, "voxels", 1), values = (size_t)n * (size_t)c * voxels;
	struct vt_loss o = { .softmax = whole(j, "softmax", 0),
		.dice = real(j, "dice", 0),
		.generalized = real(j, "generalized", 0),
		.tversky = real(j, "tversky", 0),
		.cross_entropy = real(j, "cross_entropy", 0),
		.focal = real(j, "focal", 0),
		.squared = whole(j, "squared", 0),
		.batch = whole(j, "batch", 0),
		.no_background = whole(j, "no_background", 0),
		.smooth = real(j, "smooth", 1e-5),
		.smooth_below = real(j, "smooth_below", 1e-5),
		.false_positive = real(j, "false_positive", 0.5),
		.false_negative = real(j, "false_negative", 0.5),
		.gamma = real(j, "gamma", 2),
		.balance = real(j, "balance", -1) };
	float *z = malloc(values * sizeof(float)), *d = malloc(values * sizeof(float));
	uint8_t *t = malloc((size_t)n * voxels), *ignored = NULL;
	double value;

	if (!z || !d || !t)
		return 2;
	take(in, z, values * sizeof(float));
	take(in, t, (size_t)n * voxels);
	if (whole(j, "ignored", 0)) {
		ignored = malloc((size_t)n * voxels);
		if (!ignored)
			return 2;
		take(in, ignored, (size_t)n * voxels);
		o.ignored = ignored;
	}
	value = vt_loss(d, z, t, n, c, voxels, &o, real(j, "weight", 1));
	if (value != vt_loss(NULL, z, t, n, c, voxels, &o, real(j, "weight", 1)))
		return 4;
	fwrite(&value, sizeof(value), 1, out);
	fwrite(d, sizeof(float), values, out);
	free(z);
	free(d);
	free(t);
	free(ignored);
	return 0;
}

static struct vt_graph *small_graph(void)
{
	struct vt_graph *g = vt_graph_new();
	int x = vt_graph_input(g, (struct vt_shape){ 1, 2, 4, 4, 4 });

	x = vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = 3, .k = 3, .bias = true });
	x = vt_graph_conv(g, x, "frozen", (struct vt_conv){ .out_c = 2, .k = 1 });
	vt_graph_output(g, x);
	return g;
}

static void take_weights(struct vt_session *s, FILE *in, bool gradients)
{
	for (int i = 0; i < vt_session_n_weights(s); i++) {
		struct vt_weight *w = vt_session_weight(s, i);

		take(in, gradients ? w->grad : w->value, w->n * sizeof(float));
	}
}

static int optimizer(const struct vt_json *j, FILE *in, FILE *out)
{
	struct vt_optim_opts o = { (enum vt_optim_kind)whole(j, "kind", 0),
		real(j, "momentum", 0.9), real(j, "beta2", 0.999), real(j, "eps", 1e-8),
		real(j, "weight_decay", 0), whole(j, "nesterov", 0), whole(j, "centralize", 0),
		whole(j, "lookahead", 0), real(j, "slow_share", 0.5), real(j, "clip_norm", 0) };
	struct vt_graph *g = small_graph();
	struct vt_session *s = NULL;
	struct vt_average mean;
	struct vt_err err = VT_ERR_INIT;
	struct vt_optim *optim;

	if (vt_session_new(&s, g, &(struct vt_session_opts){ .training = true }, &err))
		return 2;
	optim = vt_optim_new(s, &o);
	vt_average_init(&mean, s, real(j, "average", 0));
	take_weights(s, in, false);
	for (int i = 0; i < vt_session_n_weights(s); i++)
		if (!strcmp(vt_session_weight(s, i)->name, "frozen.weight"))
			vt_optim_scale(optim, i, real(j, "factor", 1));
	for (int t = 1; t <= whole(j, "steps", 1); t++) {
		take_weights(s, in, true);
		vt_optim_norm(optim);
		vt_optim_step(optim, real(j, "lr", 0.1), -1, (uint64_t)t);
		vt_average_add(&mean);
	}
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < vt_session_n_weights(s); i++)
			fwrite(vt_session_weight(s, i)->value, sizeof(float),
				vt_session_weight(s, i)->n, out);
		vt_average_copy(s, &mean);
	}
	vt_average_release(&mean);
	vt_optim_free(optim);
	vt_session_free(s);
	vt_graph_free(g);
	return 0;
}

static int schedule(const struct vt_json *j, FILE *out)
{
	struct vt_schedule s = { (enum vt_schedule_kind)whole(j, "kind", 0), real(j, "rate", 1),
		real(j, "least", 0), real(j, "power", 0.9), real(j, "gamma", 0.99),
		real(j, "growth", 1), (uint64_t)whole(j, "total", 10),
		(uint64_t)whole(j, "warmup", 0), (uint64_t)whole(j, "period", 1),
		(uint64_t)whole(j, "hold", 0) };

	for (uint64_t t = 0; t < s.total; t++) {
		double v[2] = { vt_schedule_rate(&s, t), vt_schedule_momentum(&s, t) };

		fwrite(v, sizeof(v), 1, out);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	FILE *in, *out;
	int rc = 64;

	if (argc != 5 || vt_json_read(&j, argv[2], &err))
		return rc;
	in = fopen(argv[3], "rb");
	out = fopen(argv[4], "wb");
	if (in && out)
		rc = !strcmp(argv[1], "loss")           ? loss(j, in, out)
			: !strcmp(argv[1], "optimizer") ? optimizer(j, in, out)
							: schedule(j, out);
	if (in)
		fclose(in);
	if (out && fclose(out))
		rc = 74;
	vt_json_free(j);
	return rc;
}
