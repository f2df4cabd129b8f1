#include "common/transfer/bounds.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

static int setting(int64_t *out, const char *name, int64_t otherwise, int64_t most,
	struct vt_err *err)
{
	const char *text = getenv(name);
	char *end;
	long long n;

	*out = otherwise;
	if (!text || !*text)
		return 0;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (*end || errno || n < 1 || n > most)
		return vt_err_set(err, VT_EUSAGE, "%s=%.40s: write a whole number from 1 to %lld",
			name, text, (long long)most);
	*out = n;
	return 0;
}

int vt_peer_bounds_init(struct vt_peer_bounds *bounds, struct vt_err *err)
{
	int64_t mib = 0;

	*bounds = (struct vt_peer_bounds){ .seconds = 0 };
	if (setting(&bounds->seconds, "VOXTRAIL_PEER_TIMEOUT", VT_PEER_SECONDS, 1 << 24, err) ||
		setting(&mib, "VOXTRAIL_PEER_MEMORY", VT_PEER_MIB, 1 << 24, err))
		return err->code;
	bounds->memory = (uint64_t)mib << 20;
	return 0;
}

void vt_peer_bounds_begin(struct vt_peer_bounds *bounds)
{
	bounds->waited_ms = 0;
	bounds->moved = 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int vt_peer_bounds_wait(struct vt_peer_bounds *bounds, int fd, short events, const char *what,
	struct vt_err *err)
{
	struct pollfd p = { .fd = fd, .events = events };
	const int64_t most = bounds->seconds * 1000;

	assert(bounds->seconds > 0 && bounds->waited_ms <= most);
	for (;;) {
		int64_t began = now_ms(), left = most - bounds->waited_ms;
		int n = poll(&p, 1, left < 60000 ? (int)left : 60000);

		bounds->waited_ms += now_ms() - began;
		if (n > 0)
			break;
		if (n < 0 && errno != EINTR)
			return vt_err_errno(err, VT_EIO, "%s: cannot wait", what);
		if (bounds->waited_ms >= most && bounds->moved < VT_PEER_LEAST) {
			bounds->expired = true;
			return vt_err_set(err, VT_EDEVICE,
				"%s: timed out with %llu bytes in %lld seconds, fewer than %d "
				"(VOXTRAIL_PEER_TIMEOUT=SECONDS waits longer)",
				what, (unsigned long long)bounds->moved, (long long)bounds->seconds,
				VT_PEER_LEAST);
		}
		if (bounds->waited_ms >= most)
			vt_peer_bounds_begin(bounds);
	}
	/* ready, but late: the next wait decides */
	if (bounds->waited_ms > most)
		bounds->waited_ms = most;
	return 0;
}

int vt_peer_bounds_keep(struct vt_peer_bounds *bounds, uint64_t n, const char *what,
	struct vt_err *err)
{
	const uint64_t most = bounds->memory / VT_PEER_COPIES;

	assert(bounds->kept <= most);
	if (n > most - bounds->kept)
		return vt_err_set(err, VT_EDATA,
			"%s: lists and texts of more than %llu bytes, which take %llu MiB of "
			"memory here; if that is right, VOXTRAIL_PEER_MEMORY=MIB allows more",
			what, (unsigned long long)most, (unsigned long long)(bounds->memory >> 20));
	bounds->kept += n;
	return 0;
}
