/* device.h - what the engine asks of a device: memory, kernels, convolutions, recorded
 * sequences.
 *
 * cuda.c fills the table for a GPU, emulate.c on the host with the same kernel bodies and a
 * convolution of plain loops.  Work is queued in order; upload and download wait for it.
 * Between record and stop, run, convolve, copy and clear are kept as a tape instead (a CUDA
 * graph), which replay queues as one; their arguments are those of the recording. */
#ifndef GPU_ENGINE_DEVICE_H
#define GPU_ENGINE_DEVICE_H

#include "common/base/buf.h"
#include "common/base/json.h"
#include "gpu/kernel/kernels.h"

enum vg_conv_kind { VG_CONV_FORWARD = 1, VG_CONV_DATA, VG_CONV_WEIGHTS };

/* The correlation y[o] = sum w[o, i, tap] x[i, stride pos - pad + dilation tap], its two
 * adjoints.  Channels are the tensors' own; in memory they are padded to 8, and so is the
 * kernel: [y's channels][taps][x's channels]. */
struct vg_conv_spec {
	enum vg_conv_kind kind;
	int type; /* enum vg_type, of all three tensors */
	int tf32; /* f32 may be rounded to TF32 in products */
	struct vg_shape x, y;
	int k, stride, pad, dilation;
};

struct vg_conv;
struct vg_tape;

struct vg_device {
	const struct vg_device_ops *ops;
};

struct vg_device_ops {
	void (*close)(struct vg_device *device);
	void (*describe)(struct vg_device *device, struct vt_json *json);
	/* VT_ENOMEM with the number */
	int (*alloc)(struct vg_device *device, void **p, size_t nbytes, struct vt_err *err);
	void (*release)(struct vg_device *device, void *p);
	/* bytes that are free */
	size_t (*room)(struct vg_device *device);
	int (*upload)(struct vg_device *device, void *to, const void *from, size_t nbytes,
		struct vt_err *err);
	int (*download)(struct vg_device *device, void *to, const void *from, size_t nbytes,
		struct vt_err *err);
	int (*clear)(struct vg_device *device, void *p, size_t nbytes, struct vt_err *err);
	int (*run)(struct vg_device *device, enum vg_kernel kernel, const void *args,
		uint32_t items, struct vt_err *err);
	int (*conv_new)(struct vg_device *device, struct vg_conv **out,
		const struct vg_conv_spec *spec, struct vt_err *err);
	size_t (*conv_workspace)(const struct vg_conv *conv);
	/* FORWARD writes y, DATA x, WEIGHTS w. */
	int (*convolve)(struct vg_device *device, struct vg_conv *conv, void *x, void *w, void *y,
		void *workspace, struct vt_err *err);
	void (*conv_free)(struct vg_conv *conv);
	int (*record)(struct vg_device *device, struct vt_err *err);
	int (*stop)(struct vg_device *device, struct vg_tape **out, struct vt_err *err);
	int (*replay)(struct vg_device *device, struct vg_tape *tape, struct vt_err *err);
	void (*tape_free)(struct vg_tape *tape);
	/* NULL, or: convolutions that `first` has chosen engines for get those. */
	void (*follow)(struct vg_device *device, const struct vg_device *first);
};

#endif
