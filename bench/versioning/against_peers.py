"""Commit, commit again, commit with one file changed, check out and verify: voxtrail beside what Debian has for it.

    bench/versioning/against_peers.py DIR [--set big|small] [--files N --bytes N] [--repeats N] [--peers a,b,..]

big: 16 files of 256 MiB (4 GiB); small: 20,000 files of 8 KiB; incompressible, on the disk of DIR, in the page cache.  DIR is emptied of
what this made.  Needs about twice the set in disk (link-taking tools) or thrice (copying ones).  A line is tool, step, and the medians
of CPU seconds (user and system, children included; the figure to compare on a shared machine), wall seconds, and of the time a sync(1)
takes afterwards (0 where the tool syncs itself), and the largest peak memory of the
tool's first process.  Tools that are not installed are said and left out.
All tools take part in each repeat in turn, so that a busy machine is busy for all."""
import argparse, hashlib, os, shutil, statistics, subprocess, sys, time

a = argparse.ArgumentParser()
a.add_argument("dir")
a.add_argument("--set", choices=["big", "small"], default="small")
a.add_argument("--files", type=int)
a.add_argument("--bytes", type=int)
a.add_argument("--repeats", type=int, default=3)
a.add_argument("--peers", default="openssl,git,ostree")
args = a.parse_args()
n, size = {"big": (16, 256 << 20), "small": (20000, 8192)}[args.set]
n, size = args.files or n, args.bytes or size
root = os.path.join(os.path.realpath(args.dir), "voxtrail-bench")
voxtrail = os.path.realpath(os.path.join(os.environ.get("B", "build/release"), "bin/voxtrail"))


def make(path):
    for i in range(n):
        if i % 100 == 0:
            os.makedirs(f"{path}/sub-{i // 100:04d}", exist_ok=True)
        with open(f"{path}/sub-{i // 100:04d}/f{i % 100:02d}.bin", "wb") as f:
            for k in range(0, size, 1 << 24):
                f.write(hashlib.shake_128(f"{i} {k}".encode()).digest(min(1 << 24, size - k)) if size <= 1 << 20 else os.urandom(min(1 << 24, size - k)))


def change(path):
    victim = f"{path}/sub-0000/f07.bin"
    data = open(victim, "rb").read(1 << 20)
    if size <= 1 << 20:          # anew, as a tool that writes a file would: the old one may be shared with a store
        os.unlink(victim)
        open(victim, "wb").write(bytes([data[0] ^ 1]) + data[1:])
    else:
        subprocess.run(["cp", victim, victim + ".new"], check=True)
        os.chmod(victim + ".new", 0o644)
        with open(victim + ".new", "r+b") as f:
            f.write(bytes([data[0] ^ 1]))
        os.rename(victim + ".new", victim)
    os.utime(victim, (time.time() - 60,) * 2)


home = root + "/home"
env = dict(os.environ, HOME=home, GIT_CONFIG_NOSYSTEM="1", VOXTRAIL_GIT_MIRROR="0", GIT_AUTHOR_NAME="b", GIT_AUTHOR_EMAIL="b@b", GIT_COMMITTER_NAME="b",
           GIT_COMMITTER_EMAIL="b@b")
results = {}


def high_water(pid):
    """KiB; of the process itself, as it was last seen.  (ru_maxrss would count this interpreter before the exec.)"""
    try:
        return next(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def step(tool, name, *commands, cwd=None):
    cpu = wall = 0.0
    peak = 0
    os.sync()
    for c in commands:
        begun = time.monotonic()
        with open(home + "/said", "w+b") as err:
            p = subprocess.Popen(c, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=err)
            pid = 0
            while not pid:
                peak = max(peak, high_water(p.pid))
                time.sleep(0.002)
                pid, status, u = os.wait4(p.pid, os.WNOHANG)
            err.seek(0)
            said = err.read()
        wall += time.monotonic() - begun
        cpu += u.ru_utime + u.ru_stime
        if status:
            print(f"# {tool} {name}: {said.decode(errors='replace')[-300:]}", file=sys.stderr)
            return False
    begun = time.monotonic()
    os.sync()
    results.setdefault((tool, name), []).append((cpu, wall, time.monotonic() - begun, peak))
    return True


def run_voxtrail(data, out):
    s = ["--store", root + "/store"]
    commit = [voxtrail, "commit", "r", data, *s]
    step("voxtrail", "commit", commit)
    step("voxtrail", "nothing changed", commit)
    change(data)
    step("voxtrail", "one file changed", commit)
    step("voxtrail", "checkout by link", [voxtrail, "checkout", "r", out, *s])
    step("voxtrail", "verify", [voxtrail, "verify", *s])


def run_openssl(data, out):
    step("openssl", "hash only", ["sh", "-c", f"find {data} -type f -print0 | xargs -0 openssl dgst -sha256"])


def run_git(data, out):
    step("git", "commit", ["git", "init", "-q", "--object-format=sha256"], ["git", "config", "core.compression", "0"], ["git", "config", "core.bigFileThreshold", "1m"],
         ["git", "add", "-A"], ["git", "commit", "-q", "-m", "a"], cwd=data)
    step("git", "nothing changed", ["git", "add", "-A"], ["git", "status", "--porcelain"], cwd=data)
    change(data)
    step("git", "one file changed", ["git", "add", "-A"], ["git", "commit", "-q", "-m", "b"], cwd=data)
    step("git", "checkout", ["git", "worktree", "add", "-q", "--detach", out, "HEAD"], cwd=data)
    step("git", "verify", ["git", "fsck", "--full", "--no-progress"], cwd=data)


def run_ostree(data, out):
    s = f"--repo={root}/store"
    subprocess.run(["ostree", "init", s, "--mode=bare-user"], check=True)
    commit = ["ostree", "commit", s, "--branch=x", f"--tree=dir={data}", "-s", "a"]
    step("ostree", "commit", commit)
    step("ostree", "nothing changed", commit)
    change(data)
    step("ostree", "one file changed", commit)
    step("ostree", "checkout by link", ["ostree", "checkout", s, "-U", "-H", "x", out])
    step("ostree", "verify", ["ostree", "fsck", s, "-q"])


def run_annex(data, out):
    step("git-annex", "commit", ["git", "init", "-q"], ["git", "annex", "init", "-q", "b"], ["git", "annex", "add", "-q", "-J2", "."], ["git", "commit", "-q", "-m", "a"],
         cwd=data)
    step("git-annex", "nothing changed", ["git", "annex", "add", "-q", "-J2", "."], ["git", "status", "--porcelain"], cwd=data)
    step("git-annex", "verify", ["git", "annex", "fsck", "-q", "-J2"], cwd=data)


def run_datalad(data, out):
    step("datalad", "commit", ["datalad", "-l", "error", "create", "-f", "."], ["datalad", "-l", "error", "save", "-J2", "-m", "a"], cwd=data)
    step("datalad", "nothing changed", ["datalad", "-l", "error", "save", "-J2", "-m", "a"], cwd=data)


tools = [("voxtrail", voxtrail, run_voxtrail), ("openssl", "openssl", run_openssl), ("git", "git", run_git), ("ostree", "ostree", run_ostree),
         ("git-annex", "git-annex", run_annex), ("datalad", "datalad", run_datalad)]
wanted = ["voxtrail"] + args.peers.split(",")
for name, program, _ in tools:
    if name in wanted and not shutil.which(program):
        print(f"# {name} is not installed", flush=True)
tools = [t for t in tools if t[0] in wanted and shutil.which(t[1])]


def clear(path):
    subprocess.run(["chmod", "-R", "u+w", path], stderr=subprocess.DEVNULL)
    shutil.rmtree(path, ignore_errors=True)


clear(root)
os.makedirs(home)
try:
    for _ in range(args.repeats):
        for name, _, run in tools:
            make(root + "/data")
            time.sleep(0.05)
            run(root + "/data", root + "/out")
            for part in ("data", "store", "out"):
                clear(f"{root}/{part}")
finally:
    clear(root)
print(f"{n} files of {size} bytes, medians of {args.repeats}")
print(f"{'tool':10} {'step':18} {'CPU s':>8} {'wall s':>8} {'sync s':>8} {'peak MiB':>9}")
for (tool, name), rows in results.items():
    cpu, wall, sync = (statistics.median(r[k] for r in rows) for k in range(3))
    print(f"{tool:10} {name:18} {cpu:8.2f} {wall:8.2f} {sync:8.2f} {max(r[3] for r in rows) / 1024:9.1f}")
