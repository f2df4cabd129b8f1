# What a stage sees as /pfs under each view; user, secrets, working directory.
. "$ROOT/tests/cli/run/_stubs.sh"
for i in 001 002; do subject sub-$i; done
one() { # CMD-WORDS EXTRA-OF-TRANSFORM: a pipeline over /*
	printf '{"pipeline":{"name":"a"},"input":%s,"datumTries":1,"transform":{"image":"%s","env":{"RAN":"%s/ran"},"cmd":["/bin/sh"],"stdin":[%s]%s}}' \
		"$(pfs scans scans '/*')" "$image" "$T" "$1" "$2" >"$T/one.json"
}
go() { rm -rf "$T/store" "$T/co"; : >"$T/ran"; voxtrail run "$T/one.json" --repo scans="$T/scans" --store "$T/store" --log json --checkout "$T/co" "$@" 2>"$T/err"; }
# The script names /pfs where no word of the spec does: only a real /pfs answers.
cat >"$T/script" <<'S'
root=/pf; root=${root}s
cat $root/scans/*/t1.nii.gz >$root/out/$(basename $scans) || exit 9
ls -a $root >>$RAN; readlink $root/out >/dev/null || exit 8; [ "$scans" = "$root/scans/$(basename $scans)" ] || exit 7; [ "$PFS_ROOT" = $root ] || exit 6
S
one '". '"$T"'/script"'
if go --view ns; then
	same "ns: a real /pfs with inputs and out, as links" "$(sort -u "$T/ran" | tr '\n' ' '):$(cat "$T/co/a/sub-002")" ". .. out scans :scan sub-002"
	[ -d /pfs ] || same "ns: no /pfs is left on the machine" "$(ls -d /pfs 2>/dev/null)" ""
	go; same "auto chooses it" "$?" 0
	same "stages in a namespace die with the runner's children" "$(find "$T/store/runner/work" -mindepth 1 | wc -l)" 0
	one '"touch /pfs/scans/*/t1.nii.gz 2>/dev/null; : >/pfs/out/$(basename $scans); cd /pfs && mkdir x || exit 4; mkdir /newroot && echo yes >>$RAN"'
	go --view ns; same "ns: what it makes beside /pfs is gone with it" "$?:$(ls -d /newroot 2>/dev/null)" "0:"
	one '"[ ! -e /newroot ] && mkdir /newroot && [ ! -e /mnt/seen ] || exit 9; if mount -t tmpfs x /mnt 2>/dev/null; then : >/mnt/seen; fi; echo 1 >/pfs/out/$(basename $scans)"'
	go --view ns --jobs 1; same "ns: what one datum makes in / or mounts is not there for the next" "$?:$(ls "$T/co/a" | tr '\n' ' ')" "0:sub-001 sub-002 "
	one '"cat /run-secret/token >/pfs/out/$(basename $scans); echo $KEY >>/pfs/out/$(basename $scans)"' ',"secrets":[{"name":"s","mountPath":"/run-secret"},{"name":"s","key":"token","envVar":"KEY"}]'
	echo '{"s":{"token":"open sesame"}}' >"$T/secrets"
	go --view ns --secrets-file "$T/secrets"; same "secrets: as a variable and as a file" "$?:$(cat "$T/co/a/sub-001" | tr '\n' ' ')" "0:open sesameopen sesame "
	same "a secret is in no record and no key" "$(grep -rl 'sesame' "$T/store/results" "$T/store/trees" "$T/store/commits" "$T/store/records" 2>/dev/null)" ""
	go --view prefix --secrets-file "$T/secrets"; same "mountPath without a namespace is refused with its place" "$?:$(grep -c '/transform/secrets/0/mountPath' "$T/err")" "64:1"
	if [ "$(id -u)" = 0 ]; then
		open=$(mktemp -d) && chmod 755 "$open"          # $T is closed to others
		one '"id -u >/pfs/out/$(basename $scans); id -g >>/pfs/out/$(basename $scans)"' ',"user":"65532:65532"'
		rm -rf "$T/co"; voxtrail run "$T/one.json" --repo scans="$T/scans" --store "$open/store" --checkout "$T/co" 2>"$T/err"
		same "user: the stage runs as the user of the spec" "$?:$(cat "$T/co/a/sub-001" | tr '\n' ' ')" "0:65532 65532 "
		if command -v setpriv >/dev/null && setpriv --reuid 65534 --regid 65534 --clear-groups unshare -Urm true 2>/dev/null; then
			one '"x=/pf; cat ${x}s/scans/*/t1.nii.gz >${x}s/out/$(basename $scans); id -u >>${x}s/out/$(basename $scans)"'
			cp -r "$T/one.json" "$T/scans" "$B/bin/voxtrail" "$open"; chown -R 65534:65534 "$open"
			(cd / && setpriv --reuid 65534 --regid 65534 --clear-groups "$open/voxtrail" run "$open/one.json" --repo scans="$open/scans" --store "$open/own" --view ns --checkout "$open/co") 2>"$T/err"
			same "ns: without any privilege, as ourselves" "$?:$(cat "$open/co/a/sub-002" | tr '\n' ' ')" "0:scan sub-002 65534 "
		else
			echo "skip - ns without privilege: no user namespaces for others here"
		fi
		rm -rf "$open"
		one '"true"' ',"user":"nobody-of-that-name"'; go; same "a user that does not exist is refused with its place" "$?:$(grep -c '/transform/user' "$T/err")" "64:1"
	fi
else
	grep -q 'no mount namespace' "$T/err" && echo "skip - ns: no mount namespace here" || { echo "not ok - ns"; cat "$T/err"; }
fi
one '"cat /pfs/scans/*/t1.nii.gz >/pfs/out/$(basename $scans); echo $PFS_ROOT >>$RAN"'
go --view prefix; same "prefix: words are replaced, PFS_ROOT says where" "$?:$(cat "$T/co/a/sub-001"):$(grep -c "^$T/store/runner/work/a\..*/pfs$" "$T/ran")" "0:scan sub-001:2"
one '"true"' ',"secrets":[{"name":"s","key":"other","envVar":"KEY"}]'
echo '{"s":{"token":"x"}}' >"$T/secrets"
go --view prefix --secrets-file "$T/secrets"; same "a secret that is missing is named with what to add" "$?:$(grep -c '/transform/secrets/0.*no secret "s" with key other; add' "$T/err")" "64:1"
go --view sideways; same "an unknown view is refused" "$?" 64
if [ -d /pfs ]; then echo "skip - root: this machine has a /pfs"; else
	go --view root; same "root: refused without a /pfs" "$?" 64
	if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
		one '". '"$T"'/script"'
		unshare -m sh -c 'mount -t tmpfs x /mnt && mkdir /mnt/r && for d in /*; do [ -L "$d" ] && cp -P "$d" /mnt/r/ || { [ -d "$d" ] && mkdir "/mnt/r$d" && mount --rbind "$d" "/mnt/r$d"; }; done; mkdir /mnt/r/pfs
			exec chroot /mnt/r voxtrail run "'"$T"'/one.json" --repo scans="'"$T"'/scans" --store "'"$T"'/store2" --checkout "'"$T"'/co2" --view root --jobs 1' 2>"$T/err"
		same "root: links in the machine's own /pfs" "$?:$(cat "$T/co2/a/sub-002")" "0:scan sub-002"
	fi
fi
exit 0
