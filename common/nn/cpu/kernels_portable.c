#define KERNELS     vt_kernels_portable
#define KERNEL_NAME "portable"
#include "common/nn/cpu/kernel_source.h"
