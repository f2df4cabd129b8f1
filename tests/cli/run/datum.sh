# One datum by hand: list, exec, shell in its view, verify.
. "$ROOT/tests/cli/run/_stubs.sh"
for i in 001 002; do subject sub-$i; done
run
datum() { verb=$1; shift; voxtrail datum "$verb" "$T/spec.json" "$@" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store" 2>"$T/err"; }
same "list: what is done" "$(datum list skull | awk '{print $2, $3}' | tr '\n' ';')" "done /sub-001/;done /sub-002/;"
echo x >>"$T/scans/sub-002/t1.nii.gz"
same "list: and what is not" "$(datum list skull | awk '{print $2, $3}' | sort | tr '\n' ';')" "done /sub-001/;pending /sub-002/;"
outputs() { heads "$T/store" | grep -vE '^(scans|labels) '; } # not what the user committed
before=$(outputs); : >"$T/ran"
datum exec skull sub-002 >"$T/out"; same "exec by path: runs it" "$?:$(ran):$(grep -c 'exit 0; nothing was published' "$T/out")" "0:skull=1:1"
same "exec publishes nothing" "$(outputs)" "$before"
id=$(datum list skull | sed -n 's/ .*sub-001.*//p' | cut -c1-8); : >"$T/ran"
datum exec skull "$id" >/dev/null; same "exec by the beginning of its id" "$?:$(ran)" "0:skull=1"
datum exec skull sub-999 >/dev/null; same "no such datum: told how to see them" "$?:$(grep -c 'datum list' "$T/err")" "66:1"
cat >"$T/sh" <<'S'
#!/bin/sh
echo "$PPS_PIPELINE_NAME $(ls $PFS_ROOT | tr '\n' ' ')$(cat $PFS_ROOT/scans/*/t1.nii.gz)"
S
chmod +x "$T/sh"
same "shell: the view and the environment of the datum" "$(SHELL=$T/sh; export SHELL; datum shell skull sub-001 | head -n 1)" "skull out scans scan sub-001"
same "verify: the same files again" "$(datum verify skull | tail -n 1)" "1 datums of skull run again, 0 differ"
printf '#!/bin/sh\nmkdir -p $2/$(basename $scans); echo $PACH_JOB_ID >$2/$(basename $scans)/f\n' >"$T/stub/per"
run; datum verify skull >"$T/out"; same "verify finds a job id in the output" "$?:$(grep -c 'other files than before' "$T/out")" "1:2"
exit 0
