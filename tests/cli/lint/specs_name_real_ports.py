"""Every option that a spec gives to one of our stages is a port, a param or a common flag in the stage's own table; every default
of a repo is a file or directory of the tree."""
import glob, json, os, re, subprocess
ROOT, B = os.environ["ROOT"], os.environ["B"]
COMMON = {"out", "recipe", "store", "scratch", "threads", "log"}
missing = set()
for path in sorted(glob.glob(ROOT + "/pipelines/*.json")):
    wrong, checked = [], 0
    spec = json.load(open(path))
    # what a spec that extends another adds or changes is checked here, the rest with its base
    listed = spec if isinstance(spec, list) else spec.get("add", []) + [c for c in spec["change"].values() if c and "transform" in c]
    for p in listed:
        t = p["transform"]
        words = t["cmd"] if t["cmd"][0] != "sh" else " ".join(t.get("stdin", [])).split("exec ", 1)[-1].split()
        stage = words[0]
        if not re.fullmatch(r"[a-z-]+", stage):
            continue
        if not os.path.exists(B + "/bin/" + stage):
            missing.add(stage)
            continue
        d = json.loads(subprocess.run([B + "/bin/" + stage, "--describe=json"], capture_output=True, text=True, check=True).stdout)
        named = {m for m in re.findall(r'"name":\s*"([^"]+)"', json.dumps(d))}
        checked += 1
        wrong += ["%s --%s" % (stage, o) for o in (w[2:] for w in words if w.startswith("--")) if o not in named | COMMON]
    print("%s - %s: options of %d stages are in their tables %s" % ("not ok" if wrong else "ok", os.path.basename(path), checked, wrong or ""))
    defaults = {v for p in listed for k, v in p.get("metadata", {}).get("annotations", {}).items() if k.startswith("voxtrail/repo.")}
    gone = sorted(v for v in defaults if not os.path.exists(os.path.join(os.path.dirname(path), v)))
    print("%s - %s: %d defaults of repos are there %s" % ("not ok" if gone else "ok", os.path.basename(path), len(defaults), gone or ""))
for s in sorted(missing):
    print("skip - options of %s: this build has no such stage" % s)
