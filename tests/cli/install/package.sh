# make deb: a package whose programs run from where it was unpacked, with the files that they and a user need.
set -u
case $B in */release) ;; *) echo "skip - make deb: it packs the release build"; exit 0 ;; esac
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
cd "$ROOT" || exit 2
export XZ_LEVEL=0    # what is in the package is looked at, not how small it is
make -s CUDA=0 deb >"$T/log" 2>&1; ok $? "make deb" || tail -n 3 "$T/log"
deb=$(ls -t "$B"/voxtrail_*.deb | head -n 1)
dpkg-deb -x "$deb" "$T/root"; ok $? "unpacks"
bad=0
for s in stages/*.c; do "$T/root/usr/bin/$(basename "$s" .c)" --version >/dev/null || bad=1; done
"$T/root/usr/bin/voxtrail" --version >/dev/null || bad=1
ok $bad "every program says its version"
bad=0
for f in share/voxtrail/glioma.json share/voxtrail/manifests/embedded.json share/voxtrail/template share/doc/voxtrail/README.md \
	share/doc/voxtrail/stages/train.md share/doc/voxtrail/decisions; do [ -e "$T/root/usr/$f" ] || bad=1; done
ok $bad "specs, manifests, template and documents are there"
dpkg-deb -f "$deb" Depends | grep -q 'libsqlite3-0' && dpkg-deb -f "$deb" Depends | grep -q 'libc6'; ok $? "depends on what the programs link"
dpkg-deb -e "$deb" "$T/control" && (cd "$T/root" && md5sum -c --quiet ../control/md5sums) >/dev/null &&
	[ "$(wc -l <"$T/control/md5sums")" = "$(find "$T/root" -type f | wc -l)" ]; ok $? "md5sums has every file"
bad=0
for f in "$T"/root/usr/bin/*; do
	readelf -dW "$f" | grep -q 'BIND_NOW\|FLAGS.*NOW' && readelf -lW "$f" | grep -q GNU_RELRO && readelf -hW "$f" | grep -q 'Type: *DYN' &&
		readelf -sW --dyn-syms "$f" | grep -q '__stack_chk_fail' || { bad=1; echo "$f is not hardened"; }
done
ok $bad "programs are hardened: position-independent, read-only relocations bound at start, stack protector"
[ -z "$(find "$T/root" "$T/control" ! -perm -u=r,go=r -o -type d ! -perm 755)" ]; ok $? "everybody can read what is in it"
# Debian 13 asks for more hardening than Debian 12; the release build has both.
mkdir "$T/bin"
case $(dpkg --print-architecture) in amd64) branches=-fcf-protection ;; arm64) branches=-mbranch-protection=standard ;; *) branches= ;; esac
cat >"$T/bin/dpkg-buildflags" <<E
#!/bin/sh
case \$2 in
CFLAGS) echo "-g -O2 -Werror=implicit-function-declaration -ffile-prefix-map=/x=. -fstack-protector-strong -fstack-clash-protection -Wformat -Werror=format-security $branches" ;;
CPPFLAGS) echo "-Wdate-time -D_FORTIFY_SOURCE=2" ;;
LDFLAGS) echo "-Wl,-z,relro -Wl,-z,now" ;;
esac
E
chmod +x "$T/bin/dpkg-buildflags"
one=$(sha256sum <"$deb"); rm "$deb"; (umask 077; PATH="$T/bin:$PATH" make -s CUDA=0 deb) >"$T/log" 2>&1
[ "$one" = "$(sha256sum <"$deb")" ]; ok $? "the same commit gives the same package, whatever the umask"
[ ! -e "$B/hardened" ]; ok $? "Debian 13 hardens no further: it packs what is built, too"
