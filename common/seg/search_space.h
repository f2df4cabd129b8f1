/* search_space.h - points drawn from a space of params, for a search.
 *
 *      vt_search_draw(&params, space, seed, trial, err);
 *
 * A space is an object: a param's name, or names of nested objects joined by '/', and one of
 *      {"uniform": [lo, hi]}       a real, evenly from [lo, hi)
 *      {"log-uniform": [lo, hi]}   a real whose logarithm is even; 0 < lo
 *      {"integer": [lo, hi]}       a whole number, both ends included
 *      {"choice": [values]}        one of them
 * Reals have six significant digits.  A value is a function of (seed, param, trial): params that
 * are added to a space leave the others' values as they are. */
#ifndef COMMON_SEG_SEARCH_SPACE_H
#define COMMON_SEG_SEARCH_SPACE_H

#include "common/base/json.h"

/* Adds the trial's values to params, an object.  VT_EDATA names the param and what is wrong. */
int vt_search_draw(struct vt_json *params, const struct vt_json *space, uint64_t seed,
	uint64_t trial, struct vt_err *err);

#endif
