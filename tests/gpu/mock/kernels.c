/* Launches: what nvcc's host code of launch.cu asks the runtime for.  A kernel is known by its
 * mangled name, kernel_NAME<...>, and runs as the same body on the host, over the grid that it
 * was given. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/emulate.h"
#include "tests/gpu/mock/mock.h"

#define ONE(name) +1
/* those of one thread an item come first and are given their items */
enum { MOST_KERNELS = 4096, MAPS = 0 VG_MAPS(ONE) };

static struct entry {
	const void *stub;
	char name[64];
	int kernel; /* enum vg_kernel */
} entries[MOST_KERNELS];
static int n_entries;

struct launch {
	int kernel, backwards;
	uint32_t items;
	uint32_t unused;
	_Alignas(16) unsigned char args[MOCK_ARGS - 16];
};

static __thread struct {
	dim3 grid, block;
	size_t shared;
	cudaStream_t stream;
} pushed;

static int kernel_of(const char *name)
{
	static const char *const names[] = { VG_KERNEL_NAMES };

	for (int i = 0; i < VG_KERNELS; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

void **__cudaRegisterFatBinary(void *binary);
void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *stub, char *entry, const char *name,
	int limit, void *tid, void *bid, void *block, void *grid, int *size);
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
	struct CUstream_st *stream);
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream);
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *stub);
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
	size_t shared, cudaStream_t stream);

void **__cudaRegisterFatBinary(void *binary)
{
	static void *handle;

	handle = binary;
	return &handle;
}

void __cudaRegisterFatBinaryEnd(void **handle)
{
	(void)handle;
}

void __cudaUnregisterFatBinary(void **handle)
{
	(void)handle;
	n_entries = 0;
}

/* The name after its length in the mangled one: ...11kernel_sumsILi0ELi1EE... */
void __cudaRegisterFunction(void **handle, const char *stub, char *entry, const char *name,
	int limit, void *tid, void *bid, void *block, void *grid, int *size)
{
	const char *at = strstr(name, "kernel_"), *digits = at;
	struct entry *e = &entries[n_entries++];

	(void)handle, (void)entry, (void)limit, (void)tid, (void)bid, (void)block, (void)grid,
		(void)size;
	if (!at || n_entries == MOST_KERNELS)
		mock_die("a kernel is called %s, want kernel_NAME", name);
	while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
		digits--;
	snprintf(e->name, sizeof(e->name), "%.*s", (int)strtol(digits, NULL, 10) - 7, at + 7);
	e->stub = stub;
	e->kernel = kernel_of(e->name);
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
	struct CUstream_st *stream)
{
	pushed.grid = grid;
	pushed.block = block;
	pushed.shared = shared;
	pushed.stream = stream;
	return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
	*grid = pushed.grid;
	*block = pushed.block;
	*shared = pushed.shared;
	memcpy(stream, &pushed.stream, sizeof(pushed.stream));
	return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *stub)
{
	for (int i = 0; i < n_entries; i++)
		if (entries[i].stub == stub) {
			*kernel = (cudaKernel_t)(void *)&entries[i];
			return cudaSuccess;
		}
	return cudaErrorInvalidDeviceFunction;
}

static void launch_now(const void *args)
{
	const struct launch *l = args;

	vg_emulate_kernel(l->kernel, l->args, l->items, l->backwards);
}

/* A grid beyond what a GPU takes is an error of the launch, not a sticky one. */
static bool grid_fits(dim3 grid, dim3 block)
{
	return grid.x && grid.y && grid.z && block.x && block.y && block.z &&
		grid.x <= 0x7fffffff && grid.y <= 65535 && grid.z <= 65535 && block.x <= 1024 &&
		block.y <= 1024 && block.z <= 64 && block.x * block.y * block.z <= 1024;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
	size_t shared, cudaStream_t stream)
{
	static int launches;
	cudaError_t status = mock_enter("cudaLaunchKernel");
	const struct entry *e = (const struct entry *)(const void *)kernel;
	struct launch l;
	size_t nbytes;

	if (status)
		return mock_leave(status);
	if (!grid_fits(grid, block))
		return mock_leave(cudaErrorInvalidConfiguration);
	if (shared > 48 << 10)
		return mock_leave(cudaErrorInvalidValue);
	if (e->kernel < 0)
		mock_die("kernel_%s has no body on the host: kernels.h does not name it", e->name);
	memset(&l, 0, sizeof(l));
	nbytes = vg_emulate_args(e->kernel);
	if (nbytes > sizeof(l.args))
		mock_die("kernel_%s has arguments of %zu bytes", e->name, nbytes);
	l.kernel = e->kernel;
	l.backwards = launches++ & 1;
	l.items = grid.x; /* of the sums an item is a block */
	if (e->kernel < MAPS)
		memcpy(&l.items, args[1], sizeof(l.items));
	memcpy(l.args, args[0], nbytes);
	status = mock_queue_work(stream, e->name, launch_now, &l,
		offsetof(struct launch, args) + nbytes, offsetof(struct launch, args), nbytes);
	return mock_leave(status);
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *stub)
{
	cudaError_t status = mock_enter("cudaFuncGetAttributes");
	cudaKernel_t kernel;

	if (!status)
		status = __cudaGetKernel(&kernel, stub);
	if (!status)
		memset(a, 0, sizeof(*a));
	return mock_leave(status);
}
