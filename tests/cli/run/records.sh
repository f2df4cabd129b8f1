# Every datum has a record: a foreign step between stages does not cut the lineage, and an exit status of 0 is believed only
# when something is there.
set -u
cd "$T" || exit 1
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; fi; }
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
pfs() { printf '{"pfs":{"name":"%s","repo":"%s","glob":"%s"}}' "$1" "$1" "$2"; }
export VOXTRAIL_STORE=$T/store
mkdir sc && for s in sub-1 sub-2; do mkdir sc/$s && echo "scan of $s" >sc/$s/t1 && echo licence >sc/$s/LICENCE; done
# own commands in a row: rewriting per subject, then one file of all
cat >chain.json <<S
[{"pipeline":{"name":"cv"},"input":$(pfs sc '/*'),"transform":{"image":"$image","cmd":["sh"],"stdin":["cd /pfs/sc; for d in *; do tr a-z A-Z <\$d/t1 >/pfs/out/\$d.flat; done"]}},
 {"pipeline":{"name":"copy"},"input":$(pfs sc '/*'),"transform":{"image":"$image","cmd":["cp","-r","/pfs/sc/.","/pfs/out/"]}},
 {"pipeline":{"name":"mean"},"input":$(pfs cv /),"transform":{"image":"$image","cmd":["sh","-c","cat /pfs/cv/*.flat | rev >/pfs/out/all"]}}]
S
voxtrail run chain.json --repo sc=sc --checkout o --log text 2>err; same "own commands run" "$?" 0
voxtrail audit o/mean >a 2>&1; same "audit of their output is whole" "$?" 0
same "it names the executions" "$(voxtrail audit --list o/mean | awk '{print $2}' | sort | tr '\n' ' ')" "cv cv mean "
same "and reaches the raw files" "$(grep -c 'sub-[12]/t1' a)" 2
same "subjects of a mixing command" "$(voxtrail subjects o/mean | awk '{print $1}' | tr '\n' ' ')" "sub-1 sub-2 "
same "and of one that copies" "$(voxtrail subjects o/copy | awk '{print $1}' | tr '\n' ' ')" "sub-1 sub-2 "
voxtrail descendants sc/sub-1/t1 >d 2>&1; same "descendants reach through them" "$(grep -c mean d)" 1
$PYTHON - <<'P'
import json, glob
r = [json.load(open(f)) for f in glob.glob("o/mean/.lineage/*/record.json")]
say = lambda name, cond: print("ok - " + name if cond else "not ok - " + name)
say("the record: stage, command, image, programs", len(r) == 1 and r[0]["stage"] == "mean" and r[0]["version"] == "command"
    and json.loads(r[0]["params"]["command"])[0] == "sh" and "@sha256" in r[0]["params"]["image"] and len(r[0]["binary"]) == 64
    and any(l.endswith(" rev") for l in r[0]["params"]["programs"].split("\n")))
P
voxtrail verify >/dev/null 2>&1; same "the store is sound" "$?" 0
voxtrail run chain.json --repo sc=sc --log text 2>err; same "nothing runs again" "$(grep -o 'success=[1-9]' err)" ""
voxtrail erase sub-1 >e 2>&1; same "erase counts what is mixed" "$?:$(grep -c '1 execution' e)" 0:1
voxtrail consent withdraw sub-1 --reason letter >/dev/null 2>&1; voxtrail consent check o/mean >c 2>&1
same "consent check lists what a command made of it" "$?:$(grep -c sub-1 c)" 1:1
voxtrail consent check >c 2>&1
same "and so does the check of everything, which names commands that mix and no others" "$?:$(awk '{print $4}' c | sort | tr '\n' ' ')" "1:mean "
# a model that was checked out, edited, and committed without its records: what made the rest of it says otherwise of the edited file
mkdir texts && echo one >texts/a && echo two >texts/b
cat >model.json <<S
[{"pipeline":{"name":"model"},"input":$(pfs texts /),"transform":{"image":"$image","cmd":["sh"],"stdin":["cd /pfs/out; echo 16 >patch.json; cat /pfs/texts/* | rev >weights"]}}]
S
reader() { printf '[{"pipeline":{"name":"%s"},"input":%s,"transform":{"image":"%s","cmd":["sh"],"stdin":["cat /pfs/%s/* | tac >/pfs/out/all"]}}]' "$1" "$(pfs "$2" /)" "$image" "$2"; }
voxtrail run model.json --repo texts=texts --log text 2>err && voxtrail checkout model m >/dev/null 2>err; same "a model" "$?" 0
mkdir edited && cp m/weights m/patch.json edited/ && chmod u+w edited/* && echo 32 >edited/patch.json && voxtrail commit model2 edited --copy >/dev/null 2>err
reader pred model2 >pred.json; voxtrail run pred.json --checkout pr --log text 2>err
voxtrail audit pr/pred >a 2>&1; same "a model that was edited and committed by hand: who made the bytes that stayed is known" "$?:$(voxtrail audit --list pr/pred | awk '{print $2}' | sort | tr '\n' ' ')" "0:model pred "
voxtrail checkout model2 m2 >/dev/null 2>err; voxtrail import m2 >a 2>&1; same "a checkout of it agrees with itself" "$?" 0
# what a repo is bound to: a store of git beside it, files behind links, and records
cp -r m linked && chmod -R u+w linked && mkdir linked/.git && mv linked/weights linked/.git/w && ln -s .git/w linked/weights
reader third model3 >third.json; voxtrail run third.json --repo model3=linked --checkout th --log text 2>err; same "a directory with records, links and .git is bound" "$?" 0
same "with its records and without .git" "$(voxtrail audit --list th/third | awk '{print $2}' | sort | tr '\n' ' '):$(voxtrail ls model3 2>&1 | grep -c git)" "model third :0"
voxtrail commit model4 linked --copy --follow-links >a 2>&1; same "and committed with --follow-links" "$?" 0
# a directory whose name ends like that of the records
mkdir -p ens/case.lineage && cp -r m/. ens/case.lineage/ && chmod -R u+w ens
reader fourth model5 | sed 's,/pfs/model5/\*,/pfs/model5/*/weights,' >fourth.json; voxtrail run fourth.json --repo model5=ens --checkout fo --log text 2>err
same "a member called case.lineage keeps its records" "$?:$(voxtrail audit --list fo/fourth | awk '{print $2}' | sort | tr '\n' ' ')" "0:fourth model "
same "beside what is read" "$(cat fo/fourth/.lineage/*/record.json | grep -c '"parents":\["')" 1
# a foreign step between our stages (the case of a denoiser)
unset VOXTRAIL_STORE
make-cohort --out cohort --subjects 2 --seed 5 --coarse >/dev/null 2>&1
mkdir recipe manifest && cp "$ROOT/manifests/embedded.json" manifest/manifest.json
for s in skullstrip-normalize crop-patch; do echo '{"params":{}}' >recipe/$s.json; done
cat >foreign.json <<S
[{"pipeline":{"name":"normed"},"input":{"cross":[$(pfs scans '/*'),$(pfs recipe /),$(pfs manifest /)]},"transform":{"image":"$image","acceptReturnCode":[65],
  "cmd":["env","skullstrip-normalize","--scans","/pfs/scans","--manifest","/pfs/manifest/manifest.json","--recipe","/pfs/recipe/skullstrip-normalize.json","--out","/pfs/out"]}},
 {"pipeline":{"name":"denoise"},"input":$(pfs normed '/*'),"transform":{"image":"$image","cmd":["/bin/sh","-c","cp -r /pfs/normed/. /pfs/out; cd /pfs/out; chmod -R u+w .; for f in sub-*/*.nii; do dd if=/dev/zero of=\$f bs=1 seek=360 count=4 conv=notrunc 2>/dev/null; done"]}},
 {"pipeline":{"name":"crop"},"input":{"cross":[$(pfs denoise /),$(pfs labels /),$(pfs manifest /),$(pfs recipe /)]},"transform":{"image":"$image",
  "cmd":["crop-patch","--normed","/pfs/denoise","--labels","/pfs/labels","--manifest","/pfs/manifest/manifest.json","--recipe","/pfs/recipe/crop-patch.json","--out","/pfs/out"]}}]
S
voxtrail run foreign.json --store fs --repo scans=cohort/scans --repo labels=cohort/labels --repo recipe=recipe --repo manifest=manifest --checkout f --log text 2>err
same "a foreign step between stages" "$?:$(tail -n 1 err | grep -c 'refused')" 0:0
voxtrail audit f/crop --store fs >a 2>&1; same "the audit is whole" "$?" 0
same "goes through it to the stage before" "$(voxtrail audit --list f/crop --store fs | awk '{print $2}' | sort | uniq -c | awk '{printf "%s=%s ", $2, $1}')" "crop-patch=1 denoise=2 skullstrip-normalize=2 "
same "and to the scans" "$(grep -c 'sub-00[12]/.*\.nii' a | awk '{print ($1 >= 8)}')" 1
# a stage reads what was edited by hand and committed without its records: the rest of the subject's result was made by what says otherwise
voxtrail checkout normed n --store fs >/dev/null 2>err && rm -rf n/.lineage && chmod -R u+w n
for f in n/sub-001/*.nii; do printf edited | dd of="$f" bs=1 seek=148 conv=notrunc 2>/dev/null; break; done
voxtrail commit normed2 n --copy --store fs >/dev/null 2>err
sed -n 's/"pipeline":{"name":"crop"}/"pipeline":{"name":"crop2"}/; s/denoise/normed2/g; /crop2/,$p' foreign.json | sed '1s/.*{"pipeline"/[{"pipeline"/' >crop2.json
voxtrail run crop2.json --store fs --checkout f --log text 2>err; same "an edited result that was committed by hand is read by a stage" "$?" 0
same "what was not edited is known" "$(voxtrail audit --list f/crop2 --store fs | awk '{print $2}' | sort | uniq -c | awk '{printf "%s=%s ", $2, $1}')" "crop-patch=1 skullstrip-normalize=2 "
# exit 0 means done
one() { printf '{"pipeline":{"name":"p"%s},"transform":{"image":"%s",%s},"input":%s,"datumTries":2%s}' "" "$image" "$1" "$(pfs sc "${2:-/}")" "${3:-}" >p.json; }
printf '#!/bin/sh\nexit 0\n' >liar && chmod +x liar
one "\"cmd\":[\"$T/liar\",\"-N1\",\"export\",\"--model\",\"/pfs/sc\",\"--out\",\"/pfs/out\"]"; voxtrail run p.json --repo sc=sc --store es --log text 2>err
same "a launcher that says 0 for a stage that never ran: failed, after every try" "$?:$(grep -c 'tries=2 .*export left no record' err)" 1:1
one '"cmd":["true"]'; voxtrail run p.json --repo sc=sc --store es --log text 2>err
same "a program that wrote nothing failed" "$?:$(grep -c 'ended with 0: .*nothing is in /pfs/out.*may-be-empty' err)" 1:1
one '"cmd":["true"]' / ',"metadata":{"annotations":{"voxtrail/may-be-empty":"true"}}'; voxtrail run p.json --repo sc=sc --store es --log text 2>err
same "unless the spec says that it may" "$?:$(grep -o 'success=1' err)" 0:success=1
one '"cmd":["sh","-c","mkdir -p /pfs/out/.voxtrail-partial; echo x >/pfs/out/.voxtrail-partial/x"]'; voxtrail run p.json --repo sc=sc --store es --log text 2>err
same "what a killed stage left is no output" "$?:$(grep -c 'voxtrail-partial is still in the output' err)" 1:4
one '"cmd":["cp","-r","/pfs/sc/.","/pfs/out/"]' '/sub-[78]*'; voxtrail run p.json --repo sc=sc --store es --log text 2>err
same "no datum behind an input with files is a failed job that says why" "$?:$(grep -c 'failed: p, because its inputs hold files and no datum comes of them' err)" 1:1
sed -i 's/"datumTries"/"metadata":{"annotations":{"voxtrail\/may-be-empty":"true"}},"datumTries"/' p.json; voxtrail run p.json --repo sc=sc --store es --log text 2>err
same "unless the spec says that there may be none" "$?" 0
# groups: many small datums in one barrier each, and a bad one among them fails alone
mkdir lots && for i in $(seq 40); do echo $i >lots/f$i; done
printf '{"pipeline":{"name":"g"},"transform":{"image":"%s","cmd":["sh","-c","cp /pfs/lots/* /pfs/out/; [ ! -e /pfs/lots/f7 ] || ln -s /nowhere /pfs/out/l"]},"input":%s,"datumTries":2,"parallelismSpec":{"constant":4}}' "$image" "$(pfs lots '/*')" >g.json
voxtrail run g.json --repo lots=lots --store gs --jobs 4 --log text 2>err
same "one bad output of a group fails alone, after its tries" "$?:$(grep -o 'success=39 .*failed=1' err | cut -d' ' -f1):$(grep -c 'tries=2.*because' err)" "1:success=39:1"
label=$(printf '{"pipeline":{"name":"w"},"transform":{"image":"%s","cmd":["cp","-r","/pfs/lots/.","/pfs/out/"]},"input":{"group":[{"pfs":{"name":"lots","repo":"lots","glob":"/(f)*","groupBy":"$1"}}]}}' "$image" >w.json; voxtrail plan w.json --repo lots=lots --store gs | tail -n 1)
same "a group is called by a few of its paths" "$(echo "$label" | grep -c 'and 36 more')" 1
# logs: nobody else's business, and a flood is cut
one '"cmd":["sh","-c","echo begin; head -c 30000000 /dev/zero | tr x y; echo end; echo x >/pfs/out/x"]'; voxtrail run p.json --repo sc=sc --store es --log text 2>err
log=$(find es/runner/logs/p -type f | head -n 1)
same "a flood keeps its beginning and its end, for its owner only" "$?:$(head -c 5 "$log"):$(tail -n 1 "$log"):$(($(stat -c %s "$log") < 17000000)):$(stat -c %a "$log")" "0:begin:end:1:600"
printf '\357\273\277' >bom.json; cat p.json >>bom.json; voxtrail lint bom.json >out 2>&1; same "a byte order mark in front of a spec" "$?" 0
