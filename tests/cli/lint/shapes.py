"""The shapes that public Pachyderm specs have, written anew: all are read, in camelCase and in snake_case, alone and as YAML.
Some cannot run here and lint says so; none has a key or a type that it does not know."""
import glob, json, os, re, subprocess
from _checks import say
ROOT, T, SHARED = os.environ["ROOT"], os.environ["T"], os.environ.get("SHARED", "")
try:
    import yaml
except ImportError:
    yaml = None


def pfs(repo, glob="/*", **more): return {"pfs": dict({"repo": repo, "glob": glob}, **more)}
def spec(name, input, **more):
    t = more.pop("transform", {})
    return dict({"pipeline": {"name": name}, "input": input, "transform": dict({"image": "python:3.9", "cmd": ["python3", "/x.py"]}, **t)}, **more)
shapes = [
    spec("edges", pfs("images"), description="one datum a file"),
    spec("montage", {"cross": [pfs("images", "/"), pfs("edges", "/")]}, transform={"cmd": ["sh"], "stdin": ["montage -shadow /pfs/images/*.png /pfs/out/m.png"]}),
    spec("whole", pfs("data", "/", name="in")),
    spec("deep", pfs("data", "/*/*")),
    spec("named", {"pfs": {"project": "default", "repo": "data", "repoType": "user", "branch": "dev", "name": "d", "glob": "/d/*.csv"}}),
    spec("joined", {"join": [pfs("readings", "/(*)-(*).txt", joinOn="$1"), pfs("parameters", "/(*).txt", joinOn="$1", outerJoin=True)]}),
    spec("grouped", {"group": [pfs("labs", "/*-ID(*)-*.txt", groupBy="$1"), pfs("visits", "/*-(*).csv", groupBy="$1")]}),
    spec("united", {"union": [pfs("a"), pfs("b")]}),
    spec("nested", {"cross": [{"union": [pfs("a", name="ab"), pfs("b", name="ab")]}, {"join": [pfs("c", "/(*)", joinOn="$1"), pfs("d", "/(*)", joinOn="$1")]}, pfs("e", "/")]}),
    spec("clock", {"cron": {"name": "tick", "spec": "@every 60s", "overwrite": True}}),
    spec("nightly", {"cross": [{"cron": {"name": "t", "spec": "0 2 * * *", "repo": "ticks", "start": "2020-01-01T00:00:00Z"}}, pfs("d", "/")]}),
    spec("scaled", pfs("d"), parallelismSpec={"constant": 16}, autoscaling=True),
    spec("sized", pfs("d"), resourceRequests={"memory": "256Mi", "cpu": 0.5, "disk": "10Gi"}, resourceLimits={"memory": "1G", "cpu": 1, "gpu": {"type": "nvidia.com/gpu", "number": 1}}),
    spec("sidecar", pfs("d"), sidecarResourceLimits={"memory": "500M", "cpu": 1}, sidecarResourceRequests={"memory": "100Mi"}),
    spec("patched", pfs("d"), podPatch="[{\"op\": \"add\", \"path\": \"/volumes/0\", \"value\": {\"name\": \"v\", \"hostPath\": {\"path\": \"/v\"}}}]"),
    spec("secret", pfs("d"), transform={"secrets": [{"name": "aws", "mountPath": "/aws"}, {"name": "db", "key": "pw", "envVar": "DB_PASSWORD"}], "env": {"DB_HOST": "db", "MODE": "x_y"}, "imagePullSecrets": ["regcred"]}),
    spec("user", pfs("d"), transform={"user": "worker", "workingDir": "/work", "dockerfile": "./Dockerfile", "debug": True, "memoryVolume": True}),
    spec("codes", pfs("d"), transform={"acceptReturnCode": [1, 2], "errCmd": ["sh"], "errStdin": ["true"]}, datumTries=1, datumTimeout="600s", jobTimeout="3600s"),
    spec("sets", pfs("d"), datumSetSpec={"number": 10, "perWorker": 4}, reprocessSpec="until_success", outputBranch="dev", salt="abc"),
    spec("placed", pfs("d"), schedulingSpec={"nodeSelector": {"kubernetes.io/os": "linux"}, "priorityClassName": "high"}, tolerations=[{"key": "gpu", "operator": "EXISTS", "effect": "NO_SCHEDULE", "tolerationSeconds": "30"}]),
    spec("labeled", pfs("d"), metadata={"labels": {"team_name": "x"}, "annotations": {"a/b": "c"}}),
    spec("egressed", pfs("d"), egress={"URL": "s3://bucket/dir"}),
    spec("sql", pfs("d"), egress={"sqlDatabase": {"url": "pg://h", "fileFormat": {"type": "CSV", "columns": ["a"]}, "secret": {"name": "s", "key": "k"}}}),
    spec("lazy", pfs("d", lazy=True)), spec("empty", pfs("d", "/", emptyFiles=True)), spec("bucket", pfs("d", "/", s3=True), s3Out=True),
    spec("triggered", pfs("d", "/", trigger={"branch": "master", "cronSpec": "0 * * * *", "size": "100M", "commits": "10", "all": False})),
    spec("served", pfs("d", "/"), service={"internalPort": 8888, "externalPort": 30888, "type": "NodePort"}),
    {"pipeline": {"name": "spouted", "project": {"name": "p"}}, "transform": {"image": "x:1", "cmd": ["x"]}, "spout": {"service": {"internalPort": 80}}},
    spec("batched", pfs("d"), transform={"datumBatching": True}), spec("determined", pfs("d"), determined={"workspaces": ["w"]}),
    spec("string-numbers", pfs("d"), parallelismSpec={"constant": "4"}, datumTries="3"),
]
RAW = ("env", "annotations", "labels", "nodeSelector")
def snake(v):
    if isinstance(v, dict):
        return {re.sub("[A-Z]", lambda m: "_" + m.group().lower(), k) if k != "URL" else k: w if k in RAW else snake(w) for k, w in v.items()}
    return [snake(x) for x in v] if isinstance(v, list) else v

def unread(text, name):
    path = T + "/" + name
    open(path, "w").write(text)
    r = subprocess.run(["voxtrail", "lint", path], capture_output=True, text=True)
    return [l for l in r.stderr.splitlines() if "unknown key" in l or re.search(r"; write (a |an |true|seconds)", l) or not l.startswith(path)]

extra = [json.load(open(p)) for p in sorted(glob.glob(SHARED + "/schemas/samples/*.json")) if "boutiques" not in p] if SHARED else []
for what, form in (("camelCase", lambda s: s), ("snake_case", snake)):
    bad = {s["pipeline"]["name"]: unread(json.dumps(form(s)), "s.json") for s in shapes + extra}
    bad = {k: v for k, v in bad.items() if v}
    say(not bad, "%d shapes and %d published samples are read in %s %s" % (len(shapes), len(extra), what, bad or ""))
say(not unread(json.dumps(shapes), "all.json"), "all of them as one list")
if yaml:
    say(not unread(yaml.safe_dump_all(shapes), "all.yaml"), "all of them as YAML documents")
runnable = [s for s in shapes if not any(k in s for k in ("service", "spout", "s3Out")) and s["pipeline"]["name"] not in ("lazy", "batched")]
json.dump([dict(s, input=s["input"]) for s in runnable if s["pipeline"]["name"] in ("scaled", "sized", "placed", "labeled", "sets")], open(T + "/p.json", "w"))
r = subprocess.run(["voxtrail", "lint", T + "/p.json"], capture_output=True, text=True)
say(r.returncode == 65 and all("/name: is missing" in l or "warning" in l for l in r.stderr.splitlines()), "what is wrong with them beyond that is said: inputs without a name, images without a digest")
