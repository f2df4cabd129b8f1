/* NCCL as far as a link between GPUs uses it, on the stand-in's streams.  Besides wrong
 * arguments these end the process: a send without its receive in the same group (its kernel
 * would wait for ever), a group of two threads, operations that are captured, a buffer or stream
 * of another GPU than the communicator's.
 *
 *      VOXTRAIL_MOCK_NCCL=V          the version it says it has (22809)
 *      VOXTRAIL_MOCK_NCCL_LATE=N     calls are in progress until asked about N times */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/mock/mock.h"

#if __has_include(<nccl.h>)
#include <nccl.h>

enum { MOST_OPS = 512 };

struct ncclComm {
	struct mock_thing thing;
	struct ncclComm **clique;
	int rank, n, card, late;
	ncclResult_t failed;
	/* in the group's kernel: it has begun, its receives are done */
	cudaEvent_t came, copied;
};

/* Both ends of a move, one of which may be missing yet. */
struct op {
	bool send;
	struct ncclComm *comm;
	int peer;
	const void *from;
	void *to;
	size_t n;
	cudaStream_t stream;
	bool matched;
};

static struct {
	int depth, n;
	/* an operation of it has failed, so others lack their counterparts */
	bool broken;
	pthread_t thread;
	struct op op[MOST_OPS];
} group;

static ncclResult_t enter(const char *name)
{
	int status = mock_enter_cudnn(name);

	mock_leave_cudnn();
	return (ncclResult_t)status;
}

static struct ncclComm *use(ncclComm_t comm)
{
	return mock_use(comm, MOCK_COMM);
}

static long number(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : otherwise;
}

/* --- communicators ------------------------------------------------------- */

ncclResult_t ncclGetVersion(int *version)
{
	ncclResult_t status = enter("ncclGetVersion");

	*version = (int)number("VOXTRAIL_MOCK_NCCL", NCCL_VERSION_CODE);
	return status;
}

const char *ncclGetErrorString(ncclResult_t result)
{
	return result == ncclSystemError ? "unhandled system error" : "internal error";
}

const char *ncclGetLastError(ncclComm_t comm)
{
	(void)comm;
	return "as the stand-in was told";
}

static ncclResult_t answer(struct ncclComm *const *comm, int n)
{
	int late = (int)number("VOXTRAIL_MOCK_NCCL_LATE", 0);

	for (int i = 0; i < n; i++)
		comm[i]->late = late;
	return late ? ncclInProgress : ncclSuccess;
}

static void on_card(int card, cudaEvent_t *event)
{
	int before;

	if (cudaGetDevice(&before) || cudaSetDevice(card) ||
		cudaEventCreateWithFlags(event, cudaEventDisableTiming))
		*event = NULL;
	cudaSetDevice(before);
}

ncclResult_t ncclCommInitAll(ncclComm_t *comm, int n, const int *devices)
{
	ncclResult_t status = enter("ncclCommInitAll");
	struct ncclComm **clique;

	if (status != ncclSuccess)
		return status;
	clique = calloc((size_t)n, sizeof(struct ncclComm *));
	for (int r = 0; r < n; r++) {
		for (int s = 0; s < r; s++)
			if (devices[r] == devices[s])
				mock_die("two ranks of a communicator are on GPU %d", devices[r]);
		if (devices[r] < 0 || devices[r] >= mock_cards())
			mock_die("there is no GPU %d", devices[r]);
		clique[r] = comm[r] = mock_new(MOCK_COMM, sizeof(struct ncclComm));
		comm[r]->rank = r;
		comm[r]->n = n;
		comm[r]->card = devices[r];
		comm[r]->clique = clique;
		on_card(devices[r], &comm[r]->came);
		on_card(devices[r], &comm[r]->copied);
		if (!comm[r]->came || !comm[r]->copied)
			comm[0]->failed = ncclUnhandledCudaError;
	}
	return comm[0]->failed ? comm[0]->failed : answer(clique, n);
}

static ncclResult_t end(ncclComm_t comm)
{
	struct ncclComm *c = use(comm);
	bool last = true;

	if (c->came)
		cudaEventDestroy(c->came);
	if (c->copied)
		cudaEventDestroy(c->copied);
	mock_end(&c->thing);
	for (int r = 0; r < c->n; r++)
		last &= !c->clique[r] || !c->clique[r]->thing.live;
	if (last)
		free(c->clique);
	return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
	enter("ncclCommDestroy");
	return end(comm);
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
	enter("ncclCommAbort");
	return end(comm);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
	struct ncclComm *c = use(comm);
	ncclResult_t status = enter("ncclCommGetAsyncError");

	*state = c->failed ? c->failed : c->late > 0 ? ncclInProgress : ncclSuccess;
	c->late -= c->late > 0;
	return status;
}

/* --- groups -------------------------------------------------------------- */

ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupStart(void)
{
	ncclResult_t status = enter("ncclGroupStart");

	if (status != ncclSuccess)
		return status;
	if (group.depth++ && !pthread_equal(group.thread, pthread_self()))
		mock_die("two threads issue a group at once");
	group.thread = pthread_self();
	return ncclSuccess;
}

static ncclResult_t add(const char *name, struct op op)
{
	const struct ncclComm *c = use(op.comm);
	enum cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
	const void *buffer = op.send ? op.from : op.to;
	ncclResult_t status = enter(name);

	group.broken |= status != ncclSuccess;
	if (status != ncclSuccess)
		return status;
	if (!group.depth || !pthread_equal(group.thread, pthread_self()))
		mock_die("%s outside of a group: with several GPUs in a process it waits for ever",
			name);
	if (op.peer < 0 || op.peer >= c->n || op.peer == c->rank)
		mock_die("%s: rank %d has no peer %d", name, c->rank, op.peer);
	if (c->late)
		mock_die("%s: the communicator is still in progress", name);
	mock_memory_check(buffer, op.n, MOCK_DEVICE, name);
	if (mock_memory_card(buffer) != c->card)
		mock_die("%s: the buffer is on GPU %d, rank %d on GPU %d", name,
			mock_memory_card(buffer), c->rank, c->card);
	cudaStreamIsCapturing(op.stream, &capturing);
	if (capturing != cudaStreamCaptureStatusNone)
		mock_die("%s is captured, with several GPUs in a process", name);
	if (group.n == MOST_OPS)
		mock_die("too many operations in a group");
	group.op[group.n++] = op;
	return ncclSuccess;
}

ncclResult_t ncclSend(const void *from, size_t n, ncclDataType_t type, int peer, ncclComm_t comm,
	cudaStream_t stream)
{
	if (type != ncclUint8)
		mock_die("ncclSend: of bytes only");
	return add("ncclSend",
		(struct op){ .send = true,
			.comm = comm,
			.peer = peer,
			.from = from,
			.n = n,
			.stream = stream });
}

ncclResult_t ncclRecv(void *to, size_t n, ncclDataType_t type, int peer, ncclComm_t comm,
	cudaStream_t stream)
{
	if (type != ncclUint8)
		mock_die("ncclRecv: of bytes only");
	return add("ncclRecv",
		(struct op){ .comm = comm, .peer = peer, .to = to, .n = n, .stream = stream });
}

/* The first send to this rank that has no receive yet: operations of one pair keep their order. */
static struct op *sender(const struct op *receive)
{
	for (int i = 0; i < group.n; i++) {
		struct op *s = &group.op[i];

		if (s->send && !s->matched && s->comm->clique == receive->comm->clique &&
			s->peer == receive->comm->rank && s->comm->rank == receive->peer)
			return s;
	}
	return NULL;
}

/* fn of every stream that takes part, once. */
static cudaError_t each_stream(cudaError_t (*fn)(const struct op *op))
{
	cudaError_t status = cudaSuccess;

	for (int i = 0; i < group.n && !status; i++) {
		bool before = false;

		for (int k = 0; k < i; k++) {
			before |= group.op[k].comm == group.op[i].comm;
			if (group.op[k].comm == group.op[i].comm &&
				group.op[k].stream != group.op[i].stream)
				mock_die("a rank's operations of one group are on two streams");
		}
		if (!before)
			status = fn(&group.op[i]);
	}
	return status;
}

static cudaError_t come(const struct op *op)
{
	return cudaEventRecord(op->comm->came, op->stream);
}

static cudaError_t leave(const struct op *op)
{
	return cudaEventRecord(op->comm->copied, op->stream);
}

/* A rank's kernel goes on only when every other one that takes part is as far. */
static cudaError_t meet(const struct op *op, bool copied)
{
	cudaError_t status = cudaSuccess;

	for (int i = 0; i < group.n && !status; i++)
		status = cudaStreamWaitEvent(op->stream,
			copied ? group.op[i].comm->copied : group.op[i].comm->came, 0);
	return status;
}

static cudaError_t meet_first(const struct op *op)
{
	return meet(op, false);
}

static cudaError_t meet_last(const struct op *op)
{
	return meet(op, true);
}

static cudaError_t copy_all(void)
{
	cudaError_t status = cudaSuccess;

	for (int i = 0; i < group.n && !status; i++) {
		struct op *to = &group.op[i], *from = to->send ? NULL : sender(to);

		if (to->send)
			continue;
		if (!from || from->n != to->n)
			mock_die("rank %d receives %zu bytes from rank %d, which sends %zu in this "
				 "group",
				to->comm->rank, to->n, to->peer, from ? from->n : 0);
		from->matched = true;
		status = cudaMemcpyAsync(to->to, from->from, to->n, cudaMemcpyDeviceToDevice,
			to->stream);
	}
	for (int i = 0; i < group.n && !status; i++)
		if (group.op[i].send && !group.op[i].matched)
			mock_die("rank %d sends to rank %d, which does not receive in this group",
				group.op[i].comm->rank, group.op[i].peer);
	return status;
}

ncclResult_t ncclGroupEnd(void);
ncclResult_t ncclGroupEnd(void)
{
	ncclResult_t status = enter("ncclGroupEnd"), said = ncclSuccess;
	cudaError_t queued = cudaSuccess;

	if (!group.depth || !pthread_equal(group.thread, pthread_self()))
		mock_die("ncclGroupEnd without ncclGroupStart");
	if (--group.depth)
		return status;
	if (status == ncclSuccess && !group.broken) {
		queued = each_stream(come);
		queued = queued ? queued : each_stream(meet_first);
		queued = queued ? queued : copy_all();
		queued = queued ? queued : each_stream(leave);
		queued = queued ? queued : each_stream(meet_last);
	}
	for (int i = 0; i < group.n && !queued && status == ncclSuccess; i++)
		said = answer(&group.op[i].comm, 1);
	group.n = 0;
	group.broken = false;
	return status != ncclSuccess ? status : queued ? ncclUnhandledCudaError : said;
}

#endif
