/* A GPU: memory, streams and recorded sequences by the CUDA runtime, kernels by launch.cu,
 * convolutions by convolution.c.
 *
 * One stream.  Uploads go through a pinned ring, so that the next patch is copied while the last
 * step computes; what is larger than a slot waits.  The runtime is linked statically and finds
 * the driver when it is first called. */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/cuda/convolution.h"
#include "gpu/cuda/cuda.h"
#include "gpu/kernel/launch.h"
#include "gpu/engine/plugin.h"

enum { SLOTS = 4, SLOT_BYTES = 16 << 20, LEAST_CAPABILITY = 80 };

struct card {
	struct vg_device base;
	cudaStream_t stream;
	struct vg_cudnn *cudnn;
	char *slot[SLOTS];
	cudaEvent_t sent[SLOTS];
	/* runs: of each engine, where they are timed */
	int next, number, runs, driver, runtime;
	struct cudaDeviceProp about;
};

struct vg_tape {
	cudaGraphExec_t exec;
};

static struct card *self(struct vg_device *device)
{
	return (struct card *)device;
}

/* An error stays in the runtime until it is asked for; the next launch would take it for its
 * own. */
static void forget(cudaError_t status)
{
	if (status != cudaSuccess)
		(void)cudaGetLastError();
}

static int check(cudaError_t status, const char *what, struct vt_err *err)
{
	size_t free_bytes = 0, all = 0;

	if (status == cudaSuccess)
		return 0;
	forget(status);
	if (status != cudaErrorMemoryAllocation)
		return vt_err_set(err, VT_EDEVICE, "CUDA: %s: %s", what,
			cudaGetErrorString(status));
	forget(cudaMemGetInfo(&free_bytes, &all));
	return vt_err_set(err, VT_ENOMEM,
		"CUDA: %s: out of memory; the GPU has %.1f of %.1f MiB free", what,
		(double)free_bytes / 1048576, (double)all / 1048576);
}

/* --- memory -------------------------------------------------------------- */
static int alloc(struct vg_device *device, void **p, size_t nbytes, struct vt_err *err)
{
	size_t free_bytes = 0, all = 0;
	cudaError_t status = cudaMalloc(p, nbytes);

	(void)device;
	if (status != cudaErrorMemoryAllocation)
		return check(status, "cudaMalloc", err);
	forget(status);
	forget(cudaMemGetInfo(&free_bytes, &all));
	return vt_err_set(err, VT_ENOMEM,
		"the GPU has %.1f MiB free and %.1f MiB more are needed; use a smaller "
		"patch, batch or fewer filters",
		(double)free_bytes / 1048576, (double)nbytes / 1048576);
}

/* cudaFree need not wait for queued work that uses the memory. */
static void release(struct vg_device *device, void *p)
{
	if (!p)
		return;
	forget(cudaStreamSynchronize(self(device)->stream));
	forget(cudaFree(p));
}

static size_t room(struct vg_device *device)
{
	size_t free_bytes = 0, all = 0;

	(void)device;
	forget(cudaMemGetInfo(&free_bytes, &all));
	return free_bytes;
}

static int upload(struct vg_device *device, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	struct card *c = self(device);
	int k = c->next, rc;

	if (nbytes > SLOT_BYTES) {
		rc = check(cudaMemcpyAsync(to, from, nbytes, cudaMemcpyHostToDevice, c->stream),
			"upload", err);
		return rc ? rc : check(cudaStreamSynchronize(c->stream), "upload", err);
	}
	/* The slot's last copy must have left before it is written over. */
	rc = check(cudaEventSynchronize(c->sent[k]), "upload", err);
	if (rc)
		return rc;
	memcpy(c->slot[k], from, nbytes);
	rc = check(cudaMemcpyAsync(to, c->slot[k], nbytes, cudaMemcpyHostToDevice, c->stream),
		"upload", err);
	c->next = (k + 1) % SLOTS;
	return rc ? rc : check(cudaEventRecord(c->sent[k], c->stream), "upload", err);
}

static int download(struct vg_device *device, void *to, const void *from, size_t nbytes,
	struct vt_err *err)
{
	int rc = check(cudaMemcpyAsync(to, from, nbytes, cudaMemcpyDeviceToHost,
			       self(device)->stream),
		"download", err);

	return rc ? rc : check(cudaStreamSynchronize(self(device)->stream), "download", err);
}

static int clear(struct vg_device *device, void *p, size_t nbytes, struct vt_err *err)
{
	return check(cudaMemsetAsync(p, 0, nbytes, self(device)->stream), "clear", err);
}

/* --- work ---------------------------------------------------------------- */
static int run(struct vg_device *device, enum vg_kernel kernel, const void *args, uint32_t items,
	struct vt_err *err)
{
	static const char *const names[] = { VG_KERNEL_NAMES };

	return check((cudaError_t)vg_launch((int)kernel, args, items, self(device)->stream),
		names[kernel], err);
}

static int conv_new(struct vg_device *device, struct vg_conv **out, const struct vg_conv_spec *spec,
	struct vt_err *err)
{
	return vg_cudnn_plan(self(device)->cudnn, out, spec, err);
}

/* Arrays and events that a timed convolution needs. */
struct trial {
	void *array[4];
	cudaEvent_t from, to;
};

static int begin_trial(struct card *gpu, struct trial *trial, struct vg_conv *conv,
	const struct vg_conv_spec *spec, struct vt_err *err)
{
	size_t lanes = VG_LANES * vg_type_size(spec->type),
	       taps = (size_t)(spec->k * spec->k * spec->k);
	size_t n[4] = { vg_chunks(&spec->x) * lanes,
		(size_t)spec->y.chunks * VG_LANES * taps * (size_t)spec->x.chunks * lanes,
		vg_chunks(&spec->y) * lanes, vg_cudnn_workspace(conv) };
	int rc = check(cudaEventCreateWithFlags(&trial->from, cudaEventDefault), "event", err);

	if (!rc)
		rc = check(cudaEventCreateWithFlags(&trial->to, cudaEventDefault), "event", err);
	/* An array of no bytes gets some: engines may want an address. */
	for (int i = 0; !rc && i < 4; i++) {
		rc = alloc(&gpu->base, &trial->array[i], n[i] ? n[i] : 256, err);
		if (!rc && n[i])
			rc = clear(&gpu->base, trial->array[i], n[i], err);
	}
	return rc;
}

static void end_trial(struct card *gpu, struct trial *trial)
{
	for (int i = 0; i < 4; i++)
		release(&gpu->base, trial->array[i]);
	if (trial->from)
		forget(cudaEventDestroy(trial->from));
	if (trial->to)
		forget(cudaEventDestroy(trial->to));
}

/* Milliseconds of one execution. */
static int time_once(struct card *gpu, const struct trial *trial, struct vg_conv *conv, float *ms,
	struct vt_err *err)
{
	int rc = check(cudaEventRecord(trial->from, gpu->stream), "event", err);

	if (!rc)
		rc = vg_cudnn_execute(gpu->cudnn, conv, trial->array[0], trial->array[1],
			trial->array[2], trial->array[3], err);
	if (!rc)
		rc = check(cudaEventRecord(trial->to, gpu->stream), "event", err);
	if (!rc)
		rc = check(cudaEventSynchronize(trial->to), "event", err);
	return rc ? rc : check(cudaEventElapsedTime(ms, trial->from, trial->to), "event", err);
}

static int by_value(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The median of as many runs as are wished for, behind two to warm up. */
static int time_conv(void *context, struct vg_conv *conv, const struct vg_conv_spec *spec,
	double *ms, struct vt_err *err)
{
	enum { WARM = 2 };
	struct card *c = context;
	struct trial t = { { NULL }, NULL, NULL };
	int runs = c->runs, rc = begin_trial(c, &t, conv, spec, err);
	float *each = vt_xcalloc((size_t)runs + 1, sizeof(*each));

	/* The first runs count for nothing: clocks and caches. */
	for (int i = -WARM; !rc && i < runs; i++)
		rc = time_once(c, &t, conv, &each[i < 0 ? 0 : i], err);
	qsort(each, (size_t)runs, sizeof(*each), by_value);
	*ms = (double)each[runs / 2];
	free(each);
	end_trial(c, &t);
	return rc;
}

static int convolve(struct vg_device *device, struct vg_conv *conv, void *x, void *w, void *y,
	void *workspace, struct vt_err *err)
{
	return vg_cudnn_execute(self(device)->cudnn, conv, x, w, y, workspace, err);
}

static int record(struct vg_device *device, struct vt_err *err)
{
	/* Thread-local: other threads' calls do not end the recording. */
	return check(cudaStreamBeginCapture(self(device)->stream, cudaStreamCaptureModeThreadLocal),
		"record", err);
}

static int stop(struct vg_device *device, struct vg_tape **out, struct vt_err *err)
{
	struct vg_tape *t = vt_xcalloc(1, sizeof(*t));
	cudaGraph_t graph = NULL;
	int rc = check(cudaStreamEndCapture(self(device)->stream, &graph), "record", err);

	if (!rc)
		rc = check(cudaGraphInstantiate(&t->exec, graph, 0), "graph", err);
	if (graph)
		forget(cudaGraphDestroy(graph));
	if (rc)
		free(t);
	else
		*out = t;
	return rc;
}

static int replay(struct vg_device *device, struct vg_tape *tape, struct vt_err *err)
{
	return check(cudaGraphLaunch(tape->exec, self(device)->stream), "replay", err);
}

static void tape_free(struct vg_tape *tape)
{
	if (tape)
		forget(cudaGraphExecDestroy(tape->exec));
	free(tape);
}

/* --- opening ------------------------------------------------------------- */
static void close_card(struct vg_device *device)
{
	struct card *c = self(device);

	vg_cudnn_close(c->cudnn);
	for (int k = 0; k < SLOTS; k++) {
		if (c->slot[k])
			forget(cudaFreeHost(c->slot[k]));
		if (c->sent[k])
			forget(cudaEventDestroy(c->sent[k]));
	}
	if (c->stream)
		forget(cudaStreamDestroy(c->stream));
	free(c);
}

static void describe(struct vg_device *device, struct vt_json *json)
{
	struct card *c = self(device);
	char text[32];

	vt_json_put_text(json, "card", c->about.name);
	snprintf(text, sizeof(text), "%d.%d", c->about.major, c->about.minor);
	vt_json_put_text(json, "capability", text);
	vt_json_put_int(json, "driver", c->driver);
	vt_json_put_int(json, "cuda", c->runtime);
	vt_json_put(json, "engines", vg_cudnn_engines(c->cudnn));
	vt_json_put_int(json, "cudnn", (int64_t)vg_cudnn_version(c->cudnn));
}

static void follow(struct vg_device *device, const struct vg_device *first)
{
	vg_cudnn_follow(self(device)->cudnn, ((const struct card *)first)->cudnn);
}

void *vg_card_stream(const struct vg_device *device)
{
	return ((const struct card *)device)->stream;
}

int vg_card_number(const struct vg_device *device)
{
	return ((const struct card *)device)->number;
}

/* The driver and a GPU that this plugin has code for, one of `of`. */
static int find_card(struct card *gpu, int of, struct vt_err *err)
{
	/* Asked first, for the runtime's own error does not name the driver. */
	void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	cudaError_t status;
	int n = 0;

	if (!driver)
		return vt_err_set(err, VT_EDEVICE,
			"the NVIDIA driver is missing: libcuda.so.1 is not installed on "
			"this machine");
	dlclose(driver);
	forget(cudaRuntimeGetVersion(&gpu->runtime));
	forget(cudaDriverGetVersion(&gpu->driver));
	status = cudaGetDeviceCount(&n);
	if (status == cudaErrorInsufficientDriver)
		return vt_err_set(err, VT_EDEVICE,
			"the NVIDIA driver is too old: it serves CUDA %d.%d, this plugin "
			"needs %d.%d",
			gpu->driver / 1000, gpu->driver % 1000 / 10, gpu->runtime / 1000,
			gpu->runtime % 1000 / 10);
	if (status != cudaSuccess || n < 1)
		return vt_err_set(err, VT_EDEVICE, "no GPU: %s",
			status == cudaSuccess ? "CUDA_VISIBLE_DEVICES leaves "
						"none"
					      : cudaGetErrorString(status));
	/* Equal for all ranks: who opens rank 0 sees it. */
	if (n < of)
		return vt_err_set(err, VT_EDEVICE,
			"%d GPUs were asked for and %d can be seen; give --devices %d, or "
			"let CUDA_VISIBLE_DEVICES show more",
			of, n, n);
	if (check(cudaSetDevice(gpu->number), "card", err) ||
		check(cudaGetDeviceProperties(&gpu->about, gpu->number), "card", err))
		return err->code;
	if (10 * gpu->about.major + gpu->about.minor < LEAST_CAPABILITY)
		return vt_err_set(err, VT_EDEVICE,
			"the GPU %s has compute capability %d.%d; 8.0 or newer is needed",
			gpu->about.name, gpu->about.major, gpu->about.minor);
	/* asks for one kernel, which all are built like: is there code for this GPU? */
	status = (cudaError_t)vg_launch_check();
	forget(status);
	if (status != cudaSuccess)
		return vt_err_set(err, VT_EDEVICE,
			"the plugin holds no code for %s (capability %d.%d); build it with "
			"GPU_ARCHS=%d%d",
			gpu->about.name, gpu->about.major, gpu->about.minor, gpu->about.major,
			gpu->about.minor);
	return 0;
}

static int make_queue(struct card *gpu, struct vt_err *err)
{
	int rc = check(cudaStreamCreateWithFlags(&gpu->stream, cudaStreamNonBlocking), "stream",
		err);

	/* Pinned memory is copied while the host goes on. */
	for (int k = 0; !rc && k < SLOTS; k++) {
		rc = check(cudaMallocHost((void **)&gpu->slot[k], SLOT_BYTES), "pinned memory",
			err);
		if (!rc)
			rc = check(cudaEventCreateWithFlags(&gpu->sent[k], cudaEventDisableTiming),
				"event", err);
	}
	return rc;
}

int vg_device_open(struct vg_device **out, int card, int of, const char *engines,
	struct vt_err *err)
{
	static const struct vg_device_ops ops = { .close = close_card,
		.describe = describe,
		.alloc = alloc,
		.release = release,
		.room = room,
		.upload = upload,
		.download = download,
		.clear = clear,
		.run = run,
		.conv_new = conv_new,
		.conv_workspace = vg_cudnn_workspace,
		.convolve = convolve,
		.conv_free = vg_cudnn_plan_free,
		.record = record,
		.stop = stop,
		.replay = replay,
		.tape_free = tape_free,
		.follow = follow };
	struct card *c = vt_xcalloc(1, sizeof(*c));
	int rc;

	c->number = card;
	rc = find_card(c, of, err);
	c->base.ops = &ops;
	if (!rc)
		rc = make_queue(c, err);
	if (!rc)
		rc = vg_cudnn_open(&c->cudnn, NULL, engines, err);
	if (!rc)
		rc = vg_cudnn_stream(c->cudnn, c->stream, err);
	if (!rc)
		c->runs = vg_cudnn_tune(c->cudnn, time_conv, c);
	/* no tuning: the timer is taken out again */
	if (!c->runs && c->cudnn)
		vg_cudnn_tune(c->cudnn, NULL, NULL);
	if (rc)
		close_card(&c->base);
	else
		*out = &c->base;
	return rc;
}
