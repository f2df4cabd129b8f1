/* mock.h - inside of a stand-in for the CUDA runtime and cuDNN, which runs the plugin's real
 * host code without a GPU.
 *
 * It is stricter than the real thing.  What NVIDIA's documentation leaves undefined or forbids
 * ends the process with a line "stand-in: <rule>": a host access to device memory (its pages are
 * closed but while queued work runs), a range beyond its allocation, a use after free, freeing
 * what queued work still uses, host memory that changes under an upload, the legacy stream.
 * What it defines as an error is returned as that error, with the runtime's rules for sticky
 * errors and cudaGetLastError.  What was not given back when the process ends is exit status 99.
 *
 * Queued work runs as late as the rules allow (VOXTRAIL_MOCK_ORDER=lazy, the default), at once
 * (eager), or at any time between (a number: the seed).  Allocations are aligned to 256 bytes
 * and no more, filled with NaN, each between closed pages.
 *
 *      VOXTRAIL_MOCK_FAIL=K[:V]      call number K fails, with plausible status number V of that
 *                                    function
 *      VOXTRAIL_MOCK_CARDS=N         GPUs there are (1)
 *      VOXTRAIL_MOCK_MEMORY=MIB      of each GPU (4096)
 *      VOXTRAIL_MOCK_TRACE=FILE      every call's number and name
 *      VOXTRAIL_MOCK_CARD=FILE       the GPU's property JSON
 *      VOXTRAIL_MOCK_CUDNN=FILE      the real cuDNN, which then makes every descriptor as well,
 *                                    for that GPU */
#ifndef TESTS_GPU_MOCK_H
#define TESTS_GPU_MOCK_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOCK_ARGS = 704, MOCK_BLOCKS = 48 };

/* --- state.c: calls, errors, handles ------------------------------------- */

_Noreturn void mock_die(const char *rule, ...) __attribute__((format(printf, 1, 2)));

/* Every call begins with the first, which takes the lock, and ends with one of the others, which
 * give it back.  A status other than success is to be returned at once: it was injected, or a
 * sticky error is there. */
cudaError_t mock_enter(const char *name);
cudaError_t mock_leave(cudaError_t status); /* it becomes the thread's last error */
int mock_enter_cudnn(const char *name);     /* a cudnnStatus_t */
void mock_leave_cudnn(void);
cudaError_t mock_sticky(void);
cudaError_t mock_last_error(bool clear);
void mock_drop_sticky(void);

enum mock_kind {
	MOCK_STREAM = 1,
	MOCK_EVENT,
	MOCK_GRAPH,
	MOCK_EXEC,
	MOCK_HANDLE,
	MOCK_DESCRIPTOR,
	MOCK_COMM
};

/* What is made and must be destroyed; first member of each such structure. */
struct mock_thing {
	enum mock_kind kind;
	bool live;
	struct mock_thing *before;
};

void *mock_new(enum mock_kind kind, size_t nbytes); /* zeroed */
/* dies if it is no living thing of that kind */
void *mock_use(const void *thing, enum mock_kind kind);
void mock_end(struct mock_thing *t);

int mock_cards(void);
int mock_card(void); /* of the calling thread */
void mock_set_card(int card);

/* --- memory.c ------------------------------------------------------------ */

enum mock_place { MOCK_PAGEABLE, MOCK_PINNED, MOCK_DEVICE };

size_t mock_memory_room(int card, size_t *all);
void *mock_memory_new(enum mock_place place, int card, size_t nbytes); /* NULL: no room */
void mock_memory_free(void *p, enum mock_place place);
enum mock_place mock_memory_place(const void *p);
/* Dies if [p, p + n) does not lie within one living allocation of the place. */
void mock_memory_check(const void *p, size_t n, enum mock_place place, const char *what);
int mock_memory_card(const void *p);
/* number of the allocation of the device, -1: none, dies if it was freed */
int mock_memory_block(const void *p);
bool mock_memory_host(const void *p); /* whether a word is an address that the host may read */
void mock_memory_pending(int block, int change); /* queued work that uses it */
void mock_memory_open(void);                     /* queued work runs */
void mock_memory_shut(void);
/* whole pages of pinned memory */
void mock_memory_protect(const void *p, size_t n, bool writable, bool readable);
int mock_memory_leaks(bool say);

/* --- queue.c: streams, events, captures ---------------------------------- */

enum mock_op_kind { MOCK_COPY, MOCK_SET, MOCK_WORK, MOCK_RECORD, MOCK_WAIT, MOCK_LAUNCH };

struct mock_op {
	enum mock_op_kind kind;
	void *to;
	const void *from;
	size_t n;
	int value;
	uint64_t sum; /* of what a copy from pageable memory shall read */
	void (*work)(const void *args);
	const char *name;
	cudaEvent_t event;
	uint64_t ticket;
	cudaGraphExec_t exec;
	int n_blocks, block[MOCK_BLOCKS]; /* allocations it reads or writes */
	struct mock_op *next;
	_Alignas(16) unsigned char args[MOCK_ARGS];
};

/* Queues a copy of op or captures it. */
cudaError_t mock_queue(cudaStream_t stream, struct mock_op *op);
/* Work with arguments that hold device pointers in [from, from + scan); the allocations they lie
 * in must live until it has run. */
cudaError_t mock_queue_work(cudaStream_t stream, const char *name, void (*work)(const void *),
	const void *args, size_t nbytes, size_t from, size_t scan);
void mock_drop_queues(void);
bool mock_capturing(const struct CUstream_st *s);
/* Whether a call that is not allowed beside a capture may not be made now; if so the capture is
 * void. */
bool mock_unsafe(void);

#endif
