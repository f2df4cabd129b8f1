"""Every field of Pachyderm's published spec, and what becomes of it here.  used: it changes what runs or what comes out; passed:
it says where and how a cluster runs it, and is kept for `emit`; warned: lint says that it has no effect here; refused: lint says
what to do instead.  With the published schema at hand, the list is the schema's."""
import json, os, subprocess, sys
from _checks import say
T, SHARED = os.environ["T"], os.environ.get("SHARED", "")
USED, PASSED, WARNED, REFUSED = "used", "passed", "warned", "refused"
SIZE = {"cpu": 1, "memory": "1Gi", "disk": "1Gi", "gpu": {"type": "nvidia.com/gpu", "number": 1}}
PORTS = {"internalPort": 1, "externalPort": 2, "ip": "10.0.0.1", "type": "NodePort"}
FIELDS = [   # path, an example, verdict
    ("pipeline/name", "p", USED), ("pipeline/project/name", "q", USED), ("description", "x", PASSED),
    ("metadata/annotations", {"a": "b"}, USED), ("metadata/labels", {"a": "b"}, PASSED),
    ("input/pfs/project", "q", WARNED), ("input/pfs/name", "a", USED), ("input/pfs/repo", "a", USED),
    ("input/pfs/repoType", "meta", REFUSED), ("input/pfs/branch", "dev", USED), ("input/pfs/commit", "abc", REFUSED),
    ("input/pfs/glob", "/*", USED), ("input/pfs/joinOn", "$1", USED), ("input/pfs/outerJoin", True, USED),
    ("input/pfs/groupBy", "$1", USED), ("input/pfs/lazy", True, REFUSED), ("input/pfs/emptyFiles", True, USED),
    ("input/pfs/s3", True, REFUSED), ("input/pfs/reference", True, WARNED), ("input/pfs/propagationSpec/never", True, WARNED),
    ("input/pfs/trigger/branch", "b", USED), ("input/pfs/trigger/all", True, USED), ("input/pfs/trigger/commits", 2, USED),
    ("input/pfs/trigger/size", "1M", USED), ("input/pfs/trigger/cronSpec", "@daily", USED),
    ("input/pfs/trigger/rateLimitSpec", "@every 1h", USED),
    ("input/cron/name", "c", USED), ("input/cron/repo", "c", USED), ("input/cron/spec", "@daily", USED),
    ("input/cron/overwrite", True, USED), ("input/cron/start", "2020-01-01T00:00:00Z", PASSED),
    ("input/cron/project", "q", WARNED), ("input/cron/commit", "abc", REFUSED),
    ("input/cross", None, USED), ("input/join", None, USED), ("input/group", None, USED), ("input/union", None, USED),
    ("transform/image", "r@sha256:" + "0" * 64, USED), ("transform/cmd", ["true"], USED), ("transform/errCmd", ["true"], USED),
    ("transform/env", {"a": "b"}, USED), ("transform/secrets", [{"name": "s", "key": "k", "envVar": "E"}], USED),
    ("transform/secrets", [{"name": "s", "mountPath": "/s"}], USED), ("transform/imagePullSecrets", ["x"], PASSED),
    ("transform/stdin", ["x"], USED), ("transform/errStdin", ["x"], USED), ("transform/acceptReturnCode", [1], USED),
    ("transform/debug", True, PASSED), ("transform/user", "0", USED), ("transform/workingDir", "/", USED),
    ("transform/dockerfile", "x", PASSED), ("transform/memoryVolume", True, PASSED), ("transform/datumBatching", True, REFUSED),
    ("parallelismSpec/constant", 2, USED), ("resourceRequests", SIZE, USED), ("resourceLimits", SIZE, USED),
    ("sidecarResourceLimits", SIZE, PASSED), ("sidecarResourceRequests", SIZE, PASSED), ("autoscaling", True, PASSED),
    ("schedulingSpec/nodeSelector", {"a": "b"}, PASSED), ("schedulingSpec/priorityClassName", "x", PASSED),
    ("tolerations", [{"key": "k", "operator": "EXISTS", "effect": "NO_SCHEDULE", "tolerationSeconds": 3, "value": "v"}], PASSED),
    ("podPatch", "[]", PASSED), ("podSpec", "{}", REFUSED), ("datumTries", 2, USED), ("datumTimeout", "5s", USED),
    ("jobTimeout", "5s", USED), ("maximumExpectedUptime", "5s", PASSED), ("reprocessSpec", "until_success", USED),
    ("datumSetSpec/number", 2, PASSED), ("datumSetSpec/perWorker", 2, PASSED), ("datumSetSpec/sizeBytes", 5, PASSED),
    ("outputBranch", "dev", WARNED), ("salt", "x", USED), ("s3Out", True, REFUSED),
    ("egress/URL", "s3://b", WARNED), ("egress/objectStorage/url", "s3://b", WARNED),
    ("egress/sqlDatabase", {"url": "x", "fileFormat": {"type": "CSV", "columns": ["a"]}, "secret": {"name": "s", "key": "k"}}, WARNED),
    ("determined/workspaces", ["w"], WARNED), ("service", PORTS, REFUSED), ("spout/service", PORTS, REFUSED), ("tfJob/tfJob", "x", REFUSED),
]
GROUPED = {"joinOn": "join", "outerJoin": "join", "groupBy": "group"}     # these need an input of that kind


def spec(number, path, value):
    s = {"pipeline": {"name": "p%d" % number}, "input": {"pfs": {"name": "a", "repo": "a", "glob": "/(*)"}},
         "transform": {"image": "r@sha256:" + "0" * 64, "cmd": ["true"]}}
    words = path.split("/")
    if path.startswith("input/cron"):
        s["input"] = {"cron": {"name": "c", "spec": "@daily"}}
    if value is None:                        # a combination
        kind, key = words[1], {"join": {"joinOn": "$1"}, "group": {"groupBy": "$1"}}.get(words[1], {})
        s["input"] = {kind: [{"pfs": dict({"name": "a" if kind == "union" else r, "repo": r, "glob": "/(*)"}, **key)} for r in "ab"]}
        return s
    at = s
    for w in words[:-1]:
        at = at.setdefault(w, {})
    at[words[-1]] = value if path != "pipeline/name" else "p%d" % number
    kind = GROUPED.get(words[-1])
    if kind:
        key = {"join": "joinOn", "group": "groupBy"}[kind]
        leaf = dict(s["input"]["pfs"], **{key: "$1"})
        s["input"] = {kind: [{"pfs": leaf}, {"pfs": {"name": "b", "repo": "b", "glob": "/(*)", key: "$1"}}]}
    return s


def leaves(value, path):
    if isinstance(value, dict) and path.split("/")[-1] not in ("env", "annotations", "labels", "nodeSelector"):
        return {x for k, v in value.items() for x in leaves(v, path + "/" + k)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {x for v in value for x in leaves(v, path)}
    return {path}


specs = [spec(i, path, value) for i, (path, value, _) in enumerate(FIELDS)]
json.dump(specs, open(T + "/all.json", "w"))
r = subprocess.run(["voxtrail", "lint", T + "/all.json"], capture_output=True, text=True)
found = {}
for line in r.stderr.splitlines():
    pointer, text = line.split(": ", 2)[1:]
    if pointer[1:2].isdigit():
        found.setdefault(int(pointer.split("/")[1]), []).append((pointer, text))
wrong = []
for i, (path, value, verdict) in enumerate(FIELDS):
    said = found.get(i, [])
    errors = [x for x in said if not x[1].startswith("warning: ")]
    is_there = bool(errors) if verdict == REFUSED else bool(said) and not errors if verdict == WARNED else not said
    names_it = verdict in (USED, PASSED) or any(path.split("/")[0] in p for p, _ in said)
    if not is_there or not names_it or any(";" not in t and ":" not in t for _, t in errors):
        wrong.append((path, verdict, said))
say(not wrong, "%d fields: used and passed on in silence, without effect with a warning, else refused with what to do %s" % (len(FIELDS), wrong or ""))

kept = []
for i, (path, value, verdict) in enumerate(FIELDS):
    if verdict != REFUSED:
        json.dump(specs[i], open(T + "/one.json", "w"))
        out = subprocess.run(["voxtrail", "emit", "pachyderm", T + "/one.json"], capture_output=True, text=True)
        if out.returncode or json.loads(out.stdout) not in (specs[i], [specs[i]]):
            kept.append((path, out.stderr or out.stdout[:200]))
say(not kept, "none is lost on the way to `emit pachyderm` %s" % (kept or ""))

path = SHARED + "/schemas/pachyderm-CreatePipelineRequest.schema.json"
if not SHARED or not os.path.exists(path):
    print("skip - the published schema has these fields and no others: it is not at hand")
    sys.exit()
schema = json.load(open(path))
name = lambda ref: ref.split("/")[-1]


def walk(kind, at, above):
    for key, v in schema["definitions"][kind].get("properties", {}).items():
        items = v.get("items") if isinstance(v.get("items"), dict) else {}
        ref = v.get("$ref") or items.get("$ref")
        ref = ref or next((o["$ref"] for o in v.get("oneOf", []) if "$ref" in o), None)
        here = (at + "/" if at else "") + key
        if ref and name(ref) not in above:
            yield from walk(name(ref), here, above | {name(ref)})
        else:
            yield here


published = set(walk(name(schema["$ref"]), "", {name(schema["$ref"])}))
ours = {x for path, value, _ in FIELDS for x in leaves(value, path)}
say(published == ours, "the published schema has these %d fields and no others %s" % (len(published), sorted(published ^ ours) or ""))
