"""A peer that lies: trees, tombstones and records of its are held against what was asked for before anything gets its name."""
import os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

EVIL, EVIL_SSH = f"{T}/evil.py", f"{T}/evil-ssh"      # the words of $VOXTRAIL_SSH are apart at spaces
write(EVIL_SSH, '#!/bin/sh\nexec "%s" "%s/_evil.py" "$@"\n' % (sys.executable, os.path.dirname(os.path.abspath(__file__))))
os.chmod(EVIL_SSH, 0o755)


def pull(script, store, *more):
    write(EVIL, script)
    env = dict(os.environ, EVIL=EVIL, VOXTRAIL_SSH=EVIL_SSH)
    return tool("pull", "g", "evil:/x", *more, store=store, env=env)


S = f"{T}/store"
write(f"{T}/mine/sub-001/t1.nii", "scan of one")
write(f"{T}/mine/sub-002/t1.nii", "scan of two")
tool("commit", "mine", f"{T}/mine", "--copy", store=S)
names = lambda: sorted(os.listdir(f"{S}/trees"))
one = 'D = put("objects", b"pwn")\n'
entry = lambda *lines: one + "commit(put('trees', (" + "+".join(repr(l) for l in lines) + ").format(D=D).encode()))\n"
H = "voxtree 1\n"
bad = {
    "an entry ..": entry(H, "f {D} 3 ..\n"),
    "an entry with a slash": entry(H, "f {D} 3 a/b\n"),
    "an entry with a control character": entry(H, "f {D} 3 a\x07b\n"),
    "entries out of order": entry(H, "f {D} 3 b\n", "f {D} 3 a\n"),
    "an entry twice": entry(H, "f {D} 3 a\n", "f {D} 3 a\n"),
    "a size that is not the file's": entry(H, "f {D} 4 a\n"),
    "a size with leading zeros": entry(H, "f {D} 03 a\n"),
    "an unknown type": entry(H, "l {D} 3 a\n"),
    "another first line": entry("voxtree 2\n", "f {D} 3 a\n"),
    "an empty subtree": one + "E = put('trees', b'voxtree 1\\n')\ncommit(put('trees', f'voxtree 1\\nd {E} 0 a\\n'.encode()))\n",
    "a subtree of another size": one + "E = put('trees', f'voxtree 1\\nf {D} 3 x\\n'.encode())\ncommit(put('trees', f'voxtree 1\\nd {E} 9 a\\n'.encode()))\n",
    "directories 5000 deep": one + "E, n = put('trees', f'voxtree 1\\nf {D} 3 x\\n'.encode()), 3\nfor k in range(5000): E = put('trees', f'voxtree 1\\nd {E} 3 a\\n'.encode())\ncommit(E)\n",
    "a tree that means more files than there are atoms": one + "E, n = put('trees', f'voxtree 1\\nf {D} 3 x\\n'.encode()), 3\nfor k in range(60):\n    n *= 2; E = put('trees', f'voxtree 1\\nd {E} {n // 2} a\\nd {E} {n // 2} b\\n'.encode())\ncommit(E)\n",
    "a commit that is not in canonical form": one + "t = put('trees', f'voxtree 1\\nf {D} 3 x\\n'.encode())\nc = put('commits', json.dumps({'format': 1, 'message': 'm', 'parents': [], 'time': 1, 'tree': t}).encode()); history.append(c); refs.append('g heads/master ' + c)\n",
}
for what, script in bad.items():
    r = pull(script, f"{T}/fresh{len(os.listdir(T))}")
    check(r.returncode in (65, 76) and "g@" not in r.stdout, f"{what}: refused", (r.returncode, r.stdout, r.stderr))
# names that people take for one: as at commit
nfc, nfd = "sub-\u00e9", "sub-e\u0301"
r = pull(entry(H, f"f {{D}} 3 {nfd}\n", f"f {{D}} 3 {nfc}\n"), f"{T}/forms")
check(r.returncode == 65 and "one name in two Unicode forms" in r.stderr and not os.path.exists(f"{T}/forms/refs/g"), "two Unicode forms of one name: refused", (r.returncode, r.stderr))
below = one + f"E = put('trees', f'voxtree 1\\nf {{D}} 3 {nfd}\\nf {{D}} 3 {nfc}\\n'.encode())\ncommit(put('trees', f'voxtree 1\\nd {{E}} 6 a\\n'.encode()))\n"
r = pull(below, f"{T}/forms2")
check(r.returncode == 65 and "one name in two Unicode forms" in r.stderr, "below a directory too", (r.returncode, r.stderr))
r = pull(entry(H, "f {D} 3 A.nii\n", "f {D} 3 a.nii\n", "f {D} 3 b\n"), f"{T}/cases")
check(r.returncode == 0 and '"case-twins"' in r.stderr and '"one":"A.nii","other":"a.nii"' in r.stderr, "two cases of one name: taken, and said", r.stderr)
many = one + """import itertools, unicodedata
cases = [''.join(p) for p in itertools.product(*zip('abcdefghijklmno', 'ABCDEFGHIJKLMNO'))]
names = sorted([n.encode() for n in cases] + [('\u00e9' + n).encode() for n in cases])
commit(put('trees', b'voxtree 1\\n' + b''.join(b'f %s 3 %s\\n' % (D.encode(), n) for n in names)))
"""
begun = time.monotonic()
r = pull(many, f"{T}/many")
check(r.returncode == 0 and '"pairs":65534' in r.stderr and time.monotonic() - begun < 20, "65536 names that differ in case alone hold up nothing", (time.monotonic() - begun, r.stderr))
tool("commit", "G", f"{T}/mine", "--copy", store=f"{T}/twin-repos")
r = pull(entry(H, "f {D} 3 a\n"), f"{T}/twin-repos")
check(r.returncode == 0 and '"one":"G","other":"g"' in r.stderr, "and a repo whose name differs from one here in case alone", r.stderr)
r = pull(entry(H, "f {D} 3 a\n"), f"{T}/sound")
check(r.returncode == 0 and tool("verify", store=f"{T}/sound").returncode == 0, "and a sound tree is taken", r.stderr)

# a malformed tree that lies there already does not stop an erasure
D = sha(b"pwn")
text = f"voxtree 1\nf {D} 3 ..\n".encode()
commit_text = canonical({"format": 1, "message": "m", "parents": [], "time": 1700000000, "tree": sha(text)})
for kind, data in (("objects", b"pwn"), ("trees", text), ("commits", commit_text)):
    write(f"{S}/{kind}/{sha(data)[:2]}/{sha(data)[2:]}", data)
r = tool("verify", store=S)
check(r.returncode == 76 and ".." in r.stdout, "verify names a tree that no commit of ours would write", r.stdout)
r = tool("erase", "sub-002", "--yes", "--reason", "w", store=S)
gone = sha(b"scan of two")
check(r.returncode == 76 and "cannot be read" in r.stderr and not os.path.exists(f"{S}/objects/{gone[:2]}/{gone[2:]}"), "erase goes on past it, and says so", r.stderr)

# tombstones by rumor
V = f"{T}/victim"
tool("commit", "mine", f"{T}/mine", "--copy", store=V)
live = sha(b"scan of one")
rumor = f'erased.append("{live} 11 court order 17-B")\n' + entry(H, "f {D} 3 a\n")
r = pull(rumor, V)
check(r.returncode == 0 and tool("verify", store=V).returncode == 0 and not os.path.exists(f"{V}/tombs"), "a tombstone that was not asked for is nobody's business", r.stderr)
X = sha(b"unknown")
r = pull(f'erased.append("{X} 7 court order 17-B")\ncommit(put("trees", b"voxtree 1\\nf {X} 7 a\\n"))\n'.replace("g heads", "g heads"), f"{T}/asked")
r2 = tool("erase", "--proposed", store=f"{T}/asked")
check(r.returncode == 0 and X in r2.stdout and "evil:/x" in r2.stdout and "court order 17-B" in r2.stdout and not os.path.exists(f"{T}/asked/tombs"), "one that was is a proposal, with who says so", (r.stderr, r2.stdout))
check(tool("verify", store=f"{T}/asked").returncode == 0 and "erasure-proposed" in open(f"{T}/asked/history").read(), "verify is clean, the history has it")
write(f"{T}/again/a", "unknown")
check(tool("commit", "again", f"{T}/again", "--copy", store=f"{T}/asked").returncode == 0, "the bytes may come: nobody here has decided")
check(tool("erase", "--accept", X, "--reason", "we agree", store=f"{T}/asked").returncode == 0 and tool("commit", "third", f"{T}/again", "--copy", store=f"{T}/asked").returncode == 65, "accepted, they are refused")
check(tool("verify", store=f"{T}/asked").returncode == 0, "verify is clean", tool("verify", store=f"{T}/asked").stdout)
check(tool("erase", "--lift", X, "--reason", "appeal", store=f"{T}/asked").returncode == 0 and tool("commit", "third", f"{T}/again", "--copy", store=f"{T}/asked").returncode == 0, "lifted, they may come again")
