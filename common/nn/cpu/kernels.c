#include "common/nn/cpu/kernels.h"

#include <stdlib.h>
#include <string.h>

const struct vt_kernels *vt_kernels_choose(void)
{
	const char *wish = getenv("VOXTRAIL_ISA");

	if (wish && !strcmp(wish, "portable"))
		return &vt_kernels_portable;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &vt_kernels_avx2;
#endif
	return &vt_kernels_portable;
}
