/* Each kernel body as a grid: one thread an item, grid-stride; a block a block of the two sums.  The storage type is a template
 * argument, so that loads and stores have no branch left. */
#include "gpu/launch.h"

#include <cuda_runtime.h>

#include "gpu/kernel_gate.h"
#include "gpu/kernel_group.h"
#include "gpu/kernel_layout.h"
#include "gpu/kernel_norm.h"
#include "gpu/kernel_point.h"
#include "gpu/kernel_shape.h"
#include "gpu/kernel_sums.h"
#include "gpu/kernel_train.h"
#include "gpu/kernel_window.h"

namespace {

enum { THREADS = 256, MOST_BLOCKS = 16384 };

/* args.type = T where there is one. */
template <int T, class A> __device__ __forceinline__ auto fix_type(A &a, int) -> decltype(a.type, void()) { a.type = T; }
template <int T, class A> __device__ __forceinline__ void fix_type(A &, long) {}
template <class A> auto type_of(const A &a, int) -> decltype(a.type) { return a.type; }
template <class A> int type_of(const A &, long) { return VG_F32; }

unsigned blocks_for(uint32_t items)
{
	uint32_t n = (items + THREADS - 1) / THREADS;

	return n < MOST_BLOCKS ? n : (uint32_t)MOST_BLOCKS;
}

#define MAP(name) \
	template <int T> __global__ void __launch_bounds__(THREADS) kernel_##name(struct vg_##name a, uint32_t items) \
	{ \
		fix_type<T>(a, 0); \
		for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < items; i += gridDim.x * THREADS) \
			vg_##name##_item(&a, i); \
	} \
	void start_##name(const void *args, uint32_t items, cudaStream_t stream) \
	{ \
		const struct vg_##name a = *(const struct vg_##name *)args; \
		unsigned blocks = blocks_for(items); \
		switch (type_of(a, 0)) { \
		case VG_BF16: kernel_##name<VG_BF16><<<blocks, THREADS, 0, stream>>>(a, items); break; \
		case VG_F16: kernel_##name<VG_F16><<<blocks, THREADS, 0, stream>>>(a, items); break; \
		default: kernel_##name<VG_F32><<<blocks, THREADS, 0, stream>>>(a, items); break; \
		} \
	}
VG_MAPS(MAP)

template <int T, int MODE> __global__ void __launch_bounds__(VG_SUM_THREADS) kernel_sums(struct vg_sums a)
{
	__shared__ double shared[VG_SUM_THREADS * 16];

	a.type = T;
	for (int phase = 0; phase < VG_SUM_PHASES; phase++) {
		vg_sums_phase(&a, MODE, blockIdx.x, threadIdx.x, phase, shared);
		__syncthreads();
	}
}

template <int T> void start_sums_of(const struct vg_sums &a, uint32_t blocks, cudaStream_t stream)
{
	switch (a.mode) {
	case VG_SUM_MOMENTS: kernel_sums<T, VG_SUM_MOMENTS><<<blocks, VG_SUM_THREADS, 0, stream>>>(a); break;
	case VG_SUM_NORM: kernel_sums<T, VG_SUM_NORM><<<blocks, VG_SUM_THREADS, 0, stream>>>(a); break;
	case VG_SUM_SLOPE: kernel_sums<T, VG_SUM_SLOPE><<<blocks, VG_SUM_THREADS, 0, stream>>>(a); break;
	case VG_SUM_PRODUCT: kernel_sums<T, VG_SUM_PRODUCT><<<blocks, VG_SUM_THREADS, 0, stream>>>(a); break;
	default: kernel_sums<T, VG_SUM_ONE><<<blocks, VG_SUM_THREADS, 0, stream>>>(a); break;
	}
}

void start_sums(const void *args, uint32_t blocks, cudaStream_t stream)
{
	const struct vg_sums &a = *(const struct vg_sums *)args;

	if (a.type == VG_BF16)
		start_sums_of<VG_BF16>(a, blocks, stream);
	else if (a.type == VG_F16)
		start_sums_of<VG_F16>(a, blocks, stream);
	else
		start_sums_of<VG_F32>(a, blocks, stream);
}

__global__ void __launch_bounds__(VG_SUM_THREADS) kernel_sums_fold(struct vg_sums_fold a)
{
	__shared__ double shared[VG_SUM_THREADS];

	for (int phase = 0; phase < VG_FOLD_PHASES; phase++) {
		vg_sums_fold_phase(&a, blockIdx.x, threadIdx.x, phase, shared);
		__syncthreads();
	}
}

void start_sums_fold(const void *args, uint32_t blocks, cudaStream_t stream)
{
	kernel_sums_fold<<<blocks, VG_SUM_THREADS, 0, stream>>>(*(const struct vg_sums_fold *)args);
}

}

int vg_launch(int kernel, const void *args, uint32_t items, void *stream)
{
	typedef void (*start)(const void *, uint32_t, cudaStream_t);
#define ROW(name) start_##name,
	static const start starts[] = { VG_MAPS(ROW) start_sums, start_sums_fold };

	if (items)
		starts[kernel](args, items, (cudaStream_t)stream);
	return (int)cudaGetLastError();
}

int vg_launch_check(void)
{
	struct cudaFuncAttributes a;

	return (int)cudaFuncGetAttributes(&a, kernel_sums_fold);
}
