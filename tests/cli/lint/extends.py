"""A spec that extends another is the list of pipelines it means, by RFC 7396 and nothing else."""
import json, os, subprocess
from _checks import say
ROOT, T = os.environ["ROOT"], os.environ["T"]


def merge(target, patch):
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


def meant(path):
    """The list a spec file means, computed here."""
    spec = json.load(open(path))
    if not isinstance(spec, dict) or "extends" not in spec:
        return spec
    out = []
    for p in meant(os.path.join(os.path.dirname(path), spec["extends"])):
        change = spec.get("change", {}).get(p["pipeline"]["name"], {})
        if change is not None:
            out.append(merge(p, change))
    out += spec.get("add", [])
    if "project" in spec:
        out = [merge(p, {"pipeline": {"project": {"name": spec["project"]}}}) for p in out]
    return out


def voxtrail(*args):
    return subprocess.run(["voxtrail", *args], capture_output=True, text=True)


def emitted(spec, name):
    path = "%s/%s" % (T, name)
    json.dump(spec, open(path, "w"))
    r = voxtrail("emit", "pachyderm", path)
    return json.loads(r.stdout) if r.returncode == 0 else r.stderr


derived = 0
for name in sorted(os.listdir(ROOT + "/pipelines")):
    path = ROOT + "/pipelines/" + name
    if name.endswith(".json") and "extends" in json.load(open(path)):
        derived += 1
        r = voxtrail("emit", "pachyderm", path)
        want = emitted(meant(path), "plain-" + name)
        # a pipeline that reads its own output is refused by emit pachyderm in both forms
        same = json.loads(r.stdout) == want if r.returncode == 0 else isinstance(want, str)
        say(same and voxtrail("lint", path).returncode == 0, name + " is the list that it means")
say(derived >= 3, "%d shipped specs extend another" % derived)

base = json.load(open(ROOT + "/pipelines/glioma.json"))
json.dump(base, open(T + "/base.json", "w"))
json.dump({"extends": "base.json", "project": "p", "change": {"export": None}}, open(T + "/middle.json", "w"))
two = emitted({"extends": "middle.json", "change": {"train": {"datumTries": 7, "resourceLimits": None}}}, "two.json")
say(isinstance(two, list) and [p["pipeline"]["name"] for p in two] == ["skullstrip-normalize", "crop-patch", "train", "evaluate"]
    and two[2]["datumTries"] == 7 and two[0]["pipeline"]["project"]["name"] == "p", "two files in a row; null leaves out")

for what, spec, words in (
        ("an unknown key", {"extends": "base.json", "changes": {}}, "/changes: unknown key"),
        ("a pipeline that is not there", {"extends": "base.json", "change": {"trane": {}}}, "no such pipeline"),
        ("a base elsewhere", {"extends": "../base.json"}, "beside it"),
        ("a base that is not there", {"extends": "none.json"}, "none.json"),
        ("a file that extends itself", {"extends": "self.json"}, "more than 8 files"),
        ("a project that is no text", {"extends": "base.json", "project": 3}, "must be a text"),
        ("an added object", {"extends": "base.json", "add": {}}, "must be a list")):
    json.dump(spec, open(T + "/self.json", "w"))
    r = voxtrail("lint", T + "/self.json")
    say(r.returncode in (65, 66) and words in r.stderr, "refused: %s %s" % (what, "" if words in r.stderr else r.stderr[:200]))
