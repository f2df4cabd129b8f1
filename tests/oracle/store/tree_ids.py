"""Tree and record ids recomputed by an independent program; what must and must not change them."""
import hashlib, json, os, random, shutil, subprocess, sys

T = os.environ["T"]


def tree_id(path, root=True):
    lines, total = [], 0
    for name in sorted(os.listdir(os.fsencode(path))):
        full = os.path.join(os.fsencode(path), name)
        if name == b".lineage":
            continue
        if os.path.isdir(full):
            if not any(files for _, _, files in os.walk(full)):
                continue
            digest, size = tree_id(full, False)
            kind = b"d"
        else:
            data = open(full, "rb").read()
            digest, size, kind = hashlib.sha256(data).hexdigest(), len(data), b"x" if os.stat(full).st_mode & 0o100 else b"f"
        lines.append(b"%s %s %d %s\n" % (kind, digest.encode(), size, name))
        total += size
    text = b"voxtree 1\n" + b"".join(lines)
    return hashlib.sha256(text).hexdigest(), total


def commit(path, store):
    out = subprocess.run(["voxtrail", "commit", "r", path, "--store", store], capture_output=True, text=True, check=True).stdout
    return out.split(" tree ")[1].split(",")[0]


def make(path, files, order):
    shutil.rmtree(path, ignore_errors=True)
    for name in order:
        os.makedirs(os.path.dirname(f"{path}/{name}"), exist_ok=True)
        open(f"{path}/{name}", "wb").write(files[name])


def check(good, what):
    print(f"{'ok' if good else 'not ok'} - {what}")


rng = random.Random(3)
files = {f"sub-{i:03d}/{n}": rng.randbytes(rng.randrange(0, 5000)) for i in range(12) for n in ("a.bin", "a-b.bin", "a/deep.txt", "Z")}
files["sub-001.txt"] = b"beside a directory whose name is its beginning"
names = list(files)
make(T + "/one", files, names)
first = commit(T + "/one", T + "/store")
check(first == tree_id(T + "/one")[0], "tree id equals an independent program's")
rng.shuffle(names)
make(T + "/two", files, names)
os.makedirs(T + "/two/empty/inside")
os.makedirs(T + "/two/a-dir/.lineage/x")
open(T + "/two/a-dir/.lineage/x/notes.json", "w").write("{}")
os.makedirs(T + "/two/.lineage/x")
open(T + "/two/.lineage/x/record.json", "w").write("{}")
shutil.rmtree(T + "/two/.lineage")
os.utime(T + "/two/" + names[0], (1, 1))
os.chmod(T + "/two/" + names[1], 0o600)
check(commit(T + "/two", T + "/store") == first, "order of creation, times, permissions but the executable bit, empty directories, records below: same id")
env = dict(os.environ, LC_ALL="tr_TR.UTF-8", LANG="de_DE.UTF-8")
check(subprocess.run(["voxtrail", "commit", "r", T + "/two", "--store", T + "/store"], capture_output=True, text=True, env=env).stdout.split(" tree ")[1].startswith(first), "another locale: same id")


def changed(what, change):
    make(T + "/c", files, names)
    change(T + "/c")
    check(commit(T + "/c", T + "/store") not in (first,), f"{what}: another id")


def flip(d):
    p = f"{d}/sub-003/Z"
    data = bytearray(b"\0" + files["sub-003/Z"])
    open(p, "wb").write(data)


changed("one byte more", flip)
changed("a renamed file", lambda d: os.rename(f"{d}/sub-003/Z", f"{d}/sub-003/Y"))
changed("a moved file", lambda d: os.rename(f"{d}/sub-003/Z", f"{d}/sub-004/W"))
changed("the executable bit", lambda d: os.chmod(f"{d}/sub-003/Z", 0o755))
changed("a longer name", lambda d: os.rename(f"{d}/sub-003/Z", f"{d}/sub-003/ZZ"))
changed("a directory renamed", lambda d: os.rename(f"{d}/sub-003", f"{d}/sub-03"))
changed("a file that becomes a directory of one file", lambda d: (os.remove(f"{d}/sub-003/Z"), os.mkdir(f"{d}/sub-003/Z"), open(f"{d}/sub-003/Z/Z", "wb").write(files["sub-003/Z"])))
changed("an empty file more", lambda d: open(f"{d}/sub-003/none", "wb").close())
changed("two files exchanged", lambda d: (os.rename(f"{d}/sub-003/Z", f"{d}/t"), os.rename(f"{d}/sub-004/Z", f"{d}/sub-003/Z"), os.rename(f"{d}/t", f"{d}/sub-004/Z")))


def dir_hash(path):
    lines = []
    for d, _, names in os.walk(os.fsencode(path)):
        for n in names:
            p = os.path.join(d, n)
            lines.append((os.path.relpath(p, os.fsencode(path)), hashlib.sha256(open(p, "rb").read()).hexdigest().encode()))
    return hashlib.sha256(b"".join(b"%s  %s\n" % (h, p) for p, h in sorted(lines) if b".lineage/" not in p)).hexdigest()


def both(path, **env):
    out = subprocess.run(["voxtrail", "commit", "p", path, "--store", T + "/store2", "--dirhash", "--copy"], capture_output=True, text=True,
                         env=dict(os.environ, VOXTRAIL_GIT_MIRROR="0", **env))
    return out.stdout.split(" tree ")[1].split(",")[0], out.stdout.split("dirHash ")[1].strip()


# random trees: names of every kind that is allowed, any depth, sizes around blocks; then one random change
letters = ["a", "b", "A", "0", "-", "_", ".x", " ", "=", ",", "~", "'", "\"", "$", "&", ";", "ö", "脳", "🧠", "é", "e\u0301"]
wrong, same, twice = [], [], []
for trial in range(30):
    tree = {}
    for _ in range(rng.randrange(1, 25)):
        parts = ["".join(rng.choice(letters) for _ in range(rng.randrange(1, 5))) for _ in range(rng.randrange(1, 5))]
        p = "/".join(parts)
        if not any(p == q or p.startswith(q + "/") or q.startswith(p + "/") for q in tree):
            tree[p] = (rng.randbytes(rng.choice([0, 1, 55, 56, 63, 64, 65, 1000, 70000])), rng.random() < 0.2)
    root = f"{T}/prop"

    def lay(t, order):
        shutil.rmtree(root, ignore_errors=True)
        os.mkdir(root)
        for p in order:
            os.makedirs(os.path.dirname(f"{root}/{p}") or root, exist_ok=True)
            with open(f"{root}/{p}", "wb") as f:
                f.write(t[p][0])
            os.chmod(f"{root}/{p}", 0o755 if t[p][1] else 0o644)

    order = list(tree)
    lay(tree, order)
    first_id = both(root)
    if first_id != (tree_id(root)[0], dir_hash(root)):
        wrong.append(sorted(tree))
    # what must not matter
    rng.shuffle(order)
    lay(tree, order)
    for p in order:
        os.utime(f"{root}/{p}", (rng.randrange(1 << 31), rng.randrange(1 << 31)))
        os.chmod(f"{root}/{p}", rng.choice([0o755, 0o700, 0o711]) if tree[p][1] else rng.choice([0o600, 0o644, 0o666, 0o655]))
        if os.geteuid() == 0:
            os.chown(f"{root}/{p}", rng.randrange(1, 60000), rng.randrange(1, 60000))
    os.makedirs(f"{root}/{order[0]}.nothing/in/here")
    if both(root, LC_ALL=rng.choice(["C", "tr_TR.UTF-8", "de_DE.UTF-8"]), VOXTRAIL_THREADS=str(rng.randrange(1, 5)), VOXTRAIL_ISA=rng.choice(["portable", ""])) != first_id:
        same.append(sorted(tree))
    # what must
    p = rng.choice(order)
    change = rng.choice(["byte", "bit", "name", "longer"])
    t = dict(tree)
    data, x = t.pop(p)
    k = rng.randrange(len(data)) if data else 0
    t[p + "z" if change == "name" else p] = ((data[:k] + bytes([data[k] ^ 1 << rng.randrange(8)]) + data[k + 1:]) if change == "byte" and data else data + b"\0"
                                              if change in ("byte", "longer") else data, not x if change == "bit" else x)
    lay(t, list(t))
    other = both(root)
    if other[0] == first_id[0] or (change != "bit") == (other[1] == first_id[1]):
        twice.append((change, p))
check(not wrong, "30 random trees: tree id and dirHash equal an independent program's" + (f" but {wrong[0]}" if wrong else ""))
check(not same, "order, owners, times, permissions, locale, threads, engine: the same ids" + (f" but {same[0]}" if same else ""))
check(not twice, "one bit, one byte, one letter, the executable bit: another id; dirHash knows no executable bit" + (f" but {twice[0]}" if twice else ""))

# the commands of docs/store.md, run as they stand there
doc = open(os.environ["ROOT"] + "/docs/store.md").read()


def block(first):
    lines = doc[doc.index("    " + first):].split("\n")
    n = next(i for i, l in enumerate(lines) if not l.startswith("    "))
    return "\n".join(l[4:] for l in lines[:n])


def sh(script, cwd):
    return subprocess.run(["sh", "-c", script], cwd=cwd, capture_output=True, text=True).stdout.split()[0]


make(T + "/doc", files, names)
os.chmod(T + "/doc/sub-002/Z", 0o755)
tree, dirhash = both(T + "/doc")
check(sh(block("id() (") + "\nid .", T + "/doc") == tree, "a tree's id by coreutils, as documented")
check(sh(block("(echo 'voxtree 1'; for"), T + "/doc/sub-000/a") == tree_id(T + "/doc/sub-000/a", False)[0], "a flat directory's id by coreutils, as documented")
check(sh(block("find . -type f ! -path"), T + "/doc") == dirhash, "dirHash by coreutils, as documented")

os.symlink("/etc/hostname", T + "/one/link")
bad = subprocess.run(["voxtrail", "commit", "r", T + "/one", "--store", T + "/store"], capture_output=True, text=True)
check(bad.returncode == 65 and "link" in bad.stderr, "a symlink is refused by name")
