# Exit 0 means that the answer got out, and that results are this store's own where it says so: full and closed outputs, results that are pushed.
set -u
cd "$T" || exit 2
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; cat said 2>/dev/null; fi; }
cat >p.json <<-'END'
	{"pipeline":{"name":"p"},"transform":{"image":"x@sha256:0000000000000000000000000000000000000000000000000000000000000000","cmd":["sh"],
	"stdin":["cp /pfs/r/f /pfs/out/x"]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}},"datumTries":1}
	END
mkdir r && echo a >r/f && voxtrail commit r r --copy --store s >/dev/null && voxtrail run p.json --store s >/dev/null 2>said; ok $? "a store with a run"
export VOXTRAIL_STORE=$T/s
while read -r command; do
	voxtrail $command >/dev/full 2>said; rc=$?
	[ $rc = 74 ] && grep -q 'standard output: cannot write' said; ok $? "$command to a full disk: 74 ($rc)"
done <<-'END'
	--help
	--version
	verify --help
	log
	log r --json
	ls r
	branch r
	history
	history --check
	export-log
	verify
	gc
	plan p.json --all
	datum list p.json p
	lint p.json
	emit argo p.json
	emit snakemake p.json
	explain p /x
	audit p
	audit p --format html
	attest export p --format prov
	trust list
END
for command in "sample --describe json" "sample --help" "sample --version"; do $command >/dev/full 2>said; [ $? = 74 ]; ok $? "$command to a full disk: 74"; done

# a descriptor that is closed is nobody's: what is printed lands in no file of ours
sums() { find s -type f ! -name 'lineage.db*' -exec sha256sum {} + | LC_ALL=C sort -k 2; }
sums >before
for command in log "ls r" verify "audit p" history; do
	voxtrail $command <&- >&- 2>&-; voxtrail $command >&- 2>said
done
sums | cmp -s - before; ok $? "with closed standard descriptors no file of the store changes"
voxtrail commit r r --copy --allow-empty <&- >&- 2>&- && voxtrail verify >said 2>&1 && ! grep -rqs 'r@master' s; ok $? "a commit with closed standard descriptors prints into none of its files"

mkdir odd && echo 1 >"odd/a$(printf '\342\200\256')b"
voxtrail commit odd odd --copy >said 2>&1; [ $? = 65 ] && grep -q 'a\\xe2\\x80\\xaeb' said; ok $? "a name with a character that turns the text's direction is refused, and shown escaped"

cp -r s s3 && rm -f s3/lineage.db* && mkfifo s3/lineage.db
for command in verify "commit r r" "audit p"; do timeout 20 voxtrail $command --store s3 >said 2>&1; rc=$?; [ $rc != 0 ] && [ $rc != 124 ] && grep -q 'lineage.db: not a regular file' said; ok $? "$command where the index is a fifo"; done

# results: whoever may push brings what is lacking and replaces nothing
key=$(find s/results -type f) k=$(echo "$key" | sed 's|.*/\(..\)/|\1|')
mkdir z && echo forged >z/x && voxtrail commit z z --copy >/dev/null && forged=$(voxtrail log z --json | sed -n 's/.*"tree": *"\([0-9a-f]*\)".*/\1/p' | head -n 1)
text=$(sed "s/\"tree\":\"[0-9a-f]*\"/\"tree\":\"$forged\"/" "$key") && cp "$key" honest
{ printf 'put results %s %s\n%sflush\n' "$k" "${#text}" "$text"; } | voxtrail serve --write >out 2>said; cmp -s "$key" honest; ok $? "a result that is here is not replaced by one that is pushed"
voxtrail push r "$T/other" >/dev/null && voxtrail push --all --results "$T/other" >/dev/null 2>said
cp -a other claims; voxtrail run p.json --store claims >said 2>&1; grep -q '"success":1' said; ok $? "results that were asked for are claims: the work is done"
voxtrail trust vouch --all --reason ours --store other >/dev/null; voxtrail run p.json --store other >said 2>&1; grep -q '"skipped":1' said; ok $? "once somebody vouches for their records they are used"
voxtrail push --all --results "$T/strict" >/dev/null && voxtrail trust demand made reuse --store strict >/dev/null
voxtrail run p.json --store strict >said 2>&1; grep -q '"success":1,"skipped":0' said; ok $? "but not where the policy takes only what was executed here"
