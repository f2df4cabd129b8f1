/* fault.h - failures on demand: tests stop or break a program at each step of what must survive
 * that.
 *
 *      if (vt_fault("adopt.link") || linkat(...))
 *              return vt_err_errno(err, VT_EIO, "...");
 *
 * VOXTRAIL_FAULT=STEP[:ACTION[:N]] makes the N-th arrival at STEP (default the first) act:
 * `kill` (default) ends the process with SIGKILL; `stop` stops it until SIGCONT, so that a test may
 * change what it works on; `eio`, `enospc`, `erofs` set errno, and the
 * call returns true.  Unset, which it is outside tests, nothing happens. */
#ifndef COMMON_BASE_FAULT_H
#define COMMON_BASE_FAULT_H

#include <stdbool.h>

bool vt_fault(const char *step);

#endif
