# What a datum's key holds of the programs on this machine, whatever starts them; a program that changes under a run; a
# path that is obeyed.
set -u
cd "$T" || exit 1
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; fi; }
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
spec() { printf '{"pipeline":{"name":"p"},"transform":{"image":"%s",%s},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}},"datumTries":1}' "$image" "$1" >p.json; }
mkdir in bin && echo orig >in/f
printf '#!/bin/sh\necho v1 >$PFS_ROOT/out/v\n' >tool && chmod +x tool
cp tool bin/named
printf 'echo v1 >$PFS_ROOT/out/v\n' >script
printf '#!%s/bin/own-shell\necho v1 >$PFS_ROOT/out/v\n' "$T" >interpreted && chmod +x interpreted && cp /bin/sh bin/own-shell
printf '#!/bin/sh\n. %s/library\nwrite\n' "$T" >sourcing && chmod +x sourcing && printf 'write() { echo v1 >$PFS_ROOT/out/v; }\n' >library
PATH=$T/bin:$PATH
# again WHAT FILE: one run computes, the next skips, and after a byte more in FILE the next computes
again() {
	rm -rf store
	voxtrail run --log text p.json --repo r=in --store store 2>err1 || { same "$1: first run" "$(tail -n 1 err1)" ""; return; }
	voxtrail run --log text p.json --repo r=in --store store 2>err2
	echo '# x' >>"$2"
	voxtrail run --log text p.json --repo r=in --store store 2>err3
	same "$1" "$(grep -o 'success=[0-9]* skipped=[0-9]*' err1 err2 err3 | sed 's/.*://' | tr '\n' ' ')" \
		"success=1 skipped=0 success=0 skipped=1 success=1 skipped=0 "
}
spec "\"cmd\":[\"$T/tool\"]"; again "the program of cmd" tool
spec "\"cmd\":[\"env\",\"A=b\",\"$T/tool\"]"; again "behind env" tool
spec "\"cmd\":[\"nice\",\"-n\",\"5\",\"timeout\",\"60\",\"named\"]"; again "a name on PATH behind nice and timeout" bin/named
spec "\"cmd\":[\"sh\",\"-c\",\"exec $T/tool\"]"; again "a line of sh -c" tool
spec "\"cmd\":[\"sh\"],\"stdin\":[\"exec $T/tool\"]"; again "a line of stdin" tool
spec "\"cmd\":[\"sh\"],\"stdin\":[\"for i in 1; do\",\"if true; then A=\$(nice $T/tool); fi\",\"done\"]"; again "deep in a loop of stdin" tool
spec "\"cmd\":[\"sh\",\"$T/script\"]"; again "a script named to sh" script
spec "\"cmd\":[\"sh\"],\"stdin\":[\"sh $T/script\"]"; again "a script named to sh in stdin" script
spec "\"cmd\":[\"$T/interpreted\"]"; again "what a script's first line names" bin/own-shell
spec "\"cmd\":[\"$T/sourcing\"]"; again "a file that a shell script sources" library
printf '#!/bin/sh\nexec "$@"\n' >srun && chmod +x srun
mkdir beside && cp -r "$B/bin/voxtrail" "$B/bin/export" beside/
printf '#!/bin/sh\necho never\n' >bin/launch && chmod +x bin/launch
spec "\"cmd\":[\"launch\",\"-N1\",\"export\",\"--model\",\"/pfs/r\",\"--out\",\"/pfs/out\"]"
before=$(beside/voxtrail plan p.json --all --json --repo r=in --store s2 2>err | grep -o '"hash":"[0-9a-f]*"')
printf x >>beside/export
after=$(beside/voxtrail plan p.json --all --json --repo r=in --store s2 2>err | grep -o '"hash":"[0-9a-f]*"')
same "a stage behind a launcher nobody knows is in the key" "$(test -n "$before" && test "$before" != "$after" && echo yes)" yes
# A tool that changes while the run goes on.
mkdir many && for i in 1 2 3; do mkdir many/$i && echo $i >many/$i/f; done
printf '#!/bin/sh\nsleep 0.4; echo v1 >$PFS_ROOT/out/$(ls $PFS_ROOT/r)\n' >slow && chmod +x slow
spec "\"cmd\":[\"$T/slow\"]"; sed -i 's#"glob":"/"#"glob":"/*"#' p.json
voxtrail run --log text p.json --repo r=many --store st --jobs 1 2>err & run=$!
while [ ! -d st/runner/work ] || ! ls st/runner/work | grep -q .; do sleep 0.05; done
sleep 0.1; sed -i s/v1/v2/ slow; wait $run
same "a program that changed under the run fails it, by name" "$?:$(grep -c "^failed:.*$T/slow changed while the run was using it; run again" err)" 1:1
sed -i s/v2/v1/ slow; voxtrail run --log text p.json --repo r=many --store st --checkout o 2>err
same "and nothing of it was kept" "$?:$(grep -o 'success=3 skipped=0' err):$(cat o/p/* | sort -u)" "0:success=3 skipped=0:v1"
# Paths are obeyed.
mkdir old && printf '#!/bin/sh\necho mine >$PFS_ROOT/out/which\n' >old/export && chmod +x old/export
spec "\"cmd\":[\"$T/old/export\"]"; voxtrail run --log text p.json --repo r=in --store st --checkout o2 2>err
same "a path in cmd is the program that runs, and nobody else's flags are asked of it" "$?:$(cat o2/p/which)" 0:mine
spec "\"cmd\":[\"/no/such/place/export\",\"--modl\",\"/pfs/r\",\"--out\",\"/pfs/out\"]"; voxtrail lint p.json >out 2>&1
same "a path of which nothing is here falls back on the stage of that name" "$?:$(grep -c 'write --model' out)" 65:1
