# Limit: 3000 s
# ARM64: the tree built by a cross compiler without a warning, and under qemu-user the same phantoms, preparation, patches and
# checkpoint as here, byte for byte.  Compiler and libraries are those of a root made for the purpose (SUITE, default this
# machine's Debian); nothing is installed here.  ARM_ROOT=DIR: such a root made before, which is copied.
set -u
skip() { echo "skip - ARM64: $1"; exit 0; }
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; grep -vE '^ +(CC|LD|AR) ' "$T/log" | tail -n 25; fi; }
case $B in */release) ;; *) skip "with the release build only" ;; esac
[ "$(uname -m)" = x86_64 ] || skip "compares an x86-64 machine with it"
command -v qemu-aarch64-static >/dev/null 2>&1 || skip "needs qemu-aarch64-static (qemu-user-static)"
[ "$(id -u)" = 0 ] || skip "needs root"
[ -n "${ARM_ROOT:-}" ] || command -v mmdebstrap >/dev/null 2>&1 || skip "needs mmdebstrap"
unshare --mount --pid --net --fork --kill-child true 2>/dev/null || skip "needs namespaces"
[ "$(df -Pk /var/tmp | awk 'NR == 2 {print $4}')" -gt 3000000 ] || skip "needs 3 GB in /var/tmp"
suite=${SUITE:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}
root=$(mktemp -d /var/tmp/voxtrail-arm.XXXXXX) || exit 2
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 143' INT TERM
if [ -n "${ARM_ROOT:-}" ]; then
	cp -a --reflink=auto "$ARM_ROOT/." "$root/"
else
	libraries=$(sed -n "s/^build='\(.*\)'/\1/p" "$ROOT/tools/deps.sh" | tr ' ' '\n' | sed -n 's/-dev$/-dev:arm64/p' | paste -sd,)
	for f in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list; do [ -s "$f" ] && set -- "$@" "$f"; done
	mmdebstrap --quiet --variant=minbase --architectures=amd64,arm64 \
		--include="make,pkg-config,gcc-aarch64-linux-gnu,libc6-dev:arm64,$libraries" "$suite" "$root" "$@" >"$T/log" 2>&1 ||
		{ tail -n 3 "$T/log"; skip "no root with its compiler and libraries could be made from this machine's mirror"; }
fi
mkdir -p "$root/src"
(cd "$ROOT" && find . \( -name .git -o -path ./build -o -path ./demo \) -prune -o -type f -print0 | tar --null -T - -cf -) | tar -C "$root/src" -xf -
unshare --mount --pid --net --fork --kill-child sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -c "
	cd /src && PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig make DEPS=0 CUDA=0 CC=aarch64-linux-gnu-gcc -j$(nproc) all"' \
	"$root" >"$T/log" 2>&1 </dev/null
[ $? = 0 ] && ! grep -q "warning: " "$T/log"; ok $? "the tree builds for ARM64 without a warning"
programs=$root/src/build/release/bin
readelf -h "$programs/train" 2>/dev/null | grep -q AArch64; ok $? "its programs are ARM64's"
mkdir "$T/there" "$T/here"
export UNTIL=train
(cd "$T/there" && sh "$ROOT/tests/e2e/_five_stages.sh" "qemu-aarch64-static -L $root $programs/" "$ROOT/manifests/embedded.json") >"$T/log" 2>&1
ok $? "phantoms, preparation, patches and training run under qemu-user"
(cd "$T/here" && sh "$ROOT/tests/e2e/_five_stages.sh" "$B/bin/" "$ROOT/manifests/embedded.json") >"$T/log" 2>&1 &&
	cmp "$T/there/digests" "$T/here/digests" >>"$T/log" 2>&1
ok $? "all $(grep -c . "$T/here/digests") files are those of x86-64, the checkpoint too: $(sed -n 's,  ./model/best.safetensors,,p' "$T/there/digests")"
