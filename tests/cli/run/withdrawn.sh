# A subject withdraws: a run says so although every datum would be skipped; erased bytes do not come back; without the
# subject's files it goes on, and nothing downstream holds them.
. "$ROOT/tests/cli/run/_stubs.sh"
export VOXTRAIL_STORE=$T/store
for i in 001 002 003; do subject sub-$i; done
run; voxtrail consent withdraw sub-002 --reason "a letter" >/dev/null 2>&1
run; same "a run over a withdrawn subject's files is refused" "$?:$(ran):$(grep -c 'sub-002.*withdrawn consent (a letter); take' "$T/err")" "65::1"
voxtrail plan "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" >/dev/null 2>&1; same "but may be planned" "$?" 0
voxtrail erase sub-002 --yes --reason "a letter" >"$T/out" 2>&1
same "raw and derived files are told apart" "$?:$(tail -n 3 "$T/out" | grep -c ': 2 raw and 2 derived files')" "0:1"
run; same "the bytes do not come back" "$?:$(grep -c 'erased from .* by decision' "$T/err")" "65:1"
voxtrail verify >/dev/null 2>"$T/err"; same "and the store is sound" "$?" 0
rm -r "$T/scans/sub-002" "$T/labels/sub-002"
run --checkout "$T/o"; same "without the subject it goes on" "$?:$(ran)" "0:evaluate=1 export=1 train=1"
same "nothing downstream holds it" "$(grep -rl sub-002 "$T/o"; ls "$T/o/crop" | tr '\n' ' ')" "sub-001 sub-003 "
