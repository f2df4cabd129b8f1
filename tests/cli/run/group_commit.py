"""Results are made durable in groups, at most one in 50 ms, and none is told as done before its name and its bytes are durable: seen from
inside, by a library that notes what a run syncs, names and says."""
import json, os, subprocess
from _checks import say

T, ROOT = os.environ["T"], os.environ["ROOT"]
N = 60
os.chdir(T)
cc = os.environ.get("CC", "cc").split()
if subprocess.run([*cc, "-shared", "-fPIC", "-O1", "-o", "syncs.so", ROOT + "/tests/cli/run/_syncs.c", "-ldl"], stderr=subprocess.DEVNULL).returncode:
    print("skip - groups of results: no C compiler")
    raise SystemExit
os.mkdir("in")
for i in range(N):
    open(f"in/f{i:03d}", "w").write(f"file {i}\n")
json.dump({"pipeline": {"name": "p"}, "input": {"pfs": {"name": "r", "repo": "r", "glob": "/*"}}, "datumTries": 1, "parallelismSpec": {"constant": 8},
    "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["sh"], "stdin": ["tr a-z A-Z <$r >/pfs/out/$(basename $r)"]}}, open("p.json", "w"))


def events(jobs):
    log = f"{T}/log-{jobs}"
    r = subprocess.run(["voxtrail", "run", "p.json", "--repo", "r=in", "--store", f"s{jobs}", "--jobs", str(jobs), "--log", "json"], capture_output=True, text=True,
        env=dict(os.environ, LD_PRELOAD=T + "/syncs.so", SYNCS=log, ASAN_OPTIONS="verify_asan_link_order=0"))
    found = [line.split(" ", 2) for line in open(log)] if os.path.exists(log) else []
    say(r.returncode == 0 and sum(e[1] == "result" for e in found) == N, f"--jobs {jobs}: {N} datums, each result is named once", (r.returncode, r.stderr, len(found)))
    return [(int(t) / 1e9, what, of.strip()) for t, what, of in found]


for jobs in 1, 2:
    groups, fresh, durable, told, early, calls = [], [], 0, 0, [], 0
    synced = last_told = True  # since the last acknowledgment; is the last thing seen of results one?
    for time, what, of in events(jobs):
        if what == "result":
            if last_told:
                groups.append(time)
                last_told = False
                if not synced:
                    early.append(("named before its bytes were durable", of))
            fresh.append(of.split("/")[1])
        elif what == "told":
            told, last_told, synced = told + 1, True, False
            if told > durable:
                early.append(("told before it was durable", told, durable))
        else:
            synced, calls = True, calls + bool(groups)
            left = [] if what == "syncfs" else [f for f in fresh if not of.endswith("/results/" + f)]
            durable, fresh = durable + len(fresh) - len(left), left
    say(told == N and not early, f"--jobs {jobs}: nothing is acknowledged before it is durable", (told, early[:3]))
    span = groups[-1] - groups[0] if groups else 0
    say(groups and len(groups) <= 2 + span / 0.05, f"--jobs {jobs}: no more than one group in 50 ms", (len(groups), span))
    say(groups and calls / len(groups) < 40, f"--jobs {jobs}: a group waits for the disk some ten times, however many it holds", calls / max(len(groups), 1))
    print(f"# --jobs {jobs}: {len(groups)} groups in {span:.2f} s, {calls / max(len(groups), 1):.0f} calls each")
