# Files that no word of a command names are not in the key: lint says to write `salt`, where that is so and only there.
set -u
cd "$T" || exit 1
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
mk() { printf '{"pipeline":{"name":"l"},%s"transform":{"image":"%s","cmd":%s},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}}}' "${2:-}" "$image" "$1" >l.json; }
hint() { mk "$1" "${3:-}"; voxtrail lint l.json >out 2>&1; rc=$?; n=$(grep -c '/salt: .*not in a datum.s key' out); [ "$rc:$n" = "0:$2" ] && echo "ok - $4" || echo "not ok - $4: $rc, $n hints: $(head -n 2 out)"; }
printf 'import helper\n' >own.py; printf '#!/usr/bin/env python3\nimport helper\n' >own; printf '#!/bin/sh\n. ./lib.sh\n' >sources; printf '#!/bin/sh\n. %s/lib.sh\n' "$T" >absolute; echo : >lib.sh
chmod +x own sources absolute
hint "[\"python3\",\"$T/own.py\"]" 1 '' "a Python script: its modules"
hint "[\"nice\",\"python3\",\"$T/own.py\"]" 1 '' "behind a launcher"
hint "[\"$T/own\"]" 1 '' "by its first line"
hint "[\"$T/sources\"]" 1 '' "a script that sources a file by a relative path"
hint '["sh","-c",". \"$LIB\"/x; true"]' 1 '' "by a path that a shell computes"
hint "[\"$T/absolute\"]" 0 '' "a file sourced by its absolute path is in the key: no hint"
hint '["sh","-c","cp -r /pfs/r/. /pfs/out"]' 0 '' "plain shell: no hint"
hint '["export","--model","/pfs/r","--out","/pfs/out"]' 0 '' "a stage of ours: no hint"
hint "[\"python3\",\"$T/own.py\"]" 0 '"salt":"1",' "a spec with salt: no hint"
for s in "$ROOT"/pipelines/*.json; do voxtrail lint "$s" 2>&1 | grep -H --label="$s" /salt; done >out; [ ! -s out ] && echo "ok - none of the shipped specs needs one" || echo "not ok - shipped: $(head -n 1 out)"
