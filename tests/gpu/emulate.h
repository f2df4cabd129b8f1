/* emulate.h - the kernels' bodies over an emulated grid, and convolutions as plain loops, on
 * memory of the host: for devices that stand in for a GPU in tests. */
#ifndef TESTS_GPU_EMULATE_H
#define TESTS_GPU_EMULATE_H

#include "gpu/engine/device.h"

/* Bytes of a kernel's arguments. */
size_t vg_emulate_args(int kernel);

/* One launch, done when it returns.  Items run backwards if told: nothing may depend on their
 * order. */
void vg_emulate_kernel(int kernel, const void *args, uint32_t items, int backwards);

/* FORWARD writes y, DATA x, WEIGHTS w. */
void vg_emulate_conv(const struct vg_conv_spec *s, void *x, void *w, void *y);

#endif
