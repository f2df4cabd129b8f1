#!/bin/sh
# build_id.sh [--time]: prints build_id.h, the commit this tree was built from, whether it was modified, and its stages; or the commit's
# time.  In a checkout git says so; in an archive of a commit (git archive, a release's tarball) tools/archive_commit does.
set -u
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
root=$(cd "$(dirname "$0")/.." && pwd -P) || exit 1
# Whose folder it is does not matter: nothing is run that this makefile would not run anyway.
git_here() { git -C "$root" -c safe.directory="$root" "$@" 2>/dev/null; }
commit=unknown time=0 dirty=0
if [ "$(git_here rev-parse --show-toplevel)" = "$root" ]; then
	commit=$(git_here rev-parse HEAD) || commit=unknown
	time=$(git_here log -1 --format=%ct) || time=0
	[ -n "$(git_here status --porcelain --untracked-files=no)" ] && dirty=1
elif [ ! -e "$root/.git" ]; then
	said=$(sed -n 's/^commit \([0-9a-f]\{40,64\}\)$/\1/p' "$root/tools/archive_commit" 2>/dev/null)
	[ -n "$said" ] && commit=$said time=$(sed -n 's/^time \([0-9]*\)$/\1/p' "$root/tools/archive_commit")
fi
if [ "${1:-}" = --time ]; then
	echo "${time:-0}"
else
	printf '#define VT_BUILD_COMMIT "%s"\n#define VT_BUILD_DIRTY %d\n' "$commit" "$dirty"
	printf '#define VT_BUILD_STAGES "%s"\n' "$(cd "$root" && for f in stages/*.c; do basename "$f" .c; done | tr '\n' ' ')"
fi
