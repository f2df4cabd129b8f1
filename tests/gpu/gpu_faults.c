/* gpu_faults [STRIDE [PARTS]]: training steps and a prediction on the plugin over the stand-in
 * (tests/gpu/mock), again and again, with every STRIDE-th call of the CUDA runtime or cuDNN made
 * to fail, in each of its plausible ways; of the calls that make, set and destroy cuDNN's
 * descriptors every STRIDE * PARTS-th.  Every time the work must end with VT_ENOMEM or
 * VT_EDEVICE and a message, or go on and give the same bits, and nothing that was made may be
 * left.  A line a function that was made to fail: how often, and how it ended. */
#include <dlfcn.h>

#include "common/nn/optim.h"
#include "common/seg/predictor.h"
#include "tests/gpu.h"
#include "tests/gpu/mock/control.h"

enum {
	EDGE = 8,
	VOXELS = EDGE * EDGE * EDGE,
	IN = 2,
	OUT = 3,
	STEPS = 3,
	VARIANTS = 3,
	MOST_FUNCTIONS = 64
};

static struct {
	__typeof__(&mock_fail) fail;
	__typeof__(&mock_calls) calls;
	__typeof__(&mock_failed) failed;
	__typeof__(&mock_call) call;
	__typeof__(&mock_leaks) leaks;
} standin;

static struct {
	char name[64];
	int times, memory, device, same;
} table[MOST_FUNCTIONS];

static float image[IN * VOXELS];
static uint8_t regions[VOXELS];

/* Everything that came back to the host. */
struct outcome {
	float weights[4096], state[4096], values[OUT * VOXELS];
	double loss[STEPS], norm[STEPS];
	uint8_t bits[VOXELS];
};

static struct vt_graph *network(void)
{
	struct vt_graph *g = vt_graph_new();
	int x = vt_graph_input(g, (struct vt_shape){ 1, IN, EDGE, EDGE, EDGE });

	x = vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = 8, .k = 3 });
	x = vt_graph_norm(g, x, "n", (struct vt_norm){ .kind = VT_NORM_BATCH, .affine = true });
	x = vt_graph_dropout(g, vt_graph_act(g, x, "e", VT_ACT_ELU, 1), 0.2, false);
	x = vt_graph_conv(g, x, "up",
		(struct vt_conv){ .out_c = 8, .k = 2, .stride = 2, .explicit_pad = true });
	x = vt_graph_conv(g, x, "down",
		(struct vt_conv){ .out_c = 8,
			.k = 2,
			.stride = 2,
			.transposed = true,
			.bias = true });
	vt_graph_output(g,
		vt_graph_conv(g, x, "b", (struct vt_conv){ .out_c = OUT, .k = 1, .bias = true }));
	return g;
}

static void step(struct outcome *r, struct vt_session *s, struct vt_optim *o, int t)
{
	const struct vt_loss dice = { .dice = 1,
		.cross_entropy = 1,
		.smooth = 1,
		.smooth_below = 1,
		.balance = -1 };
	const float *kept[] = { VT_KEPT_GRADIENT };
	const struct vt_volume_ref v = { image, false, regions, IN, EDGE, EDGE, EDGE };
	const struct vt_patch_ref whole = { .dropped = -1, .gain = { 1, 1 } };
	bool drawn = vt_remote_keep(vt_session_remote(s), 0, 0, &v);

	if (drawn)
		vt_remote_draw(vt_session_remote(s), 0, 0, &whole);
	else
		vt_session_set_input(s, image);
	if (!drawn)
		vt_remote_set_target(vt_session_remote(s), regions);
	vt_session_forward(s, (uint64_t)t);
	r->loss[t] = vt_remote_loss(vt_session_remote(s), 0, &dice, 1);
	vt_session_backward_all(s, kept);
	r->norm[t] = vt_optim_norm(o);
	vt_optim_step(o, 0.01, -1, (uint64_t)t + 1);
}

static int train(struct outcome *r, const struct vt_graph *g, struct vt_device *d,
	struct vt_err *err)
{
	const struct vt_optim_opts adam = { .kind = VT_OPTIM_ADAM,
		.momentum = 0.9,
		.beta2 = 0.999,
		.eps = 1e-8 };
	struct vt_session *s = NULL;
	struct vt_optim *o;
	size_t at = 0;

	if (vt_session_new(&s, g,
		    &(struct vt_session_opts){ .training = true, .seed = 5, .device = d }, err))
		return err->code;
	o = vt_optim_new(s, &adam);
	for (int t = 0; t < STEPS; t++)
		step(r, s, o, t);
	for (int i = 0; i < vt_session_n_weights(s); at += vt_session_weight(s, i)->n, i++) {
		const float *m = vt_optim_state(o, i, 0);

		memcpy(r->weights + at, vt_session_weight(s, i)->value,
			vt_session_weight(s, i)->n * sizeof(float));
		if (m)
			memcpy(r->state + at, m, vt_session_weight(s, i)->n * sizeof(float));
	}
	if (vt_session_error(s))
		*err = *vt_session_error(s);
	vt_optim_free(o);
	vt_session_free(s);
	return err->code;
}

static int predict(struct outcome *r, const struct vt_graph *g, struct vt_device *d,
	struct vt_err *err)
{
	static char subject[] = "s";
	struct vt_patch_file f = { .subject = subject,
		.c = IN,
		.d = EDGE,
		.h = EDGE,
		.w = EDGE,
		.image = image };
	const struct vt_predict_opts how = { .overlap = 0.5, .flips = true };
	struct vt_prediction *p = NULL;
	struct vt_session *s = NULL;
	int rc = vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 3, .device = d }, err);

	if (!rc)
		rc = vt_predict_begin(&p, &s, 1, false, &f, &how, err);
	if (!rc)
		rc = vt_predict_values(r->values, p, err);
	if (!rc)
		rc = vt_predict_bits(r->bits, p, err);
	vt_predict_free(p);
	vt_session_free(s);
	return rc;
}

static int work(struct outcome *r, struct vt_err *err)
{
	struct vt_graph *g = network();
	struct vt_device *d = NULL;
	struct vt_json *j;
	int rc;

	memset(r, 0, sizeof(*r));
	rc = vt_device_open(&d,
		&(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = "fp16" }, err);
	if (!rc)
		rc = train(r, g, d, err);
	if (!rc)
		rc = predict(r, g, d, err);
	if (!rc) {
		j = vt_device_describe(d);
		vt_json_free(j);
	}
	vt_device_close(d);
	vt_graph_free(g);
	return rc;
}

static void find_standin(void)
{
	void *so = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_NOLOAD);

	if (!so || !dlsym(so, "mock_fail")) {
		fprintf(stderr, "gpu_faults: GPU_PLUGIN is not the plugin over the stand-in\n");
		exit(VT_EUSAGE);
	}
	*(void **)&standin.fail = dlsym(so, "mock_fail");
	*(void **)&standin.calls = dlsym(so, "mock_calls");
	*(void **)&standin.failed = dlsym(so, "mock_failed");
	*(void **)&standin.call = dlsym(so, "mock_call");
	*(void **)&standin.leaks = dlsym(so, "mock_leaks");
}

/* How a run ended, in the row of the function that failed. */
static void enter(const char *name, int rc)
{
	int i = 0;

	while (i < MOST_FUNCTIONS - 1 && table[i].name[0] && strcmp(table[i].name, name))
		i++;
	snprintf(table[i].name, sizeof(table[i].name), "%s", name);
	table[i].times++;
	table[i].memory += rc == VT_ENOMEM;
	table[i].device += rc == VT_EDEVICE;
	table[i].same += rc == 0;
}

static bool has_digit(const char *text)
{
	return strpbrk(text, "0123456789") != NULL;
}

static void one(long call, int variant, const struct outcome *want)
{
	static struct outcome got;
	struct vt_err err = VT_ERR_INIT;
	int rc;

	standin.fail(call, variant);
	rc = work(&got, &err);
	if (rc && rc != VT_ENOMEM && rc != VT_EDEVICE)
		CHECK_FAIL("call %ld:%d (%s): code %d: %s", call, variant, standin.failed(), rc,
			err.text);
	if (rc &&
		(rc != err.code || strlen(err.text) < 10 ||
			(rc == VT_ENOMEM && !has_digit(err.text))))
		CHECK_FAIL("call %ld:%d (%s): says \"%s\"", call, variant, standin.failed(),
			err.text);
	if (!rc && memcmp(&got, want, sizeof(got)))
		CHECK_FAIL("call %ld:%d (%s): went on with other results", call, variant,
			standin.failed());
	if (standin.leaks(true))
		CHECK_FAIL("call %ld:%d (%s): something was left", call, variant, standin.failed());
	if (getenv("SHOW"))
		printf("# %ld:%d %s: %d %s\n", call, variant, standin.failed(), rc, err.text);
	enter(standin.failed(), rc);
}

static bool is_part(const char *name)
{
	static const char *const parts[] = { "cudnnBackendCreateDescriptor",
		"cudnnBackendDestroyDescriptor", "cudnnBackendSetAttribute",
		"cudnnBackendGetAttribute" };
	bool is = false;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		is |= !strcmp(name, parts[i]);
	return is;
}

/* The calls that are made to fail, in order; how many. */
static int choose(long *call, long calls, long stride, long parts)
{
	long seen[2] = { 0, 0 };
	int n = 0;

	for (long k = 1; k <= calls; k++) {
		bool part = is_part(standin.call(k));

		if (seen[part]++ % (part ? stride * parts : stride) == 0)
			call[n++] = k;
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct outcome first, again;
	long stride = argc > 1 ? strtol(argv[1], NULL, 10) : 1,
	     parts = argc > 2 ? strtol(argv[2], NULL, 10) : 1;
	long calls, *call;
	struct vt_err err = VT_ERR_INIT;
	int n;

	gpu_test_begin(argc, argv);
	fill(image, IN * VOXELS, 7);
	for (size_t i = 0; i < VOXELS; i++)
		regions[i] = (uint8_t)(i * 5 + i / 11) % 8;
	if (work(&first, &err)) {
		printf("not ok - without a fault: %s\n", err.text);
		return 1;
	}
	find_standin();
	standin.fail(0, 0);
	if (work(&again, &err) || memcmp(&first, &again, sizeof(first)) || standin.leaks(true))
		CHECK_FAIL("a second run differs or leaves something: %s", err.text);
	calls = standin.calls();
	call = vt_xmalloc((size_t)calls * sizeof(*call));
	n = choose(call, calls, stride, parts);
	for (int i = 0; i < n; i++)
		for (int v = 0; v < VARIANTS; v++)
			one(call[i], v, &first);
	free(call);
	standin.fail(0, 0);
	if (work(&again, &err) || memcmp(&first, &again, sizeof(first)))
		CHECK_FAIL("after the faults another result: %s", err.text);
	for (int i = 0; i < MOST_FUNCTIONS && table[i].name[0]; i++)
		printf("# %-28s failed %5d times: %5d for memory, %5d for the device, %5d went "
		       "on\n",
			table[i].name, table[i].times, table[i].memory, table[i].device,
			table[i].same);
	printf("%s - %d of %ld calls made to fail, each in %d ways\n", check_here ? "not ok" : "ok",
		n, calls, VARIANTS);
	return check_here != 0;
}
