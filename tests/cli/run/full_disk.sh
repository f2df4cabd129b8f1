# A store whose disk fills up: the run stops with 74 and says where; with room again it goes on, and ends in the same files.
. "$ROOT/tests/cli/run/_stubs.sh"
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then echo "skip - full disk: needs a mount namespace of root's"; exit 0; fi
for i in 001 002 003; do subject sub-$i; done
run; want=$(heads "$T/store" | LC_ALL=C sort); rm -rf "$T/store"; mkdir "$T/store"
cat >"$T/inside" <<'S'
. "$ROOT/tests/cli/run/_stubs.sh"
mount -t tmpfs -o size=2m t "$T/store"
n=4096; room=0
# Room for less and less, until it fails: the failure may come at any write.
for pages in 40 44 48 52 56 60 64 70 80 90 100; do
	rm -rf "$T/store"/*; head -c $((2097152 - pages * n)) /dev/zero >"$T/store/filler" 2>/dev/null
	voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store" --jobs 1 --view prefix 2>"$T/err"; rc=$?
	case $rc in 0) room=$((room + 1)); continue ;; 73|74|1) ;; *) echo "not ok - with $pages pages: exit $rc: $(tail -n 1 "$T/err")" ;; esac
	# Where a stage met it, its log had no room either.
	[ $rc = 1 ] || grep -qE 'No space left|disk is full' "$T/err" || echo "not ok - with $pages pages the disk is not named: $(tail -n 4 "$T/err")"
	rm "$T/store/filler"
	voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store "$T/store" --jobs 1 --view prefix 2>"$T/err" || echo "not ok - with room again: $(tail -n 1 "$T/err")"
	got=$(heads "$T/store" | LC_ALL=C sort); [ "$got" = "$WANT" ] || echo "not ok - with $pages pages: other files than before"
	failed=$((${failed:-0} + 1))
done
same "a full disk stopped the run ${failed:-0} times, and each time it went on to the same files" "$([ "${failed:-0}" -gt 2 ] && echo yes)" yes
S
WANT=$want T=$T ROOT=$ROOT unshare -m sh "$T/inside"
