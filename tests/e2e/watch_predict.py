"""A service without a server: a pipeline of predict under run --watch. A checkpoint is committed once; each scan that somebody commits becomes a mask
below --checkout, the one that predict writes by hand; who cannot be prepared is named and the others go on; a better checkpoint answers everybody anew."""
import json, os, shutil, signal, subprocess, time
from _checks import say
from _phantoms import manifest, prepare, run, subject, train

T = os.environ["T"]
os.chdir(T)
for i in range(6):
    subject("s/s%d" % i, i, (20, 22, 18))
manifest("m.json", split={"seed": 1, "test": 0, "folds": 2, "subjects": {"s%d" % i: i % 2 for i in range(6)}})
patches = prepare("c", "s", "m.json")
train("net", patches, "--fold", 1, steps=4)
train("better", patches, "--fold", 1, "--seed", 2, steps=4)
pfs = lambda name, repo, glob: {"pfs": {"name": name, "repo": repo, "glob": glob}}
json.dump([{"pipeline": {"name": "masks"}, "input": {"cross": [pfs("scans", "inbox", "/*"), pfs("model", "model", "/"), pfs("manifest", "manifest", "/")]},
            "transform": {"image": "x@sha256:" + "0" * 64, "acceptReturnCode": [65],
                          "cmd": ["predict", "--model", "/pfs/model", "--scans", "/pfs/scans", "--manifest", "/pfs/manifest/manifest.json", "--out", "/pfs/out"]}}], open("service.json", "w"))


def commit(repo, d):
    subprocess.run(["voxtrail", "commit", repo, d, "--store", "store"], check=True, capture_output=True)


def arrives(name, change=None):
    os.makedirs("inbox", exist_ok=True)
    shutil.copytree("s/" + name, "inbox/" + name)
    for f in ("seg", *(change or ())):
        os.remove("inbox/%s/%s.nii.gz" % (name, f))
    commit("inbox", "inbox")


def until(test, seconds=120):
    end = time.time() + seconds
    while time.time() < end and not test():
        time.sleep(0.1)
    return bool(test())


mask = lambda s: "out/masks/%s/seg.nii.gz" % s
read = lambda p: open(p, "rb").read()
commit("model", "net")
w = subprocess.Popen(["voxtrail", "run", "service.json", "--watch", "--every", "0.2", "--store", "store", "--checkout", "out", "--repo", "manifest=m.json", "--log", "text"], stderr=open("err", "w"))
say(until(lambda: "repo inbox has no commit" in read("err").decode()), "it waits for the first scan", read("err"))
arrives("s1")
say(until(lambda: os.path.exists(mask("s1"))), "a scan that is committed becomes a mask", read("err")[-600:])
arrives("s3")
say(until(lambda: os.path.exists(mask("s3"))), "so does the next", read("err")[-600:])
run("predict", "--model", "net", "--scans", "inbox", "--manifest", "m.json", "--out", "by-hand")
say(all(read(mask(s)) == read("by-hand/%s/seg.nii.gz" % s) for s in ("s1", "s3")), "they are what predict writes by hand")
say(read("err").decode().count("state=success") == 2, "each scan was predicted once", read("err")[-900:])
arrives("s5", change=("t1ce",))
say(until(lambda: "quarantined: " in read("err").decode()) and os.path.exists(mask("s1")), "a scan without a channel is named, and the others stay", read("err")[-600:])
old = read(mask("s1"))
commit("model", "better")
say(until(lambda: read(mask("s1")) != old, 60), "another checkpoint answers everybody anew", read("err")[-600:])
time.sleep(0.5)
w.send_signal(signal.SIGTERM)
w.wait(60)
audit = subprocess.run(["voxtrail", "subjects", "out/masks", "--store", "store"], capture_output=True, text=True)
say("s1" in audit.stdout, "a mask can be asked what it was made from", audit.stdout + audit.stderr)
