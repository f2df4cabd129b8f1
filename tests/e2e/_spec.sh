# Read by the tests of one spec each: SPEC is its name, the recipes lie in recipe/, the store in store/.
ok() { if [ "$1" = 0 ]; then echo "ok - $2"; else echo "not ok - $2"; grep -v '"level":"info"' log | tail -n 8; fi; }
# The embedded cohort on a grid of 4 mm, and a manifest for it with two folds.
cohort() { # DIR FIRST SUBJECTS
	make-cohort --out "$1" --first "$2" --subjects "$3" --seed 7 --coarse >/dev/null 2>&1 || { echo "not ok - make-cohort"; exit 1; }
}
manifest() { # FILE REGIONS ROLE...: the subjects' folds, or "test", in their order
	"$PYTHON" - "$ROOT/manifests/embedded.json" "$@" <<-'E' || { echo "not ok - manifest"; exit 1; }
		import json, sys
		m = json.load(open(sys.argv[1]))
		m["spacing_mm"] = [4, 4, 4]
		m["split"] = {"seed": 1, "folds": 2, "subjects": {"sub-%03d" % (i + 1): json.loads(r) for i, r in enumerate(sys.argv[4:])}}
		m["regions"] = json.loads(sys.argv[3]) or m["regions"]
		json.dump(m, open(sys.argv[2], "w"))
	E
}
tiny() { "$PYTHON" "$ROOT/tests/e2e/_tiny.py" "$ROOT/pipelines/recipes/$SPEC" recipe "$@" || { echo "not ok - recipes"; exit 1; }; }
spec() { # COMMAND ARGS...
	how=$1; shift
	voxtrail "$how" "$ROOT/pipelines/$SPEC.json" --store store --repo recipe=recipe "$@" >log 2>&1
}
ran() { grep '"event":"datum"' log | grep '"state":"success"' | sed 's/.*"pipeline":"\([^"]*\)".*/\1/' | sort | uniq -c | awk '{printf "%s%s=%s", (NR > 1 ? " " : ""), $2, $1}'; }
once() { # WANT ARGS...: planned, run, and nothing left to do
	want=$1; shift
	spec plan "$@"; ok $? "$SPEC is planned"
	spec run --log json --checkout out "$@"; ok $? "$SPEC runs from one command"
	got=$(ran); [ "$got" = "$want" ]; ok $? "every datum once ($got)"
	spec run --log json --checkout out "$@"; [ $? = 0 ] && [ -z "$(ran)" ]; ok $? "then nothing is left to do"
}
