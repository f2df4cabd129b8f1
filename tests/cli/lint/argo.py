"""What Argo's own schemas accept and no cluster would run: `voxtrail lint` names each mistake with its pointer."""
import copy, glob, json, os, subprocess
from _checks import say
try:
    import yaml
except ImportError as e:
    print("skip - Argo lint: %s" % e); raise SystemExit
ROOT, T = os.environ["ROOT"], os.environ["T"]


def lint(text):
    path = T + "/w.yaml"
    open(path, "w").write(text)
    r = subprocess.run(["voxtrail", "lint", path], capture_output=True, text=True)
    return r.returncode, [l[len(path) + 2:] for l in r.stderr.splitlines() if l.startswith(path)]

files = sorted(glob.glob(ROOT + "/pipelines/argo/*.yaml"))
r = subprocess.run(["voxtrail", "lint"] + files, capture_output=True, text=True)
say(r.returncode == 0 and r.stdout.startswith("%d files, 0 errors" % len(files)), "all %d committed workflows are clean %s" % (len(files), r.stderr[:300]))

base = list(yaml.safe_load_all(open(ROOT + "/pipelines/argo/glioma.yaml")))[0]
tasks = lambda s: s["templates"][0]["dag"]["tasks"]
fan = lambda s: [t for t in s["templates"] if t["name"] == "fan-skullstrip-normalize"][0]["dag"]["tasks"][0]
leaf = lambda s: [t for t in s["templates"] if t["name"] == "train"][0]
T0 = "/spec/templates/0/dag/tasks/"
mutants = [
    ("cycle", lambda s: tasks(s)[0].update(depends="export.Succeeded"), T0 + "0", "in a cycle"),
    ("missing template", lambda s: tasks(s)[0].update(template="nowhere"), T0 + "0/template", "nowhere"),
    ("missing task in depends", lambda s: tasks(s)[-1].update(depends="nobody.Succeeded"), T0, "nobody"),
    ("missing entry point", lambda s: s.update(entrypoint="start"), "/spec/entrypoint", "start"),
    ("unbound parameter", lambda s: leaf(s)["container"]["args"].append("{{inputs.parameters.x}}"), "/spec/templates/", "{{inputs.parameters.x}} is not declared"),
    ("two template kinds", lambda s: leaf(s).update(dag={"tasks": []}), "/spec/templates/", "2 kinds"),
    ("container without image", lambda s: leaf(s)["container"].pop("image"), "/spec/templates/", "image"),
    ("unbound workflow parameter", lambda s: s["arguments"]["parameters"].pop(0), "/spec/templates/", "is no parameter of the workflow"),
    ("no template kind", lambda s: leaf(s).pop("container"), "/spec/templates/", "0 kinds"),
    ("no entry point", lambda s: s.pop("entrypoint"), "/spec/entrypoint", "is missing"),
    ("item outside a loop", lambda s: fan(s).pop("withParam"), "/spec/templates/", "stands outside"),
    ("result of a task not waited for", lambda s: tasks(s)[1].pop("depends"), T0 + "1", "does not wait for"),
    ("result of no task", lambda s: tasks(s)[1]["arguments"]["parameters"][0].update(value="{{tasks.x.outputs.result}}"), T0 + "1", "names no task"),
    ("task's result inside a template", lambda s: leaf(s)["container"]["args"].append("{{tasks.train.outputs.result}}"), "/spec/templates/", "pass it as a parameter"),
    ("argument nobody declared", lambda s: tasks(s)[1]["arguments"]["parameters"].append({"name": "y", "value": "1"}), T0 + "1/arguments", "no parameter"),
    ("argument missing", lambda s: tasks(s)[1]["arguments"]["parameters"].pop(), T0 + "1/arguments", "wants the parameter"),
    ("two tasks of one name", lambda s: tasks(s)[0].update(name=tasks(s)[-1]["name"]), T0, "another task"),
    ("two templates of one name", lambda s: s["templates"].append(copy.deepcopy(leaf(s))), "/spec/templates/", "another template"),
    ("removed mutex", lambda s: s.update(synchronization={"mutex": {"name": "x"}}), "/spec/synchronization", "mutexes"),
    ("unknown variable", lambda s: leaf(s)["container"]["args"].append("{{worfklow.uid}}"), "/spec/templates/", "no variable"),
]
for what, f, pointer, words in mutants:
    d = copy.deepcopy(base)
    f(d["spec"])
    rc, lines = lint(yaml.safe_dump(d))
    good = rc == 65 and any(l.startswith(pointer) and words in l for l in lines)
    say(good, "%s is found at %s" % (what, pointer) + ("" if good else ": %s %s" % (rc, lines[:3])))

# Legal things that a careless check would refuse.
legal = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: legal-}
spec:
  entrypoint: main
  onExit: tidy
  arguments: {parameters: [{name: n, value: 3}]}
  templates:
  - name: main
    steps:
    - - {name: list, template: list}
    - - name: work
        template: work
        withParam: "{{steps.list.outputs.result}}"   # a loop over what was printed
        arguments: {parameters: [{name: what, value: "{{item}}"}]}
  - name: graph
    dag:
      tasks:
      - {name: a, template: list}
      - {name: b, template: work, depends: "a && !(a.Failed || a.Errored)", arguments: {parameters: [{name: what, value: "{{tasks.a.outputs.result}} of {{workflow.parameters.n}}"}]}}
      - {name: c, templateRef: {name: other, template: x}, dependencies: [b]}
  - name: list
    script:
      image: python
      command: [python]
      source: |
        # not a comment of the YAML
        print("{{=sprig.toJson(workflow.parameters)}} {{pod.name}} {{workflow.status}}")
    metrics: {prometheus: [{name: m, help: h, labels: [{key: status, value: "{{status}}"}], gauge: {value: "{{duration}}"}}]}
  - name: work
    inputs:
      parameters: [{name: what}, {name: other, default: "1"}]
      artifacts: [{name: data, path: "/in/{{inputs.parameters.what}}", raw: {data: "{{left.alone}}"}}]
    outputs: {parameters: [{name: lines, valueFrom: {path: /out/lines}}]}
    container: {image: busybox, args: ["{{inputs.artifacts.data.path}}", "{{outputs.parameters.lines.path}}", "{{retries}}"]}
  - {name: tidy, suspend: {}}
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly}
spec: {schedules: ["0 3 * * *"], workflowSpec: {workflowTemplateRef: {name: legal}}}
"""
say(lint(legal) == (0, []), "legal constructs pass %s" % (lint(legal)[1],))
say(lint(legal.replace("schedules: [", "schedule: x, schedules: ["))[0] == 65, "the removed key schedule is found")
rc, lines = lint("a: [1, 2\nb: 3\n")
say(rc == 65, "a text that is no YAML is refused")
spec = json.load(open(ROOT + "/pipelines/glioma.json"))
say(lint(yaml.safe_dump(spec)) == (0, []) and lint(yaml.safe_dump_all(spec)) == (0, []), "Pachyderm specs in YAML, as a list and as documents")
say(lint(yaml.safe_dump_all(spec).replace("datumTries", "datumTrys"))[1][:1] == ['/0/datumTrys: unknown key; write "datumTries"'], "a finding in YAML has document and pointer")
