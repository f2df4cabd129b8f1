/* The precision controller: its rules one by one, its log, replay of the log, and a state that
 * goes on where it stopped. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/nn/precision.h"
#include "tests/check.h"

static const struct vt_precision_sample quiet = { .loss = 0.5, .grad_norm = 1.0, .curvature = 0.1 };

static struct vt_precision started(enum vt_level top, uint64_t total)
{
	struct vt_precision p;

	vt_precision_init(&p, &(struct vt_precision_opts){ .top = top, .total_steps = total });
	return p;
}

/* A little noise, the same for the same step. */
static struct vt_precision_sample noisy(uint64_t step)
{
	struct vt_precision_sample s = quiet;
	double wave = (double)(step * 2654435761u % 1000) / 1000.0 - 0.5;

	s.loss += 0.02 * wave;
	s.grad_norm *= 1 + 0.1 * wave;
	return s;
}

static struct vt_precision_decision steps(struct vt_precision *p, uint64_t n)
{
	struct vt_precision_decision d = { .rule = NULL }, last = d;

	for (uint64_t i = 0; i < n; i++) {
		struct vt_precision_sample s = noisy(p->step);

		d = vt_precision_step(p, &s);
		last = d.rule ? d : last;
	}
	return last;
}

static void calm_training_descends(void)
{
	struct vt_precision p = started(VT_LEVEL_FP16, 0);
	struct vt_precision_decision d;

	/* 400 steps since the start are asked for */
	CHECK(!steps(&p, 399).rule);
	d = steps(&p, 1);
	CHECK_STR(d.rule, "calm");
	CHECK_EQ(d.step, 400);
	CHECK_EQ(d.to, VT_LEVEL_BF16);
	CHECK(!steps(&p, 399).rule);
	d = steps(&p, 1);
	CHECK_EQ(d.to, VT_LEVEL_FP16);
	CHECK(!steps(&p, 2000).rule);
}

static void the_top_is_the_top(void)
{
	struct vt_precision p = started(VT_LEVEL_BF16, 0), q = started(VT_LEVEL_F32, 0);

	steps(&p, 3000);
	CHECK_EQ(p.level, VT_LEVEL_BF16);
	CHECK(!steps(&q, 3000).rule);
}

static bool stays(double (*norm)(int step), double (*curvature)(int step))
{
	struct vt_precision p = started(VT_LEVEL_BF16, 0);

	for (int i = 0; i < 2000; i++) {
		struct vt_precision_sample s = quiet;

		s.grad_norm = norm ? norm(i) : s.grad_norm;
		s.curvature = curvature ? curvature(i) : s.curvature;
		if (vt_precision_step(&p, &s).rule)
			return false;
	}
	return true;
}

static double growing(int i)
{
	return exp(0.05 * i);
}

static double spiked(int i)
{
	return i % 10 ? 1 + 0.01 * (i % 7) : 50;
}

/* As patches with and without foreground make it. */
static double wide(int i)
{
	return i % 5 == 0 ? 0 : exp(2 * sin(i * 1.7));
}

static void unrest_keeps_f32(void)
{
	CHECK(stays(growing, NULL));
	CHECK(stays(spiked, NULL));
	CHECK(stays(NULL, growing));
	CHECK(!stays(wide, NULL));
}

/* z of a step is what numpy gives: x = numpy.log(1 + arange(200) % 37 * .5),
 * (log(60) - median(x)) / ((quantile(x, .75) - quantile(x, .25)) / 1.349). */
static void z_is_numpys(void)
{
	struct vt_precision p = started(VT_LEVEL_BF16, 0);
	struct vt_precision_sample s = quiet;

	for (int i = 0; i < 200; i++) {
		s.grad_norm = 1 + i % 37 * 0.5;
		vt_precision_step(&p, &s);
	}
	s.grad_norm = 60;
	CHECK_NEAR(vt_precision_step(&p, &s).z, 2.4294735691904314, 1e-9);
}

static void alarms_return_at_once(void)
{
	struct vt_precision p = started(VT_LEVEL_BF16, 0);
	struct vt_precision_sample s = quiet;
	struct vt_precision_decision d;

	steps(&p, 600);
	s.grad_norm = INFINITY;
	d = vt_precision_step(&p, &s);
	CHECK(d.skip);
	CHECK_STR(d.rule, "nonfinite");
	CHECK_EQ(p.level, VT_LEVEL_F32);
	CHECK(!steps(&p, 799).rule); /* the dwell */
	CHECK_STR(steps(&p, 60).rule, "calm");
	s = quiet;
	s.grad_norm = 100;
	d = vt_precision_step(&p, &s);
	CHECK_STR(d.rule, "gradient jump");
	CHECK(!d.skip);
	CHECK(!steps(&p, 1599).rule); /* doubled */
	CHECK_STR(steps(&p, 60).rule, "calm");
	s = quiet;
	s.loss = 50;
	CHECK(!vt_precision_step(&p, &s).rule);
	s.loss = 500;
	CHECK(!vt_precision_step(&p, &s).rule);
	s.loss = 5000;
	CHECK_STR(vt_precision_step(&p, &s).rule, "loss jump");
	CHECK(!steps(&p, 20000).rule); /* three returns: barred */
	CHECK_EQ(p.applied, p.step - 1);
}

static void loss_scale(void)
{
	struct vt_precision p = started(VT_LEVEL_FP16, 0);
	struct vt_precision_sample s = quiet;
	struct vt_precision_decision d = { .rule = NULL };
	int skipped = 0;

	steps(&p, 800);
	CHECK_EQ(p.level, VT_LEVEL_FP16);
	CHECK_NEAR(p.scale, 65536, 0);
	steps(&p, 2000);
	CHECK_NEAR(p.scale, 131072, 0);
	s.loss = NAN;
	for (; !d.rule; skipped++) {
		d = vt_precision_step(&p, &s);
		CHECK(d.skip);
	}
	CHECK_EQ(skipped, 17 + 3); /* to 1, and three more */
	CHECK_STR(d.rule, "skips at least scale");
	CHECK_EQ(p.level, VT_LEVEL_BF16);
	CHECK_EQ(p.applied, 2800);
}

static void underflow_returns(void)
{
	struct vt_precision p = started(VT_LEVEL_FP16, 0);
	struct vt_precision_decision d = { .rule = NULL };
	int n = 0;

	steps(&p, 800);
	p.scale = 16777216;
	for (; !d.rule && n < 100; n++) {
		struct vt_precision_sample s = noisy(p.step);

		s.underflow = 0.3;
		d = vt_precision_step(&p, &s);
	}
	CHECK_EQ(n, 50);
	CHECK_STR(d.rule, "underflow");
}

static void the_end_is_held(void)
{
	struct vt_precision p = started(VT_LEVEL_BF16, 1000);
	struct vt_precision_sample s = quiet;

	steps(&p, 960);
	CHECK_EQ(p.level, VT_LEVEL_BF16);
	s.grad_norm = 1e6;
	CHECK(!vt_precision_step(&p, &s).rule);
	p = started(VT_LEVEL_BF16, 410);
	CHECK(!steps(&p, 410).rule);
}

/* A run with alarms in it: every third thousand steps one non-finite gradient. */
static struct vt_precision_sample eventful(uint64_t step)
{
	struct vt_precision_sample s = noisy(step);

	if (step % 3000 == 2500)
		s.grad_norm = INFINITY;
	return s;
}

static void a_saved_state_goes_on(void)
{
	struct vt_precision whole = started(VT_LEVEL_FP16, 9000), part = whole;
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf a = VT_BUF_INIT, b = VT_BUF_INIT;

	for (uint64_t i = 0; i < 9000; i++) {
		struct vt_precision_sample s = eventful(i);
		struct vt_precision_decision d = vt_precision_step(&whole, &s),
					     e = vt_precision_step(&part, &s);

		CHECK_EQ(d.to, e.to);
		CHECK(!d.rule == !e.rule);
		if (i % 777)
			continue;
		vt_buf_clear(&a);
		vt_precision_save(&a, &part);
		memset(&part, 0xff, sizeof(part));
		vt_precision_init(&part,
			&(struct vt_precision_opts){ .top = VT_LEVEL_FP16, .total_steps = 9000 });
		CHECK_EQ(vt_precision_load(&part, a.data, &err), 0);
	}
	vt_buf_clear(&a);
	vt_precision_save(&a, &part);
	vt_precision_save(&b, &whole);
	CHECK_STR(a.data, b.data);
	CHECK_EQ(vt_precision_load(&part, "{\"level\": 0}", &err), VT_EDATA);
	CHECK_STR(err.text, "the saved precision controller has no valid \"scale\"");
	/* no scale that a training could have reached */
	for (int i = 0; i < 3; i++) {
		static const double scale[] = { 0.5, -65536, 0x1p25 };

		part.scale = scale[i];
		vt_buf_clear(&a);
		vt_precision_save(&a, &part);
		err = (struct vt_err)VT_ERR_INIT;
		CHECK_EQ(vt_precision_load(&part, a.data, &err), VT_EDATA);
		CHECK_STR(err.text, "the saved precision controller has no valid \"scale\"");
	}
	/* no count that could not be counted on */
	part.scale = 1;
	part.skips = INT32_MAX;
	vt_buf_clear(&a);
	vt_precision_save(&a, &part);
	err = (struct vt_err)VT_ERR_INIT;
	CHECK_EQ(vt_precision_load(&part, a.data, &err), VT_EDATA);
	CHECK_STR(err.text, "the saved precision controller has no valid \"skips\"");
	vt_buf_release(&a);
	vt_buf_release(&b);
}

static void a_log_replays(void)
{
	struct vt_precision p = started(VT_LEVEL_BF16, 9000), q;
	struct vt_precision_change *c = NULL;
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf log = VT_BUF_INIT;
	enum vt_level *level = malloc(9000 * sizeof(*level));
	size_t n = 0;

	for (uint64_t i = 0; i < 9000; i++) {
		struct vt_precision_sample s = eventful(i);
		struct vt_precision_decision d = vt_precision_step(&p, &s);

		level[i] = p.level;
		if (d.rule)
			vt_precision_line(&log, &d);
	}
	CHECK(strstr(log.data, "\"rule\":\"nonfinite\",\"step\":"));
	CHECK_EQ(vt_precision_read_lines(&c, &n, log.data, log.len, "precision.jsonl", &err), 0);
	CHECK(n >= 4);
	vt_precision_init(&q,
		&(struct vt_precision_opts){ .top = VT_LEVEL_BF16,
			.replay = c,
			.n_replay = n,
			.replaying = true });
	for (uint64_t i = 0; i < 9000; i++) {
		/* other samples, same schedule */
		vt_precision_step(&q, &quiet);
		CHECK_EQ(q.level, level[i]);
	}
	free(c);
	c = NULL;
	CHECK_EQ(vt_precision_read_lines(&c, &n, "{\"step\":1,\"to\":\"f8\"}\n", 22, "x.jsonl",
			 &err),
		VT_EDATA);
	CHECK_STR(err.text,
		"x.jsonl: line 1 has no step, or no level among f32, bf16, fp16 as \"to\"");
	vt_buf_release(&log);
	free(level);
}

int main(void)
{
	RUN(calm_training_descends);
	RUN(the_top_is_the_top);
	RUN(unrest_keeps_f32);
	RUN(z_is_numpys);
	RUN(alarms_return_at_once);
	RUN(loss_scale);
	RUN(underflow_returns);
	RUN(the_end_is_held);
	RUN(a_saved_state_goes_on);
	RUN(a_log_replays);
	return check_done();
}
