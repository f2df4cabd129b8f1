#!/usr/bin/env python3
"""bench/datums.py [--sizes 1000,10000] [--kill] BIN [BIN...]: what one-file datums of `cp` cost the runner of each build.

Every BIN is a build's bin folder; they take turns step by step, so that a machine's moods meet all of them.  Columns: datums, build,
step, exit status, seconds of processor time with all children, milliseconds a datum, and for `run` what is left of these without `cp`
itself (started by posix_spawn, as often as there are datums, at most 2000); seconds of wall time; the largest process.  --made: a shell
writes new bytes in place of cp's copies, which are raw files to `audit`.  --kill: a run is killed by SIGKILL at half; then what the
store knows, when the next run starts its first datum, and how many it ran.  --kill-only: that alone, which is one run to the end, and
then the questions to its store.  --stretch SECONDS: instead of all that, a run of the last BIN is stopped by SIGTERM after so long, and
the next one too: what a datum costs with large tables, without waiting for all of them.  Works in /dev/shm where there is one.  Three
sizes take some ten minutes a build: --sizes 1000,10000,100000; or --sizes 100000 --stretch 30."""
import argparse, json, os, resource, shutil, signal, subprocess, sys, tempfile, time

SPEC = {"pipeline": {"name": "p"}, "input": {"pfs": {"name": "r", "repo": "r", "glob": "/*"}}, "datumTries": 1, "parallelismSpec": {"constant": 8},
    "transform": {"image": "x@sha256:" + "0" * 64, "cmd": ["cp", "-r", "/pfs/r/.", "/pfs/out/"]}}
# of one process as well; what it writes is new
MADE = ["sh", "-c", "read -r line <$r; echo made of $line >/pfs/out/${r##*/}"]


def processor_time():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def cost(words, cwd):
    """(exit status, processor seconds, wall seconds, MiB of the largest process), by a process of its own so that the largest is of this one."""
    t = time.time()
    pid = os.fork()
    if pid == 0:
        os.chdir(cwd)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1), os.dup2(null, 2)
        os.execvp(words[0], words)
    _, status, u = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), u.ru_utime + u.ru_stime, time.time() - t, u.ru_maxrss >> 10


def itself(work, n):
    """Milliseconds of processor time of one program of a datum."""
    n = min(n, 2000)
    os.makedirs(f"{work}/alone", exist_ok=True)
    made = SPEC["transform"]["cmd"] is MADE
    before = processor_time()
    for i in range(n):
        words = [w.replace("/pfs/out", f"{work}/alone") for w in MADE] if made else ["cp", "-r", f"{work}/in/f{i:06d}", f"{work}/alone"]
        pid = os.posix_spawnp(words[0], words, {**os.environ, "r": f"{work}/in/f{i:06d}"})
        os.waitpid(pid, 0)
    return 1e3 * (processor_time() - before) / n


# what people ask of the finished repo, and what keeps its store
QUESTIONS = [(" ".join(words), words + more) for words, more in (
    (["run"], ["p.json", "--repo", "r=in", "--jobs", "2"]), (["plan"], ["p.json", "--repo", "r=in"]), (["datum", "list"], ["p.json", "p"]),
    (["log"], []), (["log", "p"], []), (["logs", "p"], []), (["ls", "p"], []), (["explain", "p", "/f000007"], []), (["explain"], ["--spec", "p.json", "p"]),
    (["descendants", "in/f000007"], []), (["subjects", "p"], []), (["history"], []), (["audit", "p"], []), (["verify"], []), (["gc"], []),
    (["checkout", "p"], ["co"]), (["audit", "co/f000007"], []), (["gc", "--sweep"], []), (["rebuild"], []))]


def line(n, build, step, got, beyond=None):
    rc, cpu, wall, mib = got
    print(f"{n:7} {build:12} {step:22} exit {rc} {cpu:9.2f} s {1e3 * cpu / n:8.3f} ms" + (f" {1e3 * cpu / n - beyond:8.3f} beyond" if beyond else " " * 16) +
        f" {wall:9.2f} s wall {mib:5} MiB", flush=True)


def killed(binary, work, n):
    """Kills a run at half; what the next one does."""
    run = [binary, "run", "p.json", "--repo", "r=in", "--store", "killed", "--jobs", "2", "--log", "json"]
    p = subprocess.Popen(run, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for done, _ in enumerate(p.stderr):
        if done == n // 2:
            break
    p.send_signal(signal.SIGKILL)
    p.stderr.read()
    p.wait()
    known = sum(len(f) for d, _, f in os.walk(f"{work}/killed/results"))
    half = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    t, first, ran = time.time(), None, 0
    p = subprocess.Popen(run, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for one in p.stderr:
        event = json.loads(one)
        if event.get("event") == "datum" and event.get("state") == "success":
            first = first or time.time() - t
            ran += 1
    _, status, u = os.wait4(p.pid, 0)
    wall = time.time() - t
    print(f"{n:7} {'':12} killed at half ({half} MiB): {known} results known, then {ran} datums run ({known + ran - n} twice), the first done {first:.2f} s"
        f" after the start, exit {os.waitstatus_to_exitcode(status)}, {wall:.0f} s wall, {1e3 * (u.ru_utime + u.ru_stime) / ran:.3f} ms a datum"
        f" ({itself(work, 500):.3f} of them {SPEC['transform']['cmd'][0]}), {u.ru_maxrss >> 10} MiB", flush=True)


def stretches(binary, work, n, seconds):
    """Milliseconds of processor time a datum, planning taken off, in two stretches of one run."""
    known = lambda: sum(len(f) for _, _, f in os.walk(f"{work}/s/results"))
    words = [binary, "run", "p.json", "--repo", "r=in", "--jobs", "2", "--store", "s"]
    cost([binary, "commit", "r", "in", "--copy", "--store", "s"], work)
    plan = cost([binary, "plan", "p.json", "--repo", "r=in", "--store", "s"], work)
    print(f"{n:7} planning {plan[1]:.2f} s, {plan[3]} MiB", flush=True)
    for _ in range(2):
        before = known()
        rc, cpu, wall, mib = cost(["timeout", "-s", "TERM", str(seconds), *words], work)
        done = known() - before
        print(f"{n:7} {done} datums in {wall:.0f} s: {1e3 * (cpu - plan[1]) / max(done, 1):.3f} ms a datum, {mib} MiB, {SPEC['transform']['cmd'][0]} itself {itself(work, 500):.3f} ms", flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--sizes", default="1000")
    a.add_argument("--kill", action="store_true")
    a.add_argument("--kill-only", action="store_true")
    a.add_argument("--stretch", type=float)
    a.add_argument("--made", action="store_true")
    a.add_argument("bins", nargs="+", metavar="BIN")
    a = a.parse_args()
    if a.made:
        SPEC["transform"]["cmd"] = MADE
    for n in map(int, a.sizes.split(",")):
        work = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        try:
            os.mkdir(f"{work}/in")
            for i in range(n):
                with open(f"{work}/in/f{i:06d}", "w") as f:
                    f.write("x" * 60 + f"{i:010d}")
            with open(f"{work}/p.json", "w") as f:
                json.dump(SPEC, f)
            if a.kill_only:
                killed(os.path.abspath(f"{a.bins[-1]}/voxtrail"), work, n)
                for step, words in QUESTIONS:
                    line(n, "", step, cost([os.path.abspath(f"{a.bins[-1]}/voxtrail"), *words, "--store", "killed"], work))
                continue
            if a.stretch:
                stretches(os.path.abspath(f"{a.bins[-1]}/voxtrail"), work, n, a.stretch)
                continue
            steps = (("plan", ["plan", "p.json", "--repo", "r=in"]), ("run", ["run", "p.json", "--repo", "r=in", "--jobs", "2"]), *QUESTIONS)
            for step, words in steps:
                for k, b in enumerate(a.bins):
                    if step == "checkout p":
                        shutil.rmtree(f"{work}/co", ignore_errors=True)
                    line(n, b.rstrip("/").split("/")[-2] if b.rstrip("/").endswith("bin") else os.path.basename(b), step,
                        cost([os.path.abspath(f"{b}/voxtrail"), *words, "--store", f"s{k}"], work), itself(work, n) if step == "run" else None)
            if a.kill:
                killed(os.path.abspath(f"{a.bins[-1]}/voxtrail"), work, n)
        finally:
            shutil.rmtree(work)


main()
