"""Whose a file is: numbered subjects, Unicode forms, what a killed stage left, and links that a command leaves in its output."""
import glob, unicodedata
from _hostile import *

# --- numbered subjects: 001 is a directory, and a word in the names of everybody's files
S = f"{T}/numbered"
for n in ("001", "002"):
    write(f"{T}/n/{n}/run-001.nii.gz", f"scan of {n}")
    write(f"{T}/n/{n}/{n}_t1.nii.gz", f"t1 of {n}")
tool("commit", "n", f"{T}/n", "--copy", store=S)
r = tool("erase", "001", "--json", store=S)
check(sorted(f["path"] for f in json.loads(r.stdout)["files"]) == ["001/001_t1.nii.gz", "001/run-001.nii.gz"], "erase 001 lists the files of 001 and of nobody else", r.stdout)
tool("erase", "001", "--yes", "--reason", "asked", store=S)
r = tool("checkout", "n:002", f"{T}/n2", store=S)
check(r.returncode == 0 and open(f"{T}/n2/002/run-001.nii.gz").read() == "scan of 002", "002/run-001 is still there after the erasure of 001", r.stderr)
write(f"{T}/p.json", json.dumps({"pipeline": {"name": "p"}, "transform": {"image": "x@sha256:" + 64 * "0", "cmd": ["cp", "-r", "/pfs/n/.", "/pfs/out"]},
                                 "input": {"pfs": {"name": "n", "repo": "n", "glob": "/*"}}}))
shutil_dir = f"{T}/only2"
write(f"{shutil_dir}/002/run-001.nii.gz", "scan of 002")
r = tool("run", f"{T}/p.json", "--repo", f"n={shutil_dir}", store=S)
check(r.returncode == 0, "a run over 002 goes on", r.stderr)
write(f"{shutil_dir}/001/new.nii.gz", "again")
r = tool("run", f"{T}/p.json", "--repo", f"n={shutil_dir}", store=S)
check(r.returncode == 65 and "001/new.nii.gz" in r.stderr, "one over 001 is refused", r.stderr)

# --- one name in two Unicode forms: withdrawn as one, found as the other
U = f"{T}/forms"
scans = make_cohort(2)
name = {form: unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD")}
os.rename(f"{scans}/sub-001", f"{scans}/{name['NFD']}")
tool("commit", "scans", scans, "--copy", store=U)
for form in ("NFC", "NFD"):
    r = tool("consent", "withdraw", name[form], "--reason", f"letter {form}", store=U)
    check(r.returncode == 0, f"withdrawn as {form}: the name is known", r.stderr)
    r = normalize(scans, "--store", U, "--out", f"{T}/u-{form}")
    check(r.returncode == 65 and "withdrawn" in r.stderr, f"withdrawn as {form}: a stage refuses the {'NFD'} directory", (r.returncode, r.stderr))
    check(not os.path.exists(f"{T}/u-{form}/sub-002"), f"withdrawn as {form}: nothing was written")
    check(tool("consent", "restore", name["NFD" if form == "NFC" else "NFC"], "--reason", "back", store=U).returncode == 0, f"and restored as the other form")
r = tool("erase", name["NFC"], "--json", store=U)
check(r.returncode == 0 and all(unicodedata.normalize("NFC", f["path"]).startswith("Müller/") for f in json.loads(r.stdout)["files"]) and json.loads(r.stdout)["files"], "erase finds the other form", r.stderr)
check(tool("consent", "withdraw", "Muller", "--reason", "x", store=U).returncode == 66, "a name without its marks is another name: 66")

# --- a stage that was killed leaves no bytes behind an erasure
K = f"{T}/killed"
scans = make_cohort(2) if not os.path.isdir(f"{T}/cohort/scans/sub-001") else f"{T}/cohort/scans"
tool("commit", "scans", scans, "--copy", store=K)
r = normalize(scans, "--store", K, env={**os.environ, "VOXTRAIL_FAULT": "adopt.chmod:kill"})
check(r.returncode != 0, "a stage is killed while its files are taken in")
r = normalize(scans, "--store", K, "--out", f"{T}/k-out")
check(r.returncode == 0, "and done again", r.stderr)
bytes_of = {open(f, "rb").read() for f in glob.glob(f"{T}/k-out/sub-002/*")} | {open(f, "rb").read() for f in glob.glob(f"{scans}/sub-002/*")}
stage("chmod", "-R", "u+w", f"{T}/k-out")
stage("rm", "-rf", f"{T}/k-out", scans)
r = tool("erase", "sub-002", "--yes", "--reason", "asked", store=K)
left = [p for p in (os.path.join(b, f) for b, _, fs in os.walk(K) for f in fs) if os.path.getsize(p) > 100 and open(p, "rb").read() in bytes_of]
check(r.returncode == 0 and not left, "nothing of the subject is left anywhere in the store", (r.stderr, left))

# --- links in /pfs/out: to the input, to the output, into nowhere
L = f"{T}/links"
write(f"{T}/l/a/f", "of the input")
write(f"{T}/link.json", json.dumps({"pipeline": {"name": "p"}, "transform": {"image": "x@sha256:" + 64 * "0", "cmd": ["sh"], "stdin": [
    "ln -s /pfs/l/a/f /pfs/out/to-input", "echo own >/pfs/out/real", "ln -s real /pfs/out/to-own", "ln -s /pfs/l/a /pfs/out/dir", "mkdir /pfs/out/d",
    "ln -s ../../l/a/f /pfs/out/d/up", "ln -s /pfs/out/d/up /pfs/out/chain"]}, "input": {"pfs": {"name": "l", "repo": "l", "glob": "/"}}}))
r = tool("run", f"{T}/link.json", "--repo", f"l={T}/l", "--checkout", f"{T}/lo", store=L)
check(r.returncode == 0 and not os.path.islink(f"{T}/lo/p/to-input") and open(f"{T}/lo/p/to-input").read() == "of the input" and open(f"{T}/lo/p/to-own").read() == "own\n",
      "a link to a file of the input or the output is the file, as Pachyderm takes it", r.stderr)
check([open(f"{T}/lo/p/{n}").read() for n in ("dir/f", "d/up", "chain")] == 3 * ["of the input"], "so are links to a directory, by a relative path, and to another link")
r = tool("verify", store=L)
check(r.returncode == 0 and open(f"{T}/l/a/f").read() == "of the input" and os.access(f"{T}/l/a/f", os.W_OK), "the store is sound, the user's file untouched", r.stdout)
for what, line in (("itself", "ln -s /pfs/out /pfs/out/self"), ("another link to itself", "ln -s /pfs/out/b /pfs/out/a; ln -s /pfs/out/a /pfs/out/b"), ("nowhere", "ln -s /pfs/l/none /pfs/out/x"),
                   ("above", "ln -s /pfs/l/../../../../etc/hostname /pfs/out/x")):
    write(f"{T}/bad.json", json.dumps({"pipeline": {"name": "bad"}, "transform": {"image": "x@sha256:" + 64 * "0", "cmd": ["sh"], "stdin": ["echo 1 >/pfs/out/one", line]},
                                       "datumTries": 1, "input": {"pfs": {"name": "l", "repo": "l", "glob": "/"}}}))
    r = tool("run", f"{T}/bad.json", store=L)
    check(r.returncode == 1 and "failed" in r.stderr, f"a link to {what} fails the datum", r.stderr)
r = tool("audit", f"{T}/lo/p", store=L)
check(r.returncode == 0 and "a/f" in r.stdout, "the lineage goes through it", r.stdout)
