"""A process that writes to a store is killed, or its disk fails, at every step there is and at random times.  Afterwards: what was
acknowledged is there, verify finds nothing wrong, the same command succeeds, and gc sweeps what was left."""
import os, random, re, shutil, subprocess, sys, time

T, ROOT = os.environ["T"], os.environ["ROOT"]
sys.path.insert(0, ROOT + "/tests/cli/lineage")
from _records import Execution

store = T + "/st"


def check(good, what, why=""):
    print(f"{'ok' if good else 'not ok'} - {what}" + ("" if good else f": {str(why)[-600:]}"), flush=True)


def run(*args, fault=None):
    env = {k: v for k, v in os.environ.items() if k != "VOXTRAIL_FAULT"}
    if fault:
        env["VOXTRAIL_FAULT"] = fault
    return subprocess.run(["voxtrail", *args, "--store", store], capture_output=True, text=True, env=env)


def write(root, files):
    shutil.rmtree(root, ignore_errors=True)
    for path, data in files.items():
        os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
        with open(f"{root}/{path}", "wb") as f:
            f.write(data)


def read(root):
    return {os.path.relpath(os.path.join(d, f), root): open(os.path.join(d, f), "rb").read()
            for d, _, fs in os.walk(root) for f in fs if ".lineage" not in d}


old = {f"sub-{i}/{n}": f"{n} of {i}".encode() for i in range(3) for n in ("t1", "seg")}
new = dict(old, **{"sub-1/t1": b"another t1", "more/deep/x": b"x" * 300000, "more/y": b"y"})
many = {f"m/{i:03d}": b"many %d" % i for i in range(90)}
execution = Execution("train", {"data": {"a/x": b"raw"}}, {"model.bin": b"w" * 1000, "log.txt": b"l"})


def fresh():
    shutil.rmtree(store, ignore_errors=True)
    write(T + "/old", old)
    assert run("commit", "r", T + "/old").returncode == 0
    shutil.rmtree(T + "/out", ignore_errors=True)


def commit(files, *more):
    def go(fault=None):
        write(T + "/new", files)
        return run("commit", "r", T + "/new", *more, fault=fault), files
    return go


def merge(fault=None):
    execution.dir(T + "/made")
    return run("import", T + "/made", fault=fault), None


def checkout(*more):
    def go(fault=None):
        shutil.rmtree(T + "/out", ignore_errors=True)
        return run("checkout", "r", T + "/out", *more, fault=fault), None
    return go


def healing(fault=None):
    for d, _, fs in os.walk(T + "/old"):
        for f in fs:
            os.chmod(os.path.join(d, f), 0o644)
    return checkout()(fault)


def pin(fault=None):
    return run("pin", "r", fault=fault), None


def gc(fault=None):
    write(T + "/junk", {"a/junk": b"junk", "b": b"more junk"})
    run("commit", "junk", T + "/junk")
    run("branch", "--delete", "--force", "junk", "master")
    open(store + "/tmp/left", "w").close()
    return run("gc", "--sweep", "--keep-days", "0", fault=fault), None


def catch_up(fault=None):
    write(T + "/first", {"q": b"q"})
    run("commit", "q", T + "/first", fault="adopt.link:kill")
    return commit(new)(fault)


def push(fault=None):
    """Into this store, from another."""
    other = T + "/other"
    if not os.path.exists(other):
        write(T + "/pushed", {"p/q": b"pushed", "p/r": b"r" * 100000})
        assert subprocess.run(["voxtrail", "commit", "p", T + "/pushed", "--store", other], capture_output=True).returncode == 0
    env = dict({k: v for k, v in os.environ.items() if k != "VOXTRAIL_FAULT"}, **({"VOXTRAIL_FAULT": fault} if fault else {}))
    return subprocess.run(["voxtrail", "push", "p", store, "--store", other], capture_output=True, text=True, env=env), None


scenario = {"commit": commit(new), "copy": commit(new, "--copy"), "many": commit(many), "import": merge, "checkout": checkout(),
            "writable": checkout("--writable"), "healing": healing, "pin": pin, "gc": gc, "catch_up": catch_up, "push": push}
# None: sha256 is met everywhere, and cli/store/gc_results.sh kills gc at a result
steps = {"scan.open": "commit", "hash.open": "commit", "hash.read": "commit", "sha256": None, "copy.open": "copy", "copy.write": "copy", "adopt.sync": "commit many copy",
         "adopt.chmod": "commit", "adopt.link": "commit many", "adopt.rename": "copy", "publish.mark": "commit", "publish.mkdir": "commit",
         "publish.dirsync": "commit many copy", "publish.catchup": "catch_up", "text.create": "commit import", "text.write": "commit", "text.sync": "commit import",
         "text.rename": "commit import", "record.index": "import", "ref.write": "commit", "ref.rename": "commit", "ref.dirsync": "commit",
         "cache.save": "commit", "checkout.mkdir": "checkout", "checkout.link": "checkout", "checkout.write": "writable",
         "checkout.rename": "checkout", "heal.rename": "healing", "pin.write": "pin", "gc.commit": "gc", "gc.tree": "gc", "gc.blob": "gc", "gc.leftover": "gc", "gc.result": None, "checkouts.write": "checkout", "put.create": "push",
         "put.write": "push", "put.sync": "push", "put.rename": "push"}
# a failure that costs a later hashing and nothing else, or that has another way out
mild = {"cache.save", "checkouts.write", "heal.rename"}


def sound(what, acknowledged):
    v = run("verify")
    if v.returncode:
        return f"{what}: verify: {v.stdout}{v.stderr}"
    shutil.rmtree(T + "/see", ignore_errors=True)
    c = run("checkout", "r", T + "/see")
    if c.returncode or read(T + "/see") not in acknowledged:
        return f"{what}: the head is none of what was committed: {c.stderr}"
    return None


def after(name, fault, killed):
    """What is wrong after a fault; None if nothing is."""
    fresh()
    r, files = scenario[name](fault)
    if killed and r.returncode != -9:
        return f"{name} {fault}: not reached, status {r.returncode}"
    if not killed and name != "healing" and fault.split(":")[0] not in mild and (r.returncode not in (66, 73, 74) or "voxtrail" not in r.stderr):
        return f"{name} {fault}: status {r.returncode}: {r.stderr}"
    acknowledged = [old] + ([files] if files else []) if r.returncode else [files or old]
    bad = sound(f"{name} {fault}", acknowledged)
    if bad:
        return bad
    again, files = scenario[name]()
    if again.returncode:
        return f"{name} {fault}: again: status {again.returncode}: {again.stderr}"
    bad = sound(f"{name} {fault}, again", [files or old])
    if bad:
        return bad
    g = run("gc", "--sweep", "--keep-days", "0")
    if g.returncode or os.listdir(store + "/tmp"):
        return f"{name} {fault}: gc: {g.stderr} {os.listdir(store + '/tmp')}"
    return sound(f"{name} {fault}, after gc", [files or old])


found = set()
for room in "content", "record", "store", "lineage", "transfer":
    for f in os.listdir(f"{ROOT}/common/{room}"):
        text = open(f"{ROOT}/common/{room}/{f}").read() if f.endswith(".c") else ""
        found |= set(re.findall(r'vt_fault\("([a-z0-9.]+)"\)|sync_all\(\w+, "([a-z.]+)"|, "(gc\.[a-z]+)"', text))
found = {next(n for n in m if n) for m in found}
check(found == set(steps), "this test knows every step there is", found ^ set(steps))
for step, names in steps.items():
    wrong = [w for n in (names or "").split() for w in [after(n, f"{step}:kill", True)] if w]
    if names and step not in ("hash.open", "scan.open"):
        wrong += [w for n in names.split()[:1] for w in [after(n, f"{step}:enospc" if step in ("copy.write", "text.write", "adopt.link") else f"{step}:eio", False)] if w]
    if names:
        check(not wrong, f"{step}: killed there, and failing there", wrong)
for n in (3, 8):
    w = after("commit", f"adopt.link:kill:{n}" if n == 3 else f"text.rename:kill:{n - 5}", True)
    check(not w, f"killed in the middle of many names ({n})", w)

rng = random.Random(11)
bad, killed = [], 0
fresh()
acknowledged, tries = [old], []
for i in range(30):
    files = {f"s{k}/f": b"%d of %d" % (k, i) * rng.randrange(1, 20000) for k in range(6)}
    write(T + "/new", files)
    p = subprocess.Popen(["voxtrail", "commit", "r", T + "/new", "--store", store], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    time.sleep(rng.random() * 0.04)
    p.kill()
    out = p.communicate()[0]
    killed += p.returncode == -9
    acknowledged = [files] if out.startswith("r@master") else acknowledged + [files]
    if i % 3 == 2:
        w = sound(f"try {i}", acknowledged)
        bad += [w] if w else []
check(not bad and killed, f"30 commits killed at random times ({killed} in time): nothing acknowledged is lost, nothing dangles", bad or "none was killed")
g = run("gc", "--sweep")
check(g.returncode == 0 and not os.listdir(store + "/tmp") and not sound("after gc", acknowledged), "gc sweeps what they left", g.stderr)
