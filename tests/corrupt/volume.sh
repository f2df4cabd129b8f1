#!/bin/sh
# Five seconds of changed NIfTI files through the reader, under the sanitizers.
FUZZ_SECONDS=5 exec sh "$ROOT/tests/fuzz/run.sh" volume
