/* stop.h - whether somebody asked this process to end.
 *
 * A program that ends by a signal's default needs none of this.  One that catches signals or keeps
 * them waiting says here how it knows, and whatever reads or copies large files looks every so
 * often: it gives up with errno ECANCELED, which is VT_EFAIL, and leaves nothing behind. */
#ifndef COMMON_BASE_STOP_H
#define COMMON_BASE_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* What is smaller is finished all the same: some tens of milliseconds. */
#define VT_STOP_BYTES ((uint64_t)64 << 20)

/* asked is called from any thread; NULL: nobody asks. */
void vt_stop_when(bool (*asked)(void));
bool vt_stop_asked(void);

/* Asked at each VT_STOP_BYTES of `done`, n bytes of which came last; then errno is ECANCELED. */
bool vt_stop_between(uint64_t done, uint64_t n);

#endif
