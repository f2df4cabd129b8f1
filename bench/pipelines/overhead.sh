#!/bin/sh
# What the runner costs beside the work: plan over many datums, a run with nothing to do, and the overhead of one datum, with
# cwltool and snakemake beside it on the files emitted from the same spec.  One line a figure: name, value, unit, bar.
#
#   B (default build/release)   DATUMS (default 10000: of the plan)   FEW (default 100: of the overhead)
set -u
cd "$(dirname "$0")/../.." || exit 2
B=${B:-build/release}
case $B in /*) ;; *) B=$PWD/$B ;; esac
export PATH="$B/bin:$PATH" LC_ALL=C
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT INT TERM
now() { date +%s.%N; }
since() { echo "$1 $(now)" | awk '{printf "%.3f", $2 - $1}'; }
best() { # the fastest of three: "wall seconds TAB s, cpu seconds": on a busy machine the second is the one to read
	"${PYTHON:-/usr/bin/python3}" -c '
import resource, subprocess, sys, time
rows = []
for i in range(3):
    r0, t0 = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    p = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if p.returncode:
        sys.exit(p.stderr.decode())
    wall, r = time.monotonic() - t0, resource.getrusage(resource.RUSAGE_CHILDREN)
    rows.append((wall, r.ru_utime + r.ru_stime - r0.ru_utime - r0.ru_stime))
print("%.3f\ts (%.3f s of processor)" % min(rows), end="")' "$@"; }
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
spec() { # FILE GLOB
	printf '{"pipeline":{"name":"a"},"input":{"pfs":{"name":"in","repo":"in","glob":"%s"}},"parallelismSpec":{"constant":8},"transform":{"image":"%s","cmd":["%s/one","/pfs/in","/pfs/out"]}}' "$2" "$image" "$T" >"$1"; }
# The work: one file read, one written.
printf '#include <dirent.h>\n#include <stdio.h>\n#include <string.h>\nint main(int n, char **a)\n{\n\tchar p[4096];\n\tDIR *d = opendir(a[1]);\n\tif (n < 3 || !d)\n\t\treturn 2;\n\tfor (struct dirent *e; (e = readdir(d));)\n\t\tif (e->d_name[0] != 46) {\n\t\t\tsnprintf(p, sizeof p, "%%s/%%s", a[2], e->d_name);\n\t\t\tFILE *f = fopen(p, "w");\n\t\t\tif (!f)\n\t\t\t\treturn 3;\n\t\t\tfprintf(f, "%%s\\n", e->d_name);\n\t\t\tfclose(f);\n\t\t}\n\treturn 0;\n}\n' >"$T/one.c"
${CC:-gcc} -O2 -o "$T/one" "$T/one.c" 2>"$T/err" || { cat "$T/err"; exit 1; }
mkdir "$T/in" "$T/few"
DATUMS=${DATUMS:-10000} FEW=${FEW:-100}
"${PYTHON:-/usr/bin/python3}" -c "
import os, sys
for d, n in (('$T/in', $DATUMS), ('$T/few', $FEW)):
    for i in range(n): os.mkdir('%s/sub-%05d' % (d, i)); open('%s/sub-%05d/t1' % (d, i), 'w').write('scan %d\n' % i)"
spec "$T/spec.json" '/*'
voxtrail plan "$T/spec.json" --repo in="$T/in" --store "$T/plan" >/dev/null 2>"$T/err" || cat "$T/err"
echo "plan of $DATUMS datums	$(best voxtrail plan "$T/spec.json" --repo in="$T/in" --store "$T/plan")	< 1"
echo "plan --items of $DATUMS datums, no store	$(best voxtrail plan "$T/spec.json" --pipeline a --items --repo in="$T/in")	"
t=$(now); for d in "$T"/few/*/; do rm -rf "$T/alone"; mkdir "$T/alone"; "$T/one" "$T/few" "$T/alone"; done; alone=$(since "$t")
for view in prefix ns; do
	t=$(now); voxtrail run "$T/spec.json" --repo in="$T/few" --store "$T/run-$view" --jobs 1 --view $view >/dev/null 2>"$T/err" || { cat "$T/err"; continue; }
	all=$(since "$t")
	echo "overhead per datum, --view $view	$(echo "$all $alone $FEW" | awk '{printf "%.2f", 1000 * ($1 - $2) / $3}')	ms	< 20"
done
echo "run of $FEW datums with nothing to do	$(best voxtrail run "$T/spec.json" --repo in="$T/few" --store "$T/run-prefix")	< 0.2"
if command -v snakemake >/dev/null; then
	voxtrail emit snakemake "$T/spec.json" >"$T/Snakefile"
	t=$(now); snakemake -q -s "$T/Snakefile" -j 1 -d "$T/sm" --config in="$T/few" >"$T/out" 2>&1 || tail -n 5 "$T/out"
	echo "snakemake: per datum, process included	$(echo "$(since "$t") $FEW" | awk '{printf "%.1f", 1000 * $1 / $2}')	ms	"
fi
if command -v cwltool >/dev/null; then
	voxtrail emit cwl "$T/spec.json" >"$T/a.cwl"
	t=$(now); cwltool --quiet --no-container --outdir "$T/cwl" "$T/a.cwl" --in "$T/few" >"$T/out" 2>&1 || tail -n 5 "$T/out"
	echo "cwltool: per datum, process included	$(echo "$(since "$t") $FEW" | awk '{printf "%.1f", 1000 * $1 / $2}')	ms	"
fi
