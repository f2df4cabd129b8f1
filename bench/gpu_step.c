/* gpu_step - milliseconds of one training step as the trainer makes it (input, forward, Dice,
 * backward, Adam) or of one inference, on a device; median and least of REPEATS after WARM, one
 * JSON line.
 *
 * With `tune` instead, times the engines of that training step's convolutions REPEATS times each
 * and prints an engine plan of the fastest, which `train --engines` repeats.
 *
 *      gpu_step NAME PARAMS-JSON IN-CHANNELS OUT-CHANNELS EDGE PRECISION REPEATS train|infer|tune
 *      [CARDS]
 *
 * CARDS GPUs share a batch of as many patches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/nn/loss.h"
#include "common/nn/model.h"
#include "common/nn/optim.h"

enum { WARM = 5, MOST = 1000 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static size_t values(struct vt_shape shape)
{
	return (size_t)shape.n * (size_t)shape.c * (size_t)shape.d * (size_t)shape.h *
		(size_t)shape.w;
}

struct work {
	struct vt_session *s;
	struct vt_optim *o;
	float *x, *y, *dy;
	uint8_t *target;
};

static double step(struct work *work, int i, bool train)
{
	const struct vt_loss dice = VT_LOSS_DICE;
	struct vt_shape out = vt_session_output_shape(work->s);
	const float *dy[33] = { VT_KEPT_GRADIENT };
	double t = now();

	vt_session_set_input(work->s, work->x);
	vt_session_forward(work->s, (uint64_t)i);
	if (!train) {
		vt_session_get_output(work->s, work->y);
		return now() - t;
	}
	if (vt_session_remote(work->s)) {
		vt_remote_set_target(vt_session_remote(work->s), work->target);
		vt_remote_loss(vt_session_remote(work->s), 0, &dice, 1);
	} else {
		vt_session_get_output(work->s, work->y);
		vt_loss(work->dy, work->y, work->target, out.n, out.c,
			values(out) / (size_t)out.n / (size_t)out.c, &dice, 1);
		dy[0] = work->dy;
	}
	vt_session_backward_all(work->s, dy);
	vt_optim_norm(work->o);
	vt_optim_step(work->o, 1e-4, -1, (uint64_t)i + 1);
	return now() - t;
}

static void measure(struct work *work, const char *name, int edge, const char *precision,
	int repeats, bool train)
{
	struct vt_shape in = vt_session_input_shape(work->s),
			out = vt_session_output_shape(work->s);
	double t[MOST];

	work->x = vt_xmalloc(values(in) * sizeof(float));
	work->y = vt_xmalloc(values(out) * sizeof(float));
	work->dy = vt_xmalloc(values(out) * sizeof(float));
	work->target = vt_xmalloc(values(out));
	for (size_t i = 0; i < values(in); i++)
		work->x[i] = (float)(i * 2654435761u % 1000) / 1000.0f - 0.5f;
	for (size_t i = 0; i < values(out); i++)
		work->target[i] = (uint8_t)(i / 64 % 8);
	for (int i = -WARM; i < repeats; i++) {
		double seconds = step(work, i + WARM, train);

		if (i >= 0)
			t[i] = seconds;
	}
	qsort(t, (size_t)repeats, sizeof(*t), ascending);
	if (vt_session_error(work->s))
		fprintf(stderr, "%s\n", vt_session_error(work->s)->text);
	else
		printf("{\"who\":\"voxtrail\",\"net\":\"%s\",\"edge\":%d,\"precision\":\"%s\","
		       "\"work\":\"%s\",\"median_ms\":%.3f,\"least_ms\":%.3f}\n",
			name, edge, precision, train ? "train" : "infer", 1e3 * t[repeats / 2],
			1e3 * t[0]);
	free(work->x);
	free(work->y);
	free(work->dy);
	free(work->target);
}

static void print_engines(const struct vt_device *device)
{
	struct vt_json *j = vt_device_engines(device);
	struct vt_buf text = VT_BUF_INIT;

	vt_json_compact(&text, j);
	printf("%s\n", text.data);
	vt_buf_release(&text);
	vt_json_free(j);
}

int main(int argc, char **argv)
{
	const struct vt_optim_opts adam = { .kind = VT_OPTIM_ADAM,
		.momentum = 0.9,
		.beta2 = 0.999,
		.eps = 1e-8 };
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *params = NULL;
	struct vt_graph *g = NULL;
	struct vt_device *d = NULL;
	struct work w = { .s = NULL };
	bool tune = argc > 8 && !strcmp(argv[8], "tune"),
	     train = tune || (argc > 8 && !strcmp(argv[8], "train"));
	char wish[32] = "";
	int edge, repeats, cards = argc > 9 ? atoi(argv[9]) : 1;

	if (argc < 9 || vt_json_parse(&params, argv[2], strlen(argv[2]), "params", &err)) {
		fprintf(stderr,
			"usage: gpu_step NAME PARAMS IN OUT EDGE PRECISION REPEATS "
			"train|infer|tune %s\n",
			err.text);
		return 64;
	}
	edge = atoi(argv[5]);
	repeats = atoi(argv[7]) < 1 ? 1 : atoi(argv[7]) > MOST ? MOST : atoi(argv[7]);
	if (tune)
		snprintf(wish, sizeof(wish), "%s%d", VT_ENGINES_TUNE, repeats);
	vt_log_open("gpu_step", VT_LOG_TEXT, VT_LOG_ERROR);
	if (vt_model_build(&g,
		    &(struct vt_model_request){ argv[1], params, cards, atoi(argv[3]),
			    atoi(argv[4]), { edge, edge, edge } },
		    &err) ||
		vt_device_open(&d,
			&(struct vt_device_opts){ .wish = VT_DEVICE_CUDA,
				.precision = argv[6],
				.engines = tune ? wish : NULL,
				.cards = cards },
			&err) ||
		vt_session_new(&w.s, g,
			&(struct vt_session_opts){ .training = train, .seed = 1, .device = d },
			&err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code;
	}
	w.o = train ? vt_optim_new(w.s, &adam) : NULL;
	if (tune)
		print_engines(d);
	else
		measure(&w, argv[1], edge, argv[6], repeats, train);
	if (vt_session_error(w.s))
		err = *vt_session_error(w.s);
	vt_optim_free(w.o);
	vt_session_free(w.s);
	vt_device_close(d);
	vt_graph_free(g);
	vt_json_free(params);
	return err.code;
}
