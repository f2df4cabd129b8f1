# What no engine takes is refused before it gets there, with the way round; texts of a spec never become code.
set -u
cd "$T" || exit 1
image=x@sha256:0000000000000000000000000000000000000000000000000000000000000000
same() { if [ "$2" = "$3" ]; then echo "ok - $1"; else echo "not ok - $1: got '$2', want '$3'"; fi; }
mk() { printf '{"pipeline":{"name":"%s","project":{"name":"%s"}},"transform":{"image":"%s","cmd":["cp","-r",%s,"/pfs/out"]%s},"input":{"pfs":{"name":"r","repo":"%s","glob":"/*"}}}' "$1" "$2" "$image" "$3" "${5:-}" "$4" >s.json; }
emit() { voxtrail emit "$1" s.json >out 2>err; echo "$?:$(grep -c "$2" err)"; }
mk Copy_A proj '"/pfs/r"' r; same "argo: a pipeline's name with _" "$(emit argo 'rename Copy_A')" 65:1
mk copy My_Proj '"/pfs/r"' r; same "argo: a project's name with _ and capitals" "$(emit argo 'project "My_Proj"')" 65:1
mk copy proj '"/pfs/r","{{x}}"' r; same "argo: a variable of its own in a word" "$(emit argo 'takes {{...}}')" 65:1
mk copy proj '"/pfs/r"' r ',"env":{"A":"{{x}}"}'; same "argo: and in the environment" "$(emit argo 'takes {{...}}')" 65:1
mk copy proj '"/pfs/r"' r; voxtrail emit argo s.json >w.yaml; voxtrail lint w.yaml >/dev/null 2>&1; same "argo: what is emitted passes lint" "$?" 0
sed 's/name: "merge-copy"/name: "merge_copy"/; s/name: "proj"/name: "Pr_oj"/' w.yaml >bad.yaml; voxtrail lint bad.yaml >out 2>&1
same "lint names what no cluster takes" "$?:$(grep -c 'lower-case letters, digits and - only\|letters, digits and - only, 63' out | awk '{print ($1 >= 3)}')" 65:1
voxtrail emit pachyderm "$ROOT/pipelines/retrain-on-commit.json" >out 2>err
same "pachyderm: a pipeline that reads its own output, with the way round" "$?:$(grep -c 'reads its own output.*pachctl copy file' err)" 65:1
mk copy proj '"/pfs/r"' 'a\"+__import__(\"os\").system(\"touch hacked\")+\"'; voxtrail lint s.json >out 2>&1
same "a repo's name that is code" "$?:$(grep -c "/input/pfs/repo: write letters" out | awk "{print (\$1 >= 1)}")" 65:1
mk copy 'p;touch hacked' '"/pfs/r"' r; voxtrail lint s.json >out 2>&1; same "a project's name that is code" "$?" 65
mk copy proj '"/pfs/r"' r ',"env":{"A;touch hacked":"1"}'; voxtrail lint s.json >out 2>&1; same "a variable's name that is code" "$?:$(grep -c 'no shell takes' out)" 65:1
mk copy proj '"/pfs/r","\"\"\"; touch hacked; $(touch hacked) {params.step} \\\\n"' r; voxtrail emit snakemake s.json >Snakefile
same "words of a command stay text in a Snakefile" "$(python3 -c '
import ast, sys
t = ast.parse("\n".join(l for l in open("Snakefile").read().split("\n") if l.startswith(("SPEC", "STEP"))))
print(all(isinstance(n.value, (ast.Constant, ast.Dict)) for n in t.body))')" True
voxtrail emit snakemake s.json | grep -c 'threads: 1' >out; same "threads" "$(cat out)" 1
mk copy proj '"/pfs/r"' r; sed -i 's/"input"/"resourceRequests":{"cpu":2.5,"memory":"1Gi"},"resourceLimits":{"gpu":{"type":"nvidia.com\/gpu","number":1}},"datumTimeout":"90s","input"/' s.json
same "processors, memory, GPUs and time reach Snakemake" "$(voxtrail emit snakemake s.json | grep -c 'threads: 3\|mem_mb=1074\|gpu=1\|runtime=6')" 4
same "and CWL" "$(voxtrail emit cwl s.json | grep -c 'coresMin: 3\|ramMin: 1024')" 6
