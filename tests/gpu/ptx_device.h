/* ptx_device.h - between the stand-in for CUDA's runtime that launch.cu's host code meets and
 * the device that holds the memory. */
#ifndef TESTS_GPU_PTX_DEVICE_H
#define TESTS_GPU_PTX_DEVICE_H

#include "tests/gpu/ptx.h"

/* Launches go to this module and memory, in this direction; the last launch's finding is in
 * `err`. */
struct ptx_runtime {
	struct ptx_module *module;
	struct ptx_memory *memory;
	bool backwards;
	uint32_t first, end; /* these blocks alone, if end is not 0 */
	struct vt_err err;
};

extern struct ptx_runtime ptx_runtime;

/* Reads the file VOXTRAIL_PTX names and checks that it holds every kernel launch.cu registered;
 * once. */
int ptx_runtime_open(struct vt_err *err);

#endif
