"""On a terminal the run is a table that is drawn over itself; elsewhere it is JSON lines."""
import json, os, pty, re, subprocess, sys
T = os.environ["T"]

def say(good, what, why=""):
    print(("ok - " if good else "not ok - ") + what + ("" if good else ": %s" % (why,)))

for i in range(6):
    os.makedirs(T + "/scans/sub-%d" % i)
    open(T + "/scans/sub-%d/t1" % i, "w").write("x%d" % i)
image = "stub@sha256:" + "0" * 64
def spec(name, repo, words):
    return {"pipeline": {"name": name}, "input": {"pfs": {"name": "in", "repo": repo, "glob": "/*"}}, "datumTries": 1,
            "transform": {"image": image, "cmd": ["/bin/sh"], "stdin": words, "acceptReturnCode": [65]}}
words = ["sleep 0.1; n=$(basename $in); case $n in sub-3) mkdir /pfs/out/quarantine; echo {} >/pfs/out/quarantine/$n.json; exit 65;; esac; echo $n >/pfs/out/$n"]
json.dump([spec("first", "scans", words), spec("second", "first", ["echo y >/pfs/out/$(basename $in)"])], open(T + "/s.json", "w"))

def run(store):
    """Standard error is a pseudo-terminal."""
    me, it = pty.openpty()
    p = subprocess.Popen(["voxtrail", "run", T + "/s.json", "--repo", "scans=" + T + "/scans", "--store", T + store, "--jobs", "2"], stderr=it, stdout=it, close_fds=True)
    os.close(it)
    out = b""
    while True:
        try:
            piece = os.read(me, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    return p.wait(), out.decode()

def screen(text):
    """What a terminal shows: cursor up, erase to the end of the line, erase below."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|\r\n|\n|\r|[^\x1b\r\n]+", text):
        if part.endswith("A") and part[0] == "\x1b":
            row = max(0, row - int(part[2:-1] or 1))
        elif part == "\x1b[K":
            lines[row] = ""
        elif part == "\x1b[J":
            del lines[row + 1:]
            lines[row] = ""
        elif part in ("\r\n", "\n"):
            row += 1
            if row == len(lines):
                lines.append("")
        elif part != "\r":
            lines[row] = part
    return [l for l in lines if l]

rc, text = run("/a")
shown = screen(text)
rows = [l for l in shown if l.startswith(("first", "second"))]
say(rc == 0, "the run succeeds on a terminal", shown)
say(len(rows) == 2 and sum(l.startswith("pipeline") for l in shown) == 1, "one table stands at the end, a row a pipeline", shown)
say(rows and re.search(r"first\s+done\s+6/6\s+0\s+0\s+1\s+0", rows[0]), "counts: done, running, skipped, quarantined, failed", rows)
say(any("quarantined" in l and "sub-3" in l for l in shown), "the quarantined subject is named", shown)
say(shown and shown[-1] == "results: voxtrail checkout NAME DIR --store %s/a, with NAME one of first, second" % T, "the last line says where the results are", shown)
frames = text.count("pipeline ")
say(frames >= 2 and re.search(r"first\s+running\s+\d/6\s+[12]\s", text), "it was drawn while it ran (%d frames)" % frames, text[-600:])
rc, text = run("/a")
say(rc == 0 and re.search(r"first\s+done\s+6/6\s+0\s+5\s", "\n".join(screen(text))), "a second run shows what was skipped", screen(text))

r = subprocess.run(["voxtrail", "run", T + "/s.json", "--repo", "scans=" + T + "/scans", "--store", T + "/b"], capture_output=True, text=True)
lines = [l for l in r.stderr.splitlines() if l.startswith("{")]
events = [json.loads(l) for l in lines]
say("\x1b" not in r.stderr and r.returncode == 0, "elsewhere there are no control characters")
say(sum(e["event"] == "datum" for e in events) == 12 and sum(e["event"] == "job" for e in events) == 2, "but a JSON line a datum and a job", [e["event"] for e in events])
say(events[-1]["event"] == "results" and events[-1]["where"] == "voxtrail checkout NAME DIR --store %s/b" % T and events[-1]["names"] == "first, second", "and where the results are, as the last", events[-1])
json.dump([spec("first", "scans", ["exit 1"])], open(T + "/s.json", "w"))
r = subprocess.run(["voxtrail", "run", T + "/s.json", "--store", T + "/c", "--repo", "scans=" + T + "/scans"], capture_output=True, text=True)
say(r.returncode == 1 and "results" not in r.stderr, "a run that failed names none", (r.returncode, r.stderr[-300:]))
