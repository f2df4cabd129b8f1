"""Executions that never ran: directories with records written here from the definitions in record.h and tree.h, not by the
program under test.  Also an independent reading of a set of records: edges, ancestors, raw files, subjects."""
import hashlib, json, os, subprocess

T = os.environ["T"]


def check(good, what, why=""):
    print(f"{'ok' if good else 'not ok'} - {what}" + ("" if good else f": {str(why)[-500:]}"), flush=True)


def run(*args, store=None, claim=False, **more):
    """claim: nobody vouches for records that are imported."""
    if args[0] == "import" and not claim:
        args = (*args, "--vouch", "made here")
    return subprocess.run(["voxtrail", *args, *(["--store", store] if store else [])], capture_output=True, text=True, **more)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def canonical(j):
    return json.dumps(j, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tree_text(files):
    """files: {path: (sha256, size, executable)} -> the id of the directory."""
    names = {}
    for path, f in files.items():
        first, _, rest = path.partition("/")
        if rest:
            names.setdefault(first, {})[rest] = f
        else:
            names[first] = f
    lines = [b"voxtree 1\n"]
    total = 0
    for name in sorted(names, key=os.fsencode):
        v = names[name]
        digest, size, kind = (*tree_text(v), "d") if isinstance(v, dict) else (v[0], v[1], "x" if v[2] else "f")
        total += size
        lines.append(f"{kind} {digest} {size} {name}\n".encode())
    return sha(b"".join(lines)), total


def files_of(contents, executable=()):
    return {p: (sha(c), len(c), p in executable) for p, c in contents.items()}


def port_json(port, files, parents=None):
    j = {"port": port, "tree": tree_text(files)[0], "files": [dict({"path": p, "sha256": f[0], "size": f[1]}, **({"executable": True} if f[2] else {}))
                                                             for p, f in sorted(files.items(), key=lambda i: os.fsencode(i[0]))]}
    if parents is not None:
        j["parents"] = sorted(parents)
    return j


def record(stage, inputs, outputs, params=None, notes=None, binary="b" * 64, version="1", commit="0" * 40, failure=None):
    """inputs: [(port, files, parents)], outputs: [(port, files)] -> (record id, canonical bytes, parsed)."""
    j = {"format": 1, "stage": stage, "version": version, "binary": binary, "code": {"commit": commit, "dirty": False}, "params": params or {},
         "inputs": [port_json(*i) for i in inputs], "status": "failed" if failure else "ok"}
    if notes:
        j["notes"] = notes
    j["derivation"] = sha(canonical({"stage": stage, "version": version, "binary": binary, "params": j["params"],
                                     "inputs": [[i["port"], i["tree"]] for i in j["inputs"]]}))
    if failure:
        j["failure"] = failure
    else:
        j["outputs"] = [port_json(*o) for o in outputs]
        j["result"] = sha(canonical({"derivation": j["derivation"], "outputs": [[o["port"], o["tree"]] for o in j["outputs"]]}))
    text = canonical(j)
    return sha(text), text, j


class Execution:
    """One stage that read `inputs` ({port: Execution, or raw {path: bytes}, or a list of Executions merged}) and wrote
    `contents`; dir() lays its output out with the records a real stage leaves."""

    def __init__(self, stage, inputs, contents, **more):
        self.contents, self.stage, self.ancestors = contents, stage, {}
        ports = []
        for port, source in inputs.items():
            sources = source if isinstance(source, list) else [source]
            files, parents = {}, []
            for s in sources:
                if isinstance(s, Execution):
                    files.update(files_of(s.contents))
                    parents.append(s.id)
                    self.ancestors.update(s.ancestors)
                    self.ancestors[s.id] = s.text
                else:
                    files.update(files_of(s))
            ports.append((port, files, parents))
        self.id, self.text, self.json = record(stage, ports, [("out", files_of(contents))], **more)

    def dir(self, path, parents=True):
        for name, data in self.contents.items():
            os.makedirs(os.path.dirname(f"{path}/{name}"), exist_ok=True)
            open(f"{path}/{name}", "wb").write(data)
        own = f"{path}/.lineage/{self.json['result']}"
        os.makedirs(own, exist_ok=True)
        open(f"{own}/record.json", "wb").write(self.text)
        if parents and self.ancestors:
            open(f"{own}/parents.jsonl", "wb").write(b"".join(t + b"\n" for t in sorted(self.ancestors.values())))
        return path


def cohort(n, seed=b""):
    """n subjects through prepare, crop (one execution a subject), one train, one export; all made up."""
    raw = {f"sub-{i:03d}": {f"sub-{i:03d}/t1.nii": b"t1 of %d" % i + seed, f"sub-{i:03d}/seg.nii": b"seg of %d" % i + seed} for i in range(1, n + 1)}
    prep = [Execution("prepare", {"scans": r}, {f"{s}/t1.nii": b"n" + s.encode() + seed, f"{s}/geometry.json": b"{}"}) for s, r in raw.items()]
    crop = [Execution("crop", {"normed": p}, {f"{s}/subject.vtp": b"c" + s.encode() + seed}) for p, s in zip(prep, raw)]
    train = Execution("train", {"patches": crop}, {"best.safetensors": b"weights" + seed}, params={"seed": "1"},
                      notes={"split": {"train": list(raw)[:-1], "validation": list(raw)[-1:], "test": []}})
    export = Execution("export", {"model": train}, {"model.onnx": b"onnx" + seed})
    return raw, prep, crop, train, export


# --- an independent reading of records ------------------------------------------------------------------------------------------


class Records:
    def __init__(self, texts):
        self.by_id = {sha(t): json.loads(t) for t in texts}
        self.makers = {}
        for i, r in self.by_id.items():
            for o in r.get("outputs", []):
                for f in o["files"]:
                    self.makers.setdefault(f["sha256"], set()).add(i)

    def parents(self, i):
        """(ids of executions that made what i read, raw files of i)."""
        ids, raw = set(), []
        for port in self.by_id[i]["inputs"]:
            mine = {f["sha256"] for f in port["files"]}
            wrote = {p: mine & {f["sha256"] for o in self.by_id[p].get("outputs", []) for f in o["files"]}
                     for p in port.get("parents", []) if p in self.by_id}
            vouched = set().union(*wrote.values())
            ids |= {p for p in wrote if wrote[p]}
            for f in port["files"]:
                if f["sha256"] in vouched:
                    continue
                makers = self.makers.get(f["sha256"], set()) - {i}
                ids |= makers
                if not makers:
                    raw.append((port["port"], f["path"], f["sha256"]))
        return ids, raw

    def ancestors(self, i):
        seen, stack = {i}, [i]
        while stack:
            for p in self.parents(stack.pop())[0] - seen:
                seen.add(p)
                stack.append(p)
        return seen

    def subjects(self, i):
        return sorted({path.split("/")[0] for a in self.ancestors(i) for _, path, _ in self.parents(a)[1] if "/" in path})

    def descendants(self, i):
        return {d for d in self.by_id if d != i and i in self.ancestors(d)}
