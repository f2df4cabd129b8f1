"""rerun of another's record: it chooses nothing but a stage of this build, with inputs and params of the stage's own table."""
import os, shutil, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S = f"{T}/store"
binary = lambda path: sha(open(path, "rb").read())


def attack(stage_name, program, params=None, inputs=()):
    d = f"{T}/{len(os.listdir(T))}"
    out = {"a.txt": b"whatever"}
    id_, text, j = record(stage_name, list(inputs), [("out", files_of(out))], params=params or {}, binary=binary(program))
    write(f"{d}/a.txt", out["a.txt"])
    put_record(d, text)
    tool("import", d, store=S)
    return id_, tool("rerun", id_, store=S), tool("rerun", id_, "--any-binary", store=S)


pwn = f"{T}/PWN"
_, a, b = attack("env", "/usr/bin/env", {"split-string": f'sh -c "id > {pwn}" x'})
check((a.returncode, b.returncode) == (65, 65) and "no stage of this build" in a.stderr and not os.path.exists(pwn), "a program on PATH is not run", a.stderr)
os.makedirs(f"{T}/bin")
shutil.copy("/usr/bin/env", f"{T}/bin/env")
id_, _, _ = attack("env", "/usr/bin/env", {"split-string": f'sh -c "id > {pwn}" y'})
check(tool("rerun", id_, "--bin", f"{T}/bin", store=S).returncode == 65 and not os.path.exists(pwn), "nor one in --bin that is no stage")
for name in ("../../../usr/bin/env", "voxtrail", "", "train\n"):
    _, a, b = attack(name, "/usr/bin/env")
    # a control character in a stage's name is refused when the record is imported, so there is nothing to run
    check((a.returncode, b.returncode) in ((65, 65), (66, 66)), f"the name {name!r} is none", a.stderr)
here = shutil.which("skullstrip-normalize")
for params in ({"out": f"{T}/elsewhere"}, {"store": f"{T}/elsewhere"}, {"recipe": "/etc/passwd"}, {"log": "json"}, {"nothing": "1"}):
    _, a, b = attack("skullstrip-normalize", here, params)
    check(a.returncode == 65 and "does not have" in a.stderr and not os.path.exists(f"{T}/elsewhere"), f"--{list(params)[0]} is no param of the stage", a.stderr)
_, a, b = attack("skullstrip-normalize", here, inputs=[("../../../escape", files_of({"x/y": b"z"}), [])])
check(a.returncode == 65, "a port that is no port of the stage is not placed", a.stderr)

# what is honest still runs, without our environment
scans = make_cohort(2)
check(normalize(scans, "--store", S, "--out", f"{T}/normed").returncode == 0, "an execution")
tool("commit", "scans", scans, "--copy", store=S)
tool("commit", "manifests", f"{ROOT}/manifests", "--copy", store=S)
r = tool("rerun", f"{T}/normed", store=S, env=dict(os.environ, PFS_ROOT="/nowhere", VOXTRAIL_SCRATCH="/nowhere"))
check(r.returncode == 0 and r.stdout.startswith("same"), "an honest record is done again: the same bytes", r.stdout + r.stderr)
# a claim whose work gives the very same record here is a claim no more
check(normalize(scans, "--out", f"{T}/alone").returncode == 0, "the same work elsewhere")
C = f"{T}/claims"
tool("commit", "scans", scans, "--copy", store=C)
tool("commit", "manifests", f"{ROOT}/manifests", "--copy", store=C)
tool("import", f"{T}/alone", store=C)
check(tool("audit", f"{T}/alone", store=C).returncode == 3 and tool("rerun", f"{T}/alone", store=C).returncode == 0 and tool("audit", f"{T}/alone", store=C).returncode == 0, "a claim that rerun confirms is believed")
check('"event":"rerun"' in open(f"{C}/history").read(), "and the history says so")
