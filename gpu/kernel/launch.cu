/* Each kernel body as a grid: one thread an item, grid-stride; a block a block of the two sums.
 * The storage type is a template argument, so that loads and stores have no branch left. */
#include "gpu/kernel/launch.h"

#include <cuda_runtime.h>

#include "gpu/kernel/kernel_gate.h"
#include "gpu/kernel/kernel_group.h"
#include "gpu/kernel/kernel_layout.h"
#include "gpu/kernel/kernel_norm.h"
#include "gpu/kernel/kernel_point.h"
#include "gpu/kernel/kernel_shape.h"
#include "gpu/kernel/kernel_sums.h"
#include "gpu/kernel/kernel_train.h"
#include "gpu/kernel/kernel_window.h"

namespace
{

enum { THREADS = 256, MOST_BLOCKS = 16384 };

/* args.type = T where there is one. */
template <int T, class A>
__device__ __forceinline__ auto fix_type(A &a, int) -> decltype(a.type, void())
{
	a.type = T;
}
template <int T, class A> __device__ __forceinline__ void fix_type(A &, long) {}
template <class A> auto type_of(const A &a, int) -> decltype(a.type)
{
	return a.type;
}
template <class A> int type_of(const A &, long)
{
	return VG_F32;
}

/* The instance for a type: the only one where the arguments have none. */
template <class A> constexpr auto instance(int type, int) -> decltype(A::type, int())
{
	return type;
}
template <class A> constexpr int instance(int, long)
{
	return VG_F32;
}
#define INSTANCE(name, type) instance<struct vg_##name>(VG_##type, 0)

unsigned blocks_for(uint32_t items)
{
	uint32_t n = items / THREADS + (items % THREADS != 0);

	return n < MOST_BLOCKS ? n : (uint32_t)MOST_BLOCKS;
}

/* The item after i, or items: no sum of the two passes 2^32. */
__device__ __forceinline__ uint32_t following(uint32_t i, uint32_t items)
{
	uint32_t step = gridDim.x * THREADS;

	return items - i > step ? i + step : items;
}

#define MAP(name)                                                                                  \
	template <int T>                                                                           \
	__global__ void __launch_bounds__(THREADS)                                                 \
		kernel_##name(struct vg_##name a, uint32_t items)                                  \
	{                                                                                          \
		fix_type<T>(a, 0);                                                                 \
		for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < items;                   \
			i = following(i, items))                                                   \
			vg_##name##_item(&a, i);                                                   \
	}                                                                                          \
	void start_##name(const void *args, uint32_t items, cudaStream_t stream)                   \
	{                                                                                          \
		const struct vg_##name a = *(const struct vg_##name *)args;                        \
		unsigned blocks = blocks_for(items);                                               \
		switch (type_of(a, 0)) {                                                           \
		case VG_BF16:                                                                      \
			kernel_##name<INSTANCE(name, BF16)>                                        \
				<<<blocks, THREADS, 0, stream>>>(a, items);                        \
			break;                                                                     \
		case VG_F16:                                                                       \
			kernel_##name<INSTANCE(name, F16)>                                         \
				<<<blocks, THREADS, 0, stream>>>(a, items);                        \
			break;                                                                     \
		default:                                                                           \
			kernel_##name<INSTANCE(name, F32)>                                         \
				<<<blocks, THREADS, 0, stream>>>(a, items);                        \
			break;                                                                     \
		}                                                                                  \
	}
VG_MAPS(MAP)

template <class A> auto mode_of(const A &a, int) -> decltype(a.mode)
{
	return a.mode;
}
template <class A> int mode_of(const A &, long)
{
	return 0;
}

/* One kernel for each type and mode, MODE counting down from the last. */
#define BLOCK(name, phases, modes, doubles)                                                        \
	template <int T, int MODE>                                                                 \
	__global__ void __launch_bounds__(VG_SUM_THREADS, 2) kernel_##name(struct vg_##name a)     \
	{                                                                                          \
		constexpr int mode = MODE;                                                         \
		__shared__ double shared[doubles];                                                 \
		(void)mode;                                                                        \
		fix_type<T>(a, 0);                                                                 \
		for (int phase = 0; phase < phases; phase++) {                                     \
			vg_##name##_phase(&a, MODE, blockIdx.x, threadIdx.x, phase, shared);       \
			if (phases > 1)                                                            \
				__syncthreads();                                                   \
		}                                                                                  \
	}                                                                                          \
	template <int T, int MODE>                                                                 \
	void start_##name##_mode(const struct vg_##name &a, uint32_t blocks, cudaStream_t stream)  \
	{                                                                                          \
		if constexpr (MODE > 0)                                                            \
			if (mode_of(a, 0) != MODE)                                                 \
				return start_##name##_mode<T, MODE - 1>(a, blocks, stream);        \
		kernel_##name<T, MODE><<<blocks, VG_SUM_THREADS, 0, stream>>>(a);                  \
	}                                                                                          \
	void start_##name(const void *args, uint32_t blocks, cudaStream_t stream)                  \
	{                                                                                          \
		const struct vg_##name a = *(const struct vg_##name *)args;                        \
		switch (type_of(a, 0)) {                                                           \
		case VG_BF16:                                                                      \
			start_##name##_mode<INSTANCE(name, BF16), modes - 1>(a, blocks, stream);   \
			break;                                                                     \
		case VG_F16:                                                                       \
			start_##name##_mode<INSTANCE(name, F16), modes - 1>(a, blocks, stream);    \
			break;                                                                     \
		default:                                                                           \
			start_##name##_mode<INSTANCE(name, F32), modes - 1>(a, blocks, stream);    \
			break;                                                                     \
		}                                                                                  \
	}
VG_BLOCKS(BLOCK)

} // namespace

int vg_launch(int kernel, const void *args, uint32_t items, void *stream)
{
	typedef void (*start)(const void *, uint32_t, cudaStream_t);
#define ROW(name)                               start_##name,
#define ROW_BLOCK(name, phases, modes, doubles) start_##name,
	static const start starts[] = { VG_MAPS(ROW) VG_BLOCKS(ROW_BLOCK) };

	if (items)
		starts[kernel](args, items, (cudaStream_t)stream);
	return (int)cudaGetLastError();
}

int vg_launch_check(void)
{
	struct cudaFuncAttributes a;

	return (int)cudaFuncGetAttributes(&a, kernel_sums_fold<VG_F32, 0>);
}
