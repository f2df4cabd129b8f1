# Files with holes: one that reads as terabytes is refused at every door, at once; the copies of a smaller one have its holes.
cd "$T" || exit 2
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; tail -n 3 err; fi; }
mkdir giant small && echo scan >giant/t1.nii
if ! truncate -s 5T giant/t2.nii 2>err; then echo "skip - a sparse giant: no file of 5 TB here"; else
	timeout 10 voxtrail commit scans giant --store s >out 2>err; same "commit refuses a sparse giant" "$?:$(grep -c 'holes' err)" 65:1
	timeout 10 voxtrail commit scans giant --copy --store s >out 2>err; same "with --copy too" "$?:$(du -sm s | cut -f1 | grep -c '^[0-3]$')" 65:1
	timeout 10 voxtrail import giant --store s >out 2>err; same "import" "$?" 65
	timeout 10 skullstrip-normalize --scans giant --manifest "$ROOT/manifests/embedded.json" --out o >out 2>err; same "a stage" "$?:$(grep -c 'holes' err)" 65:1
	printf '{"pipeline":{"name":"p"},"transform":{"image":"x@sha256:%064d","cmd":["sh"],"stdin":["truncate -s 5T /pfs/out/x"]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}},"datumTries":1}' 0 >p.json
	mkdir in && echo 1 >in/f && timeout 30 voxtrail run p.json --repo r=in --store s >out 2>err; same "and what a program writes" "$?:$(grep -c 'holes' err | grep -c '[1-9]')" 1:1
fi
truncate -s 64M small/sparse.nii && printf x | dd of=small/sparse.nii bs=1 seek=33554432 conv=notrunc 2>/dev/null
kb() { du -k "$1" | cut -f1; }
if [ "$(kb small/sparse.nii)" -gt 1024 ]; then echo "skip - copies with holes: the file system has none"; exit 0; fi
few() { [ "$(kb "$1")" -le 4096 ] && cmp -s "$1" small/sparse.nii; }
voxtrail commit small small --copy --store s >out 2>err; object=$(find s/objects -type f -size +1000k)
few "$object"; same "the object in the store has the holes" $? 0
voxtrail checkout small w --writable --store s >out 2>err; few w/sparse.nii; same "a checkout" $? 0
voxtrail push small "$T/other" --store s >out 2>err; few "$(find other/objects -type f -size +1000k)"; same "a push" $? 0
truncate -s 10M small/end.nii; voxtrail commit small small --copy --store s >out 2>err
voxtrail checkout small v --writable --store s >out 2>err; same "zeros to the end keep the length" "$(stat -c %s v/end.nii):$(voxtrail verify --store s >/dev/null; echo $?)" 10485760:0
exit 0
