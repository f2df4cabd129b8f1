/* gpu_plans CARD.json EDGE PRECISION [NETWORK]: plans a training step of every network (4 channels
 * in, 3 regions, batch 1, patches of EDGE^3) for a GPU that is described by its property file,
 * without a driver.  A line a network: convolutions planned, memory, largest workspace; exit
 * status 75 and the layer's name where cuDNN has no deterministic engine.  The engine plan of
 * the first network is replayed and must give itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/model.h"
#include "gpu/engine/engine.h"
#include "tests/gpu/plan_device.h"

static int plan(const char *name, int edge, struct vg_plan_device *d, const struct vg_precision *p,
	struct vt_err *err)
{
	struct vt_model_request r = { .name = name, .n = 1, .in_c = 4, .out_c = 3 };
	int stride = vt_model_stride(&r), e = stride > edge ? stride : edge / stride * stride;
	struct vg_engine engine = { .device = &d->base, .precision = *p };
	struct vt_graph *g = NULL;
	void *s = NULL;
	int rc;

	for (int a = 0; a < 3; a++)
		r.patch[a] = e;
	rc = vt_model_build(&g, &r, err);
	d->nbytes = d->workspace = 0;
	d->convolutions = 0;
	if (!rc)
		rc = vg_session_new(&s, &engine, g, &(struct vt_session_opts){ .training = true },
			err);
	if (!rc)
		printf("%-20s %4d^3 %-5s %4d convolutions, %8.1f MiB, workspace %7.1f MiB\n", name,
			e, p->name, d->convolutions, (double)d->nbytes / 1048576,
			(double)d->workspace / 1048576);
	if (s)
		vg_session_free(s);
	vt_graph_free(g);
	return rc ? vt_err_prefix(err, "%s, %d^3, %s", name, e, p->name) : 0;
}

static void text_of_engines(struct vt_buf *out, const struct vg_plan_device *d)
{
	struct vt_json *j = vg_cudnn_engines(d->cudnn);

	vt_json_compact(out, j);
	vt_json_free(j);
}

static int replay(const char *name, int edge, const char *properties,
	const struct vg_plan_device *d, const struct vg_precision *p, struct vt_err *err)
{
	struct vt_buf said = VT_BUF_INIT, again = VT_BUF_INIT;
	struct vg_plan_device second;
	int rc;

	text_of_engines(&said, d);
	rc = vg_plan_device_open(&second, properties, said.data, err);
	if (!rc) {
		rc = plan(name, edge, &second, p, err);
		text_of_engines(&again, &second);
		if (!rc && strcmp(said.data, again.data))
			rc = vt_err_set(err, VT_EFAIL, "the replayed engine plan differs");
		vg_plan_device_close(&second);
	}
	vt_buf_release(&said);
	vt_buf_release(&again);
	return rc;
}

/* A clock that gives every candidate a time by its turn: the same ones each run, the last of a
 * few the least. */
static int turn(void *context, struct vg_conv *p, const struct vg_conv_spec *spec, double *ms,
	struct vt_err *err)
{
	int *n = context;

	(void)p;
	(void)spec;
	(void)err;
	*ms = 100 - (*n)++ % 7;
	return 0;
}

static int level(void *context, struct vg_conv *p, const struct vg_conv_spec *spec, double *ms,
	struct vt_err *err)
{
	(void)p;
	(void)spec;
	(void)err;
	++*(int *)context;
	*ms = 1;
	return 0;
}

/* The engines that are chosen by a timer; *timed: how many candidates it saw. */
static int tuned(struct vt_buf *out, const char *name, int edge, const char *properties,
	vg_cudnn_timer timer, int *timed, const struct vg_precision *p, struct vt_err *err)
{
	struct vg_plan_device d;
	int rc = vg_plan_device_open(&d, properties, "{\"tune\":3}", err);

	*timed = 0;
	if (rc)
		return rc;
	if (vg_cudnn_tune(d.cudnn, timer, timed) != 3)
		rc = vt_err_set(err, VT_EFAIL, "the wish to tune was not read");
	if (!rc)
		rc = plan(name, edge, &d, p, err);
	text_of_engines(out, &d);
	vg_plan_device_close(&d);
	return rc;
}

static int choices(const char *engines)
{
	int n = 0;

	for (const char *at = engines; (at = strstr(at, "\"engine\"")); at++)
		n++;
	return n;
}

/* Equal times choose as the heuristics do; other times choose others where there are any, the
 * same twice; what was chosen is repeated. */
static int check_tuning(const char *name, int edge, const char *properties,
	const struct vg_plan_device *d, const struct vg_precision *p, struct vt_err *err)
{
	struct vt_buf first = VT_BUF_INIT, same = VT_BUF_INIT, one = VT_BUF_INIT, two = VT_BUF_INIT;
	struct vg_plan_device again;
	int seen = 0, timed = 0, rc;
	bool others;

	text_of_engines(&first, d);
	rc = tuned(&same, name, edge, properties, level, &seen, p, err);
	if (!rc && strcmp(first.data, same.data))
		rc = vt_err_set(err, VT_EFAIL,
			"equal times chose other engines than the heuristics");
	if (!rc)
		rc = tuned(&one, name, edge, properties, turn, &timed, p, err);
	if (!rc)
		rc = tuned(&two, name, edge, properties, turn, &timed, p, err);
	others = seen > choices(first.data);
	if (!rc &&
		(strcmp(one.data, two.data) || (others && !strcmp(one.data, first.data)) ||
			timed != seen))
		rc = vt_err_set(err, VT_EFAIL, "times of %d candidates, then %d, did not choose",
			seen, timed);
	if (!rc) {
		rc = vg_plan_device_open(&again, properties, one.data, err);
		if (!rc) {
			rc = plan(name, edge, &again, p, err);
			two.len = 0;
			text_of_engines(&two, &again);
			if (!rc && strcmp(one.data, two.data))
				rc = vt_err_set(err, VT_EFAIL,
					"the tuned engine plan is not repeated");
			vg_plan_device_close(&again);
		}
	}
	if (!rc)
		printf("%d candidates of %d convolutions timed\n", timed, d->convolutions);
	vt_buf_release(&first);
	vt_buf_release(&same);
	vt_buf_release(&one);
	vt_buf_release(&two);
	return rc;
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf properties = VT_BUF_INIT;
	struct vg_plan_device d;
	struct vg_precision p;
	int rc, edge;

	if (argc < 4)
		return 64;
	edge = (int)strtol(argv[2], NULL, 10);
	rc = vt_fs_read(&properties, argv[1], 1 << 20, &err);
	if (!rc)
		rc = vg_precision_find(&p, argv[3], &err);
	if (!rc)
		rc = vg_plan_device_open(&d, properties.data, NULL, &err);
	if (!rc) {
		for (int i = 0, first = 1; !rc && vt_model_name(i); i++) {
			if (argc > 4 && strcmp(argv[4], vt_model_name(i)))
				continue;
			rc = plan(vt_model_name(i), edge, &d, &p, &err);
			if (!rc && first)
				rc = replay(vt_model_name(i), edge, properties.data, &d, &p, &err);
			if (!rc && first && argc > 4)
				rc = check_tuning(vt_model_name(i), edge, properties.data, &d, &p,
					&err);
			first = 0;
		}
		vg_plan_device_close(&d);
	}
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	vt_buf_release(&properties);
	return rc;
}
