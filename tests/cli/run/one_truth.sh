# A run keeps the store's promises: objects are examined before they are used, refs are the only heads, nothing of somebody
# else's is overwritten.
D=0000000000000000000000000000000000000000000000000000000000000000
mk() { printf '{"pipeline":{"name":"%s"},"transform":{"image":"x@sha256:%s","cmd":["sh"],"stdin":["%s"]},"input":{"pfs":{"name":"%s","repo":"%s","glob":"%s"}},"datumTries":1}' "$1" $D "$2" "$3" "$3" "$4" >"$T/$1.json"; }
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; sed 's/^/     /' "$T/err"; fi; }
vt() { command=$1; shift; voxtrail "$command" "$@" --store "$T/s" >"$T/out" 2>"$T/err"; }
fresh() { rm -rf "$T/s" "$T/w" "$T/w2" "$T/in"; mkdir "$T/in"; echo orig >"$T/in/f"; }
umask 022
cd "$T" || exit 1
mk p 'tr a-z A-Z </pfs/r/f >/pfs/out/x' r /
mk q 'cat /pfs/p/x /pfs/p/x >/pfs/out/y' p /

# A linked output that its owner edits or opens for writing.
fresh; vt run p.json --repo r=in --checkout w
chmod u+w w/p/x; echo hacked >>w/p/x; chmod u-w w/p/x
vt run p.json --repo r=in --checkout w2
same "an object that was written to is not a result: its datum runs again" "$?:$(cat w2/p/x):$(grep -c '"success":1' err)" "0:ORIG:1"
vt verify; same "and the object is mended" "$?" 0
fresh; vt run p.json --repo r=in --checkout w; chmod u+w w/p/x
vt run p.json --repo r=in --checkout w2; same "an object that was opened for writing: sound, nothing runs" "$?:$(grep -c '"skipped":1' err)" "0:1"
same "and no link to the writable file is handed out" "$(stat -c %a w2/p/x)" 444
vt run q.json --checkout w2; same "what reads from it is not told that it modified its input" "$?:$(tr '\n' ' ' <w2/q/y)" "0:ORIG ORIG "
fresh; vt commit r in --copy; o=$(find s/objects -type f); chmod u+w "$o"; echo more >>"$o"; chmod u-w "$o"
vt run p.json; same "a damaged input stops the run, with the remedy" "$?:$(grep -c 'commit the original of f again' err)" "76:1"
vt run p.json --repo r=in --checkout w; same "which mends it" "$?:$(cat w/p/x)" "0:ORIG"
mk m 'chmod u+w /pfs/r/f; echo x >>/pfs/r/f; echo done >/pfs/out/x' r /
vt run m.json --repo r=in; same "a datum that writes to its input fails" "$?:$(grep -q 'input modified: r/f' err && echo named)" "1:named"

# Refs are the only heads.
fresh; vt run p.json --repo r=in; echo second >in/f; vt run p.json --repo r=in
vt branch r master r~1 --force; vt run p.json --checkout w; same "a branch that was moved back moves what the next run sees" "$?:$(cat w/p/x)" "0:ORIG"
vt checkout p c; same "run --checkout and checkout agree" "$(cat c/x)" "ORIG"
vt branch p master p~2 --force; vt run q.json --checkout w; same "so does what only reads from an output" "$?:$(head -n 1 w/q/y)" "0:ORIG"
vt run p.json --checkout w; vt checkout p c2; same "an output's branch that was moved: the next run and checkout agree again" "$?:$(cat w/p/x):$(cat c2/x)" "0:ORIG:ORIG"
mkdir other; echo bogus >other/x
vt commit p other; same "a commit by hand to an output is refused" "$?:$(grep -c 'written by a pipeline' err)" "64:1"
vt commit p@mine other; same "on another branch it is not" "$?" 0
vt branch --delete --force r master; vt gc --sweep --keep-days 0
vt run p.json; same "a branch that was deleted is a missing input" "$?:$(grep -c 'repo r has no commit' err)" "66:1"
rm -rf s/runner; vt run p.json; same "as it is without the runner's folder" "$?" 66

# What is not ours stays.
fresh; mkdir -p precious/p; echo keep >precious/p/keep
vt run p.json --repo r=in --checkout precious; same "run --checkout over somebody's files is refused before anything runs" "$?:$(cat precious/p/keep):$(ls s/results | wc -l)" "73:keep:0"
vt run p.json --repo r=in --checkout w; echo second >in/f
vt run p.json --repo r=in --checkout w; same "over what an earlier run left it is not" "$?:$(cat w/p/x)" "0:SECOND"
echo mine >w/p/mine; vt run p.json --repo r=in --checkout w; same "with a file of one's own in it it is" "$?:$(cat w/p/mine)" "73:mine"
fresh; vt run p.json --repo r=in; mkdir empty
vt run p.json --repo r=empty; same "an empty directory over a full repo: an unmounted disk, not a wish" "$?:$(grep -c 'is its disk mounted' err)" "66:1"
vt checkout p c3; same "the output is as it was" "$(cat c3/x)" ORIG
vt commit r empty; vt run p.json; same "committed by hand it counts" "$?:$(grep -c '"datums":0' err)" "0:1"

# Cron: a repo of its own, as Pachyderm names it.
printf '{"pipeline":{"name":"n"},"transform":{"image":"x@sha256:%s","cmd":["sh"],"stdin":["ls /pfs/tick >/pfs/out/log"]},"input":{"cron":{"name":"tick","spec":"@daily"}}}' $D >n.json
fresh; vt tick n.json n; same "a tick goes to PIPELINE_INPUT" "$?:$(cut -d: -f1 out)" "0:n_tick"
vt run n.json; vt run n.json --checkout w; same "and not into the pipeline's own output" "$?:$(grep -c '"skipped":1' err):$(ls w/n)" "0:1:log"
sleep 1; vt tick n.json n; same "a second tick is accepted" "$?" 0
vt verify; same "the store is sound" "$?" 0

# A store of the former format.
fresh; vt run p.json --repo r=in; rm -rf s/results s/runner; echo "voxstore 1" >s/format
mkdir -p s/runner/heads s/runner/results s/runner/triggers; echo "commit $D $D" >s/runner/heads/p; echo x >s/runner/triggers/t.r.head; echo "$D 1 5" >s/runner/triggers/t.r
vt verify; same "a store of format 1 can be read" "$?:$(cat s/format)" "0:voxstore 1"
vt run p.json --repo r=in; same "and run again: everything once" "$?:$(grep -c '"success":1' err):$(cat s/format)" "0:1:voxstore 2"
same "its runner's lists are gone, its triggers are due" "$(ls s/runner | tr '\n' ' '):$(cat s/runner/triggers/t.r)" "format lock logs triggers work :- - 1073741824 0"
exit 0
