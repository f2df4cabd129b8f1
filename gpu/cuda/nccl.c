/* The link between GPUs, by NCCL: sends and receives alone, which move bytes and never add.
 *
 * NCCL's rules that this keeps (its header and its user guide: group calls, thread safety, CUDA
 * graphs, asynchronous errors):
 *  - one communicator a GPU, made at once by ncclCommInitAll; no two of a link are on one GPU;
 *  - one thread issues all calls of a group, no other uses the communicators; all sends and
 *  receives of an exchange are
 *    in one group, so that none waits for another that is not issued yet; of two GPUs, one pair
 *    a direction;
 *  - nothing is captured into a CUDA graph: with several GPUs in a process a graph's launch may
 *  block and the others
 *    never start;
 *  - a call may return ncclInProgress where the user set NCCL_COMM_BLOCKING=0; the communicators
 *  are asked until they
 *    have settled;
 *  - a kernel of NCCL waits on its GPU for the others' for ever, so nobody waits for a stream
 *  while one may have
 *    failed: all streams and communicators are asked in turn, and one failure aborts every
 *    communicator, which ends the
 *    kernels of the rest.
 *
 * libnccl.so.2 is loaded when a link is opened; nothing is linked. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/cuda/cuda.h"
#include "gpu/engine/link.h"
#include "gpu/engine/team.h"

#if __has_include(<nccl.h>)
#include <nccl.h>

/* the first with ncclGetLastError */
enum { LEAST_VERSION = NCCL_VERSION(2, 13, 4), NAP_NS = 20000 };

/* Functions of the library that are called. */
/* clang-format off */
#define FUNCTIONS(X) X(ncclGetVersion) X(ncclCommInitAll) X(ncclCommDestroy) X(ncclCommAbort) \
	X(ncclCommGetAsyncError) X(ncclGroupStart) X(ncclGroupEnd) X(ncclSend) X(ncclRecv) \
	X(ncclGetErrorString) \
	X(ncclGetLastError)
/* clang-format on */

struct library {
#define POINTER(name) __typeof__(&name) name;
	FUNCTIONS(POINTER)
};

struct nccl {
	struct vg_link base;
	struct library f;
	ncclComm_t comm[VG_MOST_CARDS];
	cudaStream_t stream[VG_MOST_CARDS];
	int card[VG_MOST_CARDS]; /* CUDA's numbers */
	int n, version;
};

/* --- the library --------------------------------------------------------- */
static int load(struct nccl *nccl, struct vt_err *err)
{
	void *so = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);

	if (!so)
		so = dlopen("/usr/local/cuda/lib64/libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
	if (!so)
		return vt_err_set(err, VT_EDEVICE,
			"NCCL is missing: %s; several GPUs need it: install NCCL 2.13 or "
			"newer, or put its folder on LD_LIBRARY_PATH",
			dlerror());
#define FIND(name)                                                                                 \
	{                                                                                          \
		void *symbol = dlsym(so, #name);                                                   \
		if (!symbol)                                                                       \
			return vt_err_set(err, VT_EDEVICE,                                         \
				"libnccl.so.2 has no %s; several GPUs need NCCL 2.13 or "          \
				"newer",                                                           \
				#name);                                                            \
		memcpy(&nccl->f.name, &symbol, sizeof(symbol));                                    \
	}
	FUNCTIONS(FIND)
	if (nccl->f.ncclGetVersion(&nccl->version) != ncclSuccess)
		return vt_err_set(err, VT_EDEVICE, "libnccl.so.2 does not say which version it is");
	if (nccl->version < LEAST_VERSION)
		return vt_err_set(err, VT_EDEVICE,
			"NCCL %d.%d is too old; several GPUs need 2.13 or newer",
			nccl->version / 10000, nccl->version / 100 % 100);
	return 0; /* it stays loaded: it has threads of its own */
}

static int fail(const struct nccl *nccl, ncclResult_t status, const char *what, struct vt_err *err)
{
	const char *more = nccl->f.ncclGetLastError(NULL);

	return vt_err_set(err, VT_EDEVICE, "NCCL: %s: %s%s%s (NCCL_DEBUG=WARN tells more)", what,
		nccl->f.ncclGetErrorString(status), more && *more ? ": " : "", more ? more : "");
}

/* Ends what is under way on every GPU; the link is of no use from then on. */
static void give_up(struct nccl *nccl)
{
	for (int r = 0; r < nccl->n; r++) {
		if (nccl->comm[r])
			nccl->f.ncclCommAbort(nccl->comm[r]);
		nccl->comm[r] = NULL;
	}
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
}

/* What became of a call; not in progress any more. */
static int settle(struct nccl *nccl, ncclResult_t status, const char *what, struct vt_err *err)
{
	for (int r = 0; r < nccl->n && (status == ncclSuccess || status == ncclInProgress); r++) {
		ncclResult_t state = status;

		while (status == ncclInProgress && nccl->comm[r]) {
			/* Polling: a blocking wait would never end if another GPU has failed. */
			if (nccl->f.ncclCommGetAsyncError(nccl->comm[r], &state) != ncclSuccess ||
				state != ncclInProgress)
				break;
			nap();
		}
		if (state != ncclSuccess && state != ncclInProgress)
			status = state;
	}
	if (status == ncclSuccess || status == ncclInProgress)
		return 0;
	fail(nccl, status, what, err);
	give_up(nccl);
	return err->code;
}

/* --- the link ------------------------------------------------------------ */
static void close_link(struct vg_link *link)
{
	struct nccl *c = (struct nccl *)link;

	for (int r = 0; r < c->n; r++)
		if (c->comm[r])
			c->f.ncclCommDestroy(c->comm[r]);
	free(c);
}

static void describe(struct vg_link *link, struct vt_json *json)
{
	vt_json_put_text(json, "name", "nccl");
	vt_json_put_int(json, "version", ((struct nccl *)link)->version);
}

static int exchange(struct vg_link *link, const struct vg_move *move, int n, struct vt_err *err)
{
	struct nccl *c = (struct nccl *)link;
	ncclResult_t status, end;

	if (!c->comm[0])
		return vt_err_set(err, VT_EDEVICE,
			"NCCL: the link between the GPUs has failed before");
	status = c->f.ncclGroupStart();
	if (status != ncclSuccess)
		return settle(c, status, "exchange", err);
	/* All sends and receives in one group, see above. */
	for (int i = 0; status == ncclSuccess && i < n; i++) {
		status = c->f.ncclSend(move[i].source, move[i].nbytes, ncclUint8, move[i].to,
			c->comm[move[i].from], c->stream[move[i].from]);
		if (status == ncclSuccess)
			status = c->f.ncclRecv(move[i].target, move[i].nbytes, ncclUint8,
				move[i].from, c->comm[move[i].to], c->stream[move[i].to]);
	}
	end = c->f.ncclGroupEnd();
	return settle(c, status == ncclSuccess ? end : status, "exchange", err);
}

/* Whether a GPU has ended its work: cudaErrorNotReady until then, an error if it or its
 * communicator has failed. */
static cudaError_t ask(struct nccl *nccl, int rank, ncclResult_t *state)
{
	cudaError_t status = cudaSetDevice(nccl->card[rank]);

	if (nccl->f.ncclCommGetAsyncError(nccl->comm[rank], state) != ncclSuccess)
		*state = ncclInternalError;
	if (status == cudaSuccess)
		status = cudaStreamQuery(nccl->stream[rank]);
	if (status == cudaErrorNotReady)
		(void)cudaGetLastError(); /* no launch's error */
	return status;
}

static int finish(struct vg_link *link, struct vt_err *err)
{
	struct nccl *c = (struct nccl *)link;
	int done = 0, rc = 0;

	if (!c->comm[0])
		return vt_err_set(err, VT_EDEVICE,
			"NCCL: the link between the GPUs has failed before");
	while (!rc && done < c->n) {
		done = 0;
		for (int r = 0; !rc && r < c->n; r++) {
			ncclResult_t state = ncclSuccess;
			cudaError_t status = ask(c, r, &state);

			done += status == cudaSuccess;
			if (status != cudaSuccess && status != cudaErrorNotReady)
				rc = vt_err_set(err, VT_EDEVICE, "GPU %d: CUDA: %s", c->card[r],
					cudaGetErrorString(status));
			else if (state != ncclSuccess && state != ncclInProgress)
				rc = fail(c, state, "exchange", err);
		}
		if (!rc && done < c->n)
			nap();
	}
	if (rc)
		/* Otherwise kernels of the other GPUs would wait for ever. */
		give_up(c);
	cudaSetDevice(c->card[0]); /* this is rank 0's thread */
	return rc;
}

int vg_link_open(struct vg_link **out, struct vg_device *const *rank, int n, struct vt_err *err)
{
	static const struct vg_link_ops ops = { .close = close_link,
		.describe = describe,
		.exchange = exchange,
		.finish = finish };
	struct nccl *c = vt_xcalloc(1, sizeof(*c));
	int rc = load(c, err);

	c->base.ops = &ops;
	c->n = n;
	for (int r = 0; r < n; r++) {
		c->card[r] = vg_card_number(rank[r]);
		c->stream[r] = vg_card_stream(rank[r]);
	}
	if (!rc)
		rc = settle(c, c->f.ncclCommInitAll(c->comm, n, c->card), "communicators", err);
	if (rc)
		free(c);
	else
		*out = &c->base;
	return rc;
}

#else

int vg_link_open(struct vg_link **out, struct vg_device *const *rank, int n, struct vt_err *err)
{
	(void)out;
	(void)rank;
	return vt_err_set(err, VT_EDEVICE,
		"this plugin was built without NCCL's header nccl.h, so it cannot use %d "
		"GPUs; build it where NCCL is installed",
		n);
}

#endif
