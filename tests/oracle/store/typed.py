#!/usr/bin/env python3
"""What we write for other people's tools, read by their own typed classes: OpenLineage's (openlineage-python), in-toto's
(in-toto-attestation) and, for workflows, hera's of Argo.  None of them is in Debian: VALIDATORS names a Python that has them, e.g.
    python3 -m venv v && v/bin/pip install openlineage-python in-toto-attestation hera
    VALIDATORS=v/bin/python ONLY=store/typed tests/run oracle"""
import glob, json, os, subprocess, sys

T, ROOT = os.environ["T"], os.environ["ROOT"]
python = os.environ.get("VALIDATORS", sys.executable)

CHECK = r'''
import importlib, inspect, json, pkgutil, re, sys
what, path = sys.argv[1:3]
def lines():
    return [json.loads(l) for l in open(path) if l.strip()]
if what == "openlineage":
    import attr
    import openlineage.client.event_v2 as ev, openlineage.client.generated as generated
    classes = {}
    for m in pkgutil.iter_modules(generated.__path__):
        module = importlib.import_module("openlineage.client.generated." + m.name)
        classes.update({n: c for n, c in inspect.getmembers(module, inspect.isclass) if attr.has(c)})
    def facets(of):
        for name, f in of.items():
            if name.startswith("voxtrail_"):
                continue
            c = classes[re.search(r"/(\w+)\.json", f["_schemaURL"]).group(1)]
            known = {a.name for a in attr.fields(c)}
            extra = [k for k in f if k not in known and not k.startswith("_")]
            assert not extra, (name, extra)
            c(**{k: v for k, v in f.items() if not k.startswith("_")})
    events = lines()
    for e in events:
        dataset = lambda d, c: c(namespace=d["namespace"], name=d["name"], facets={})
        ev.RunEvent(eventType=ev.RunState[e["eventType"]], eventTime=e["eventTime"], run=ev.Run(runId=e["run"]["runId"], facets={}),
                    job=ev.Job(namespace=e["job"]["namespace"], name=e["job"]["name"], facets={}), producer=e["producer"],
                    inputs=[dataset(d, ev.InputDataset) for d in e.get("inputs", [])],
                    outputs=[dataset(d, ev.OutputDataset) for d in e.get("outputs", [])])
        facets(e["run"].get("facets", {})); facets(e["job"].get("facets", {}))
        for d in e.get("inputs", []) + e.get("outputs", []):
            facets(d.get("facets", {})); facets(d.get("inputFacets", {})); facets(d.get("outputFacets", {}))
    print(len(events), "events")
elif what == "in-toto":
    import google.protobuf.json_format as pb
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    all = lines()
    for s in all:
        Statement.copy_from_pb(pb.ParseDict(s, statement_pb2.Statement())).validate()
        pb.ParseDict(s["predicate"], provenance_pb2.Provenance())          # a field it does not know is an error
    print(len(all), "statements")
else:
    import yaml
    from hera.workflows import models
    n = 0
    for d in yaml.safe_load_all(open(path)):
        m = getattr(models, d["kind"])(**d)
        back = json.loads(m.json(exclude_none=True, by_alias=True, exclude_unset=True))
        def lost(a, b, at):
            if isinstance(a, dict):
                return [x for k, v in a.items() for x in (lost(v, b[k], at + "/" + k) if isinstance(b, dict) and k in b else [at + "/" + k])]
            if isinstance(a, list):
                return [x for i, v in enumerate(a) for x in lost(v, b[i], "%s/%d" % (at, i))]
            return []
        gone = lost(d, back, "")
        assert not gone, gone[:5]
        n += 1
    print(n, "documents")
'''


def say(good, what):
    print(("ok - " if good else "not ok - ") + what, flush=True)


def judged(what, module, path, text):
    if subprocess.run([python, "-c", "import " + module], capture_output=True).returncode:
        print(f"skip - {text}: {module} is not installed; see the head of this test")
        return
    r = subprocess.run([python, "-c", CHECK, what, path], capture_output=True, text=True)
    say(r.returncode == 0, f"{text}: {r.stdout.strip() or r.stderr.strip()[-300:]}")


os.chdir(T)
run = lambda *words: subprocess.run(words, check=True, capture_output=True, text=True).stdout
manifest = ROOT + "/manifests/embedded.json"
run("make-cohort", "--out", "cohort", "--subjects", "1", "--seed", "7", "--coarse")
run("skullstrip-normalize", "--scans", "cohort/scans", "--manifest", manifest, "--out", "prep")
run("crop-patch", "--normed", "prep", "--labels", "cohort/labels", "--manifest", manifest, "--out", "crops")
for form in ("openlineage", "slsa"):
    open(form, "w").write(run("voxtrail", "attest", "export", "crops", "--all", "--format", form))
judged("openlineage", "openlineage.client", "openlineage", "events and facets are OpenLineage's own, with no field more or less")
judged("in-toto", "in_toto_attestation", "slsa", "statements are in-toto's, their predicates SLSA's")
open("workflows.yaml", "w").write("---\n".join(run("voxtrail", "emit", "argo", p) for p in sorted(glob.glob(ROOT + "/pipelines/*.json"))))
judged("argo", "hera.workflows", "workflows.yaml", "emitted workflows are Argo's, and no field is lost")
