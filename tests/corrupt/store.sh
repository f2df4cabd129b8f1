# Every kind of damage to a store is named by `voxtrail verify`, which then exits with 76.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; fi; }
mkdir -p data/sub-001 && printf 'first\n' >data/sub-001/a.txt && printf 'second\n' >data/b.txt
voxtrail commit scans data --store st >/dev/null || exit 1
voxtrail verify --store st >/dev/null; ok $? "a sound store passes"

damage() {      # what, path of the object
	chmod u+w "$2" && printf 'X' | dd of="$2" bs=1 seek=1 conv=notrunc 2>/dev/null
	voxtrail verify --store st >said 2>&1
	[ $? = 76 ] && grep -q "$(basename "$2")" said
	ok $? "one changed byte in a $1 is found and named"
}
blob=$(printf 'first\n' | sha256sum | cut -c1-64)
tree=$(find st/trees -type f | sort | head -n 1)
# the object is a link to the committed file, so the damage is done to a copy that takes its place
object=st/objects/$(echo "$blob" | cut -c1-2)/$(echo "$blob" | cut -c3-)
cp "$object" keep && mv -f keep "$object"
damage blob "$object"
printf 'first\n' >keep && mv -f keep "$object"
voxtrail verify --store st >/dev/null; ok $? "the store is sound again when the byte is back"
rm -f "$object"
voxtrail verify --store st >said 2>&1; [ $? = 76 ] && grep -q "$blob" said
ok $? "a missing blob is named"
printf 'first\n' >"$object"
damage tree "$tree"
# a name that is refused leaves nothing behind
n=$(find st -type f ! -name 'lineage.db*' | wc -l)
mkdir bad && printf 'third\n' >"bad/$(printf 'x\377y')" && voxtrail commit scans bad --store st 2>said
[ $? = 65 ] && grep -q 'bad/x\\xffy: the name is not UTF-8' said && [ "$(find st -type f ! -name 'lineage.db*' | wc -l)" = "$n" ]
ok $? "a name that is not UTF-8 is refused with path and reason, the store unchanged"
printf 'linstore 9\n' >st/format
voxtrail verify --store st >said 2>&1; [ $? = 65 ] && grep -q 'linstore 9' said
ok $? "a store of another format is refused with its name"
