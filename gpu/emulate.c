/* A device on the host, for tests: the kernels' own bodies over an emulated grid, convolutions as plain loops.
 *
 * Items run backwards in every other launch, memory comes filled with NaN and between guard words, and the threads of a block run
 * one after the other between two meetings: what depends on the order of items, reads what nobody wrote or writes beside its
 * array shows in the results. */
#include <stdlib.h>
#include <string.h>

#include "gpu/kernel_gate.h"
#include "gpu/kernel_layout.h"
#include "gpu/kernel_norm.h"
#include "gpu/kernel_point.h"
#include "gpu/kernel_shape.h"
#include "gpu/kernel_sums.h"
#include "gpu/kernel_train.h"
#include "gpu/plugin.h"

enum { GUARD = 64, CALL_BYTES = 640 };

struct vg_conv {
	struct vg_conv_spec s;
};

/* A recorded call; kernel VG_KERNELS is a convolution, VG_KERNELS + 1 a clear. */
struct call {
	int kernel;
	uint32_t items;
	struct vg_conv *conv;
	void *p[3];
	size_t nbytes;
	unsigned char args[CALL_BYTES];
};

struct vg_tape {
	struct call *call;
	size_t n, cap;
};

struct emulated {
	struct vg_device base;
	unsigned launches;
	struct vg_tape *tape;    /* being recorded */
};

/* --- memory ------------------------------------------------------------------------------------------------------------------------ */

static int alloc(struct vg_device *d, void **p, size_t nbytes, struct vt_err *err)
{
	char *raw = aligned_alloc(256, (nbytes + 256 + GUARD + 255) / 256 * 256);

	(void)d;
	if (!raw)
		return vt_err_nomem(err, nbytes);
	memset(raw, 0xff, nbytes + 256 + GUARD);
	memcpy(raw, &nbytes, sizeof(nbytes));
	*p = raw + 256;
	return 0;
}

static void release(struct vg_device *d, void *p)
{
	char *raw = p ? (char *)p - 256 : NULL;
	size_t nbytes;

	(void)d;
	if (!raw)
		return;
	memcpy(&nbytes, raw, sizeof(nbytes));
	for (size_t i = 0; i < GUARD; i++)
		if (raw[256 + nbytes + i] != (char)0xff || raw[sizeof(nbytes) + i] != (char)0xff)
			__builtin_trap();                /* a kernel wrote beside its array */
	free(raw);
}

static size_t room(struct vg_device *d)
{
	(void)d;
	return (size_t)1 << 30;
}

static int upload(struct vg_device *d, void *to, const void *from, size_t nbytes, struct vt_err *err)
{
	if (((struct emulated *)d)->tape)
		return vt_err_set(err, VT_EBUG, "upload while recording");
	memcpy(to, from, nbytes);
	return 0;
}

static int download(struct vg_device *d, void *to, const void *from, size_t nbytes, struct vt_err *err)
{
	return upload(d, to, from, nbytes, err);
}

/* --- convolution: lanes in f32, the rest in f64 -------------------------------------------------------------------------------------- */

/* The position the tap at (z, y, x) of an output reads, SIZE_MAX outside. */
static size_t tap_of(const struct vg_conv_spec *s, int n, int z, int y, int x, int tap)
{
	int k = s->k, iz = z * s->stride - s->pad + s->dilation * (tap / (k * k)), iy = y * s->stride - s->pad + s->dilation * (tap / k % k);
	int ix = x * s->stride - s->pad + s->dilation * (tap % k);

	if (iz < 0 || iy < 0 || ix < 0 || iz >= s->x.d || iy >= s->x.h || ix >= s->x.w)
		return SIZE_MAX;
	return (((size_t)n * (size_t)s->x.d + (size_t)iz) * (size_t)s->x.h + (size_t)iy) * (size_t)s->x.w + (size_t)ix;
}

static float *widened(const void *t, int type, size_t n)
{
	float *p = vt_xmalloc((n + VG_LANES) * sizeof(*p));

	for (size_t i = 0; i < n / VG_LANES; i++) {
		struct vg_chunk c = vg_load(t, type, (uint32_t)i);

		memcpy(p + i * VG_LANES, c.v, sizeof(c.v));
	}
	return p;
}

static void narrowed(void *t, int type, const float *p, size_t n)
{
	for (size_t i = 0; i < n / VG_LANES; i++) {
		struct vg_chunk c;

		memcpy(c.v, p + i * VG_LANES, sizeof(c.v));
		vg_store(t, type, (uint32_t)i, c);
	}
}

/* One pair of an output position and the input position its tap reads. */
static void conv_pair(const struct vg_conv_spec *s, float *x, float *w, float *y, int tap)
{
	size_t ci = (size_t)s->x.chunks * VG_LANES, co = (size_t)s->y.chunks * VG_LANES, taps = (size_t)(s->k * s->k * s->k);

	for (size_t o = 0; o < co; o++) {
		float *row = w + (o * taps + (size_t)tap) * ci, sum[VG_LANES] = { 0 };
		double all = 0;

		if (s->kind == VG_CONV_FORWARD) {
			for (size_t i = 0; i < ci; i += VG_LANES)
				for (size_t l = 0; l < VG_LANES; l++)
					sum[l] += row[i + l] * x[i + l];
			for (int l = 0; l < VG_LANES; l++)
				all += (double)sum[l];
			y[o] += (float)all;
		} else {
			for (size_t i = 0; i < ci; i++)
				if (s->kind == VG_CONV_DATA)
					x[i] += row[i] * y[o];
				else
					row[i] += x[i] * y[o];
		}
	}
}

static void conv_all(const struct vg_conv_spec *s, float *x, float *w, float *y)
{
	size_t ci = (size_t)s->x.chunks * VG_LANES, co = (size_t)s->y.chunks * VG_LANES, at = 0;

	for (int n = 0; n < s->y.n; n++)
		for (int z = 0; z < s->y.d; z++)
			for (int v = 0; v < s->y.h; v++)
				for (int u = 0; u < s->y.w; u++, at++)
					for (int tap = 0; tap < s->k * s->k * s->k; tap++) {
						size_t from = tap_of(s, n, z, v, u, tap);

						if (from != SIZE_MAX)
							conv_pair(s, x + from * ci, w, y + at * co, tap);
					}
}

static void conv_now(const struct vg_conv_spec *s, void *x, void *w, void *y)
{
	size_t n[3] = { (size_t)vg_chunks(&s->x) * VG_LANES, (size_t)s->y.chunks * VG_LANES * (size_t)(s->k * s->k * s->k) * (size_t)s->x.chunks * VG_LANES,
		(size_t)vg_chunks(&s->y) * VG_LANES };
	void *t[3] = { x, w, y };
	int result = s->kind == VG_CONV_FORWARD ? 2 : s->kind == VG_CONV_DATA ? 0 : 1;
	float *p[3];

	for (int i = 0; i < 3; i++)
		p[i] = i == result ? vt_xcalloc(n[i] + VG_LANES, sizeof(float)) : widened(t[i], s->type, n[i]);
	conv_all(s, p[0], p[1], p[2]);
	narrowed(t[result], s->type, p[result], n[result]);
	for (int i = 0; i < 3; i++)
		free(p[i]);
}

static int conv_new(struct vg_device *d, struct vg_conv **out, const struct vg_conv_spec *s, struct vt_err *err)
{
	(void)d;
	(void)err;
	*out = vt_xcalloc(1, sizeof(**out));
	(*out)->s = *s;
	return 0;
}

static size_t conv_workspace(const struct vg_conv *c)
{
	(void)c;
	return 0;
}

static void conv_free(struct vg_conv *c)
{
	free(c);
}

/* --- kernels ------------------------------------------------------------------------------------------------------------------------- */

#define MAP(name) \
	static void all_##name(const void *args, uint32_t items, int backwards) \
	{ \
		const struct vg_##name *a = args; \
		for (uint32_t i = 0; i < items; i++) \
			vg_##name##_item(a, backwards ? items - 1 - i : i); \
	}
VG_MAPS(MAP)

static void all_sums(const void *args, uint32_t items, int backwards)
{
	const struct vg_sums *a = args;
	double *shared = vt_xmalloc(VG_SUM_THREADS * 16 * sizeof(*shared));

	for (uint32_t b = 0; b < items; b++)
		for (int phase = 0; phase < VG_SUM_PHASES; phase++)
			for (uint32_t t = 0; t < VG_SUM_THREADS; t++)
				vg_sums_phase(a, a->mode, backwards ? items - 1 - b : b, backwards ? VG_SUM_THREADS - 1 - t : t, phase, shared);
	free(shared);
}

static void all_sums_fold(const void *args, uint32_t items, int backwards)
{
	double shared[VG_SUM_THREADS];

	for (uint32_t b = 0; b < items; b++)
		for (int phase = 0; phase < VG_FOLD_PHASES; phase++)
			for (uint32_t t = 0; t < VG_SUM_THREADS; t++)
				vg_sums_fold_phase(args, b, backwards ? VG_SUM_THREADS - 1 - t : t, phase, shared);
}

static const struct kernel {
	void (*all)(const void *args, uint32_t items, int backwards);
	size_t args;
} kernels[] = {
#define ROW(name) { all_##name, sizeof(struct vg_##name) },
	VG_MAPS(ROW) ROW(sums) ROW(sums_fold)
};

/* --- queue and tapes -------------------------------------------------------------------------------------------------------------------- */

static void perform(struct emulated *e, const struct call *c)
{
	if (c->kernel < VG_KERNELS)
		kernels[c->kernel].all(c->args, c->items, (int)(e->launches++ & 1));
	else if (c->kernel == VG_KERNELS)
		conv_now(&c->conv->s, c->p[0], c->p[1], c->p[2]);
	else
		memset(c->p[0], 0, c->nbytes);
}

static int queue(struct vg_device *d, const struct call *c)
{
	struct emulated *e = (struct emulated *)d;
	struct vg_tape *t = e->tape;

	if (!t) {
		perform(e, c);
		return 0;
	}
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->call = vt_xrealloc(t->call, t->cap * sizeof(*t->call));
	}
	t->call[t->n++] = *c;
	return 0;
}

static int run(struct vg_device *d, enum vg_kernel kernel, const void *args, uint32_t items, struct vt_err *err)
{
	struct call c = { .kernel = (int)kernel, .items = items };

	if (kernels[kernel].args > sizeof(c.args))
		return vt_err_set(err, VT_EBUG, "kernel %d has arguments of %zu bytes", (int)kernel, kernels[kernel].args);
	memcpy(c.args, args, kernels[kernel].args);
	return queue(d, &c);
}

static int convolve(struct vg_device *d, struct vg_conv *conv, void *x, void *w, void *y, void *workspace, struct vt_err *err)
{
	(void)workspace;
	(void)err;
	return queue(d, &(struct call){ .kernel = VG_KERNELS, .conv = conv, .p = { x, w, y } });
}

static int clear(struct vg_device *d, void *p, size_t nbytes, struct vt_err *err)
{
	(void)err;
	return queue(d, &(struct call){ .kernel = VG_KERNELS + 1, .p = { p }, .nbytes = nbytes });
}

static int record(struct vg_device *d, struct vt_err *err)
{
	(void)err;
	((struct emulated *)d)->tape = vt_xcalloc(1, sizeof(struct vg_tape));
	return 0;
}

static int stop(struct vg_device *d, struct vg_tape **out, struct vt_err *err)
{
	(void)err;
	*out = ((struct emulated *)d)->tape;
	((struct emulated *)d)->tape = NULL;
	return 0;
}

static int replay(struct vg_device *d, struct vg_tape *t, struct vt_err *err)
{
	(void)err;
	for (size_t i = 0; i < t->n; i++)
		perform((struct emulated *)d, &t->call[i]);
	return 0;
}

static void tape_free(struct vg_tape *t)
{
	if (t)
		free(t->call);
	free(t);
}

static void close_device(struct vg_device *d)
{
	free(d);
}

static void describe(struct vg_device *d, struct vt_json *j)
{
	(void)d;
	vt_json_put_text(j, "card", "emulated on the host");
}

int vg_device_open(struct vg_device **out, const char *engines, struct vt_err *err)
{
	static const struct vg_device_ops ops = { .close = close_device, .describe = describe, .alloc = alloc, .release = release, .room = room, .upload = upload,
		.download = download, .clear = clear, .run = run, .conv_new = conv_new, .conv_workspace = conv_workspace, .convolve = convolve,
		.conv_free = conv_free, .record = record, .stop = stop, .replay = replay, .tape_free = tape_free };
	struct emulated *e = vt_xcalloc(1, sizeof(*e));

	(void)engines;
	(void)err;
	e->base.ops = &ops;
	*out = &e->base;
	return 0;
}
