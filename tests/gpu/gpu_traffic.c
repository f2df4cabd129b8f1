/* gpu_traffic - the bytes, floating-point operations and launches of one training step, from the
 * arguments of all that it queues on a device that only notes them; no GPU.  Times are lower
 * bounds at a given bandwidth and speed.
 *
 *      gpu_traffic [--list] [--gbs 4800] [--tflops 790] NAME PARAMS-JSON IN OUT EDGE PRECISION */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/nn/loss_internal.h"
#include "common/nn/model.h"
#include "gpu/engine/engine.h"
#include "tests/gpu/traffic.h"

static double gbs = 4800, tflops = 790;

static double bound_us(const struct vg_traffic *t)
{
	double memory = (t->read + t->written) / gbs * 1e-3, math = t->flop / tflops * 1e-6;

	return memory > math ? memory : math;
}

/* One step as the trainer makes it with kept volumes: forward, Dice, backward, gradient norm,
 * Adam. */
static int step(void *session, struct vt_err *err)
{
	const struct vt_loss dice = VT_LOSS_DICE;
	const struct vt_update adam = { .b1 = 0.9f,
		.a1 = 0.1f,
		.b2 = 0.999f,
		.a2 = 0.001f,
		.eps = 1e-8f,
		.root = 1,
		.clip = 1,
		.rate = 1e-4f,
		.adaptive = true };
	const struct vg_loss_call loss = { .o = &dice, .weight = 1 };
	const float *dy[33] = { VT_KEPT_GRADIENT };
	struct vt_loss_slope slope[VG_LANES] = { { 0, 0, 0 } };
	struct vt_loss_sums sums[VG_LANES];
	double value;
	int rc = vg_session_forward(session, 1, err);

	if (!rc)
		rc = vg_loss_sums(session, &loss, sums, err);
	if (!rc)
		rc = vg_loss_slopes(session, &loss, slope, err);
	if (!rc)
		rc = vg_session_backward(session, dy, err);
	if (!rc)
		rc = vg_session_norm(session, &value, err);
	return rc ? rc : vg_session_update(session, &adam, err);
}

struct sum {
	const char *name;
	int n;
	struct vg_traffic t;
	double us;
};

static int slower(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;

	return x->us < y->us ? 1 : x->us > y->us ? -1 : strcmp(x->name, y->name);
}

static void line(const char *name, const char *n, const struct vg_traffic *t, double us)
{
	printf("| %-34s | %5s | %9.1f | %9.1f | %8.1f | %8.1f |\n", name, n, 1e-6 * t->read,
		1e-6 * t->written, 1e-9 * t->flop, us);
}

static void list(const struct vg_count_device *d)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct vg_counted *r = &d->row[i];
		char name[96];

		snprintf(name, sizeof(name), "%s %dx%dx%dx%dx%d",
			vg_counted_name(r->kind, &r->conv), r->s.n, r->s.chunks * VG_LANES, r->s.d,
			r->s.h, r->s.w);
		line(name, "1", &r->t, bound_us(&r->t));
	}
}

static int summary(const struct vg_count_device *d, const char *net, int edge,
	const char *precision, struct vt_err *err)
{
	struct sum kinds[VG_COUNT_KINDS + 4] = { { 0 } }, all = { "all", 0, { 0, 0, 0 }, 0 };
	int n = 0;
	char count[16];

	for (size_t i = 0; i < d->n; i++) {
		const struct vg_counted *r = &d->row[i];
		const char *name = vg_counted_name(r->kind, &r->conv);
		struct sum *to[2] = { &all, kinds };

		while (to[1]->name && strcmp(to[1]->name, name))
			to[1]++;
		if (!(r->t.read + r->t.written > 0))
			return vt_err_set(err, VT_EBUG,
				"%s: what it moves is not known (tests/gpu/traffic.c)", name);
		n += !to[1]->name;
		to[1]->name = name;
		for (int k = 0; k < 2; k++) {
			to[k]->n++;
			to[k]->t.read += r->t.read;
			to[k]->t.written += r->t.written;
			to[k]->t.flop += r->t.flop;
			to[k]->us += bound_us(&r->t);
		}
	}
	qsort(kinds, (size_t)n, sizeof(*kinds), slower);
	printf("%s, %d^3, %s: computed bounds at %.0f GB/s and %.0f TFLOP/s, nothing measured\n\n",
		net, edge, precision, gbs, tflops);
	printf("| operation | calls | MB read | MB written | GFLOP | least us "
	       "|\n|---|---|---|---|---|---|\n");
	for (int k = 0; k <= n; k++) {
		const struct sum *s = k < n ? &kinds[k] : &all;

		snprintf(count, sizeof(count), "%d", s->n);
		line(s->name, count, &s->t, s->us);
	}
	printf("\nmemory %.0f MiB\n", d->nbytes / 1048576);
	return 0;
}

static int account(char **argv, bool every, struct vt_err *err)
{
	int edge = (int)strtol(argv[4], NULL, 10), rc;
	struct vg_count_device d;
	struct vg_engine engine = { .device = &d.base };
	struct vt_model_request r = { argv[0], NULL, 1, (int)strtol(argv[2], NULL, 10),
		(int)strtol(argv[3], NULL, 10), { edge, edge, edge } };
	struct vt_json *params = NULL;
	struct vt_graph *g = NULL;
	void *s = NULL;

	vg_count_device_open(&d);
	rc = vt_json_parse(&params, argv[1], strlen(argv[1]), "params", err);
	if (!rc)
		rc = vg_precision_find(&engine.precision, argv[5], err);
	r.params = params;
	if (!rc)
		rc = vt_model_build(&g, &r, err);
	if (!rc)
		rc = vg_session_new(&s, &engine, g, &(struct vt_session_opts){ .training = true },
			err);
	if (!rc)
		rc = step(s, err);
	/* making it and what a first step brings do not count */
	d.n = 0;
	if (!rc)
		rc = step(s, err);
	if (!rc && every)
		list(&d);
	else if (!rc)
		rc = summary(&d, argv[0], edge, argv[5], err);
	if (s)
		vg_session_free(s);
	vt_graph_free(g);
	vt_json_free(params);
	vg_count_device_close(&d);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	bool every = false;

	vt_log_open("gpu_traffic", VT_LOG_TEXT, VT_LOG_ERROR);
	while (argc > 1 && argv[1][0] == '-') {
		int used = 1;

		if (!strcmp(argv[1], "--list"))
			every = true;
		else if (argc > 2 && (!strcmp(argv[1], "--gbs") || !strcmp(argv[1], "--tflops"))) {
			*(argv[1][2] == 'g' ? &gbs : &tflops) = strtod(argv[2], NULL);
			used = 2;
		}
		argc -= used;
		argv += used;
	}
	if (argc != 7 || !(gbs > 0) || !(tflops > 0)) {
		fputs("usage: gpu_traffic [--list] [--gbs N] [--tflops N] NAME PARAMS IN OUT EDGE "
		      "PRECISION\n",
			stderr);
		return 64;
	}
	if (account(argv + 1, every, &err))
		fprintf(stderr, "%s\n", err.text);
	return err.code;
}
