# A search of a hundred trials from scans to an exported winner in one command: the shipped spec and recipes, with tiny networks.
set -u
SPEC=search
. "$ROOT/tests/e2e/_spec.sh"
cd "$T" || exit 2
cohort cohort 1 4
manifest manifest.json null 0 1 1 '"test"'
tiny base.json 'model="meshnet"' 'network={"channels":4,"dilations":[1,2]}' patch=16 validate-every=1 max-validation=1 -- sample.json trials=100 budget=1 growth=2 -- evaluate.json overlap=0 bootstrap=0
echo '{"learning-rate":{"log-uniform":[1e-4,1e-1]},"momentum":{"uniform":[0.5,0.95]},"network/channels":{"choice":[4,8]}}' >recipe/space.json
repos="--repo scans=cohort/scans --repo labels=cohort/labels --repo manifest=manifest.json"
once "crop-patch=4 evaluate=1 export=1 keep-1=1 keep-2=1 rung-1=100 rung-2=25 rung-3=7 sample=1 skullstrip-normalize=4 trials=1 winner=1" $repos
"$PYTHON" - <<'E' || echo "not ok - the outputs are as they must be"
import csv, json, os
def ok(good, what, why=""):
    print(("ok - " if good else "not ok - ") + what + ("" if good else ": %s" % (why,)))
read = lambda *p: json.load(open("/".join(("out",) + p)))
trials = lambda repo: sorted(d for d in os.listdir("out/" + repo) if d.startswith("trial-"))
dice = {r: {t: read(r, t, "checkpoint.json")["best"]["dice"] for t in trials(r)} for r in ("rung-1", "rung-2", "rung-3")}
rank = lambda s: sorted(s, key=lambda t: (-s[t], t))
for a, b, n in (("rung-1", "rung-2", 25), ("rung-2", "rung-3", 7)):
    ok(sorted(dice[b]) == sorted(rank(dice[a])[:n]), "the best quarter of %s goes on to %s" % (a, b))
winner = rank(dice["rung-3"])[0]
ok(trials("winner") == [winner] and read("trials", "trials.json")["winner"] == winner, "the winner is named (%s)" % winner, (trials("winner"), read("trials", "trials.json")["winner"]))
rows = list(csv.DictReader(open("out/trials/trials.csv")))
ok(len(rows) == 100 and rows[0]["trial"] == winner and sum(r["rungs"] == "3" for r in rows) == 7 and {"learning-rate", "momentum", "network"} <= set(rows[0]), "the table holds a hundred trials with their params", rows[0])
ok(open("out/trials/trials.html").read().count("<polyline") == 100, "and the picture a line for each")
steps = [[int(r["step"]) for r in csv.DictReader(open("out/%s/%s/history.csv" % (k, winner)))] for k in ("rung-1", "rung-2", "rung-3")]
ok(steps == [[1], [2], [3, 4]] and all(read(k, winner, "checkpoint.json")["parent"] for k in ("rung-2", "rung-3")), "a rung goes on where the one before ended, not from the start", steps)
ok(read("evaluate", "metrics.json")["scored"]["subjects"] == "auto" and os.path.exists("out/export/model.onnx"), "the winner is scored on the test subjects and exported")
E
tiny base.json 'model="meshnet"' 'network={"channels":4,"dilations":[1,2]}' patch=16 validate-every=1 max-validation=1 -- sample.json trials=101 budget=1 growth=2 -- evaluate.json overlap=0 bootstrap=0
echo '{"learning-rate":{"log-uniform":[1e-4,1e-1]},"momentum":{"uniform":[0.5,0.95]},"network/channels":{"choice":[4,8]}}' >recipe/space.json
spec run --log json $repos; case " $(ran) " in *" rung-1=1 "*) ok 0 "one more trial trains one more, the others stand" ;; *) ok 1 "one more trial trains one more ($(ran))" ;; esac
