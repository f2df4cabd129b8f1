#include "tests/gpu/traffic.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/kernel/kernel_sums.h"
#include "gpu/kernel/kernel_window.h"

/* --- bytes of one operation ---------------------------------------------- */

static double tensor(const struct vg_shape *s, int type)
{
	return (double)s->n * s->voxels * s->chunks * VG_LANES * (double)vg_type_size(type);
}

static double plain(const struct vg_shape *s)
{
	return 4.0 * s->n * s->c * s->voxels;
}

/* Arrays of one number a channel and item. */
static double lanes(const struct vg_shape *s, double size)
{
	return size * s->n * s->chunks * VG_LANES;
}

static struct vg_traffic moves(double read, double written)
{
	return (struct vg_traffic){ read, written, 0 };
}

/* `arrays` tensors read and one written, added to if `add`. */
static struct vg_traffic maps(const struct vg_shape *s, int type, int arrays, int add)
{
	double one = tensor(s, type);

	return moves(one * (arrays + (add != 0)), one);
}

/* clang-format off */
#define CASE(name, ...) \
	case VG_K_##name: { \
		const struct vg_##name *a = args; \
		return __VA_ARGS__; \
	}
/* clang-format on */

static struct vg_traffic of_sums(const struct vg_sums *a)
{
	int arrays = a->mode == VG_SUM_MOMENTS || a->mode == VG_SUM_ONE ? 1 : 2;

	return moves(arrays * tensor(&a->s, a->type),
		(a->mode == VG_SUM_JOIN ? tensor(&a->s, a->type) : 0) +
			vg_quantity_count(a->mode) * a->slabs * lanes(&a->s, 8));
}

static struct vg_traffic of_norm(enum vg_kernel kernel, const void *args)
{
	switch (kernel) {
		CASE(sums, of_sums(a))
		CASE(sums_fold, moves(a->slabs * lanes(&a->s, 8), lanes(&a->s, 8)))
		CASE(coefficients,
			moves(a->part ? 2 * a->slabs * lanes(&a->s, 8) : 0, lanes(&a->s, 32)))
		CASE(affine, maps(&a->s, a->type, 1, 0))
		CASE(norm_back,
			moves(a->quantities * a->slabs * lanes(&a->s, 8) + lanes(&a->s, 24),
				lanes(&a->s, 12) + 8.0 * a->s.c))
		CASE(norm_dx, maps(&a->s, a->type, 2, a->add))
		CASE(channel_grad, moves(lanes(&a->s, 8), 4.0 * a->s.c))
		CASE(fold, moves(lanes(&a->s, 8), lanes(&a->s, (double)vg_type_size(a->type))))
	default: return moves(0, 0);
	}
}

static struct vg_traffic of_gate(enum vg_kernel kernel, const void *args)
{
	switch (kernel) {
		CASE(mul, maps(&a->s, a->type, 1 + (a->gate == VG_GATE_SAME), a->add))
		CASE(mul_gate,
			moves(2 * tensor(&a->s, a->type), tensor(&a->s, a->type) / a->s.chunks))
		CASE(spread, maps(&a->s, a->type, 0, a->add))
		CASE(argmax, moves(tensor(&a->s, a->type), a->slabs * lanes(&a->s, 8)))
		CASE(global, moves(a->slabs * lanes(&a->s, 8), lanes(&a->s, 8)))
		CASE(global_back, maps(&a->s, a->type, 0, a->add))
		CASE(cpool, moves(tensor(&a->s, a->type), tensor(&a->s, a->type) / a->s.chunks))
		CASE(cpool_back, maps(&a->s, a->type, a->max, a->add))
		CASE(softmax, maps(&a->s, a->type, 1, 0))
		CASE(softmax_back, maps(&a->s, a->type, 2, a->add))
	default: return moves(0, 0);
	}
}

static struct vg_traffic of_shape(enum vg_kernel kernel, const void *args)
{
	switch (kernel) {
		CASE(concat, maps(&a->s, a->type, 1, 0))
		CASE(window,
			moves(tensor(&a->s, a->type) * (1 + (a->add != 0)), tensor(&a->s, a->type)))
		CASE(upsample, moves(tensor(&a->from, a->type), tensor(&a->s, a->type)))
		CASE(upsample_back,
			moves(tensor(&a->from, a->type) + (a->add ? tensor(&a->s, a->type) : 0),
				tensor(&a->s, a->type)))
		CASE(maxpool, moves(tensor(&a->from, a->type), tensor(&a->s, a->type)))
		CASE(maxpool_back,
			moves(tensor(&a->from, a->type) +
					tensor(&a->s, a->type) * (1 + (a->add != 0)),
				tensor(&a->s, a->type)))
		CASE(pairs,
			moves(tensor(&a->from, a->type) + (a->add ? tensor(&a->s, a->type) : 0),
				tensor(&a->s, a->type)))
		CASE(reshape, maps(&a->s, a->type, 1, a->add))
	default: return of_gate(kernel, args);
	}
}

static double voxels(const struct vg_shape *s)
{
	return (double)s->n * s->voxels;
}

static struct vg_traffic of_training(enum vg_kernel kernel, const void *args, uint32_t items)
{
	switch (kernel) {
		CASE(largest,
			a->finish ? moves(4.0 * a->blocks, 8)
				  : moves(4.0 * (double)a->n, 4.0 * a->blocks))
		CASE(loss_sums,
			moves(tensor(&a->s, a->type) + voxels(&a->s),
				a->strips * VG_LOSS_SUMS * lanes(&a->s, 8)))
		CASE(loss_fold, moves(8.0 * items * a->each, 8.0 * items))
		CASE(loss_grad, moves(tensor(&a->s, a->type) + voxels(&a->s), plain(&a->s)))
		CASE(squares, moves(8.0 * (double)a->n, 8.0 * a->blocks))
		CASE(update,
			moves(((a->sgd ? 16.0 : 20.0) + (a->slow ? 4.0 : 0.0)) * items,
				((a->sgd ? 8.0 : 12.0) + (a->slow ? 4.0 : 0.0)) * items))
		CASE(accumulate, moves((a->first ? 4.0 : 8.0) * items, 4.0 * items))
	case VG_K_average:
		return moves(8.0 * items, 4.0 * items);
		CASE(curvature, moves(20.0 * (double)a->n, 8.0 * (double)a->n))
		CASE(draw,
			moves((a->half ? 2.0 : 4.0) * a->from.c * a->from.p.voxels,
				(double)items * VG_LANES * (double)vg_type_size(a->type)))
		CASE(square, moves(tensor(&a->s, a->type) * (1 + (a->x != NULL)), plain(&a->s)))
	case VG_K_draw_target:
	case VG_K_shrink: return moves(items, items);
	default: return of_shape(kernel, args);
	}
}

static struct vg_traffic of_point(enum vg_kernel kernel, const void *args, uint32_t items)
{
	double chunks = (double)items * VG_LANES;

	switch (kernel) {
		CASE(pack, moves(plain(&a->s), tensor(&a->s, a->type)))
		CASE(unpack, moves(tensor(&a->s, a->type), plain(&a->s)))
		CASE(kernel_cast, moves(4.0 * chunks, chunks * (double)vg_type_size(a->type)))
		CASE(kernel_grad,
			moves(chunks * ((double)vg_type_size(a->type) + (a->add ? 4 : 0)),
				4.0 * chunks))
		CASE(bias, maps(&a->s, a->type, 1, 0))
		CASE(act, maps(&a->s, a->type, 1, 0))
		CASE(act_back, maps(&a->s, a->type, 2, a->add))
		CASE(join,
			moves(2 * chunks * (double)vg_type_size(a->type),
				chunks * (double)vg_type_size(a->type)))
		CASE(pass,
			moves((1 + (a->add != 0)) * chunks * (double)vg_type_size(a->type),
				chunks * (double)vg_type_size(a->type)))
		CASE(dropout, maps(&a->s, a->type, 1, a->add))
		CASE(noise, maps(&a->s, a->type, 1, 0))
	default: return of_training(kernel, args, items);
	}
}

struct vg_traffic vg_traffic_of(enum vg_kernel kernel, const void *args, uint32_t items)
{
	struct vg_traffic t = of_norm(kernel, args);

	return t.written > 0 ? t : of_point(kernel, args, items);
}

struct vg_traffic vg_traffic_conv(const struct vg_conv_spec *s)
{
	double x = tensor(&s->x, s->type), y = tensor(&s->y, s->type),
	       taps = (double)s->k * s->k * s->k, pairs = 64.0 * s->x.chunks * s->y.chunks;
	double w = pairs * taps * (double)vg_type_size(s->type), all = x + y + w,
	       out = s->kind == VG_CONV_FORWARD ? y
		: s->kind == VG_CONV_DATA       ? x
						: w;

	return (struct vg_traffic){ all - out, out, 2 * voxels(&s->y) * taps * pairs };
}

struct vg_shape vg_traffic_shape(enum vg_kernel kernel, const void *args)
{
#define SHAPED(name) CASE(name, a->s)
/* clang-format off */
#define PLAIN(X) X(pack) X(unpack) X(bias) X(act) X(act_back) X(dropout) X(noise) X(sums) \
	X(sums_fold) X(coefficients) \
	X(affine) X(norm_back) X(norm_dx) X(channel_grad) X(fold) X(concat) X(window) \
	X(upsample) X(upsample_back) \
	X(maxpool) X(maxpool_back) X(pairs) X(reshape) X(mul) X(mul_gate) X(spread) X(argmax) \
	X(global) X(global_back) \
	X(cpool) X(cpool_back) X(softmax) X(softmax_back) X(loss_sums) X(loss_grad)
	/* clang-format on */
	switch (kernel) {
		PLAIN(SHAPED)
	default: return (struct vg_shape){ 0 };
	}
}

/* --- the device that notes it -------------------------------------------- */

struct vg_conv {
	struct vg_conv_spec s;
};

static struct vg_counted *note(struct vg_device *d, int kind, struct vg_traffic t)
{
	struct vg_count_device *c = (struct vg_count_device *)d;

	if (c->n == c->cap) {
		c->cap = c->cap ? 2 * c->cap : 256;
		c->row = vt_xrealloc(c->row, c->cap * sizeof(*c->row));
	}
	c->row[c->n] = (struct vg_counted){ .kind = kind, .t = t };
	return &c->row[c->n++];
}

/* Addresses are told apart and never followed; they begin where no object is. */
static int alloc(struct vg_device *d, void **p, size_t nbytes, struct vt_err *err)
{
	struct vg_count_device *c = (struct vg_count_device *)d;

	(void)err;
	*p = (void *)((uintptr_t)4096 + (uintptr_t)c->nbytes);
	c->nbytes += (double)((nbytes + 255) / 256 * 256);
	return 0;
}

static void release(struct vg_device *d, void *p)
{
	(void)d;
	(void)p;
}

static size_t room(struct vg_device *d)
{
	(void)d;
	return SIZE_MAX;
}

static int upload(struct vg_device *d, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	(void)to;
	(void)from;
	(void)err;
	note(d, VG_COUNT_UPLOAD, moves(0, (double)nbytes));
	return 0;
}

static int download(struct vg_device *d, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	(void)from;
	(void)err;
	memset(to, 0, nbytes);
	note(d, VG_COUNT_DOWNLOAD, moves((double)nbytes, 0));
	return 0;
}

static int clear(struct vg_device *d, void *p, size_t nbytes, struct vt_err *err)
{
	(void)p;
	(void)err;
	note(d, VG_COUNT_CLEAR, moves(0, (double)nbytes));
	return 0;
}

static int run(struct vg_device *d, enum vg_kernel kernel, const void *args, uint32_t items,
	struct vt_err *err)
{
	(void)err;
	note(d, (int)kernel, vg_traffic_of(kernel, args, items))->s =
		vg_traffic_shape(kernel, args);
	return 0;
}

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

static int convolve(struct vg_device *d, struct vg_conv *conv, void *x, void *w, void *y,
	void *workspace, struct vt_err *err)
{
	struct vg_counted *row = note(d, VG_COUNT_CONV, vg_traffic_conv(&conv->s));

	(void)x;
	(void)w;
	(void)y;
	(void)workspace;
	(void)err;
	row->conv = conv->s;
	row->s = conv->s.y;
	return 0;
}

static void conv_free(struct vg_conv *c)
{
	free(c);
}

/* Passes are not recorded: each is queued call by call. */
static int record(struct vg_device *d, struct vt_err *err)
{
	(void)d;
	return vt_err_set(err, VT_EDEVICE, "nothing is recorded here");
}

void vg_count_device_open(struct vg_count_device *out)
{
	static const struct vg_device_ops ops = { .alloc = alloc,
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
		.record = record };

	*out = (struct vg_count_device){ .base = { &ops } };
}

void vg_count_device_close(struct vg_count_device *d)
{
	free(d->row);
}

const char *vg_counted_name(int kind, const struct vg_conv_spec *conv)
{
	static const char *const names[] = { VG_KERNEL_NAMES "conv", "clear", "upload",
		"download" };
	static const char *const convs[] = { "", "conv forward", "conv data", "conv weights" };

	return kind == VG_COUNT_CONV && conv ? convs[conv->kind] : names[kind];
}
