/* What launch.cu's host code asks of CUDA's runtime: kernels are registered by name when the
 * plugin is loaded, a launch is a pushed configuration, a stub that pops it, and a call with the
 * addresses of the arguments.  So the choice of the instance, the grid and the arguments are
 * those of the compiled plugin; the interpreter only stands where the GPU would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "tests/gpu/ptx_device.h"

enum {
	MOST_KERNELS = 1024,
	OK = 0,
	INVALID_CONFIGURATION = 9,
	INVALID_SYMBOL = 13,
	LAUNCH_FAILED = 719
};

struct dim3 {
	unsigned x, y, z;
};

struct ptx_runtime ptx_runtime;

static struct registered {
	const void *stub;
	char *name;
	struct ptx_kernel *kernel;
} registered[MOST_KERNELS];
static size_t n_registered;
static struct {
	struct dim3 grid, block;
	size_t shared;
	void *stream;
} pushed;
static int last_error;

/* Names that the compiler's launch code links to. */
void **__cudaRegisterFatBinary(void *image);
void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *stub, char *fun, const char *name, int limit,
	void *tid, void *bid, void *block, void *grid, int *size);
unsigned __cudaPushCallConfiguration(struct dim3 grid, struct dim3 block, size_t shared,
	void *stream);
int __cudaPopCallConfiguration(struct dim3 *grid, struct dim3 *block, size_t *shared,
	void **stream);
int __cudaGetKernel(void **kernel, const void *stub);
int __cudaLaunchKernel(void *kernel, struct dim3 grid, struct dim3 block, void **args,
	size_t shared, void *stream);
int cudaGetLastError(void);
int cudaFuncGetAttributes(void *attributes, const void *stub);

void **__cudaRegisterFatBinary(void *image)
{
	static void *handle;

	handle = image;
	return &handle;
}

void __cudaRegisterFatBinaryEnd(void **handle)
{
	(void)handle;
}

void __cudaUnregisterFatBinary(void **handle)
{
	(void)handle;
	for (size_t i = 0; i < n_registered; i++)
		free(registered[i].name);
	n_registered = 0;
}

void __cudaRegisterFunction(void **handle, const char *stub, char *fun, const char *name, int limit,
	void *tid, void *bid, void *block, void *grid, int *size)
{
	(void)handle, (void)fun, (void)limit, (void)tid, (void)bid, (void)block, (void)grid,
		(void)size;
	if (n_registered < MOST_KERNELS)
		registered[n_registered++] = (struct registered){ stub, vt_xstrdup(name), NULL };
}

unsigned __cudaPushCallConfiguration(struct dim3 grid, struct dim3 block, size_t shared,
	void *stream)
{
	pushed.grid = grid;
	pushed.block = block;
	pushed.shared = shared;
	pushed.stream = stream;
	return 0;
}

int __cudaPopCallConfiguration(struct dim3 *grid, struct dim3 *block, size_t *shared, void **stream)
{
	*grid = pushed.grid;
	*block = pushed.block;
	*shared = pushed.shared;
	*stream = pushed.stream;
	return OK;
}

int __cudaGetKernel(void **kernel, const void *stub)
{
	for (size_t i = 0; i < n_registered; i++)
		if (registered[i].stub == stub) {
			*kernel = &registered[i];
			return OK;
		}
	return last_error = INVALID_SYMBOL;
}

int __cudaLaunchKernel(void *kernel, struct dim3 grid, struct dim3 block, void **args,
	size_t shared, void *stream)
{
	struct registered *k = kernel;
	struct ptx_launch l = { .module = ptx_runtime.module,
		.kernel = k->kernel,
		.memory = ptx_runtime.memory,
		.blocks = grid.x,
		.threads = block.x,
		.args = (const void *const *)args,
		.backwards = ptx_runtime.backwards,
		.first = ptx_runtime.first,
		.end = ptx_runtime.end };

	(void)stream;
	if (shared || grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1 ||
		grid.x > INT32_MAX) {
		vt_err_set(&ptx_runtime.err, VT_EBUG,
			"%s: a grid of several axes, or shared memory given at the launch",
			k->name);
		return last_error = INVALID_CONFIGURATION;
	}
	if (ptx_launch(&l, &ptx_runtime.err))
		last_error = LAUNCH_FAILED;
	return last_error;
}

int cudaGetLastError(void)
{
	int e = last_error;

	last_error = OK;
	return e;
}

int cudaFuncGetAttributes(void *attributes, const void *stub)
{
	(void)attributes, (void)stub;
	return OK;
}

static int match(const char *path, struct vt_err *err)
{
	for (size_t i = 0; i < n_registered; i++) {
		registered[i].kernel = ptx_kernel_find(ptx_runtime.module, registered[i].name);
		if (!registered[i].kernel)
			return vt_err_set(err, VT_EDATA, "%s: it holds no kernel %s", path,
				registered[i].name);
	}
	if (n_registered != ptx_runtime.module->n_kernels)
		return vt_err_set(err, VT_EDATA, "%s: it holds %zu kernels, launch.cu %zu", path,
			ptx_runtime.module->n_kernels, n_registered);
	return 0;
}

int ptx_runtime_open(struct vt_err *err)
{
	const char *path = getenv("VOXTRAIL_PTX");
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	if (ptx_runtime.module)
		return 0;
	if (!path)
		return vt_err_set(err, VT_EUSAGE, "VOXTRAIL_PTX names no file of PTX");
	rc = vt_fs_read(&text, path, (size_t)1 << 28, err);
	if (!rc)
		rc = ptx_module_new(&ptx_runtime.module, text.data, text.len, err);
	if (!rc)
		rc = match(path, err);
	if (!rc && !ptx_runtime.memory)
		ptx_runtime.memory = ptx_memory_new();
	for (size_t i = 0; !rc && i < ptx_runtime.module->n_constants; i++)
		ptx_memory_add(ptx_runtime.memory, ptx_runtime.module->constant[i].base,
			ptx_runtime.module->constant[i].size, NULL, true);
	vt_buf_release(&text);
	return rc;
}
