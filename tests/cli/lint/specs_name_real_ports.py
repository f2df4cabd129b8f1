"""Every option that a spec gives to one of our stages is a port, a param or a common flag in the stage's own table; every default
of a repo is a file or directory of the tree."""
import functools, glob, json, os, re, subprocess
ROOT, B = os.environ["ROOT"], os.environ["B"]
COMMON = {"out", "recipe", "store", "scratch", "threads", "log"}
STAGES = set(os.listdir(B + "/bin"))


def commands(transform):
    """The words of each command that runs one of our programs: of `cmd`, or of shell lines on its stdin."""
    if transform["cmd"][0] != "sh":
        return [transform["cmd"]]
    found = []
    for part in re.split(r"[;&|\n]+", "\n".join(transform.get("stdin", []))):
        words = part.split()
        at = next((k for k, w in enumerate(words) if w in STAGES), None)
        found += [words[at:]] if at is not None else []
    return found


def options(words):
    return [re.split("[= ]", w[2:])[0].rstrip('"') for w in words if w.startswith("--")]


@functools.lru_cache(None)
def table(stage):
    described = subprocess.run([B + "/bin/" + stage, "--describe=json"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r'"name":\s*"([^"]+)"', json.dumps(json.loads(described)))) | COMMON


for path in sorted(glob.glob(ROOT + "/pipelines/*.json")):
    wrong, checked = [], 0
    spec = json.load(open(path))
    # what a spec that extends another adds or changes is checked here, the rest with its base
    listed = spec if isinstance(spec, list) else spec.get("add", []) + [c for c in spec["change"].values() if c and "transform" in c]
    for p in listed:
        ours = commands(p["transform"])
        if not ours:
            wrong.append("%s runs none of our programs" % p["pipeline"]["name"])
        for words in ours:
            checked += 1
            if words[0] not in STAGES:
                wrong.append("there is no program " + words[0])
                continue
            wrong += ["%s --%s" % (words[0], o) for o in options(words) if o not in table(words[0])]
    print("%s - %s: options of %d commands are in their tables %s" % ("not ok" if wrong else "ok", os.path.basename(path), checked, wrong or ""))
    defaults = {v for p in listed for k, v in p.get("metadata", {}).get("annotations", {}).items() if k.startswith("voxtrail/repo.")}
    gone = sorted(v for v in defaults if not os.path.exists(os.path.join(os.path.dirname(path), v)))
    print("%s - %s: %d defaults of repos are there %s" % ("not ok" if gone else "ok", os.path.basename(path), len(defaults), gone or ""))
