"""What `voxtrail emit` prints, against the engines' own published schemas, and the parser against public sample specs."""
import glob, json, os, subprocess, sys
from _checks import say
try:
    import jsonschema, yaml
except ImportError as e:
    print("skip - pipeline schemas: %s" % e); sys.exit()
ROOT, SHARED, T = os.environ["ROOT"], os.environ.get("SHARED", ""), os.environ.get("T", "/tmp")


def emit(engine, path):
    return subprocess.run(["voxtrail", "emit", engine, path], capture_output=True, text=True, check=True).stdout

def meant(path):
    """The pipelines a file adds or changes, and those of the file it extends."""
    spec = json.load(open(path))
    if isinstance(spec, list):
        return spec
    return meant(os.path.join(os.path.dirname(path), spec["extends"])) + [c for c in spec.get("change", {}).values() if c] + spec.get("add", [])

def close(s):
    """The strict reading of a custom resource definition: no fields but those listed; int-or-string as the API server takes it."""
    if isinstance(s, list):
        return [close(x) for x in s]
    if not isinstance(s, dict):
        return s
    s = {k: (v if k in ("required", "enum") else close(v)) for k, v in s.items()}
    if s.get("x-kubernetes-int-or-string"):
        s["type"] = ["integer", "string"]
    if s.get("type") == "object" and isinstance(s.get("properties"), dict) and "additionalProperties" not in s and not s.get("x-kubernetes-preserve-unknown-fields"):
        s["additionalProperties"] = False
    return s

def graph_errors(doc):
    """Cycles, missing templates, unbound parameters: what schemas do not see."""
    import re
    spec, found = doc["spec"], []
    names = {t["name"]: t for t in spec["templates"]}
    if spec["entrypoint"] not in names: found.append("entrypoint")
    for t in spec["templates"]:
        if sum(k in t for k in ("dag", "container", "script", "steps")) != 1: found.append("kinds of " + t["name"])
        if "container" in t and not t["container"].get("image"): found.append("image of " + t["name"])
        given = {"inputs.parameters." + p["name"] for p in t.get("inputs", {}).get("parameters", [])}
        given |= {"workflow.parameters." + p["name"] for p in spec["arguments"]["parameters"]} | {"workflow.uid", "workflow.creationTimestamp.RFC3339"}
        if "retryStrategy" in t:
            given.add("retries")  # Argo binds it where there is a retry strategy
        if "dag" not in t:
            for v in re.findall(r"{{(.*?)}}", json.dumps({k: w for k, w in t.items() if k != "inputs"}) + json.dumps([{k: w for k, w in a.items() if k != "raw"} for a in t.get("inputs", {}).get("artifacts", [])])):
                if v not in given: found.append("unbound " + v)
            continue
        tasks = {x["name"]: x for x in t["dag"]["tasks"]}
        edges = {n: set(re.findall(r"([a-z0-9-]+)\.(?:Succeeded|Skipped)", x.get("depends", ""))) for n, x in tasks.items()}
        for n, x in tasks.items():
            if x["template"] not in names: found.append("template of " + n); continue
            want = {p["name"] for p in names[x["template"]].get("inputs", {}).get("parameters", [])}
            have = {p["name"] for p in x.get("arguments", {}).get("parameters", [])}
            if want != have: found.append("arguments of %s: %s" % (n, want ^ have))
            for e in edges[n]:
                if e not in tasks: found.append("dependency " + e)
        done = set()
        while True:
            free = {n for n in tasks if n not in done and edges[n] <= done}
            if not free: break
            done |= free
        if done != set(tasks): found.append("cycle")
    return found

specs = sorted(glob.glob(ROOT + "/pipelines/*.json"))
for path in specs:
    name = os.path.basename(path)[:-5]
    twice = [d["name"] for d in map(json.loads, emit("boutiques", path).splitlines())
             for k in ("id", "value-key") if len({i[k] for i in d["inputs"]}) < len(d["inputs"])]
    say(not twice, "%s: inputs of a Boutiques descriptor have names of their own %s" % (name, twice or ""))
    lost = [(p["pipeline"]["name"], l["name"]) for p in meant(path) if p.get("transform", {}).get("cmd", [""])[0] == "crop-patch"
            for j in p["input"]["cross"] for l in (x["pfs"] for x in j.get("join", ())) if l["name"] in ("normed", "region") and "{quarantine/(*).json,(*)}" not in l["glob"]]
    say(not lost, "%s: refused subjects join crop-patch's inputs like the others %s" % (name, lost or ""))
    golden = ROOT + "/pipelines/argo/" + name + ".yaml"
    text = emit("argo", path)
    say(os.path.exists(golden) and open(golden).read() == text, "pipelines/argo/%s.yaml is what emit prints" % name)
    docs = list(yaml.safe_load_all(text))
    say(not graph_errors(docs[0]), "%s: the graph is sound %s" % (name, graph_errors(docs[0]) or ""))
    if any("voxtrail/warm-start" in p.get("metadata", {}).get("annotations", {}) for p in meant(path)):
        refused = subprocess.run(["voxtrail", "emit", "pachyderm", path], capture_output=True, text=True)
        say(refused.returncode == 65 and "reads its own output" in refused.stderr, name + ": Pachyderm takes no pipeline that reads its own output")
        continue
    again = json.loads(emit("pachyderm", path))
    open(T + "/again.json", "w").write(json.dumps(again))
    say(json.loads(emit("pachyderm", T + "/again.json")) == again, name + ": emit pachyderm reads back to itself")

def cwl_errors(path):
    """Sources, tools, scripts: what `cwltool --validate` checks, and that the scripts are shell."""
    found, graph = [], yaml.safe_load(emit("cwl", path))["$graph"]
    tools = {"#" + t["id"]: t for t in graph if t["class"] == "CommandLineTool"}
    main = [t for t in graph if t["class"] == "Workflow"][0]
    known = set(main["inputs"]) | {"%s/%s" % (n, o) for n, s in main["steps"].items() for o in s["out"]}
    for n, s in main["steps"].items():
        t = tools.get(s["run"])
        if not t: found.append("tool of " + n); continue
        found += ["source %s of %s" % (v, n) for v in s["in"].values() if v not in known]
        found += ["inputs of " + n] if {k for k, v in t["inputs"].items() if not (isinstance(v, dict) and "default" in v)} != set(s["in"]) else []
        step = t["inputs"].get("step", {}).get("default", {}).get("contents")
        found += ["script of " + n] if step and subprocess.run(["sh", "-n"], input=step, text=True).returncode else []
    return found + ["output " + k for k, o in main["outputs"].items() if o["outputSource"] not in known]

def snakefile_errors(path):
    text = emit("snakemake", path)
    env = {}
    os.chdir(T)  # the Snakefile writes .now where it runs
    exec(text[:text.index("\nrule all")].replace("config", "{}"), env)
    os.chdir(ROOT)
    rules = {l.split()[1].rstrip(":") for l in text.splitlines() if l.startswith(("rule ", "checkpoint "))}
    found = ["script of " + n for n, s in env["STEP"].items() if subprocess.run(["sh", "-n"], input=s, text=True).returncode]
    found += ["spec of " + n for n, s in env["SPEC"].items() if json.loads(s)["pipeline"]["name"] != n]
    return found + ["no rule for " + n for n in env["STEP"] if n.replace("-", "_") not in rules]

for path in specs:
    name, kept = os.path.basename(path)[:-5], any(w in open(path).read() for w in ('"cron"', "warm-start"))
    if kept:
        r = [subprocess.run(["voxtrail", "emit", e, path], capture_output=True, text=True) for e in ("cwl", "snakemake")]
        say(all(x.returncode == 65 and path + ": /" in x.stderr for x in r), name + ": what CWL and Snakemake cannot keep is refused, with its place")
    else:
        say(not cwl_errors(path) and not snakefile_errors(path), "%s: emitted CWL and Snakefile are whole %s" % (name, cwl_errors(path) + snakefile_errors(path) or ""))

if not SHARED:
    print("skip - published schemas: no ../shared"); sys.exit()
S = SHARED + "/schemas/"
crd = {k: jsonschema.Draft4Validator(close(json.load(open(S + "argo-crd-%s.openapi.json" % k)))) for k in ("Workflow", "WorkflowTemplate", "CronWorkflow")}
for k in crd:
    s = crd[k].schema["properties"]["metadata"]; s.pop("additionalProperties", None)
loose = json.load(open(S + "argo-workflows.schema.json"))
pach = json.load(open(S + "pachyderm-CreatePipelineRequest.schema.json"))
bout = json.load(open(S + "boutiques-descriptor.schema.json"))
ev = json.load(open(S + "argo-events.schema.json"))
rich = {"pipeline": {"name": "rich", "project": {"name": "p"}}, "input": {"cross": [{"pfs": {"name": "a", "repo": "a", "glob": "/*"}}, {"cron": {"name": "tick", "repo": "t", "spec": "@daily"}}]},
    "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["sh"], "stdin": ["true"], "env": {"A": "1"}, "user": "1000", "workingDir": "/w", "imagePullSecrets": ["reg"], "acceptReturnCode": [3, 65],
                  "secrets": [{"name": "s", "key": "k", "envVar": "S"}, {"name": "m", "mountPath": "/m"}]},
    "resourceRequests": {"cpu": 1.5, "memory": "1Gi", "disk": "2Gi"}, "resourceLimits": {"gpu": {"type": "nvidia.com/gpu", "number": 2}}, "datumTimeout": "90s", "datumTries": 4,
    "schedulingSpec": {"nodeSelector": {"pool": "gpu"}, "priorityClassName": "high"}, "tolerations": [{"key": "gpu", "operator": "EXISTS", "effect": "NO_SCHEDULE", "tolerationSeconds": "30"}], "podPatch": "[]"}
json.dump([rich], open(T + "/rich.json", "w"))
t = [x for x in list(yaml.safe_load_all(emit("argo", T + "/rich.json")))[0]["spec"]["templates"] if x["name"] == "rich"][0]
say((t["tolerations"], t["priorityClassName"], t["nodeSelector"], t["podSpecPatch"], t["securityContext"]["runAsUser"], t["activeDeadlineSeconds"], t["retryStrategy"]["limit"]) ==
    ([{"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 30}], "high", {"pool": "gpu"}, "[]", 1000, "90", "3"), "scheduling, time-out and retries in the words of Argo")
say(t["container"]["resources"] == {"requests": {"cpu": "1.5", "memory": "1Gi", "ephemeral-storage": "2Gi"}, "limits": {"nvidia.com/gpu": "2"}}, "resources as texts")
for path in specs + [T + "/rich.json"]:
    name = os.path.basename(path)
    bad = []
    for d in yaml.safe_load_all(emit("argo", path)):
        bad += [e.message[:200] for e in crd[d["kind"]].iter_errors(d)]
        ref = {"$ref": "#/definitions/io.argoproj.workflow.v1alpha1." + d["kind"], "definitions": loose["definitions"]}
        bad += [e.message[:200] for e in jsonschema.Draft202012Validator(ref).iter_errors(d)]
    say(not bad, "%s: emitted Argo is valid under the strict CRD and the JSON schema %s" % (name, bad[:2] or ""))
    if any("voxtrail/warm-start" in p.get("metadata", {}).get("annotations", {}) for p in meant(path)):
        continue  # emit pachyderm refuses it, see above
    bad = [e.message for p in json.loads(emit("pachyderm", path)) for e in jsonschema.Draft4Validator(pach).iter_errors(p)]
    say(not bad, "%s: emitted Pachyderm is valid %s" % (name, bad[:2] or ""))
    bad = [e.message for l in emit("boutiques", path).splitlines() for e in jsonschema.Draft4Validator(bout).iter_errors(json.loads(l))]
    say(not bad, "%s: emitted Boutiques is valid %s" % (name, bad[:2] or ""))
    bad = []
    for d in yaml.safe_load_all(emit("argo-events", path)):
        key = [k for k in ev["definitions"] if k.endswith("." + d["kind"])][0]
        bad += [e.message[:200] for e in jsonschema.Draft7Validator({"$ref": "#/definitions/" + key, "definitions": ev["definitions"]}).iter_errors(d)]
    say(not bad, "%s: emitted EventSource and Sensor are valid %s" % (name, bad[:2] or ""))
