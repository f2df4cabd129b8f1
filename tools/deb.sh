#!/bin/sh
# deb.sh MAKE BUILD: a Debian package of what `make install` installs, as BUILD/voxtrail_VERSION_ARCH.deb.  The version is the
# changelog's newest; the dependencies are what dpkg-shlibdeps finds; the programs are those of BUILD, or where dpkg-buildflags
# asks for hardening that BUILD was not made with, others made with it.  Times are the commit's: one commit gives one package.
# XZ_LEVEL is how hard xz tries (default 6).
set -eu
umask 022
make=$1 b=$2
root=$b/deb
# What dpkg-buildflags says of hardening, less what the build has (or stronger).  Optimization, debugging and warnings are ours.
[ -e "$b/flags" ] || $make -s --no-print-directory B="$b" CUDA=0 "$b/flags"
lacking() {
	for flag in $(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get "$1"); do
		case $flag in
		-O*|-g*|-f*-prefix-map=*|-Wdate-time|-Wformat|-Werror=*) continue ;;
		-D_FORTIFY_SOURCE=2) grep -q -- '-D_FORTIFY_SOURCE=3' "$b/flags" && continue ;;
		-fcf-protection) grep -q -- '-fcf-protection=full' "$b/flags" && continue ;; # full is the default
		esac
		grep -qF -- " $flag " "$b/flags" || printf '%s ' "$flag"
	done
}
CFLAGS=$(lacking CFLAGS) CPPFLAGS=$(lacking CPPFLAGS) LDFLAGS=$(lacking LDFLAGS)
built=$b
[ -z "$CFLAGS$CPPFLAGS$LDFLAGS" ] || built=$b/hardened
rm -rf "$root"
$make -s --no-print-directory B="$built" CUDA=0 CFLAGS="$CFLAGS" CPPFLAGS="$CPPFLAGS" LDFLAGS="$LDFLAGS" \
	install DESTDIR="$root" PREFIX=/usr
strip --strip-unneeded "$root"/usr/bin/*
version=$(sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md | head -n 1)
version=${version:-0}
arch=$(dpkg --print-architecture)
size=$(du -sk --apparent-size "$root" | cut -f 1)
mkdir "$root/DEBIAN"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
cat >"$root/DEBIAN/control" <<EOF
Package: voxtrail
Version: $version
Architecture: $arch
Maintainer: Voxtrail maintainers <maintainers@voxtrail.invalid>
Installed-Size: $size
Section: science
Priority: optional
Depends: $(sh tools/runtime_packages.sh --versions "$root/usr/bin")
Description: auditable 3-D brain-tumor segmentation from MRI
 Small executables that turn a versioned cohort of scans into a segmentation
 checkpoint, with the lineage of every file, bit for bit reproducible.
EOF
SOURCE_DATE_EPOCH=$(sh tools/build_id.sh --time)
export SOURCE_DATE_EPOCH
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz -z"${XZ_LEVEL:-6}" --build "$root" "$b/voxtrail_${version}_$arch.deb"
