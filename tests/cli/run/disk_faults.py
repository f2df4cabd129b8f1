"""A disk that fills up, or fails, at every kind of write of a run and of the tries it starts: the run says where and why, nothing that
was finished is lost or done again, and with room again the next run ends in the files of an undisturbed one."""
import json, os, re, shutil, subprocess, sys

T = os.environ["T"]
store, spec, ran, co = T + "/store", T + "/spec.json", T + "/ran", T + "/co"
IMAGE = "x@sha256:" + "0" * 64


def check(good, what, why=""):
    print(f"{'ok' if good else 'not ok'} - {what}" + ("" if good else f": {str(why)[-500:]}"), flush=True)


def pipeline(name, repo, line):
    return {"pipeline": {"name": name}, "input": {"pfs": {"name": "r", "repo": repo, "glob": "/*"}}, "datumTries": 1,
        "transform": {"image": IMAGE, "env": {"RAN": ran}, "cmd": ["sh"], "stdin": [line]}}


def write_inputs():
    for s in ("one", "two", "three"):
        os.makedirs(f"{T}/in/{s}", exist_ok=True)
        open(f"{T}/in/{s}/f", "w").write(s)
    line = "echo $PPS_PIPELINE_NAME $PACH_DATUM_ID >>$RAN; cp -r /pfs/r/* /pfs/out/; chmod -R u+w /pfs/out; echo $PPS_PIPELINE_NAME >/pfs/out/$(basename $r)/made"
    json.dump([pipeline("a", "in", line), pipeline("b", "a", line)], open(spec, "w"))


def voxtrail(*words, fault=None):
    env = {k: v for k, v in os.environ.items() if k != "VOXTRAIL_FAULT"}
    if fault:
        env["VOXTRAIL_FAULT"] = fault
    p = subprocess.run(["voxtrail", *words, "--store", store], capture_output=True, text=True, env=env)
    return p.returncode, p.stderr


def run(fault=None):
    return voxtrail("run", spec, "--repo", f"in={T}/in", "--jobs", "1", "--log", "json", fault=fault)


def files(root):
    return {os.path.relpath(f"{d}/{f}", root): open(f"{d}/{f}", "rb").read() for d, _, fs in os.walk(root) for f in fs if ".lineage" not in d}


def result():
    shutil.rmtree(co, ignore_errors=True)
    for repo in ("a", "b"):
        if voxtrail("checkout", repo, f"{co}/{repo}")[0]:
            return None
    return files(co)


def executions():
    lines = open(ran).read().split("\n")[:-1] if os.path.exists(ran) else []
    return len(lines), len(set(lines))


def fresh():
    shutil.rmtree(store, ignore_errors=True)
    if os.path.exists(ran):
        os.remove(ran)


write_inputs()
fresh()
rc, err = run()
want = result()
check(rc == 0 and want and len(want) == 12, "undisturbed", err)

# Every step at which a run writes; one that no run passes any more would be a failure of the test.
STEPS = ("copy.open", "copy.write", "publish.mark", "publish.dirsync", "publish.mkdir", "text.create", "text.write", "text.sync", "text.rename",
    "adopt.rename", "adopt.sync", "ref.write", "ref.rename", "ref.dirsync", "file.write", "file.mkdir", "checkout.link")
for step in STEPS:
    met, wrong = 0, []
    for nth in (1, 4):
        fresh()
        rc, err = run(f"{step}:enospc:{nth}")
        if rc == 0 and "files will be hashed again" in err:  # a cache
            met += result() == want
            continue
        if rc == 0:
            break
        met += 1
        if rc not in (1, 73, 74) or not re.search(r"/[^ ]+: .*No space left on device", err):
            wrong.append(f"{nth}: exit {rc}: {err[-300:]}")
        before = executions()[0]
        rc, err = run()
        if rc or result() != want:
            wrong.append(f"{nth}: with room again: exit {rc}: {err[-300:]}")
        if executions()[1] != 6 or executions()[0] > 6 + min(before, 3):  # what was being published is in flight
            wrong.append(f"{nth}: {before} executions, and then {executions()}")
    check(met and not wrong, f"no room at {step}, {met} times", wrong or "never met")
check(voxtrail("verify")[0] == 0 and not os.listdir(f"{store}/runner/work"), "the store is whole and nothing is left of a try")
