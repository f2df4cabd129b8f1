/* nn_step.c - seconds of one training step (forward and backward) of a network, median of
 * REPEATS, the arena it needs and the process's peak resident memory.
 *
 *      nn_step NAME PARAMS-JSON IN-CHANNELS OUT-CHANNELS EDGE THREADS REPEATS|serve|onnx:PATH
 *      [train|infer|recompute] [f32|bf16|int8]
 * int8: infer; scales are found on the input that is measured.
 * serve: prints the work of a forward pass in GMAC and the parameters, then makes one step for
 * each line it reads and answers with its seconds and the peak resident MiB.
 * onnx: writes the network with its fresh weights, for other programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/base/parallel.h"
#include "common/nn/int8.h"
#include "common/nn/model.h"
#include "common/nn/onnx.h"
#include "common/nn/session.h"

/* With one thread its processor time, which other programs disturb less than the wall clock. */
static clockid_t clock_used = CLOCK_MONOTONIC;

static double now(void)
{
	struct timespec t;

	clock_gettime(clock_used, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static float *ramp(struct vt_shape shape)
{
	size_t n = (size_t)shape.n * (size_t)shape.c * (size_t)shape.d * (size_t)shape.h *
		(size_t)shape.w;
	float *p = vt_xmalloc(n * sizeof(float));

	for (size_t i = 0; i < n; i++)
		p[i] = (float)(i * 2654435761u % 1000) / 1000.0f - 0.5f;
	return p;
}

static double peak_mib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024;
}

/* The peak without what the process and the arrays of this program take, beside the plan. */
static void print_beside_plan(double before, struct vt_session *session, const char *plan)
{
	struct vt_shape x = vt_session_input_shape(session), y = vt_session_output_shape(session);
	double own = (double)((size_t)x.n * (size_t)x.d * (size_t)x.h * (size_t)x.w) * (x.c + y.c) *
		sizeof(float) / 1048576;
	double planned = 0;

	sscanf(strstr(plan, "total "), "total %lf", &planned);
	printf("planned %.1f MiB, taken %.1f MiB\n", planned, peak_mib() - before - own);
}

static void serve(struct vt_session *session, const char *plan, size_t parameters, bool train)
{
	float *x = ramp(vt_session_input_shape(session)),
	      *y = ramp(vt_session_output_shape(session));
	double gmac = 0;
	char line[16];

	sscanf(strstr(plan, "forward "), "forward %lf", &gmac);
	printf("%f %zu %s\n", gmac, parameters, vt_session_isa(session));
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		double t = now();

		vt_session_set_input(session, x);
		vt_session_forward(session, 0);
		vt_session_get_output(session, y);
		if (train)
			vt_session_backward(session, y);
		printf("%f %.0f\n", now() - t, peak_mib());
		fflush(stdout);
	}
	free(x);
	free(y);
}

static void measure(struct vt_session *session, int repeats, bool train)
{
	float *x = ramp(vt_session_input_shape(session)),
	      *y = ramp(vt_session_output_shape(session));
	double f[64], b[64];

	repeats = repeats < 1 ? 1 : repeats > 64 ? 64 : repeats;
	for (int i = -1; i < repeats; i++) {
		double t0 = now(), t1;

		vt_session_set_input(session, x);
		vt_session_forward(session, 0);
		vt_session_get_output(session, y);
		t1 = now();
		if (train)
			vt_session_backward(session, y);
		if (i >= 0) {
			f[i] = t1 - t0;
			b[i] = now() - t1;
		}
	}
	qsort(f, (size_t)repeats, sizeof(*f), ascending);
	qsort(b, (size_t)repeats, sizeof(*b), ascending);
	printf("kernels %s, %u threads: forward %.4f s, backward %.4f s, step %.4f s, peak %.0f "
	       "MiB\n",
		vt_session_isa(session), vt_parallel_threads(), f[repeats / 2], b[repeats / 2],
		f[repeats / 2] + b[repeats / 2], peak_mib());
	free(x);
	free(y);
}

/* A session in int8, scales from a pass over the input that is measured. */
static int new_int8(struct vt_session **session, const struct vt_graph *graph,
	struct vt_session_opts opts, struct vt_err *err)
{
	struct vt_int8_finder *f = vt_int8_finder_new(graph);
	struct vt_session_opts looking = opts;
	struct vt_json *scales = NULL;
	float *x;
	int rc;

	looking.observed = true;
	rc = vt_session_new(session, graph, &looking, err);
	if (!rc) {
		vt_session_observe(*session, vt_int8_look, f);
		x = ramp(vt_session_input_shape(*session));
		vt_session_set_input(*session, x);
		vt_session_forward(*session, 0);
		free(x);
		scales = vt_int8_finder_scales(f, *session, VT_INT8_LEAST_ERROR, err);
		rc = err->code;
	}
	vt_session_free(*session);
	*session = NULL;
	opts.int8 = scales;
	if (!rc)
		rc = vt_session_new(session, graph, &opts, err);
	if (!rc)
		rc = vt_session_take_int8(*session, err);
	vt_int8_finder_free(f);
	vt_json_free(scales);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *params = NULL;
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	struct vt_buf plan = VT_BUF_INIT;
	struct vt_session_opts opts = { .training = argc < 9 || strcmp(argv[8], "infer"),
		.seed = 1,
		.recompute = argc > 8 && !strcmp(argv[8], "recompute"),
		.level = argc > 9 && !strcmp(argv[9], "bf16") ? VT_LEVEL_BF16 : VT_LEVEL_F32 };
	struct vt_model_request r;
	bool int8 = argc > 9 && !strcmp(argv[9], "int8");
	double before;

	if (argc < 8 || vt_json_parse(&params, argv[2], strlen(argv[2]), "params", &err)) {
		fprintf(stderr,
			"usage: nn_step NAME PARAMS IN OUT EDGE THREADS REPEATS|serve|onnx:PATH "
			"[train|infer|recompute] [f32|bf16|int8] %s\n",
			err.text);
		return 64;
	}
	vt_parallel_set_threads((unsigned)atoi(argv[6]));
	clock_used = atoi(argv[6]) == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	r = (struct vt_model_request){ argv[1], params, 1, atoi(argv[3]), atoi(argv[4]),
		{ atoi(argv[5]), atoi(argv[5]), atoi(argv[5]) } };
	before = peak_mib();
	if (vt_model_build(&g, &r, &err) || vt_plan_text(&plan, g, &opts, &err) ||
		(int8 ? new_int8(&s, g, opts, &err) : vt_session_new(&s, g, &opts, &err))) {
		fprintf(stderr, "%s\n", err.text);
		return err.code;
	}
	if (!strncmp(argv[7], "onnx:", 5)) {
		if (vt_onnx_write(argv[7] + 5, g, s, NULL, &err))
			fprintf(stderr, "%s\n", err.text);
	} else if (!strcmp(argv[7], "serve")) {
		serve(s, strstr(plan.data, "\nparameters "), vt_graph_parameters(g), opts.training);
	} else {
		fputs(strstr(plan.data, "\nparameters ") + 1, stdout);
		measure(s, atoi(argv[7]), opts.training);
		print_beside_plan(before, s, strstr(plan.data, "\nparameters "));
	}
	vt_session_free(s);
	vt_graph_free(g);
	vt_json_free(params);
	vt_buf_release(&plan);
	return err.code;
}
