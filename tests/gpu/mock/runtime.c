/* Devices, memory and copies as the runtime has them. */
#include <stdio.h>
#include <string.h>

#include "tests/gpu/mock/mock.h"

/* --- devices ------------------------------------------------------------- */

cudaError_t cudaRuntimeGetVersion(int *version)
{
	cudaError_t status = mock_enter("cudaRuntimeGetVersion");

	if (!status)
		*version = CUDART_VERSION;
	return mock_leave(status);
}

cudaError_t cudaDriverGetVersion(int *version)
{
	cudaError_t status = mock_enter("cudaDriverGetVersion");

	if (!status)
		*version = CUDART_VERSION;
	return mock_leave(status);
}

cudaError_t cudaGetDeviceCount(int *n)
{
	cudaError_t status = mock_enter("cudaGetDeviceCount");

	if (!status)
		*n = mock_cards();
	return mock_leave(status ? status : mock_cards() ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int card)
{
	cudaError_t status = mock_enter("cudaSetDevice");

	if (!status && (card < 0 || card >= mock_cards()))
		status = cudaErrorInvalidDevice;
	if (!status)
		mock_set_card(card);
	return mock_leave(status);
}

cudaError_t cudaGetDevice(int *card)
{
	cudaError_t status = mock_enter("cudaGetDevice");

	if (!status)
		*card = mock_card();
	return mock_leave(status);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int card)
{
	cudaError_t status = mock_enter("cudaGetDeviceProperties");

	if (!status && (card < 0 || card >= mock_cards()))
		status = cudaErrorInvalidDevice;
	if (status)
		return mock_leave(status);
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "stand-in of a GPU");
	p->major = 9;
	p->warpSize = 32;
	p->multiProcessorCount = 132;
	p->maxThreadsPerBlock = 1024;
	p->unifiedAddressing = 1;
	mock_memory_room(card, &p->totalGlobalMem);
	return mock_leave(cudaSuccess);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr what, int card)
{
	cudaError_t status = mock_enter("cudaDeviceGetAttribute");

	if (!status && (card < 0 || card >= mock_cards()))
		status = cudaErrorInvalidDevice;
	if (!status)
		*value = what == cudaDevAttrMultiProcessorCount     ? 132
			: what == cudaDevAttrComputeCapabilityMajor ? 9
								    : 0;
	return mock_leave(status);
}

cudaError_t cudaGetLastError(void)
{
	return mock_last_error(true);
}

cudaError_t cudaPeekAtLastError(void)
{
	return mock_last_error(false);
}

const char *cudaGetErrorName(cudaError_t status)
{
	static __thread char text[32];

	snprintf(text, sizeof(text), "cudaError %d", (int)status);
	return text;
}

const char *cudaGetErrorString(cudaError_t status)
{
	static const struct {
		cudaError_t status;
		const char *text;
	} texts[] = { { cudaSuccess, "no error" }, { cudaErrorMemoryAllocation, "out of memory" },
		{ cudaErrorNoDevice, "no CUDA-capable device is detected" },
		{ cudaErrorInvalidDevice, "invalid device ordinal" },
		{ cudaErrorECCUncorrectable, "uncorrectable ECC error encountered" },
		{ cudaErrorLaunchFailure, "unspecified launch failure" },
		{ cudaErrorLaunchOutOfResources, "too many resources requested for launch" },
		{ cudaErrorIllegalAddress, "an illegal memory access was encountered" },
		{ cudaErrorLaunchTimeout, "the launch timed out and was terminated" },
		{ cudaErrorStreamCaptureUnsupported,
			"operation not permitted when stream is capturing" },
		{ cudaErrorStreamCaptureInvalidated,
			"operation failed due to a previous error during capture" } };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return cudaGetErrorName(status);
}

/* --- memory -------------------------------------------------------------- */

static cudaError_t make(const char *name, void **p, size_t nbytes, enum mock_place place)
{
	cudaError_t status = mock_enter(name);

	if (status)
		return mock_leave(status);
	if (mock_unsafe())
		return mock_leave(cudaErrorStreamCaptureUnsupported);
	*p = nbytes ? mock_memory_new(place, mock_card(), nbytes) : NULL;
	return mock_leave(*p || !nbytes ? cudaSuccess : cudaErrorMemoryAllocation);
}

/* A context that was lost takes its memory along: freeing it is not forgotten where the call is
 * made. */
static cudaError_t unmake(const char *name, void *p, enum mock_place place)
{
	cudaError_t status = mock_enter(name);

	if (!status && mock_unsafe())
		return mock_leave(cudaErrorStreamCaptureUnsupported);
	if (p)
		mock_memory_free(p, place);
	return mock_leave(status);
}

cudaError_t cudaMalloc(void **p, size_t nbytes)
{
	return make("cudaMalloc", p, nbytes, MOCK_DEVICE);
}

cudaError_t cudaMallocHost(void **p, size_t nbytes)
{
	return make("cudaMallocHost", p, nbytes, MOCK_PINNED);
}

cudaError_t cudaFree(void *p)
{
	return unmake("cudaFree", p, MOCK_DEVICE);
}

cudaError_t cudaFreeHost(void *p)
{
	return unmake("cudaFreeHost", p, MOCK_PINNED);
}

cudaError_t cudaMemGetInfo(size_t *room, size_t *all)
{
	cudaError_t status = mock_enter("cudaMemGetInfo");

	if (!status)
		*room = mock_memory_room(mock_card(), all);
	return mock_leave(status);
}

/* --- copies -------------------------------------------------------------- */

static void check_side(const void *p, size_t n, bool device)
{
	if (device)
		mock_memory_check(p, n, MOCK_DEVICE, "copy");
	else if (mock_memory_place(p) == MOCK_PINNED)
		mock_memory_check(p, n, MOCK_PINNED, "copy");
	else if (mock_memory_place(p) == MOCK_DEVICE)
		mock_die("copy: %p is device memory and is said to be the host's", p);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
	cudaStream_t stream)
{
	cudaError_t status = mock_enter("cudaMemcpyAsync");
	struct mock_op op = { .kind = MOCK_COPY, .to = to, .from = from, .n = n, .name = "copy" };
	bool device_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
	bool device_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;

	if (status)
		return mock_leave(status);
	if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost &&
		kind != cudaMemcpyDeviceToDevice)
		return mock_leave(cudaErrorInvalidMemcpyDirection);
	if (!n)
		return mock_leave(cudaSuccess);
	check_side(to, n, device_to);
	check_side(from, n, device_from);
	if ((const char *)to < (const char *)from + n && (const char *)from < (const char *)to + n)
		mock_die("copy: the areas overlap");
	if (device_to)
		op.block[op.n_blocks++] = mock_memory_block(to);
	if (device_from)
		op.block[op.n_blocks++] = mock_memory_block(from);
	return mock_leave(mock_queue(stream, &op));
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t n, cudaStream_t stream)
{
	cudaError_t status = mock_enter("cudaMemsetAsync");
	struct mock_op op = { .kind = MOCK_SET,
		.to = to,
		.value = value,
		.n = n,
		.name = "memset" };

	if (status || !n)
		return mock_leave(status);
	mock_memory_check(to, n, MOCK_DEVICE, "memset");
	op.block[op.n_blocks++] = mock_memory_block(to);
	return mock_leave(mock_queue(stream, &op));
}
