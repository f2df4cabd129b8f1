#!/bin/sh
# bench/datums.sh BIN N: what N one-file datums cost the runner in BIN (a build's bin folder): processor time of planning, of a
# run, of a run that skips everything, and of the commands that look at it.  Works in /dev/shm; N = 1000, 10000, 100000.
bin=$1 n=$2 w=$(mktemp -d -p /dev/shm) || exit 2
trap 'rm -rf "$w"' EXIT
mkdir "$w/in" && cd "$w" || exit 2
python3 -c "for i in range($n): open(f'in/f{i:06d}', 'w').write('x' * 60 + f'{i:010d}')"
printf '{"pipeline":{"name":"p"},"transform":{"image":"x@sha256:%064d","cmd":["cp","-r","/pfs/r/.","/pfs/out/"]},"input":{"pfs":{"name":"r","repo":"r","glob":"/*"}},"datumTries":1,"parallelismSpec":{"constant":8}}' 0 >p.json
cost() {
	what=$1; shift
	python3 - "$what" "$n" "$@" <<'P'
import resource, subprocess, sys, time
t = time.time()
rc = subprocess.run(sys.argv[3:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
u = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = u.ru_utime + u.ru_stime
print(f"{sys.argv[1]:14} exit {rc}  {cpu:8.2f} s cpu  {1e3 * cpu / int(sys.argv[2]):7.3f} ms a datum  {time.time() - t:8.2f} s wall  {u.ru_maxrss // 1024} MiB")
P
}
cost "commit and plan" "$bin/voxtrail" plan p.json --repo r=in --store s
cost "run" "$bin/voxtrail" run p.json --repo r=in --store s --jobs 2
cost "run again" "$bin/voxtrail" run p.json --repo r=in --store s --jobs 2
cost "datum list" "$bin/voxtrail" datum list p.json p --store s
cost "log" "$bin/voxtrail" log p --store s
cost "explain" "$bin/voxtrail" explain p /f000007 --store s
cost "cp alone, x1" cp -r in out
