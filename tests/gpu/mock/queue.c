/* Streams, events, captures and graphs: what was queued, and when it runs. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/mock/mock.h"

struct capture {
	enum cudaStreamCaptureMode mode;
	pthread_t thread;
	bool on, broken;
	struct mock_op *first, **last;
};

struct CUstream_st {
	struct mock_thing thing;
	int card;
	struct mock_op *first, **last;
	struct capture capture;
	struct CUstream_st *next;
};

/* Tickets count its records; done is that of the last that was reached. */
struct CUevent_st {
	struct mock_thing thing;
	int card;
	uint64_t ticket, done;
	bool captured;
	struct CUstream_st *stream;
};

struct CUgraph_st {
	struct mock_thing thing;
	struct mock_op *first;
};

struct CUgraphExec_st {
	struct mock_thing thing;
	struct mock_op *first;
	int pending;
};

static struct CUstream_st *streams; /* all that were ever made */

static bool eager(void)
{
	const char *order = getenv("VOXTRAIL_MOCK_ORDER");

	return order && !strcmp(order, "eager");
}

/* A number below n, the same in every run of one seed. */
static unsigned chance(unsigned n)
{
	static unsigned x;
	static bool seeded, random;
	const char *order = getenv("VOXTRAIL_MOCK_ORDER");

	if (!seeded) {
		random = order && *order >= '0' && *order <= '9';
		x = random ? (unsigned)strtol(order, NULL, 10) : 0;
		seeded = true;
	}
	x = x * 1664525u + 1013904223u;
	return random ? (x >> 8) % n : n - 1;
}

static uint64_t sum_of(const void *p, size_t n)
{
	const unsigned char *q = p;
	uint64_t h = 14695981039346656037u, w;

	for (; n >= 8; n -= 8, q += 8) {
		memcpy(&w, q, 8);
		h = (h ^ w) * 1099511628211u;
	}
	for (; n; n--)
		h = (h ^ *q++) * 1099511628211u;
	return h;
}

/* --- one operation ------------------------------------------------------- */

/* Memory that a queued copy reads may not be written, memory that it writes not be touched. */
static void hold(const struct mock_op *op, int change)
{
	for (int i = 0; i < op->n_blocks; i++)
		mock_memory_pending(op->block[i], change);
	if (op->kind != MOCK_COPY)
		return;
	if (mock_memory_place(op->from) == MOCK_PINNED)
		mock_memory_protect(op->from, op->n, change < 0, true);
	if (mock_memory_place(op->to) == MOCK_PINNED)
		mock_memory_protect(op->to, op->n, change < 0, change < 0);
}

/* Those of a graph are held launch by launch. */
static void hold_all(const struct mock_op *op, int change)
{
	if (op->kind == MOCK_LAUNCH) {
		for (const struct mock_op *q = op->exec->first; q; q = q->next)
			hold(q, change);
		op->exec->pending += change;
	} else {
		hold(op, change);
	}
}

static void drop_ops(struct mock_op *op)
{
	for (struct mock_op *next; op; op = next) {
		next = op->next;
		free(op);
	}
}

/* What it held is open again. */
static void retire(struct mock_op *op)
{
	if (op->kind == MOCK_LAUNCH && !op->exec->pending && !op->exec->thing.live) {
		drop_ops(op->exec->first);
		op->exec->first = NULL;
	}
	free(op);
}

static void drain(struct CUstream_st *s, const struct CUevent_st *until, uint64_t ticket);

static void perform(const struct mock_op *op)
{
	switch (op->kind) {
	case MOCK_COPY:
		if (mock_memory_place(op->from) == MOCK_PAGEABLE &&
			sum_of(op->from, op->n) != op->sum)
			mock_die("%zu bytes of the host changed after they were given to an "
				 "asynchronous copy and before it ran",
				op->n);
		memmove(op->to, op->from, op->n);
		return;
	case MOCK_SET: memset(op->to, op->value, op->n); return;
	case MOCK_WORK: op->work(op->args); return;
	case MOCK_RECORD: op->event->done = op->ticket; return;
	case MOCK_WAIT:
		if (op->event->done < op->ticket)
			drain(op->event->stream, op->event, op->ticket);
		return;
	case MOCK_LAUNCH:
		for (const struct mock_op *q = op->exec->first; q; q = q->next)
			perform(q);
		return;
	}
}

static void run_first(struct CUstream_st *s)
{
	struct mock_op *op = s->first;

	s->first = op->next;
	if (!s->first)
		s->last = &s->first;
	hold_all(op, -1);
	mock_memory_open();
	perform(op);
	mock_memory_shut();
	retire(op);
}

/* Runs what a stream holds, up to an event's record if one is given. */
static void drain(struct CUstream_st *s, const struct CUevent_st *until, uint64_t ticket)
{
	if (!s || !s->first)
		return;
	mock_memory_open();
	while (s->first && !(until && until->done >= ticket))
		run_first(s);
	mock_memory_shut();
}

static void any_order(void)
{
	if (eager()) {
		for (struct CUstream_st *s = streams; s; s = s->next)
			drain(s, NULL, 0);
		return;
	}
	for (struct CUstream_st *s = streams; s; s = s->next)
		while (s->first && chance(4) == 0)
			run_first(s);
}

void mock_drop_queues(void)
{
	for (struct CUstream_st *s = streams; s; s = s->next) {
		for (struct mock_op *op = s->first, *next; op; op = next) {
			next = op->next;
			hold_all(op, -1);
			retire(op);
		}
		s->first = NULL;
		s->last = &s->first;
	}
}

/* --- queueing and capturing ---------------------------------------------- */

static struct CUstream_st *use(cudaStream_t stream)
{
	if (!stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
		mock_die("the default stream is used: work on it waits for every blocking stream "
			 "and is not captured");
	return mock_use(stream, MOCK_STREAM);
}

bool mock_capturing(const struct CUstream_st *s)
{
	return s->capture.on;
}

bool mock_unsafe(void)
{
	bool unsafe = false;

	for (struct CUstream_st *s = streams; s; s = s->next)
		if (s->capture.on &&
			(s->capture.mode == cudaStreamCaptureModeGlobal ||
				(s->capture.mode == cudaStreamCaptureModeThreadLocal &&
					pthread_equal(s->capture.thread, pthread_self()))))
			unsafe = s->capture.broken = true;
	return unsafe;
}

static cudaError_t capture(struct CUstream_st *s, struct mock_op *op)
{
	bool pageable = op->kind == MOCK_COPY &&
		(mock_memory_place(op->from) == MOCK_PAGEABLE ||
			mock_memory_place(op->to) == MOCK_PAGEABLE);

	if (s->capture.broken || pageable || op->kind == MOCK_WAIT || op->kind == MOCK_LAUNCH) {
		cudaError_t status = s->capture.broken ? cudaErrorStreamCaptureInvalidated
						       : cudaErrorStreamCaptureUnsupported;

		s->capture.broken = true;
		free(op);
		return status;
	}
	if (op->kind == MOCK_RECORD)
		op->event->captured = true;
	*s->capture.last = op;
	s->capture.last = &op->next;
	return cudaSuccess;
}

cudaError_t mock_queue(cudaStream_t stream, struct mock_op *given)
{
	struct CUstream_st *s = use(stream);
	struct mock_op *op = malloc(sizeof(*op));

	if (!op)
		mock_die("out of memory");
	*op = *given;
	op->next = NULL;
	if (s->capture.on)
		return capture(s, op);
	if (op->kind == MOCK_COPY && mock_memory_place(op->from) == MOCK_PAGEABLE)
		op->sum = sum_of(op->from, op->n);
	if (op->kind == MOCK_RECORD) {
		op->event->captured = false;
		op->ticket = ++op->event->ticket;
		op->event->stream = s;
	}
	hold_all(op, 1);
	*s->last = op;
	s->last = &op->next;
	any_order();
	return cudaSuccess;
}

cudaError_t mock_queue_work(cudaStream_t stream, const char *name, void (*work)(const void *),
	const void *args, size_t nbytes, size_t from, size_t scan)
{
	struct mock_op op = { .kind = MOCK_WORK, .work = work, .name = name };
	const struct CUstream_st *s = use(stream);

	if (nbytes > sizeof(op.args))
		mock_die("%s: arguments of %zu bytes", name, nbytes);
	if (s->card != mock_card())
		mock_die("%s is launched on a stream of GPU %d while GPU %d is current", name,
			s->card, mock_card());
	memcpy(op.args, args, nbytes);
	for (size_t at = from; at + sizeof(void *) <= from + scan; at += sizeof(void *)) {
		void *p;
		int block;

		memcpy(&p, (const char *)args + at, sizeof(p));
		block = mock_memory_block(p);
		if (block < 0 && mock_memory_host(p))
			mock_die("%s is given the host's address %p", name, p);
		if (block >= 0 && mock_memory_card(p) != s->card)
			mock_die("%s on GPU %d is given memory of GPU %d", name, s->card,
				mock_memory_card(p));
		if (block >= 0 && op.n_blocks == MOCK_BLOCKS)
			mock_die("%s: too many pointers", name);
		if (block >= 0)
			op.block[op.n_blocks++] = block;
	}
	return mock_queue(stream, &op);
}

/* --- streams ------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
	cudaError_t status = mock_enter("cudaStreamCreateWithFlags");

	if (status)
		return mock_leave(status);
	if (flags & ~(unsigned)cudaStreamNonBlocking)
		return mock_leave(cudaErrorInvalidValue);
	if (mock_unsafe())
		return mock_leave(cudaErrorStreamCaptureUnsupported);
	*stream = mock_new(MOCK_STREAM, sizeof(**stream));
	(*stream)->card = mock_card();
	(*stream)->last = &(*stream)->first;
	(*stream)->next = streams;
	streams = *stream;
	return mock_leave(cudaSuccess);
}

/* What the stream still holds runs before its memory may be freed, but nobody waits: it stays
 * queued until then. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
	cudaError_t status = mock_enter("cudaStreamDestroy");
	struct CUstream_st *s = use(stream);

	if (s->capture.on)
		mock_die("a stream is destroyed while it captures");
	if (!mock_sticky())
		drain(s, NULL, 0);
	mock_end(&s->thing);
	return mock_leave(status);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
	cudaError_t status = mock_enter("cudaStreamSynchronize");
	struct CUstream_st *s = use(stream);

	if (status)
		return mock_leave(status);
	if (s->capture.on)
		s->capture.broken = true;
	if (s->capture.on || mock_unsafe())
		return mock_leave(cudaErrorStreamCaptureUnsupported);
	drain(s, NULL, 0);
	return mock_leave(cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
	cudaError_t status = mock_enter("cudaStreamQuery");
	struct CUstream_st *s = use(stream);

	if (status)
		return mock_leave(status);
	if (s->capture.on)
		s->capture.broken = true;
	if (s->capture.on || mock_unsafe())
		return mock_leave(cudaErrorStreamCaptureUnsupported);
	if (!s->first)
		return mock_leave(cudaSuccess);
	run_first(s); /* time goes by while somebody asks */
	return mock_leave(cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize(void)
{
	cudaError_t status = mock_enter("cudaDeviceSynchronize");

	if (status)
		return mock_leave(status);
	if (mock_unsafe())
		return mock_leave(cudaErrorStreamCaptureUnsupported);
	for (struct CUstream_st *s = streams; s; s = s->next)
		if (s->card == mock_card())
			drain(s, NULL, 0);
	return mock_leave(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags)
{
	cudaError_t status = mock_enter("cudaStreamWaitEvent");
	struct CUevent_st *e = mock_use(event, MOCK_EVENT);

	if (status)
		return mock_leave(status);
	if (flags)
		return mock_leave(cudaErrorInvalidValue);
	return mock_leave(mock_queue(stream,
		&(struct mock_op){ .kind = MOCK_WAIT, .event = e, .ticket = e->ticket }));
}

/* --- events -------------------------------------------------------------- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
	cudaError_t status = mock_enter("cudaEventCreateWithFlags");

	if (status)
		return mock_leave(status);
	if (flags & ~(unsigned)(cudaEventBlockingSync | cudaEventDisableTiming))
		return mock_leave(cudaErrorInvalidValue);
	*event = mock_new(MOCK_EVENT, sizeof(**event));
	(*event)->card = mock_card();
	return mock_leave(cudaSuccess);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
	cudaError_t status = mock_enter("cudaEventDestroy");

	mock_end(mock_use(event, MOCK_EVENT));
	return mock_leave(status);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	cudaError_t status = mock_enter("cudaEventRecord");
	struct CUevent_st *e = mock_use(event, MOCK_EVENT);

	if (status)
		return mock_leave(status);
	if (use(stream)->card != e->card)
		return mock_leave(cudaErrorInvalidResourceHandle);
	return mock_leave(mock_queue(stream, &(struct mock_op){ .kind = MOCK_RECORD, .event = e }));
}

static cudaError_t wait_for(const char *name, cudaEvent_t event, bool ask)
{
	cudaError_t status = mock_enter(name);
	struct CUevent_st *e = mock_use(event, MOCK_EVENT);

	if (status)
		return mock_leave(status);
	if (e->captured)
		return mock_leave(cudaErrorCapturedEvent);
	if (mock_unsafe())
		return mock_leave(cudaErrorStreamCaptureUnsupported);
	if (!ask)
		drain(e->stream, e, e->ticket);
	return mock_leave(e->done < e->ticket ? cudaErrorNotReady : cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
	return wait_for("cudaEventSynchronize", event, false);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
	return wait_for("cudaEventQuery", event, true);
}

/* A time without a clock: half a millisecond a ticket between them. */
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
	cudaError_t status = mock_enter("cudaEventElapsedTime");
	struct CUevent_st *a = mock_use(from, MOCK_EVENT), *b = mock_use(to, MOCK_EVENT);

	if (status)
		return mock_leave(status);
	if (!a->done || !b->done)
		return mock_leave(cudaErrorNotReady);
	*ms = 0.5f * (float)b->done;
	return mock_leave(cudaSuccess);
}

/* --- graphs -------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
	cudaError_t status = mock_enter("cudaStreamBeginCapture");
	struct CUstream_st *s = use(stream);

	if (status)
		return mock_leave(status);
	if (s->capture.on)
		return mock_leave(cudaErrorIllegalState);
	s->capture = (struct capture){ .mode = mode, .thread = pthread_self(), .on = true };
	s->capture.last = &s->capture.first;
	return mock_leave(cudaSuccess);
}

/* Whatever it says, the stream captures no longer. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
	cudaError_t status = mock_enter("cudaStreamEndCapture");
	struct CUstream_st *s = use(stream);

	*graph = NULL;
	if (!s->capture.on)
		return mock_leave(status ? status : cudaErrorIllegalState);
	if (!status && s->capture.mode != cudaStreamCaptureModeRelaxed &&
		!pthread_equal(s->capture.thread, pthread_self()))
		return mock_leave(cudaErrorStreamCaptureWrongThread);
	s->capture.on = false;
	if (!status && s->capture.broken)
		status = cudaErrorStreamCaptureInvalidated;
	if (status) {
		drop_ops(s->capture.first);
		return mock_leave(status);
	}
	*graph = mock_new(MOCK_GRAPH, sizeof(**graph));
	(*graph)->first = s->capture.first;
	return mock_leave(cudaSuccess);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *out)
{
	cudaError_t status = mock_enter("cudaStreamIsCapturing");
	const struct CUstream_st *s = use(stream);

	*out = !s->capture.on       ? cudaStreamCaptureStatusNone
		: s->capture.broken ? cudaStreamCaptureStatusInvalidated
				    : cudaStreamCaptureStatusActive;
	return mock_leave(status);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
	cudaError_t status = mock_enter("cudaGraphInstantiate");
	const struct CUgraph_st *g = mock_use(graph, MOCK_GRAPH);
	struct mock_op **last;

	if (status || flags)
		return mock_leave(status ? status : cudaErrorInvalidValue);
	*exec = mock_new(MOCK_EXEC, sizeof(**exec));
	last = &(*exec)->first;
	for (const struct mock_op *op = g->first; op; op = op->next) {
		*last = malloc(sizeof(**last));
		if (!*last)
			mock_die("out of memory");
		**last = *op;
		last = &(*last)->next;
	}
	*last = NULL;
	return mock_leave(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
	cudaError_t status = mock_enter("cudaGraphDestroy");
	struct CUgraph_st *g = mock_use(graph, MOCK_GRAPH);

	drop_ops(g->first);
	mock_end(&g->thing);
	return mock_leave(status);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
	cudaError_t status = mock_enter("cudaGraphLaunch");
	struct CUgraphExec_st *x = mock_use(exec, MOCK_EXEC);

	return mock_leave(status
			? status
			: mock_queue(stream, &(struct mock_op){ .kind = MOCK_LAUNCH, .exec = x }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
	cudaError_t status = mock_enter("cudaGraphExecDestroy");
	struct CUgraphExec_st *x = mock_use(exec, MOCK_EXEC);

	mock_end(&x->thing);
	if (!x->pending) {
		drop_ops(x->first);
		x->first = NULL;
	}
	return mock_leave(status);
}
