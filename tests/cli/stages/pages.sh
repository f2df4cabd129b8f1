# docs/stages holds what the stages' tables say now: `make docs` leaves no difference.
fail=0
for source in "$ROOT"/stages/*.c; do
	stage=$(basename "$source" .c)
	page=$ROOT/docs/stages/$stage.md
	if "$B/bin/$stage" --describe=markdown >"$T/page" && diff -u "$page" "$T/page" >"$T/diff"; then
		echo "ok - docs/stages/$stage.md is what $stage --describe=markdown prints"
	else
		echo "not ok - docs/stages/$stage.md: run \`make docs\` and commit it"
		head -n 20 "$T/diff" >&2
		fail=1
	fi
done
for page in "$ROOT"/docs/stages/*.md; do
	[ -e "$ROOT/stages/$(basename "$page" .md).c" ] || { echo "not ok - $page is of no stage"; fail=1; }
done
exit $fail
