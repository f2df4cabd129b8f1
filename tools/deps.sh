#!/bin/sh
# deps.sh build|test|torch|portability ...: names the Debian packages that are missing and, as root, installs them.
set -u
build='gcc make pkg-config libsqlite3-dev libssl-dev libnifti-dev zlib1g-dev libdeflate-dev libgit2-dev'
test='git python3 python3-numpy python3-scipy python3-nibabel python3-jsonschema python3-cryptography python3-prov python3-onnx python3-yaml sqlite3 clang-format'
# 336 packages more, 230 MB to fetch: without it the tests that run PyTorch beside ours are skipped or compare stored samples
torch='python3-torch'
portability='cwltool snakemake'
missing=
for set in "$@"; do
	eval "names=\$$set"
	for p in $names; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
	done
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "cannot check for packages on this system; voxtrail needs:$missing" >&2
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "missing packages:$missing" >&2
	echo "install them:     sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "installing:$missing"
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
