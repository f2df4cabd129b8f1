"""Tree and record ids recomputed by an independent program; what must and must not change them."""
import hashlib, json, os, random, shutil, subprocess, sys

T = os.environ["T"]


def tree_id(path, root=True):
    lines, total = [], 0
    for name in sorted(os.listdir(os.fsencode(path))):
        full = os.path.join(os.fsencode(path), name)
        if root and name == b".lineage":
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
os.makedirs(T + "/two/.lineage/x")
open(T + "/two/.lineage/x/record.json", "w").write("{}")
shutil.rmtree(T + "/two/.lineage")
os.utime(T + "/two/" + names[0], (1, 1))
os.chmod(T + "/two/" + names[1], 0o600)
check(commit(T + "/two", T + "/store") == first, "order of creation, times, permissions but the executable bit, empty directories: same id")
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
line = subprocess.run(["sh", "-c", f"(echo 'voxtree 1'; cd {T}/one/sub-000/a && for f in *; do printf 'f %s %s %s\\n' $(sha256sum <$f | cut -c1-64) $(stat -c %s $f) $f; done) | sha256sum"], capture_output=True, text=True).stdout.split()[0]
check(line == tree_id(T + "/one/sub-000/a")[0], "a directory's id by coreutils alone")
os.symlink("/etc/hostname", T + "/one/link")
bad = subprocess.run(["voxtrail", "commit", "r", T + "/one", "--store", T + "/store"], capture_output=True, text=True)
check(bad.returncode == 65 and "link" in bad.stderr, "a symlink is refused by name")
