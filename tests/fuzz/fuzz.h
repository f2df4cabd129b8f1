/* fuzz.h - one fuzz target a parser, by name.
 *
 * A target takes any bytes and may abort on nothing but a broken promise.  fuzz.c finds the target
 * by the name of the program (build/fuzz/json) or, in the standalone driver, by its first argument;
 * tests/fuzz/corpus/<name> are its first inputs, tests/fuzz/dict/<name> its words. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/json.h"

struct fuzz_target {
	const char *name;
	/* bytes: a heap block of exactly n bytes */
	void (*take)(const uint8_t *bytes, size_t n);
};

/* each ends with a name of NULL */
extern const struct fuzz_target fuzz_text_targets[], fuzz_image_targets[], fuzz_store_targets[],
	fuzz_spec_targets[], fuzz_stage_targets[], fuzz_train_targets[], fuzz_trust_targets[];

/* NULL if there is none of this name. */
const struct fuzz_target *fuzz_find(const char *name);

/* The bytes as a text: n + 1 bytes on the heap, cut at the first NUL.  Caller frees. */
char *fuzz_text(const uint8_t *bytes, size_t n);

/* The bytes as JSON, NULL if they are none. */
struct vt_json *fuzz_json(const uint8_t *bytes, size_t n);

/* A folder of this process that is removed when it ends. */
const char *fuzz_dir(void);

/* Writes DIR/relative (folders are made) and returns its path; caller frees. */
char *fuzz_file(const char *relative, const uint8_t *bytes, size_t n);

/* A refusal says why. */
void fuzz_refused(const struct vt_err *err);

#endif
