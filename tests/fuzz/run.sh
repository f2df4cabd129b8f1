#!/bin/sh
# tests/fuzz/run.sh [TARGET...]: every fuzz target (tests/fuzz/fuzz.h) for FUZZ_SECONDS (default 60) from its corpus and dictionary,
# under AddressSanitizer and UBSan: by libFuzzer where clang has it, else by the standalone driver.  A finding stops the run and
# leaves its input in build/fuzz/found.  Bounds: 2 s of processor time and 512 MiB an input; libFuzzer goes by the clock, so an input
# that it stops at is run again alone, and where that is quick the machine stood still and the fuzzing goes on.
set -u
cd "$(dirname "$0")/../.." || exit 2
seconds=${FUZZ_SECONDS:-60} out=build/fuzz/found
mkdir -p "$out"
[ $# = 0 ] && set -- $(ls tests/fuzz/corpus)
if echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p[n - n] != p[0]; }' | clang -x c -fsanitize=fuzzer - -o "$out/probe" 2>/dev/null; then
	mode=fuzz
	make -s --no-print-directory MODE=fuzz CC=clang CUDA=0 build/fuzz/tests/fuzz_parsers || exit 1
else
	mode=asan
	make -s --no-print-directory MODE=asan CUDA=0 build/asan/tests/fuzz_parsers || exit 1
fi
program=$PWD/build/$mode/tests/fuzz_parsers bad=0
for target in "$@"; do
	if [ $mode = asan ]; then
		end=$(($(date +%s) + seconds)) inputs=0
		while [ "$(date +%s)" -lt $end ]; do
			"$program" "$target" 2000 tests/fuzz/corpus/"$target"/* >"$out/$target.log" 2>&1 || { bad=1; tail -40 "$out/$target.log"; echo "not ok - fuzz $target"; break; }
		done
		[ $bad = 0 ] && echo "ok - fuzz $target: the standalone driver, $seconds s"
		continue
	fi
	mkdir -p "$out/corpus/$target"
	ln -sf "$program" "$out/$target"
	dict=
	[ -f "tests/fuzz/dict/$target" ] && dict=-dict=tests/fuzz/dict/$target
	end=$(($(date +%s) + seconds)) inputs=0 verdict=
	while left=$((end - $(date +%s))); [ $left -gt 0 ] && [ -z "$verdict" ]; do
		rm -f "$out/$target"-timeout-*
		# shellcheck disable=SC2086
		"$out/$target" $dict -max_total_time=$left -max_len=65536 -timeout="${FUZZ_TIMEOUT:-2}" -rss_limit_mb=2048 -malloc_limit_mb=512 \
			-print_final_stats=1 -artifact_prefix="$out/$target-" "$out/corpus/$target" "tests/fuzz/corpus/$target" 2>"$out/$target.log" && verdict=ok
		n=$(sed -n 's/stat::number_of_executed_units: *//p' "$out/$target.log") && inputs=$((inputs + ${n:-0}))
		slow=$(ls "$out/$target"-timeout-* 2>/dev/null | head -n 1)
		[ -n "$verdict" ] || { [ -n "$slow" ] && (ulimit -t 2; "$out/$target" -timeout=600 "$slow") >"$out/$target.again" 2>&1; } || verdict=bad
	done
	if [ "$verdict" != bad ]; then
		echo "ok - fuzz $target: $inputs inputs in $seconds s"
	else
		bad=1; tail -40 "$out/$target.log"; echo "not ok - fuzz $target"
	fi
done
exit $bad
