#!/bin/sh
# install_tree.sh DIR FILE|FOLDER...: copies each into DIR under its own name, files with mode 644, folders with 755.
set -eu
umask 022
to=$1
shift
mkdir -p "$to"
to=$(cd "$to" && pwd)
for from in "$@"; do
	(cd "$(dirname "$from")" && find "$(basename "$from")" -type f ! -name '.*' -exec sh -c '
		to=$1; shift
		for f in "$@"; do install -D -m 644 "$f" "$to/$f"; done' sh "$to" {} +)
done
