#!/bin/sh
# Prints build_id.h: the commit this tree was built from and whether it was modified.
commit=$(git rev-parse HEAD 2>/dev/null) || commit=unknown
dirty=0
[ -n "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] && dirty=1
printf '#define VT_BUILD_COMMIT "%s"\n#define VT_BUILD_DIRTY %d\n' "$commit" "$dirty"
