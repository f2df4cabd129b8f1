/* A device on the host, for tests: the kernels' own bodies over an emulated grid, convolutions
 * as plain loops (emulate_kernels.c).
 *
 * Items run backwards in every other launch, memory comes filled with NaN and between guard
 * words, and the threads of a block run one after the other between two meetings: what depends
 * on the order of items, reads what nobody wrote or writes beside its array shows in the
 * results. */
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/emulate.h"
#include "gpu/engine/plugin.h"

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
	struct vg_tape *tape; /* being recorded */
};

/* --- memory -------------------------------------------------------------- */

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
			__builtin_trap(); /* a kernel wrote beside its array */
	free(raw);
}

/* EMULATED_ROOM: bytes that are said to be free. */
static size_t room(struct vg_device *d)
{
	const char *said = getenv("EMULATED_ROOM");

	(void)d;
	return said ? (size_t)strtoull(said, NULL, 10) : (size_t)1 << 30;
}

static int upload(struct vg_device *d, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	if (((struct emulated *)d)->tape)
		return vt_err_set(err, VT_EBUG, "upload while recording");
	memcpy(to, from, nbytes);
	return 0;
}

static int download(struct vg_device *d, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	return upload(d, to, from, nbytes, err);
}

/* --- convolutions -------------------------------------------------------- */

static int conv_new(struct vg_device *d, struct vg_conv **out, const struct vg_conv_spec *s,
	struct vt_err *err)
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

/* --- queue and tapes ----------------------------------------------------- */

static void perform(struct emulated *e, const struct call *c)
{
	if (c->kernel < VG_KERNELS)
		vg_emulate_kernel(c->kernel, c->args, c->items, (int)(e->launches++ & 1));
	else if (c->kernel == VG_KERNELS)
		vg_emulate_conv(&c->conv->s, c->p[0], c->p[1], c->p[2]);
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

static int run(struct vg_device *d, enum vg_kernel kernel, const void *args, uint32_t items,
	struct vt_err *err)
{
	struct call c = { .kernel = (int)kernel, .items = items };

	if (vg_emulate_args((int)kernel) > sizeof(c.args))
		return vt_err_set(err, VT_EBUG, "kernel %d has arguments of %zu bytes", (int)kernel,
			vg_emulate_args((int)kernel));
	memcpy(c.args, args, vg_emulate_args((int)kernel));
	return queue(d, &c);
}

static int convolve(struct vg_device *d, struct vg_conv *conv, void *x, void *w, void *y,
	void *workspace, struct vt_err *err)
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

/* There are $VOXTRAIL_EMULATED_CARDS of them. */
int vg_device_open(struct vg_device **out, int card, int of, const char *engines,
	struct vt_err *err)
{
	static const struct vg_device_ops ops = { .close = close_device,
		.describe = describe,
		.alloc = alloc,
		.release = release,
		.room = room,
		.upload = upload,
		.download = download,
		.clear = clear,
		.run = run,
		.conv_new = conv_new,
		.conv_workspace = conv_workspace,
		.convolve = convolve,
		.conv_free = conv_free,
		.record = record,
		.stop = stop,
		.replay = replay,
		.tape_free = tape_free };
	const char *there = getenv("VOXTRAIL_EMULATED_CARDS");
	long n = there ? strtol(there, NULL, 10) : 1;
	struct emulated *e;

	(void)engines;
	if (n < of)
		return vt_err_set(err, VT_EDEVICE, "%d GPUs were asked for and %ld can be seen", of,
			n);
	e = vt_xcalloc(1, sizeof(*e));
	e->launches = (unsigned)card;
	e->base.ops = &ops;
	*out = &e->base;
	return 0;
}
