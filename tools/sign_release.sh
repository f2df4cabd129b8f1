#!/bin/sh
# sign_release.sh DIR KEY: SHA256SUMS of the files in DIR, and DIR/voxtrail.sig.json, the signature over all of them by `voxtrail attest`.
# Who has the public key checks with   voxtrail attest verify DIR/voxtrail.sig.json DIR --key KEY.pub
set -eu
[ $# = 2 ] || { echo "usage: sign_release.sh DIR KEY" >&2; exit 64; }
rm -f "$1/voxtrail.sig.json" "$1/SHA256SUMS"
sums=$(cd "$1" && find . -maxdepth 1 -type f -print | LC_ALL=C sort | cut -c3- | xargs sha256sum)
printf '%s\n' "$sums" >"$1/SHA256SUMS"
voxtrail=voxtrail
[ -x "${B:-build/release}/bin/voxtrail" ] && voxtrail=${B:-build/release}/bin/voxtrail
exec "$voxtrail" attest sign "$1" --format oms --key "$2" -o "$1/voxtrail.sig.json"
