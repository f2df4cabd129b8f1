# The way to a bucket that docs/store.md gives, as it stands there: two stores with the same objects copy to one, the copy is incremental,
# and what is restored from it is sound and computes nothing again.  Where there is no rclone, cp does what it would.
. "$ROOT/tests/cli/run/_stubs.sh"
cd "$T" || exit 2
unset VOXTRAIL_STORE
if ! command -v rclone >/dev/null; then
	# copy|copyto [--ignore-existing] FROM TO, as cp does it; a file that is there is never compared
	rclone() {
		how=$1; shift; keep=; [ "$1" = --ignore-existing ] && keep=-n && shift
		case $how in copyto) mkdir -p "$(dirname "$2")"; cp $keep "$1" "$2" ;; copy) [ ! -d "$1" ] || { mkdir -p "$2"; cp -r $keep --no-preserve=all "$1/." "$2"; } ;; esac
	}
fi
sed -n '/^    for kind in objects/,/^    rclone copy .*refs/p' "$ROOT/docs/store.md" | sed 's/^    //; s#s3:bucket/store#bucket#g' >recipe
same "the recipe is in the page" "$(grep -c rclone recipe)" 3
send() { (ln -sfn "$1" .voxtrail; . ./recipe) >said 2>&1; echo $?; }
for i in 001 002; do subject sub-$i; done
run; sleep 1 # other times
voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store second >err 2>&1
same "the first store" "$(send store)" 0
count() { find bucket -type f | wc -l; }
n=$(count); same "a second one with the same objects" "$(send second)" 0
find bucket -type f ! -path 'bucket/refs/*' -exec touch -d '2001-01-01' {} +
subject sub-003; run; same "one subject more" "$(send store)" 0
new=$(find bucket -type f -newermt 2002-01-01 ! -path 'bucket/refs/*' | wc -l)
same "only what is new is sent" "$([ "$new" -gt 0 ] && [ "$new" -lt "$n" ] && echo yes)" yes
cp -r bucket back && cp store/history back/
voxtrail rebuild --store back >out 2>&1; same "restored: rebuild" "$?" 0
voxtrail verify --store back >out 2>&1; same "it is sound, and says shortly that its objects are writable" "$?:$([ "$(wc -l <out)" -lt 20 ] && echo short)" 0:short
: >ran; voxtrail run "$T/spec.json" --repo scans="$T/scans" --repo labels="$T/labels" --store back >err 2>&1
same "and a run over it computes nothing" "$?:$(ran)" "0:"
same "its heads are those that were sent" "$(heads "$T/back")" "$(heads "$T/store")"
exit 0
