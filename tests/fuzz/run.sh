#!/bin/sh
# tests/fuzz/run.sh [TARGET...]: each tests/fuzz/fuzz_<target>.c for FUZZ_SECONDS (default 60) from corpus/<target>, under
# AddressSanitizer and UBSan: libFuzzer where clang has it, else the standalone driver with gcc.  A finding stops the run
# and leaves its input in build/fuzz.
set -eu
cd "$(dirname "$0")/../.."
out=build/fuzz seconds=${FUZZ_SECONDS:-60}
mkdir -p "$out"
flags="-std=c11 -g -O1 -I. -D_GNU_SOURCE -I/usr/include/nifti -pthread -ffp-contract=off -fno-omit-frame-pointer"
libs="-Wl,--as-needed $(pkg-config --libs sqlite3 libgit2 libcrypto zlib libdeflate) -lnifti2 -lznz -ldl -lm"
[ $# = 0 ] && set -- $(ls tests/fuzz/fuzz_*.c | sed 's,.*/fuzz_,,;s,\.c$,,')
for target in "$@"; do
	# Only what the target's room needs: base, and the readers themselves.
	sources="common/base/*.c"
	case $target in volume) sources="$sources common/image/volume.c common/image/voxel_type.c common/image/gzip.c \
		common/image/geometry.c common/image/geometry_json.c" ;;
	weights) sources="$sources common/nn/pickle.c common/nn/torch_import.c common/nn/state_file.c common/nn/safetensors.c" ;; *) sources="common/*/*.c" ;; esac
	if echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p[n - n] != p[0]; }' |
		clang -x c -fsanitize=fuzzer - -o "$out/probe" 2>/dev/null; then
		# shellcheck disable=SC2086
		clang $flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o "$out/$target" "tests/fuzz/fuzz_$target.c" \
			$sources $libs
		mkdir -p "$out/corpus_$target"
		"$out/$target" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -malloc_limit_mb=512 -print_final_stats=1 \
			-artifact_prefix="$out/" "$out/corpus_$target" "tests/fuzz/corpus/$target" 2>"$out/$target.log" ||
			{ tail -40 "$out/$target.log"; echo "not ok - fuzz $target"; exit 1; }
		echo "ok - fuzz $target: $(sed -n 's/stat::number_of_executed_units: *//p' "$out/$target.log") inputs in $seconds s (libFuzzer)"
	else
		# shellcheck disable=SC2086
		gcc $flags -fsanitize=address,undefined -fno-sanitize-recover=all -o "$out/$target" "tests/fuzz/fuzz_$target.c" \
			tests/fuzz/standalone.c $sources $libs
		echo "ok - fuzz $target: $("$out/$target" "$seconds" tests/fuzz/corpus/"$target"/*) in $seconds s (standalone)"
	fi
done
