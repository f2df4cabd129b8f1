#include "common/base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *wanted;
static atomic_long arrivals;

static void read_environment(void)
{
	wanted = getenv("VOXTRAIL_FAULT");
}

bool vt_fault(const char *step)
{
	static const struct {
		const char *name;
		int error;
	} action[] = { { "eio", EIO }, { "enospc", ENOSPC }, { "erofs", EROFS } };
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *act, *nth;
	size_t n = strlen(step);

	pthread_once(&once, read_environment);
	/* "STEP[:ACTION[:NTH]]" */
	if (!wanted || strncmp(wanted, step, n) || (wanted[n] && wanted[n] != ':'))
		return false;
	act = wanted[n] ? wanted + n + 1 : "kill";
	nth = strchr(act, ':');
	/* only that arrival: a run goes on before and after */
	if (atomic_fetch_add(&arrivals, 1) + 1 != (nth ? strtol(nth + 1, NULL, 10) : 1))
		return false;
	for (size_t i = 0; i < sizeof(action) / sizeof(action[0]); i++)
		if (!strncmp(act, action[i].name, strlen(action[i].name))) {
			errno = action[i].error;
			return true;
		}
	raise(strncmp(act, "stop", 4) ? SIGKILL : SIGSTOP);
	return false;
}
