"""Names that people take for one another: what cannot be seen, or turns the text around, is in no name and is shown as \\xHH; two Unicode
forms of one name are refused; two cases of one are said."""
import json, os, subprocess, unicodedata
from _checks import say

T = os.environ["T"]
os.chdir(T)
HIDDEN = [0x0B, 0x7F, 0x85, 0xAD, 0x61C, 0x180E, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069, 0x3164, 0xFE0F, 0xFEFF,
          0xFFA0, 0xFFF9, 0xE0001, 0xE0041]


def vox(*args, raw=False):
    r = subprocess.run(["voxtrail", *args, "--store", "s"], capture_output=True, timeout=60)
    return (r.returncode, r.stdout, r.stderr)


def directory(name, files):
    for f in files:
        p = f"{name}/{f}"
        os.makedirs(os.path.dirname(p), exist_ok=True)
        open(p, "w").write(f)
    return name


bad = []
for c in HIDDEN:
    d = directory(f"h{c:x}", [f"sub-0{chr(c)}1/t1.nii"])
    rc, _, err = vox("commit", "x", d)
    if rc != 65 or b"cannot be seen" not in err or chr(c).encode() in err:
        bad.append((hex(c), rc, err))
say(not bad, "no name holds a character that cannot be seen or turns the text around, and the refusal shows it escaped", bad)
# every format character and no other invisible thing: the Unicode database has the list
missed = [hex(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Cf", "Zl", "Zp") and not (0x600 <= c <= 0x605 or c in (0x6DD, 0x70F, 0x8E2, 0x110BD, 0x110CD)
          or 0x890 <= c <= 0x891 or 0x13430 <= c <= 0x1343F or 0x1BCA0 <= c <= 0x1BCA3 or 0x1D173 <= c <= 0x1D17A)]
d = {}
for k, c in enumerate(missed):
    name = f"f{k}"
    rc = vox("commit", "x", directory(name, [f"a{chr(int(c, 16))}"]))[0] if k % 7 == 0 else 65
    d[c] = rc
say(all(rc == 65 for rc in d.values()), "so is every format character of Unicode's list that shows nothing", [c for c, rc in d.items() if rc != 65])
rc, out, err = vox("commit", "x", directory("good", ["sub-Müller/t1.nii", "sub-李/t1.nii", "sub-محمد/t1.nii", "sub-Ωmega/t1.nii"]))
say(rc == 0, "names in any script are taken", err)
rc, out, err = vox("commit", "x", directory("forms", [unicodedata.normalize("NFC", "sub-é/t1.nii"), unicodedata.normalize("NFD", "sub-é/t2.nii")]))
say(rc == 65 and b"one name in two Unicode forms" in err, "one name in two Unicode forms is refused", (rc, err))
rc, out, err = vox("commit", "x", directory("forms2", [unicodedata.normalize("NFC", "a/é.nii"), unicodedata.normalize("NFD", "a/é.nii")]))
say(rc == 65, "of files too", (rc, err))
rc, out, err = vox("commit", "x", directory("cases", ["sub-a/t1.nii", "sub-A/t1.nii", "B.txt", "b.txt"]))
line = [json.loads(l) for l in err.decode().splitlines() if '"case-twins"' in l]
say(rc == 0 and line and {line[0]["one"], line[0]["other"]} in ({"B.txt", "b.txt"}, {"sub-a", "sub-A"}) and line[0]["pairs"] >= 2, "two cases of one name are taken, and said", (rc, err))
rc, out, err = vox("commit", "fresh", directory("fresh", ["f"]))
say(rc == 0 and b"case-twins" not in err, "a new repo is no twin of itself", err)
rc, out, err = vox("commit", "Fresh", directory("Fresh", ["g"]))
say(rc == 0 and b'"one":"fresh","other":"Fresh"' in err, "repos whose names differ in case alone are taken, and said", err)
rc, out, err = vox("commit", "x", directory("apart", ["a/x.nii", "b/X.nii", "a.txt", "b/a.txt"]))
say(rc == 0 and b"case-twins" not in err, "equal names in different directories are no twins", err)
# what a record of others calls itself, on a terminal
rc, out, err = vox("consent", "withdraw", "sub-\u202e1\u2066\u200b", "--unknown", "--reason", "a\u202eb")
rc, out, err = vox("consent", "list")
say(rc == 0 and "\u202e".encode() not in out and "\u200b".encode() not in out and b"\\xe2\\x80\\xae" in out, "what turns the text around is shown escaped", out)
