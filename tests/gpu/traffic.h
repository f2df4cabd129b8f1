/* traffic.h - what a queued operation must move and compute, from its arguments: a bound, not a
 * measurement.
 *
 * Every array counts once however often it is read, so a cache is taken to be perfect; small
 * arrays (coefficients, sums of a few channels) count too.  FLOP are a convolution's, of the
 * padded channels. */
#ifndef TESTS_GPU_TRAFFIC_H
#define TESTS_GPU_TRAFFIC_H

#include "gpu/engine/device.h"

struct vg_traffic {
	double read, written, flop;
};

struct vg_traffic vg_traffic_of(enum vg_kernel kernel, const void *args, uint32_t items);
struct vg_traffic vg_traffic_conv(const struct vg_conv_spec *s);

/* The largest tensor an operation works on, for a reader: its shape with padded channels. */
struct vg_shape vg_traffic_shape(enum vg_kernel kernel, const void *args);

/* A device that queues nothing and notes everything: a session on it can be made, run, recorded
 * and updated without memory. */
enum {
	VG_COUNT_CONV = VG_KERNELS,
	VG_COUNT_CLEAR,
	VG_COUNT_UPLOAD,
	VG_COUNT_DOWNLOAD,
	VG_COUNT_KINDS
};

struct vg_counted {
	int kind; /* enum vg_kernel or one of the above */
	struct vg_traffic t;
	struct vg_shape s; /* s.n == 0: none */
	struct vg_conv_spec conv;
};

struct vg_count_device {
	struct vg_device base;
	struct vg_counted *row;
	size_t n, cap;
	double nbytes; /* allocated */
};

void vg_count_device_open(struct vg_count_device *out);
void vg_count_device_close(struct vg_count_device *d);
const char *vg_counted_name(int kind, const struct vg_conv_spec *conv);

#endif
