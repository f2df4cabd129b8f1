#!/bin/sh
# runtime_packages.sh [--versions] DIR: the Debian packages of the libraries that the programs in DIR link, on one line: names,
# or with --versions as a package's Depends field has them.  dpkg-shlibdeps says which.
set -eu
form='s/ ([^)]*)//g; s/,//g'
[ "${1:-}" = --versions ] && { form=; shift; }
dir=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debian"
printf 'Source: voxtrail\n\nPackage: voxtrail\nArchitecture: any\n' >"$work/debian/control"
cd "$work"
dpkg-shlibdeps -O --warnings=0 "$dir"/* >said 2>warnings || { cat warnings >&2; exit 1; }
sed -n 's/^shlibs:Depends=//p' said | sed "$form"
