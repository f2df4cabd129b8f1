#!/bin/sh
# Five seconds of changed weight files through the readers, under the sanitizers.
FUZZ_SECONDS=5 exec sh "$ROOT/tests/fuzz/run.sh" weights
