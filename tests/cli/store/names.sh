# Names as scanners and people give them, with + ( ) @ ! ^ and spaces, in every command that has to do with paths.
export VOXTRAIL_STORE=$T/store
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: \"$2\", want \"$3\""; fi; }
d="$T/d/sub-01 (MR+CT)@3T"; mkdir -p "$d/!^"
echo one >"$d/T1 (2)+c.nii"; echo two >"$d/!^/@(a|b)"
voxtrail commit scans "$T/d" >"$T/out" 2>&1; same "committed" "$?" 0
voxtrail checkout scans "$T/whole" >/dev/null 2>"$T/err"; same "checked out whole" "$?:$(diff -r "$T/d" "$T/whole" 2>&1)" "0:"
voxtrail checkout "scans@master:sub-01 (MR+CT)@3T/T1 (2)+c.nii" "$T/part" >/dev/null 2>"$T/err"
same "one file checked out by its path" "$?:$(cat "$T/part/sub-01 (MR+CT)@3T/T1 (2)+c.nii" 2>&1)" "0:one"
same "git's manifest is one of sha256sum" "$(git -C "$VOXTRAIL_STORE/git/scans.git" show master:MANIFEST | (cd "$T/d" && sha256sum -c --quiet 2>&1))" ""
voxtrail commit --copy scans "$T/d" >/dev/null 2>&1; cp -R "$T/d" "$T/e"; chmod -R u+w "$T/e"; mv "$T/e/sub-01 (MR+CT)@3T/!^/@(a|b)" "$T/e/sub-01 (MR+CT)@3T/!^/+(c)"
voxtrail commit scans "$T/e" >/dev/null 2>&1
same "diff names them" "$(voxtrail diff scans~1 scans | grep -cF '+(c)')" 1
voxtrail push scans "$T/other" >/dev/null 2>"$T/err"; same "pushed" "$?:$(voxtrail verify --store "$T/other" >/dev/null 2>&1; echo $?)" "0:0"
voxtrail verify >/dev/null 2>&1; same "verified" "$?" 0
for bad in 'a*' 'b?' 'c[1]' 'd{x}' 'e\f'; do
	rm -rf "$T/bad"; mkdir "$T/bad"; echo x >"$T/bad/$bad"
	voxtrail commit scans "$T/bad" >/dev/null 2>"$T/err"; same "$bad is refused with the reason" "$?:$(grep -c 'rename it' "$T/err")" "65:1"
done
