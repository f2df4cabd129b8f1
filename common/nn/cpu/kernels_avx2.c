/* Compiled with AVX2 and FMA switched on; reached only after a run-time check. */
#if defined(__x86_64__)
#define KERNELS     vt_kernels_avx2
#define KERNEL_NAME "avx2"
#include "common/nn/cpu/kernel_source.h"
#else
typedef int vt_no_avx2_here;
#endif
