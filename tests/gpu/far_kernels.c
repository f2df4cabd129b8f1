/* The compiled kernels (ptx.h) on tensors of up to 2^32 - 1 chunks, of which the pages exist
 * that a block in the middle and the last block touch: byte offsets beyond 2^31, 2^32 and 2^35,
 * indices beyond 2^31, a grid's stride that would pass 2^32. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu/kernel/kernels.h"
#include "gpu/kernel/launch.h"
#include "tests/check.h"
#include "tests/gpu/ptx_device.h"

enum { BLOCK = 256, STRIDE = 16384 * BLOCK };

/* A tensor of bf16 chunks, all of it addresses only. */
static void *tensor(uint64_t chunks)
{
	void *p = mmap(NULL, chunks * 16, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	ptx_memory_add(ptx_runtime.memory, (uintptr_t)p, chunks * 16, NULL, false);
	return p;
}

static void release(void *p, uint64_t chunks)
{
	ptx_memory_remove(ptx_runtime.memory, (uintptr_t)p);
	munmap(p, chunks * 16);
}

/* Lane 0 of a chunk: 1 to 128, which bf16 holds. */
static float at_chunk(uint32_t i)
{
	return (float)((i * 2654435761u >> 25) + 1);
}

/* Launches a kernel that makes y of x with `block` alone, and looks at all its chunks: lane 0 is
 * `factor` that of x. */
static void one_block(int kernel, const void *args, uint32_t items, uint32_t block, uint16_t *x,
	const uint16_t *y, float factor)
{
	uint32_t wrong = 0, seen = 0;

	for (uint64_t i = (uint64_t)block * BLOCK; i < items; i += STRIDE)
		for (uint64_t k = i; k < i + BLOCK && k < items; k++) {
			x[k * 8] = vg_bf16_of(at_chunk((uint32_t)k));
			ptx_memory_wrote(ptx_runtime.memory, x + k * 8, 16);
		}
	ptx_runtime.first = block;
	ptx_runtime.end = block + 1;
	if (vg_launch(kernel, args, items, NULL))
		CHECK_FAIL("%s", ptx_runtime.err.text);
	for (uint64_t i = (uint64_t)block * BLOCK; i < items; i += STRIDE)
		for (uint64_t k = i; k < i + BLOCK && k < items; k++, seen++)
			wrong += y[k * 8] != vg_bf16_of(factor * at_chunk((uint32_t)k)) ||
				y[k * 8 + 1];
	CHECK(seen >= items / STRIDE * (uint64_t)BLOCK);
	CHECK_EQ(wrong, 0);
}

/* Chunks are counted to the end of 32 bits: y = x + x. */
static void every_index(void)
{
	uint32_t items = UINT32_MAX;
	struct vg_join a = { .type = VG_BF16 };

	a.y = tensor(items);
	a.a = a.b = tensor(items);
	if (!a.y || !a.a) {
		SKIP("every_index", "128 GiB of addresses are not to be had");
		return;
	}
	one_block(VG_K_join, &a, items, 7777, (uint16_t *)(uintptr_t)a.a, a.y, 2);
	one_block(VG_K_join, &a, items, 16383, (uint16_t *)(uintptr_t)a.a, a.y, 2);
	release(a.y, items);
	release((void *)(uintptr_t)a.a, items);
}

/* Places are taken apart and put together again, below 2^31 chunks: y = x through a window of
 * all of it. */
static void every_place(void)
{
	struct vg_window a = { .type = VG_BF16 };
	uint32_t items;

	a.s = a.from = vg_shape_make(3, 16, 409, 1021, 857);
	items = vg_chunks(&a.s);
	a.y = tensor(items);
	a.x = tensor(items);
	if (!a.y || !a.x) {
		SKIP("every_place", "64 GiB of addresses are not to be had");
		return;
	}
	CHECK(items > 0x7f000000u && items < 0x80000000u);
	one_block(VG_K_window, &a, items, 0, (uint16_t *)(uintptr_t)a.x, a.y, 1);
	one_block(VG_K_window, &a, items, 16383, (uint16_t *)(uintptr_t)a.x, a.y, 1);
	release(a.y, items);
	release((void *)(uintptr_t)a.x, items);
}

int main(void)
{
	struct vt_err err = VT_ERR_INIT;

	if (ptx_runtime_open(&err)) {
		printf("not ok - %s\n", err.text);
		return 1;
	}
	RUN(every_index);
	RUN(every_place);
	return check_done();
}
