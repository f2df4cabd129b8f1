#!/bin/sh
# deps.sh [--stamp FILE] SET...: names the Debian packages of the sets that are missing and, as root, installs them; then
# touches FILE.  Debian 12 and 13 have all of them under these names.
set -u
build='gcc make pkg-config libsqlite3-dev libssl-dev libnifti-dev zlib1g-dev libdeflate-dev libgit2-dev libyaml-dev'
clang='clang'
test='git python3 python3-numpy python3-scipy python3-nibabel python3-jsonschema python3-cryptography python3-prov python3-onnx
	python3-yaml sqlite3 clang-format'
lint='git clang-format universal-ctags'
deb='binutils dpkg-dev'
# 336 packages more, 230 MB to fetch: without it the tests that run PyTorch beside ours are skipped or compare stored samples
torch='python3-torch'
portability='cwltool snakemake'
stamp=
[ "${1:-}" = --stamp ] && { stamp=$2; shift 2; }
wanted=
for set in "$@"; do
	eval "names=\${$set:-}"
	[ -n "$names" ] || { echo "deps.sh: no set of packages is called $set" >&2; exit 64; }
	for name in $names; do
		case " $wanted " in *" $name "*) ;; *) wanted="$wanted $name" ;; esac
	done
done
if ! command -v dpkg-query >/dev/null 2>&1; then
	[ -n "$stamp" ] && [ -s "$stamp" ] && exit 0
	echo "this system has no dpkg, so packages are not checked; on Debian they are called:$wanted" >&2
	[ -n "$stamp" ] && echo '# said' >"$stamp"
	exit 0
fi
# shellcheck disable=SC2086
here=" $(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' $wanted 2>/dev/null |
	sed -n 's/^installed \([^:]*\).*/\1/p' | tr '\n' ' ')"
missing=
for name in $wanted; do
	case $here in *" $name "*) ;; *) missing="$missing $name" ;; esac
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "missing packages:$missing" >&2
	echo "install them:     sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
install() { apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing >/dev/null; }
if { apt-get update -qq && install; } || install; then
	[ -n "$stamp" ] && touch "$stamp"
	exit 0
fi
echo "these packages could not be installed:$missing" >&2
echo "once they are there (apt-get install --no-install-recommends$missing) the same command goes on" >&2
exit 1
