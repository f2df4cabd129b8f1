/* The AVX-512 kernels' source, its instructions made of AVX2 halves, through every case of
 * test_nn_conv.c: same bits as the others. */
#if defined(__x86_64__)
#include "tests/avx512_by_avx2.h"
#define vt_kernels_avx512 vt_kernels_emulated
#include "common/nn/cpu/kernels_avx512.c"
#undef vt_kernels_avx512
#undef TILE_CASES
#undef CASES
#define EMULATED
#include "tests/unit/test_nn_conv.c"
#else
#include "tests/check.h"
int main(void)
{
	SKIP("the AVX-512 kernels by halves", "not an x86-64 processor");
	return 0;
}
#endif
