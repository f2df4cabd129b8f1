# Every parser of a file from elsewhere takes its fuzz corpus, and some hundred changed copies of each file, within bounds.
set -u
cd "$ROOT" || exit 2
for dir in tests/fuzz/corpus/*; do
	target=${dir##*/}
	said=$(timeout 120 "$B/tests/fuzz_parsers" "$target" "${MUTANTS:-100}" "$dir"/* 2>&1); rc=$?
	[ $rc = 0 ] && echo "ok - $target: $said" || { echo "not ok - $target: exit $rc"; echo "$said" | tail -n 30; }
done
