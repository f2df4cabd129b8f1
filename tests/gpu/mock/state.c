/* Calls, errors and living things. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/mock/control.h"
#include "tests/gpu/mock/mock.h"

static struct {
	pthread_mutex_t lock;
	bool begun;
	long calls, fail_at;
	int variant, cards;
	cudaError_t sticky;
	char failed[64]; /* function that was made to fail */
	FILE *trace;
	const char **name; /* of each call */
	long room;
	struct mock_thing *things;
} m = { .lock = PTHREAD_MUTEX_INITIALIZER };

static __thread cudaError_t last_error;
static __thread int current_card;

void mock_die(const char *rule, ...)
{
	va_list ap;

	fprintf(stderr, "stand-in: ");
	va_start(ap, rule);
	vfprintf(stderr, rule, ap);
	va_end(ap);
	fprintf(stderr, " (call %ld)\n", m.calls);
	abort();
}

static void begin(void)
{
	const char *fail = getenv("VOXTRAIL_MOCK_FAIL"), *cards = getenv("VOXTRAIL_MOCK_CARDS"),
		   *trace = getenv("VOXTRAIL_MOCK_TRACE");
	char *end;

	m.begun = true;
	m.cards = cards ? (int)strtol(cards, NULL, 10) : 1;
	if (trace)
		m.trace = fopen(trace, "a");
	if (fail) {
		m.fail_at = strtol(fail, &end, 10);
		m.variant = *end == ':' ? (int)strtol(end + 1, NULL, 10) : 0;
	}
}

/* --- errors that are made to come ---------------------------------------- */

enum { STICKY = 1 << 20 };

/* What a function may plausibly say; the name's beginning is compared, the first row that fits
 * counts. */
static const struct {
	const char *name;
	int status[4];
} plausible[] = {
	{ "cudaMalloc",
		{ cudaErrorMemoryAllocation, cudaErrorECCUncorrectable | STICKY,
			cudaErrorDevicesUnavailable } },
	{ "cudaGetDeviceCount",
		{ cudaErrorNoDevice, cudaErrorInsufficientDriver, cudaErrorSystemDriverMismatch } },
	{ "cudaSetDevice",
		{ cudaErrorDevicesUnavailable, cudaErrorMemoryAllocation,
			cudaErrorInvalidDevice } },
	{ "cudaGetDeviceProperties", { cudaErrorInvalidDevice, cudaErrorUnknown } },
	{ "cudaFuncGetAttributes",
		{ cudaErrorInvalidDeviceFunction, cudaErrorNoKernelImageForDevice,
			cudaErrorInvalidPtx } },
	{ "cudaLaunchKernel",
		{ cudaErrorLaunchOutOfResources, cudaErrorLaunchFailure | STICKY,
			cudaErrorMemoryAllocation } },
	{ "cudaStreamBeginCapture",
		{ cudaErrorMemoryAllocation, cudaErrorECCUncorrectable | STICKY,
			cudaErrorIllegalState } },
	{ "cudaStreamEndCapture",
		{ cudaErrorStreamCaptureInvalidated, cudaErrorMemoryAllocation,
			cudaErrorLaunchFailure | STICKY } },
	{ "cudaGraphInstantiate",
		{ cudaErrorMemoryAllocation, cudaErrorNotSupported,
			cudaErrorLaunchFailure | STICKY } },
	{ "cudaGraphLaunch",
		{ cudaErrorMemoryAllocation, cudaErrorLaunchFailure | STICKY,
			cudaErrorIllegalAddress | STICKY } },
	{ "cudaStreamCreate", { cudaErrorMemoryAllocation, cudaErrorUnknown } },
	{ "cudaEventCreate", { cudaErrorMemoryAllocation, cudaErrorUnknown } },
	{ "cudaStreamSynchronize",
		{ cudaErrorLaunchFailure | STICKY, cudaErrorIllegalAddress | STICKY,
			cudaErrorECCUncorrectable | STICKY } },
	{ "cudaEventSynchronize",
		{ cudaErrorLaunchTimeout | STICKY, cudaErrorECCUncorrectable | STICKY } },
	/* CUDA driver version, not initialized, incompatible */
	{ "cudnnCreate", { 1003, 1001, 3000 } },
	{ "cudnnBackendExecute",
		/* execution failed in the driver; execution failed; internal error */
		{ 5003, 5000, 4000 } },
	/* not supported, bad parameter, host allocation failed */
	{ "cudnnBackendFinalize", { 3000, 2000, 4003 } },
	{ "cudnn", { 4003, 4000 } },
	{ "nccl", { 2, 3 } }, /* system error, internal error */
	{ "",
		{ cudaErrorECCUncorrectable | STICKY, cudaErrorLaunchFailure | STICKY,
			cudaErrorMemoryAllocation } },
};

static int injected(const char *name)
{
	size_t i = 0;
	int n = 0, status;

	if (m.calls == m.room) {
		m.room = m.room ? 2 * m.room : 4096;
		m.name = realloc(m.name, (size_t)m.room * sizeof(*m.name));
		if (!m.name)
			mock_die("out of memory");
	}
	m.name[m.calls++] = name;
	if (m.trace)
		fprintf(m.trace, "%ld %s\n", m.calls, name);
	if (m.calls != m.fail_at)
		return 0;
	while (strncmp(name, plausible[i].name, strlen(plausible[i].name)))
		i++;
	while (n < 4 && plausible[i].status[n])
		n++;
	status = plausible[i].status[m.variant % n];
	snprintf(m.failed, sizeof(m.failed), "%s", name);
	if (status & STICKY) {
		m.sticky = (cudaError_t)(status & ~STICKY);
		mock_drop_queues();
	}
	return status & ~STICKY;
}

cudaError_t mock_enter(const char *name)
{
	int status;

	pthread_mutex_lock(&m.lock);
	if (!m.begun)
		begin();
	if (m.sticky)
		return m.sticky;
	status = injected(name);
	return (cudaError_t)status;
}

cudaError_t mock_leave(cudaError_t status)
{
	if (status != cudaSuccess && status != cudaErrorNotReady)
		last_error = status;
	pthread_mutex_unlock(&m.lock);
	return status;
}

int mock_enter_cudnn(const char *name)
{
	pthread_mutex_lock(&m.lock);
	if (!m.begun)
		begin();
	if (m.sticky && !strcmp(name, "cudnnBackendExecute"))
		return 5003;
	return m.sticky ? 0 : injected(name);
}

void mock_leave_cudnn(void)
{
	pthread_mutex_unlock(&m.lock);
}

cudaError_t mock_sticky(void)
{
	return m.sticky;
}

cudaError_t mock_last_error(bool clear)
{
	cudaError_t status = m.sticky ? m.sticky : last_error;

	if (clear)
		last_error = cudaSuccess;
	return status;
}

/* --- living things ------------------------------------------------------- */

void *mock_new(enum mock_kind kind, size_t nbytes)
{
	struct mock_thing *t = calloc(1, nbytes);

	if (!t)
		mock_die("out of memory");
	*t = (struct mock_thing){ kind, true, m.things };
	m.things = t;
	return t;
}

/* Things stay in memory, so that one that was destroyed is known as such. */
void *mock_use(const void *thing, enum mock_kind kind)
{
	static const char *const names[] = { "", "stream", "event", "graph", "executable graph",
		"cuDNN handle", "cuDNN descriptor", "NCCL communicator" };
	struct mock_thing *t = (struct mock_thing *)thing;

	if (!t || t->kind != kind)
		mock_die("%p is no %s", thing, names[kind]);
	if (!t->live)
		mock_die("%s %p is used after it was destroyed", names[kind], thing);
	return t;
}

void mock_end(struct mock_thing *t)
{
	t->live = false;
}

int mock_cards(void)
{
	return m.cards;
}

int mock_card(void)
{
	return current_card;
}

void mock_set_card(int card)
{
	current_card = card;
}

/* --- control.h ----------------------------------------------------------- */

static int living(bool say)
{
	static const char *const names[] = { "", "streams", "events", "graphs", "executable graphs",
		"cuDNN handles", "cuDNN descriptors", "NCCL communicators" };
	int n[8] = { 0 }, all = 0;

	for (struct mock_thing *t = m.things; t; t = t->before)
		n[t->kind] += t->live;
	for (int i = 1; i < 8; i++) {
		all += n[i];
		if (say && n[i])
			fprintf(stderr, "stand-in: %d %s were not destroyed\n", n[i], names[i]);
	}
	return all + mock_memory_leaks(say);
}

void mock_fail(long call, int variant)
{
	begin();
	m.calls = 0;
	m.fail_at = call;
	m.variant = variant;
	m.sticky = cudaSuccess;
	m.failed[0] = '\0';
	last_error = cudaSuccess;
}

long mock_calls(void)
{
	return m.calls;
}

const char *mock_call(long call)
{
	return call >= 1 && call <= m.calls ? m.name[call - 1] : "";
}

const char *mock_failed(void)
{
	return m.failed;
}

int mock_leaks(bool say)
{
	return living(say);
}

/* At the end of the process everything must have been given back. */
__attribute__((destructor)) static void finish(void)
{
	if (!living(true))
		return;
	fflush(NULL);
	_Exit(99);
}
