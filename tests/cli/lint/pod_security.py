"""Emitted workflows against the restricted profile of Kubernetes' pod security standards, rule by rule."""
import glob, json, os, subprocess
B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
try:
    import yaml
except ImportError as e:
    print("skip - pod security: %s" % e); raise SystemExit

def say(good, what, seen=""):
    print(("ok - " if good else "not ok - ") + what)
    if not good:
        print("#", seen)

def faults(spec):
    """Of every container of a Workflow or WorkflowTemplate; what a template does not say, its workflow does."""
    found = []
    for t in spec["templates"]:
        if "container" not in t:
            continue
        pod, c = t.get("securityContext", spec.get("securityContext", {})), t["container"]
        own = c.get("securityContext", {})
        get = lambda key: own.get(key, pod.get(key))
        if get("runAsNonRoot") is not True: found.append(t["name"] + ": runAsNonRoot")
        if get("runAsUser") in (0, None): found.append(t["name"] + ": runAsUser")
        if (get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"): found.append(t["name"] + ": seccompProfile")
        if own.get("allowPrivilegeEscalation") is not False: found.append(t["name"] + ": allowPrivilegeEscalation")
        if "ALL" not in own.get("capabilities", {}).get("drop", []) or own["capabilities"].get("add"): found.append(t["name"] + ": capabilities")
        if own.get("readOnlyRootFilesystem") is not True: found.append(t["name"] + ": readOnlyRootFilesystem")
        if own.get("privileged"): found.append(t["name"] + ": privileged")
        if "/tmp" not in [m["mountPath"] for m in c.get("volumeMounts", [])]: found.append(t["name"] + ": no /tmp to write to")
        for v in t.get("volumes", []) + spec.get("volumes", []):
            if not set(v) - {"name"} <= {"emptyDir", "secret", "configMap", "projected", "persistentVolumeClaim", "ephemeral", "csi", "downwardAPI"}:
                found.append(t["name"] + ": volume " + v["name"])
    return found

def specs_of(text):
    for d in yaml.safe_load_all(text):
        s = d["spec"]
        for k in ("workflowSpec",):
            s = s.get(k, s)
        if "templates" in s and d["kind"] in ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"):
            yield s

for path in sorted(glob.glob(ROOT + "/pipelines/argo/*.yaml")):
    bad = [f for s in specs_of(open(path).read()) for f in faults(s)]
    say(not bad, "%s passes the restricted profile" % os.path.basename(path), bad)
one = {"pipeline": {"name": "p"}, "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["true"], "user": "1000"}, "input": {"pfs": {"name": "r", "repo": "r", "glob": "/*"}}}
open(T + "/p.json", "w").write(json.dumps(one))
text = subprocess.run([B + "/bin/voxtrail", "emit", "argo", T + "/p.json"], capture_output=True, text=True).stdout
bad = [f for s in specs_of(text) for f in faults(s)]
say(text and not bad and "runAsUser: 1000" in text, "so does a spec with a user of its own", bad)
