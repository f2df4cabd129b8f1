#include "common/base/stop.h"

#include <errno.h>
#include <stddef.h>

static bool (*is_asked)(void);

void vt_stop_when(bool (*asked)(void))
{
	is_asked = asked;
}

bool vt_stop_asked(void)
{
	return is_asked && is_asked();
}

bool vt_stop_between(uint64_t done, uint64_t n)
{
	bool stop = done / VT_STOP_BYTES != (done - n) / VT_STOP_BYTES && vt_stop_asked();

	if (stop)
		errno = ECANCELED;
	return stop;
}
