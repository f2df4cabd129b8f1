# Nothing outlives a run: Ctrl-C, SIGTERM, SIGHUP and SIGKILL of the runner, time-outs, and what a program leaves behind.
set -u
cd "$T" || exit 1
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; fi; }
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
spec() { printf '{"pipeline":{"name":"p"},"transform":{"image":"%s","cmd":["sh"],"stdin":[%s]},"input":{"pfs":{"name":"r","repo":"r","glob":"/"}},"datumTries":%s%s}' "$image" "$1" "$2" "${3:-}" >p.json; }
mkdir in && echo orig >in/f
mark=$(printf '%d' $$)
# left: processes of the datum that still run (their sleeps are of a length nobody else has)
left() { n=50; while [ $n -gt 0 ] && grep -lsz "^sleep" /proc/[0-9]*/cmdline | xargs grep -lsz "9$mark" 2>/dev/null | grep -q .; do sleep 0.1; n=$((n - 1)); done; grep -lsz "^sleep" /proc/[0-9]*/cmdline 2>/dev/null | xargs grep -lsz "9$mark" 2>/dev/null | wc -l; }
started() { n=300; while [ $n -gt 0 ] && [ "$(grep -lsz "^sleep" /proc/[0-9]*/cmdline 2>/dev/null | xargs grep -lsz "9$mark" 2>/dev/null | wc -l)" -lt 3 ]; do sleep 0.1; n=$((n - 1)); done; }
three="\"sleep 1.9$mark & setsid sleep 900.9$mark & (trap '' TERM INT; sleep 901.9$mark) & sleep 902.9$mark\""
three=$(echo "$three" | sed "s/sleep 1\.9$mark \& //")
spec "$three" 1
for signal in INT/130 TERM/143 HUP/129 KILL/137; do
	rm -rf s
	# in a session of its own, so that INT is not ignored as a shell's background job has it
	$PYTHON -c 'import os,signal,sys; os.setsid(); [signal.signal(s, signal.SIG_DFL) for s in (2,15,1)]; os.execvp("voxtrail", ["voxtrail"] + sys.argv[1:])' run --log text p.json --repo r=in --store s 2>err & run=$!
	started; kill -${signal%/*} $run; wait $run; rc=$?
	same "SIG${signal%/*} of the runner ends every process of the datum, daemons too" "$rc:$(left)" "${signal#*/}:0"
done
rm -rf s; voxtrail run --log text p.json --repo r=in --store s 2>err & run=$!; started; kill -TERM $run; wait $run
same "it says so" "$(grep -c 'stopped by Terminated; what was finished is kept' err)" 1
spec '"echo fine >/pfs/out/x"' 1; voxtrail run --log text p.json --repo r=in --store s 2>err; same "and the store is free at once" "$?" 0
spec "\"setsid sleep 900.9$mark & echo x >/pfs/out/x; sleep 902.9$mark\"" 1 ',"datumTimeout":"0.5s"'
voxtrail run --log text p.json --repo r=in --store s 2>err; rc=$?
same "a time-out reaches a session of its own" "$rc:$(left)" 1:0
same "and is named in the state, the report and the log" "$(grep -c 'because="datumTimeout of 0.5 s passed"' err):$(grep -c 'ended with 137: datumTimeout of 0.5 s passed' err):$(voxtrail logs p --store s | grep -c 'datumTimeout of 0.5 s passed')" 1:1:1
spec "\"setsid sleep 900.9$mark & echo x >/pfs/out/x\"" 1
voxtrail run --log text p.json --repo r=in --store s 2>err; same "what a program leaves behind ends with it" "$?:$(left)" 0:0
spec '"kill -SEGV $$"' 1; voxtrail run --log text p.json --repo r=in --store s 2>err; same "a signal is still told as one" "$?:$(grep -c 'exit=139' err)" 1:1
spec '"kill -KILL $PPID; exec sleep 902.9'"$mark"'"' 2; voxtrail run --log text p.json --repo r=in --store s 2>err; same "who kills what supervises it has failed, and the next try runs" "$?:$(grep -c 'exit=137 tries=2' err):$(left)" 1:1:0
# what the program left in sessions of their own, when somebody kills the supervisor from outside
spec "\"setsid sleep 900.9$mark & (setsid sh -c 'sleep 901.9$mark; :' &) ; sleep 902.9$mark\"" 1
sh -c 'sleep 77.7 & echo $! >sibling; exec voxtrail run --log text p.json --repo r=in --store s 2>err' & run=$!; started; sibling=$(cat sibling)
kill -KILL "$(awk '$4 == '$run' && $1 != '$sibling' {print $1}' /proc/[0-9]*/stat 2>/dev/null | head -n 1)"; wait $run; rc=$?
same "a supervisor that is killed from outside leaves nothing running" "$rc:$(left)" 1:0
kill -0 "$sibling"; same "but what the shell had started that became the run" "$?" 0; kill "$sibling"
voxtrail datum exec p.json p / --store s >out 2>err & run=$!; started
kill -KILL "$(awk '$4 == '$run' {print $1}' /proc/[0-9]*/stat 2>/dev/null | head -n 1)"; wait $run
same "nor does it under datum exec" "$(left)" 0
# Both at the same moment: the next run of the store, and no other, ends what is left.
voxtrail run --log text p.json --repo r=in --store s 2>err & run=$!; started
keepers=$(awk '$4 == '$run' {print $1}' /proc/[0-9]*/stat 2>/dev/null)
kill -STOP $run $keepers; kill -KILL $keepers $run; wait $run
alone() { grep -lsz "^sleep" /proc/[0-9]*/cmdline 2>/dev/null | xargs grep -lsz "9$mark" 2>/dev/null | wc -l; }
same "killed together, run and supervisor leave what was in other sessions" "$([ "$(alone)" -ge 2 ] && echo left)" left
spec '"echo fine >/pfs/out/x"' 1; voxtrail run --log text p.json --repo r=in --store other 2>err
same "which is nothing to a run of another store" "$?:$([ "$(alone)" -ge 2 ] && echo left):$(grep -c left-over err)" 0:left:0
voxtrail run --log text p.json --repo r=in --store s 2>err; same "and the next run of this one ends it, and says so" "$?:$(left):$(grep -c left-over err)" 0:0:1
VOXTRAIL_TRY=$(pwd -P)/s/runner/work/try voxtrail run --log text p.json --repo r=in --store s 2>err; same "a run that has a try's variable does not end itself" $? 0
spec '"exit 7"' 2; voxtrail run --log text p.json --repo r=in --store s 2>err; same "and a status as a status" "$?:$(grep -c 'exit=7 tries=2' err)" 1:1
spec '"ln -s /nowhere /pfs/out/l"' 1; voxtrail run --log text p.json --repo r=in --store s 2>err
same "a reason that no status tells is in the report and in the log" "$?:$(grep -c 'ended with 0: .*/l' err):$(voxtrail logs p --store s | grep -c '/l')" 1:1:1
