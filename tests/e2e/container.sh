# The image's content without an engine: a root file system of the installed tree and its libraries, in which the stages run with
# nothing mounted but /pfs (and /proc, /tmp, as every engine gives), as a user without privilege and with a root and inputs that are
# read-only, as the restricted profile of Kubernetes has it; and its size.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; tail -n 8 log; fi; }
"$PYTHON" "$ROOT/tests/e2e/_dockerfile.py"
make -s -C "$ROOT" CUDA=0 MODE="$(basename "$B")" install DESTDIR="$T/root" PREFIX=/usr >log 2>&1; ok $? "make install into an empty directory"
case $B in *release) strip root/usr/bin/* ;; esac
own=$(du -sk --apparent-size root | cut -f1)
for b in root/usr/bin/*; do ldd "$b"; done | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\).*/\1/p' | sort -u >libs
libs=0
while read -r l; do
	mkdir -p "root$(dirname "$l")"; cp -L "$l" "root$l"
	case $l in */libc.so*|*/libm.so*|*/ld-*|*/libgcc_s*|*/libdl*|*/libpthread*) ;; *) libs=$((libs + $(stat -Lc %s "$l") / 1024)) ;; esac
done <libs
mkdir -p root/pfs/out root/proc root/tmp root/dev
case $B in *release) [ $((own + libs)) -le 40960 ]; ok $? "our files and libraries beyond the base: $((own + libs)) KiB of at most 40960" ;; esac
view='mount --bind root root && mount --bind "$1" root/pfs && mount --bind "$2" root/pfs/out && mount -o remount,bind,ro root/pfs &&
	mount -t proc p root/proc && mount -t tmpfs t root/tmp && mount -o remount,bind,ro root && shift 2'
if [ "$(id -u)" = 0 ] && unshare -mpf true 2>/dev/null; then
	inside() { in=$1; out=$2; shift 2; chmod 711 "$T" "$(dirname "$T")"; mkdir -p "$out"; chown 65532:65532 "$out"
		unshare -mpf sh -c "$view"' && exec chroot --userspec=65532:65532 root "$@"' sh "$in" "$out" "$@"; }
elif unshare -Urmpf true 2>/dev/null; then
	inside() { in=$1; out=$2; shift 2; mkdir -p "$out"
		unshare -Urmpf sh -c "$view"' && exec chroot root "$@"' sh "$in" "$out" "$@"; }
else
	echo "skip - stages in the root file system: no namespaces here"; exit 0
fi
make-cohort --out cohort --subjects 2 --seed 3 >/dev/null 2>&1
pfs() { rm -rf pfs; mkdir -p pfs/out pfs/manifest; cp "$ROOT/manifests/embedded.json" pfs/manifest/manifest.json; chmod -R a+rX pfs cohort; }
pfs; cp -r cohort/scans pfs/scans; chmod -R a+rX pfs
inside pfs n /usr/bin/skullstrip-normalize --scans /pfs/scans --manifest /pfs/manifest --out /pfs/out >log 2>&1; ok $? "skullstrip-normalize runs with only /pfs"
skullstrip-normalize --scans cohort/scans --manifest "$ROOT/manifests/embedded.json" --out n2 >log 2>&1
diff -r -x .lineage n n2 >log 2>&1; ok $? "and writes what it writes outside"
pfs; cp -r n pfs/normed; cp -r cohort/labels pfs/labels; chmod -R a+rX pfs
inside pfs c /usr/bin/crop-patch --normed /pfs/normed --labels /pfs/labels --manifest /pfs/manifest --out /pfs/out >log 2>&1; ok $? "crop-patch"
pfs; cp -r c pfs/patches; chmod -R a+rX pfs
inside pfs m /usr/bin/train --patches /pfs/patches --network '{"init_filters":8}' --patch 16 --steps 2 --validate-every 2 --max-validation 1 --fold=-1 --out /pfs/out >log 2>&1; ok $? "train"
pfs; cp -r c pfs/patches; cp -r m pfs/model; chmod -R a+rX pfs
inside pfs e /usr/bin/evaluate --model /pfs/model --patches /pfs/patches --subjects all --overlap 0 --bootstrap 0 --out /pfs/out >log 2>&1; ok $? "evaluate"
pfs; cp -r e pfs/metrics; cp -r m pfs/model; chmod -R a+rX pfs
inside pfs x /usr/bin/export --model /pfs/model --metrics /pfs/metrics --out /pfs/out >log 2>&1; ok $? "export"
[ -f x/model.onnx ] && [ -f e/report.html ]; ok $? "the results are there"
inside pfs v /usr/bin/voxtrail --help >log 2>&1; ok $? "voxtrail itself"
# the view is what it is said to be
refused() { inside pfs w /usr/bin/voxtrail attest keygen "$1" >log 2>&1; grep -q 'Read-only file system' log; }
refused /usr/k && refused /pfs/k && refused /pfs/model/k; ok $? "the root and the inputs are read-only in it"
inside pfs w /usr/bin/voxtrail attest keygen /pfs/out/k >log 2>&1 && [ -f w/k ] && [ ! -e root/usr/k ] && [ ! -e pfs/k ]; ok $? "the output is not"
