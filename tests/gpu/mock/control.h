/* control.h - what a test tells the stand-in that libcudnn.so.9 of its folder is; found by
 * dlsym. */
#ifndef TESTS_GPU_MOCK_CONTROL_H
#define TESTS_GPU_MOCK_CONTROL_H

#include <stdbool.h>

#define MOCK_EXPORT __attribute__((visibility("default")))

/* Counts calls from 0 again, forgets errors, and lets a call fail with plausible status
 * `variant` of its function; call 0: none. */
MOCK_EXPORT void mock_fail(long call, int variant);
MOCK_EXPORT long mock_calls(void);
MOCK_EXPORT const char *mock_call(long call); /* the function that was called so */
/* the function that was made to fail, "" if none was */
MOCK_EXPORT const char *mock_failed(void);
/* things and allocations that live; to stderr if told */
MOCK_EXPORT int mock_leaks(bool say);

#endif
