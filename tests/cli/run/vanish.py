"""What a run reads goes away or changes while it plans, commits and stages: the path is named, nothing is lost, and the next run is right.
The runner is stopped at a step (VOXTRAIL_FAULT=STEP:stop:N), the files are changed, and it goes on."""
import hashlib, json, os, re, shutil, signal, subprocess, time

T = os.environ["T"]
store, spec, ran, co = T + "/store", T + "/spec.json", T + "/ran", T + "/co"
IMAGE = "x@sha256:" + "0" * 64


def check(good, what, why=""):
    print(f"{'ok' if good else 'not ok'} - {what}" + ("" if good else f": {str(why)[-700:]}"), flush=True)


def make_files():
    for s in ("one", "three", "two"):
        os.makedirs(f"{T}/in/{s}")
        open(f"{T}/in/{s}/f", "w").write(s * 100)
    os.makedirs(T + "/bin", exist_ok=True)
    with open(T + "/bin/tool", "w") as f:
        f.write('#!/bin/sh\necho "$r" >>$RAN; cat $PFS_ROOT/r/*/* >$PFS_ROOT/out/$(basename $r)\n')
    os.chmod(T + "/bin/tool", 0o755)


def fresh():
    for d in (store, T + "/in", T + "/bin"):
        shutil.rmtree(d, ignore_errors=True)
    make_files()
    open(ran, "w").close()
    json.dump({"pipeline": {"name": "a"}, "input": {"pfs": {"name": "r", "repo": "in", "glob": "/*"}}, "datumTries": 1,
        "transform": {"image": IMAGE, "env": {"RAN": ran}, "cmd": [T + "/bin/tool"]}}, open(spec, "w"))


def start(fault=None):
    env = {k: v for k, v in os.environ.items() if k != "VOXTRAIL_FAULT"}
    if fault:
        env["VOXTRAIL_FAULT"] = fault
    return subprocess.Popen(["voxtrail", "run", spec, "--repo", f"in={T}/in", "--store", store, "--jobs", "1", "--log", "json"], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=env)


def run():
    p = start()
    err = p.communicate()[1]
    return p.returncode, err


def stopped_at(fault, change):
    """(exit status, what it said) of a run that is stopped there while `change` is made."""
    p = start(fault)
    for _ in range(600):
        time.sleep(0.05)
        if p.poll() is not None:
            return p.returncode, "was never stopped: " + p.stderr.read()
        if open(f"/proc/{p.pid}/stat").read().rpartition(")")[2].split()[0] == "T":
            break
    change()
    p.send_signal(signal.SIGCONT)
    err = p.communicate()[1]
    return p.returncode, err


def output():
    shutil.rmtree(co, ignore_errors=True)
    subprocess.run(["voxtrail", "checkout", "a", co, "--store", store], capture_output=True)
    return {f: open(f"{co}/{f}").read() for f in os.listdir(co) if not f.startswith(".")} if os.path.isdir(co) else None


want = {s: s * 100 for s in ("one", "three", "two")}
fresh()
rc, err = run()
check(rc == 0 and output() == want, "undisturbed", err)

two = f"{T}/in/two/f"
held = hashlib.sha256(("two" * 100).encode()).hexdigest()
held = f"{store}/objects/{held[:2]}/{held[2:]}"


def lose_object():
    os.chmod(os.path.dirname(held), 0o755)
    os.remove(held)


# What goes, where the run stands then, how; the exit status, what it says, and how often the tool has run when the next run is done.
for what, fault, change, status, said, executions in (
        ("a file, listed and not read yet", "copy.open:stop", lambda: os.remove(two), 66, "in/two/f: cannot open: No such file", 3),
        ("the whole input while it is listed", "scan.open:stop", lambda: shutil.rmtree(T + "/in"), 66, "in/: was removed while it was read", 3),
        ("the end of a file", "copy.open:stop", lambda: os.truncate(two, 5), 74, "in/two/f: changed while it was read; commit it when nothing", 3),
        ("a file, for a directory", "copy.open:stop", lambda: (os.remove(two), os.mkdir(two)), 74, "in/two/f: cannot read: Is a directory", 3),
        ("an object before it is staged", "view:stop", lose_object, 76, "two/f: its bytes are not in .*; commit the original again", 3),
        ("the program", "view:stop", lambda: os.remove(T + "/bin/tool"), 66, 'pipeline a: program ".*/bin/tool" is not here', 3),
        ("the directory of a try that runs", "started:stop", lambda: shutil.rmtree(store + "/runner/work"), 1, "/one/ of a ended with .*", 4),
        ("the output of a try that ended", "ended:stop:2", lambda: shutil.rmtree(store + "/runner/work"), 1, "/three/ of a ended with .*/out: cannot", 5)):
    fresh()
    rc, err = stopped_at(fault, change)
    check(rc == status and re.search(said, err), f"{what} goes away: the run says which", f"exit {rc}: {err}")
    shutil.rmtree(T + "/in", ignore_errors=True)
    make_files()
    rc, err = run()
    ran_now = len(open(ran).read().split())
    check(rc == 0 and output() == want and 3 <= ran_now <= executions, "and the next run is right", f"exit {rc}: {ran_now} executions: {err}")
