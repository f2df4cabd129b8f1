# SIGKILL of the runner at every step: a plain second run gives the files of an undisturbed one, and repeats no finished datum.
. "$ROOT/tests/cli/run/_stubs.sh"
for i in 001 002; do subject sub-$i; done
run --jobs 1
want=$(heads "$T/store" | LC_ALL=C sort)
for point in commit view started ended adopted published head; do
	rm -rf "$T/store"; : >"$T/ran"
	for again in 1 2 3 4 5 6 7 8 9 10 11 12; do
		VOXTRAIL_FAULT=$point voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store" --jobs 1 2>"$T/err" && break
	done
	voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store" --jobs 1 2>"$T/err"
	same "killed at \"$point\" again and again: rerun succeeds" "$?" 0
	same "killed at \"$point\": same files" "$(heads "$T/store" | LC_ALL=C sort)" "$want"
	if [ "$point" = published ]; then same "killed at \"published\": what was published is not done again, only what was in flight" "$(($(wc -l <"$T/ran") - $(sort -u "$T/ran" | wc -l) <= again))" 1; fi
done
# And at moments nobody chose.
rm -rf "$T/store"
for pause in 0.01 0.02 0.03 0.04 0.05 0.06 0.08 0.10 0.12 0.15; do
	voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store" --jobs 2 2>/dev/null &
	sleep $pause; kill -9 $! 2>/dev/null; wait $! 2>/dev/null
done
run; same "killed at ten moments: rerun succeeds with the same files" "$?:$(heads "$T/store" | LC_ALL=C sort)" "0:$want"
exit 0
