"""Every mistake a spec can hold gets one line: file, JSON pointer, what is wrong, what to write."""
import copy, glob, json, os, subprocess
from _checks import say
ROOT, SHARED, T = os.environ["ROOT"], os.environ.get("SHARED", ""), os.environ["T"]


def lint(text, name="spec.json"):
    path = T + "/" + name
    open(path, "w").write(text)
    r = subprocess.run(["voxtrail", "lint", path], capture_output=True, text=True)
    return r.returncode, [l[len(path) + 2:] for l in r.stderr.splitlines() if l.startswith(path)]

base = json.load(open(ROOT + "/pipelines/glioma.json"))
say(lint(json.dumps(base)) == (0, []), "glioma.json has no finding %s" % (lint(json.dumps(base)),))

def put(pointer, value):
    def f(d):
        at, keys = d, [int(k) if k.isdigit() else k for k in pointer.strip("/").split("/")]
        for k in keys[:-1]:
            at = at.setdefault(k, {}) if isinstance(at, dict) else at[k]
        if value is None:
            del at[keys[-1]]
        elif isinstance(at, list) and keys[-1] == len(at):
            at.append(value)
        else:
            at[keys[-1]] = value
    return f

IN, JOIN = "/0/input/cross/0/pfs/", "/1/input/cross/0/join/"
mutants = [
    ("unknown key", put("/0/paralelismSpec", {"constant": 2}), "/0/paralelismSpec", 65),
    ("unknown key below", put(IN + "globb", "/"), IN + "globb", 65),
    ("both key styles", put("/0/datum_tries", 1), "/0/dat", 65),
    ("wrong type", put("/0/transform/cmd", "train"), "/0/transform/cmd", 65),
    ("wrong item type", put("/0/transform/cmd/1", 5), "/0/transform/cmd/1", 65),
    ("duration 24h", put("/0/datumTimeout", "24h"), "/0/datumTimeout", 65),
    ("amount 2 gigs", put("/0/resourceRequests/memory", "2 gigs"), "/0/resourceRequests/memory", 65),
    ("no name", put("/0/pipeline/name", None), "/0/pipeline/name", 65),
    ("bad name", put("/0/pipeline/name", "a b"), "/0/pipeline/name", 65),
    ("long name", put("/0/pipeline/name", "a" * 52), "/0/pipeline/name", 65),
    ("project plus name", put("/0/pipeline/project/name", "p" * 50), "/0/pipeline", 65),
    ("name twice", put("/4/pipeline/name", "train"), "/4/pipeline/name", 65),
    ("no transform", put("/0/transform", None), "/0/transform", 65),
    ("no image", put("/0/transform/image", None), "/0/transform/image", 65),
    ("image without digest", put("/0/transform/image", "x:latest"), "/0/transform/image", 0),
    ("no cmd", put("/0/transform/cmd", None), "/0/transform/cmd", 65),
    ("datumBatching", put("/0/transform/datumBatching", True), "/0/transform/datumBatching", 65),
    ("secret without key", put("/0/transform/secrets", [{"name": "s", "envVar": "S"}]), "/0/transform/secrets", 65),
    ("service", put("/0/service", {"internalPort": 80}), "/0/service", 65),
    ("spout", put("/0/spout", {}), "/0/spout", 65),
    ("s3Out", put("/0/s3Out", True), "/0/s3Out", 65),
    ("tfJob", put("/0/tfJob", {"tfJob": "x"}), "/0/tfJob", 65),
    ("podPatch", put("/0/podPatch", "{"), "/0/podPatch", 65),
    ("reprocessSpec", put("/0/reprocessSpec", "always"), "/0/reprocessSpec", 65),
    ("every_job", put("/0/reprocessSpec", "every_job"), "/0/reprocessSpec", 0),
    ("datumTries 0", put("/0/datumTries", 0), "/0/datumTries", 65),
    ("parallelism 0", put("/0/parallelismSpec/constant", 0), "/0/parallelismSpec/constant", 65),
    ("parallel GPUs", put("/0/resourceLimits", {"gpu": {"type": "nvidia.com/gpu", "number": 1}}), "/0/parallelismSpec/constant", 0),
    ("no input", put("/0/input", None), "/0/input", 65),
    ("two input kinds", put("/0/input/cross/0/cron", {"name": "t", "spec": "@daily"}), "/0/input/cross/0", 65),
    ("no input kind", put("/0/input/cross/0/pfs", None), "/0/input/cross/0", 65),
    ("empty cross", put("/0/input/cross", []), "/0/input", 65),
    ("no repo", put(IN + "repo", None), IN + "repo", 65),
    ("no input name", put(IN + "name", None), IN + "name", 65),
    ("input name with dash", put(IN + "name", "my-scans"), IN + "name", 65),
    ("input name out", put(IN + "name", "out"), IN + "name", 65),
    ("input name twice", put("/0/input/cross/1/pfs/name", "scans"), "/0/input", 65),
    ("no glob", put(IN + "glob", None), IN + "glob", 65),
    ("glob **", put(IN + "glob", "/**"), IN + "glob", 65),
    ("glob open bracket", put(IN + "glob", "/(*"), IN + "glob", 65),
    ("commit set", put(IN + "commit", "abc"), IN + "commit", 65),
    ("s3", put(IN + "s3", True), IN + "s3", 65),
    ("lazy", put(IN + "lazy", True), IN + "lazy", 65),
    ("reference", put(IN + "reference", True), IN + "reference", 0),
    ("join without key", put(JOIN + "0/pfs/joinOn", None), JOIN + "0/pfs/joinOn", 65),
    ("join on a constant", put(JOIN + "0/pfs/joinOn", "x"), JOIN + "0/pfs/joinOn", 65),
    ("join beyond the groups", put(JOIN + "0/pfs/joinOn", "$3"), JOIN + "0/pfs/joinOn", 65),
    ("join of a cross", put(JOIN + "0", {"cross": [{"pfs": {"name": "x", "repo": "scans", "glob": "/"}}]}), JOIN + "0", 65),
    ("cron spec", put("/0/input/cross/3", {"cron": {"name": "t", "spec": "nightly"}}), "/0/input/cross/3/cron/spec", 65),
    ("cycle", put(IN + "repo", "export"), "/0/input", 65),
    ("path of no input", put("/0/transform/cmd/2", "/pfs/scan"), "/0/transform/cmd/2", 65),
    ("errCmd writes out", put("/0/transform/errCmd", ["touch", "/pfs/out/x"]), "/0/transform/errCmd/1", 0),
    ("branch nobody writes", put("/2/input/cross/0/pfs/branch", "dev"), "/2/input/cross/0/pfs/branch", 65),
    ("warm start of another's output", put("/2/metadata/annotations/voxtrail~warm", "x"), None, 0),
]
CMD = "/2/transform/cmd/"
mutants[-1:] = [
    ("unknown param", lambda d: d[2]["transform"]["cmd"].extend(["--stepz", "5"]), CMD + "7", 65),
    ("unknown port", put(CMD + "1", "--patchez"), CMD + "1", 65),
    ("required port missing", lambda d: d[2]["transform"]["cmd"].__delitem__(slice(1, 3)), CMD + "0", 65),
    ("value out of range", lambda d: d[2]["transform"]["cmd"].append("--steps=0"), CMD + "7", 65),
    ("value of no such name", lambda d: d[2]["transform"]["cmd"].extend(["--device", "tpu"]), CMD + "7", 65),
    ("value that is no number", lambda d: d[2]["transform"]["cmd"].append("--learning-rate=fast"), CMD + "7", 65),
    ("a card without resourceLimits.gpu", lambda d: d[2]["transform"]["cmd"].extend(["--device", "cuda"]), CMD + "0", 65),
    ("no recipe", lambda d: d[2]["transform"]["cmd"].__delitem__(slice(3, 5)), CMD + "0", 0),
    ("unknown program", put(CMD + "0", "trane"), CMD + "0", 0),
    ("unknown param in a shell line", lambda d: d[2]["transform"].update(cmd=["sh"], stdin=["x=1; exec train --patches /pfs/patches --recipe /pfs/recipe/train.json --stepz 3 --out /pfs/out"]), "/2/transform/stdin/0", 65),
    ("trigger of no commits", put("/2/input/cross/0/pfs/trigger", {"commits": 0}), "/2/input/cross/0/pfs/trigger/commits", 65),
    ("trigger's clock", put("/2/input/cross/0/pfs/trigger", {"cronSpec": "61 * * * *"}), "/2/input/cross/0/pfs/trigger/cronSpec", 65),
    ("trigger's size", put("/2/input/cross/0/pfs/trigger", {"size": "much"}), "/2/input/cross/0/pfs/trigger/size", 65),
    ("cron hour 25", put("/0/input/cross/3", {"cron": {"name": "t", "spec": "0 25 * * *"}}), "/0/input/cross/3/cron/spec", 65),
    mutants[-1]]
for what, f, pointer, status in mutants[:-1]:
    d = copy.deepcopy(base)
    f(d)
    rc, lines = lint(json.dumps(d))
    good = rc == status and any(l.startswith(pointer) for l in lines)
    say(good, "%s is found at %s" % (what, pointer) + ("" if good else ": %s %s" % (rc, lines)))
d = copy.deepcopy(base)
os.makedirs(T + "/rec", exist_ok=True)
d[2]["metadata"]["annotations"]["voxtrail/repo.recipe"] = "rec"
open(T + "/rec/train.json", "w").write('{"params": {"stepz": 5, "learning-rate": 100, "device": "tpu"}}')
rc, lines = lint(json.dumps(d))
want = ['/2/transform/cmd/4: rec/train.json: /params/stepz: train has no such param; write steps', '/2/transform/cmd/4: rec/train.json: /params/learning-rate: 100: write 1e-08 to 10',
        '/2/transform/cmd/4: rec/train.json: /params/device: tpu: write one of cpu, cuda, auto']
say(rc == 65 and lines == want, "params of the recipe beside the spec are checked: file, pointers, what to write %s" % ("" if lines == want else lines))
os.remove(T + "/rec/train.json")
say(lint(json.dumps(d))[1] == ["/2/transform/cmd/4: rec/train.json does not exist beside the spec; write {\"params\": {}} there"], "a recipe that is not there is named")
def lint_data(d, *more):
    open(T + "/spec.json", "w").write(json.dumps(d))
    r = subprocess.run(["voxtrail", "lint", T + "/spec.json"] + list(more), capture_output=True, text=True)
    return r.returncode, [l.split(": ", 2)[1:] for l in r.stderr.splitlines()]
os.makedirs(T + "/scans/sub-1", exist_ok=True); open(T + "/scans/sub-1/t1", "w").close()
d = copy.deepcopy(base)
for p in d: p["metadata"] = {}
rc, lines = lint_data(d, "--repo", "scans=" + T + "/scans", "--repo", "labels=" + T + "/scans", "--repo", "recipe=" + T + "/scans")
say(rc == 65 and ["/0/input/cross/1/pfs/repo", "is no pipeline of this file, and no repo that has a commit; correct the name, or commit it"] in lines, "a repo that nobody fills is found when data are given")
say(["/0/input/cross/2/pfs/glob", "warning: matches nothing that is there now, so there is no datum; correct the glob, or add the data"] in lines, "and a glob that matches nothing there %s" % lines[:1])

d = copy.deepcopy(base); d[0]["standby"] = True; d[1]["update"] = True
say(lint(json.dumps(d))[1] == ['/0/standby: unknown key; write "autoscaling"', "/1/update: unknown key; remove it"], "keys of older versions, and flags that are no keys, are told what to become")
rc, lines = lint('{"pipeline":{"name":"a"},"pipeline":{"name":"b"}}')
say(rc == 65, "a duplicate key is refused")

def snake(v):
    if isinstance(v, dict):
        return {"".join("_" + c.lower() if c.isupper() else c for c in k) if k not in ("URL",) and "/" not in k else k: w if k in ("env", "annotations", "labels", "nodeSelector") else snake(w) for k, w in v.items()}
    return [snake(x) for x in v] if isinstance(v, list) else v
own = [p for p in sorted(glob.glob(ROOT + "/pipelines/*.json")) if isinstance(json.load(open(p)), list)]
say(all(lint(json.dumps(snake(json.load(open(p)))))[0] == 0 for p in own), "%d own specs parse in snake_case" % len(own))
if SHARED:
    samples = [p for p in sorted(glob.glob(SHARED + "/schemas/samples/*.json")) if "boutiques" not in p]
    bad = [p for p in samples for t in (json.load(open(p)), snake(json.load(open(p)))) for l in lint(json.dumps(t))[1] if "unknown" in l or "; write a" in l]
    say(not bad, "%d published samples parse in both key styles %s" % (len(samples), bad))
else:
    print("skip - published samples: no ../shared")
