"""A JSON value of another kind than the one that is asked for, anywhere: refused with the file's name, never followed or ignored."""
import json, os, shutil, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

os.chdir(T)
S = f"{T}/store"
image = "x@sha256:" + "0" * 64
spec = {"pipeline": {"name": "p"}, "transform": {"image": image, "cmd": ["sh"], "stdin": ["cat /pfs/r/f >/pfs/out/x"]}, "input": {"pfs": {"name": "r", "repo": "r", "glob": "/"}}, "datumTries": 1}
def put(name, text):
    write(f"{T}/{name}", text)


put("r/f", "1")


def refused(r, status, words, what):
    check(r.returncode == status and all(w in r.stderr + r.stdout for w in words), what, (r.returncode, r.stdout, r.stderr))


# a record, self-consistent, whose params are a list
_, _, j = record("train", [], [("out", files_of({"a": b"1"}))])
j["params"] = [1]
j["derivation"] = sha(canonical({"stage": j["stage"], "version": j["version"], "binary": j["binary"], "params": [1], "inputs": []}))
j["result"] = sha(canonical({"derivation": j["derivation"], "outputs": [[o["port"], o["tree"]] for o in j["outputs"]]}))
put("rec/a", "1")
put("rec/.lineage/x/record.json", canonical(j))
for cmd in (["audit"], ["audit", "--format", "html"], ["import"], ["subjects"], ["diff", "rec"]):
    refused(tool(*cmd, "rec", store=S), 65, ["record.json", "params"], f"{' '.join(cmd)}: a record whose params are a list")

# recipes
put("m.json", open(f"{ROOT}/manifests/embedded.json").read())
os.makedirs("scans/s")
for what in ([1], "x", None, {"params": [1]}, {"params": "x"}, {"params": {}, "binary": 5}):
    put("recipe.json", json.dumps(what))
    refused(stage("skullstrip-normalize", "--scans", "scans", "--manifest", "m.json", "--recipe", "recipe.json", "--out", "o"), 65, ["recipe.json", "must be"], f"a recipe that is {json.dumps(what)}")
put("recipe.json", json.dumps({"parms": {}}))
refused(stage("skullstrip-normalize", "--scans", "scans", "--manifest", "m.json", "--recipe", "recipe.json", "--out", "o"), 65, ["recipe.json", "parms"], "a recipe with a key that no stage reads")
put("space.json", json.dumps({"batch": {"choice": [1, 2]}}))
for what in ([1], {"params": [1]}, "x"):
    put("base.json", json.dumps(what))
    r = stage("sample", "--space", "space.json", "--base", "base.json", "--out", "o")
    refused(r, 65, ["base.json", "must be an object"], f"a search's base that is {json.dumps(what)}")
    shutil.rmtree("o", ignore_errors=True)
os.makedirs("metrics")
for subjects in ([[1]], {"s": [1]}, {"s": 1}):
    put("metrics/metrics.json", json.dumps({"mean": {"R": {"dice": 1}}, "subjects": subjects}))
    r = tool("scores", "metrics", "--subjects")
    check(r.returncode in (0, 65), f"scores of subjects that are {json.dumps(subjects)}", (r.returncode, r.stderr))

# specs: nothing to do is no success
for name, text in (("empty.json", "[]"), ("empty.yaml", ""), ("comment.yaml", "# nothing\n")):
    put(name, text)
    for cmd in (["lint", name], ["emit", "argo", name], ["emit", "cwl", name], ["emit", "snakemake", name], ["run", name, "--store", S], ["plan", name, "--store", S]):
        refused(tool(*cmd), 65, [name, "no pipeline"], f"{cmd[0]} {cmd[1]}: a spec without a pipeline")

# secrets: a key is a file's name below the mount, a value a text
spec["transform"]["secrets"] = [{"name": "tok", "key": "k", "envVar": "K"}]
put("p.json", json.dumps(spec))
for what in ({"tok": {"k": "v", "../../../../escaped": "hush"}}, {"tok": {"k": ["v"]}}, {"tok": {"k": "v", "": "x"}}):
    put("secrets.json", json.dumps(what))
    os.chmod("secrets.json", 0o600)
    refused(tool("run", "p.json", "--repo", "r=r", "--secrets-file", "secrets.json", store=S), 64, ["/transform/secrets/0", "names are"], f"secrets that are {json.dumps(what)}")
found = [os.path.join(b, n) for b, _, names in os.walk(T) for n in names if n == "escaped"]
check(not found, "and none is written beside its directory", found)
