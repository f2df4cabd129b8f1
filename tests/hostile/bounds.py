"""What a peer says costs no more than stated (docs/trust.md, "Limits of a peer"): lengths and counts that nobody can mean, endless answers, silence, a
byte now and then, and what it was not asked about."""
import concurrent.futures, itertools, os, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *
from _checks import no_bounds

unbounded = no_bounds("memory and seconds of the client and of serve")

EVIL_SSH = f"{T}/evil-ssh"
write(EVIL_SSH, '#!/bin/sh\nexec "%s" "%s/_evil.py" "$@"\n' % (sys.executable, os.path.dirname(os.path.abspath(__file__))))
os.chmod(EVIL_SSH, 0o755)


numbers, waiting = itertools.count(), concurrent.futures.ThreadPoolExecutor(6)


def peer(word, script, store, *args, **more):
    """Its result, with the seconds and the KiB that the client took."""
    mine = f"{T}/evil{next(numbers)}"
    write(f"{mine}.py", script)
    env = dict(os.environ, EVIL=f"{mine}.py", VOXTRAIL_SSH=EVIL_SSH, **more)
    begun, out = time.monotonic(), open(f"{mine}.said", "w+")
    p = subprocess.Popen(["voxtrail", word, *(args or ("g",)), "evil:/x", "--store", store], stdout=out, stderr=out, env=env)
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    out.seek(0)
    return p.returncode, out.read(), time.monotonic() - begun, used.ru_maxrss


def refused(what, script, status, words, store=None, word="pull", args=(), most_mib=64, seconds=15, **more):
    store = store or f"{T}/none"     # of which nothing gets there
    rc, said, took, kib = peer(word, script, store, *args, **more)
    check(rc == status and words in said and (unbounded or took < seconds and kib < most_mib << 10), f"{what}: {status}", (rc, took, kib, said[-400:]))


def on(*lines):
    return "def answers(word, asked):\n" + "".join(f"    {line}\n" for line in lines)


sound = 'D = put("objects", b"pwn")\ncommit(put("trees", b"voxtree 1\\nf %s 3 a\\n" % D.encode()))\n'
# counts and lengths
for count in ("99999999999", "-1", "18446744073709551616", " 5", "5x", ""):
    refused(f'"ok {count}" lines of refs', on("if word == 'refs': w('ok %s\\n'); return True" % count), 65, "announced")
for kind, size in (("commits", "1073741824"), ("commits", "18446744073709551615"), ("trees", "200000000"), ("commits", "-1"), ("objects", "99999999999999999999")):
    refused(f"one of the {kind} of {size} bytes", sound + on(f"if word == 'get' and asked[0].startswith('{kind} '): w('object %s {size}\\n' % asked[0]); return True"), 65, "bytes")
refused("an endless line", on("if word == 'refs':", "    while True: w(b'x' * 65536)"), 65, "a line of more than")
# lists and texts that go on
for word in ("refs", "history", "vouchers"):
    line = {"refs": "g heads/master %064x", "history": "%064x", "vouchers": "%064x"}[word]
    refused(f"four million lines of {word}", sound + on(f"if word == '{word}':", "    w('ok 4194304\\n')", "    for k in range(4096): w(''.join('%s\\n' %% (1024 * k + i) for i in range(1024)))" % line, "    return True"), 65, "VOXTRAIL_PEER_MEMORY", most_mib=80, VOXTRAIL_PEER_MEMORY="64")
for word in ("history", "vouchers"):
    # the most lines that are taken, all lacking here
    refused(f"150 thousand lines of {word}", sound + on(f"if word == '{word}':", "    w('ok 150000\\n')", "    for k in range(150): w(''.join('%064x\\n' % (1000 * k + i) for i in range(1000)))", "    return True",
            "if word == 'get' and asked[0].endswith('0' * 24 + '%040x' % int(asked[0][-40:], 16)): w('object x\\n'); return True"), 65, "was asked for", most_mib=80, VOXTRAIL_PEER_MEMORY="64")
refused("texts that are too much together", "for k in range(4): put('commits', canon({'format': 1, 'message': 'm' * 500000, 'parents': [], 'time': k, 'tree': '0' * 64}))\n" + sound + on("if word == 'history': ok([n.split()[1] for n in objs if n[0] == 'c']); return True"), 65, "VOXTRAIL_PEER_MEMORY", most_mib=40, VOXTRAIL_PEER_MEMORY="8")
refused("less memory allowed, fewer lines", sound + on("if word == 'history':", "    w('ok 65536\\n' + ''.join('%064x\\n' % i for i in range(65536)))", "    return True"), 65, "VOXTRAIL_PEER_MEMORY", most_mib=40, VOXTRAIL_PEER_MEMORY="8")
for value in ("0", "x", "-3", "1e9"):
    refused(f"VOXTRAIL_PEER_MEMORY={value}", sound, 64, "VOXTRAIL_PEER_MEMORY", VOXTRAIL_PEER_MEMORY=value)
    refused(f"VOXTRAIL_PEER_TIMEOUT={value}", sound, 64, "VOXTRAIL_PEER_TIMEOUT", VOXTRAIL_PEER_TIMEOUT=value)
# trees below trees
deep = 'D = put("objects", b"pwn")\nE = put("trees", b"voxtree 1\\nf %s 3 a\\n" % D.encode())\nfor k in range(3000): E = put("trees", b"voxtree 1\\nd %s 3 a\\n" % E.encode())\ncommit(E)\n'
refused("a tree 3000 directories deep", deep, 76, "lies deeper than a path of 4096 bytes", seconds=30)

# time
now = {"VOXTRAIL_PEER_TIMEOUT": "1"}
late = dict(status=75, words="VOXTRAIL_PEER_TIMEOUT", seconds=20, **now)
silent = []
asleep = lambda *args, **more: silent.append(waiting.submit(refused, *args, **more))     # many at a time: they only wait
sleep = "import time\n"
asleep("a peer that never says a word", sleep + "time.sleep(60)\n", **late)
for word in ("refs", "history", "get", "vouchers"):
    asleep(f"silence at {word}", sleep + sound + on(f"if word == '{word}': time.sleep(60)"), **late)
asleep("silence inside an object", sleep + sound + on("if word == 'get' and asked[0].startswith('objects'): w('object %s 3\\np' % asked[0]); time.sleep(60)"), **late)
asleep("a byte now and then", sleep + sound + on("if word == 'history':", "    w('ok 1000\\n')", "    for k in range(600): w('0'); time.sleep(0.1)"), **late)
asleep("lines now and then", sleep + sound + on("if word == 'history':", "    w('ok 1000\\n')", "    for k in range(600): w(sha(b'%d' % k) + '\\n'); time.sleep(0.1)"), **late)
asleep("SIGTERM and the closed pipes ignored", sleep + "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + on("time.sleep(60)"), status=75, words="VOXTRAIL_PEER_TIMEOUT", seconds=25, **now)
slow = 'D = put("objects", b"p" * 700000)\ncommit(put("trees", b"voxtree 1\\nf %s 700000 a\\n" % D.encode()))\n' + on("if word == 'get' and asked[0].startswith('objects'):", "    w('object %s 700000\\n' % asked[0])", "    for k in range(70): w(b'p' * 10000); time.sleep(0.1)", "    return True")
rc, said, took, _ = peer("pull", sleep + slow, f"{T}/slow", VOXTRAIL_PEER_TIMEOUT="3")
check(rc == 0 and took > 6, "100 kB a second is slow, and no silence", (rc, took, said))

concurrent.futures.wait(silent)
check(not [f for _, _, files in os.walk(f"{T}/none/objects") for f in files] and not os.listdir(f"{T}/none/tmp"), "nothing of all these came in")
# a pull that was given up left nothing half done
rc, said, _, _ = peer("pull", sleep + sound + on("if word == 'get' and asked[0].startswith('objects'): time.sleep(60)"), f"{T}/again", **now)
left = os.listdir(f"{T}/again/tmp") if os.path.isdir(f"{T}/again/tmp") else []
check(rc == 75 and not left and tool("verify", store=f"{T}/again").returncode == 0, "what was given up left nothing behind", (rc, said, left))
rc, said, _, _ = peer("pull", sound, f"{T}/again")
check(rc == 0, "and is done by the next pull", (rc, said))

# push: a peer gets what was committed to what is pushed, whatever it says that it lacks
S = f"{T}/store"
write(f"{T}/mine/a", "for all")
write(f"{T}/theirs/b", "for nobody else")
tool("commit", "mine", f"{T}/mine", "--copy", store=S)
tool("commit", "private", f"{T}/theirs", "--copy", store=S)
secret = sha(b"for nobody else")
spy = """
def answers(word, asked):
    %s
"""
for word, kind in (("missing", "objects"), ("unsound", "objects"), ("missing", "records"), ("unsound", "trees")):
    said = f"{kind} {secret}"
    rc, text, _, _ = peer("push", spy % f"if word == '{word}': ok(['{said}']); return True" if word == "missing" else spy % f"""if word == 'unsound': ok(['{said}']); return True
    if word == 'missing': ok([]); return True""", S, "mine")
    check(rc == 65 and secret in text, f"a peer that calls another repo's {kind[:-1]} {word} gets nothing: 65", (rc, text))
asleep("a push to a peer that takes nothing", sleep + on("if word == 'missing': ok(asked); return True", "if word not in ('refs', 'unsound'): time.sleep(60)"), store=S, word="push", args=("mine",), **late)
# refs that change between two questions
refused("a ref without a kind, the second time", "count = [0]\n" + sound + on("if word == 'refs':", "    count[0] += 1", "    if count[0] > 1: ok([refs[0].replace('heads/master', 'x')]); return True"), 65, "sent the ref", args=("g@master",))

# serve: the client is the one who is silent, slow or without measure
def serve(feed, *args, wait=10, **more):
    p = subprocess.Popen(["voxtrail", "serve", "--store", S, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, **more))
    begun = time.monotonic()
    try:
        try:
            feed(p)
        except BrokenPipeError:
            pass
        p.wait(wait)
    except subprocess.TimeoutExpired:
        pass
    took = time.monotonic() - begun
    if p.poll() is None:
        p.kill()
        p.wait()
        return "hangs", "", took
    return p.returncode, p.stdout.read().decode(), took


rc, said, took = serve(lambda p: None, **now)
check(rc == 75 and "no 75 " in said and "VOXTRAIL_PEER_TIMEOUT" in said and (unbounded or took < 8), "serve does not wait for a silent client for ever: 75", (rc, said, took))


def drip(p):
    for k in range(100):
        p.stdin.write(b"r")
        p.stdin.flush()
        time.sleep(0.1)


rc, said, took = serve(drip, **now)
check(rc == 75 and (unbounded or took < 8), "nor for one that sends a byte now and then", (rc, said, took))


def unread(p):
    p.stdin.write(b"".join(b"missing 1000\n" + b"".join(b"objects %064x\n" % (1000 * k + i) for i in range(1000)) for k in range(100)))
    p.stdin.flush()


rc, said, took = serve(unread, wait=20, **now)
check(rc == 75 and (unbounded or took < 15), "nor for one that reads no answer", (rc, said, took))
for count in ("-1", "99999999", "x"):
    def ask(p, count=count):
        p.stdin.write(b"missing %s\n" % count.encode())
        p.stdin.flush()
    rc, said, _ = serve(ask)
    check(rc == 65 and "at most" in said, f"a request of {count} names: 65", (rc, said))
for size in ("-1", "1e3", "999999999999999999999", "134217729"):
    def put(p, size=size):
        p.stdin.write(b"put records %064x %s\n" % (5, size.encode()))
        p.stdin.flush()
    rc, said, _ = serve(put, "--write")
    check(rc == 65, f"a record of {size} bytes: 65", (rc, said))


def many(p):
    for k in range(5000):
        data = b"%d" % k
        p.stdin.write(b"put objects %s %d\n%s" % (sha(data).encode(), len(data), data))
    p.stdin.flush()
    lies.append(len(os.listdir(f"{S}/tmp")))
    p.stdin.close()


lies = []
rc, said, _ = serve(many, "--write", wait=60)
check(rc == 0 and lies[0] <= 4097 and not os.listdir(f"{S}/tmp"), "what is put is published before it is too much to hold, and the rest is dropped at the end", (rc, said, lies))
waiting.shutdown()

# a text of few bytes and many values
write(f"{T}/zeros.json", b"[" + b"0," * (12 << 20) + b"0]")
p = subprocess.Popen(["voxtrail", "lint", f"{T}/zeros.json"], stdout=subprocess.DEVNULL, stderr=open(f"{T}/said", "w"))
_, status, used = os.wait4(p.pid, 0)
said = open(f"{T}/said").read()
check(os.waitstatus_to_exitcode(status) == 65 and "take more than 1 GiB of memory" in said and (unbounded or used.ru_maxrss < 1200 << 10), "24 MB of JSON that would take more than 1 GiB: 65", (status, used.ru_maxrss, said))
