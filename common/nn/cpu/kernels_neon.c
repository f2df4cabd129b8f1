/* NEON, which every ARM64 processor has. */
#if defined(__aarch64__)
#define KERNELS      vt_kernels_neon
#define KERNEL_NAME  "neon"
#define KERNELS_NEON 1
#include "common/nn/cpu/kernel_source.h"
#else
typedef int vt_no_neon_here;
#endif
