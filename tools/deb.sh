#!/bin/sh
# deb.sh BUILD: a Debian package of what `make install` installs, as BUILD/voxtrail_VERSION_ARCH.deb.  The version is the changelog's
# newest, the dependencies are the packages of the libraries that the programs link; file times are the commit's, so that one
# commit gives one package.
set -eu
b=$1
root=$b/deb
rm -rf "$root"
make -s --no-print-directory install DESTDIR="$root" PREFIX=/usr CUDA=0
strip --strip-unneeded "$root"/usr/bin/*
version=$(sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md | head -n 1)
arch=$(dpkg --print-architecture)
depends=$(for f in "$root"/usr/bin/*; do ldd "$f"; done | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u | while read -r so; do
	dpkg -S "$(readlink -f "$so")" 2>/dev/null || dpkg -S "$so" 2>/dev/null || dpkg -S "/usr$so"
done | sed 's/:.*//' | sort -u | paste -sd, | sed 's/,/, /g')
mkdir -p "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<EOF
Package: voxtrail
Version: ${version:-0}
Architecture: $arch
Maintainer: Voxtrail maintainers <maintainers@voxtrail.invalid>
Section: science
Priority: optional
Depends: $depends
Description: auditable 3-D brain-tumor segmentation from MRI
 Small executables that turn a versioned cohort of scans into a segmentation
 checkpoint, with the lineage of every file, bit for bit reproducible.
EOF
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$b/voxtrail_${version:-0}_$arch.deb"
