"""A record from outside is a claim: it makes no patient vanish, is not served from the cache, and an answer that rests on it says so
with an exit status of its own; what signs, vouches for and rejects it decides."""
import glob, os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _hostile import *

S, scans = f"{T}/store", make_cohort()
check(normalize(scans, "--store", S, "--out", f"{T}/normed").returncode == 0, "a stage runs with a store")
check(tool("audit", f"{T}/normed", store=S).returncode == 0, "what this store executed is believed: audit 0")
tool("commit", "scans", scans, "--copy", store=S)

# --- a patient who vanishes
files = contents(scans)
mine = {p: d for p, d in files.items() if p.startswith("sub-003/")}
id_, text, j = record("simulate", [], [("out", files_of({f"sim/{n}": d for n, d in enumerate(mine.values())}))])
for n, d in enumerate(mine.values()):
    write(f"{T}/forged/sim/{n}", d)
put_record(f"{T}/forged", text)
r = tool("import", f"{T}/forged", store=S)
check(r.returncode == 76 and "raw file of subject sub-003" in r.stderr and id_[:16] in r.stderr, "a record that claims to have made a patient's scans is refused by name", r.stderr)
check(tool("import", f"{T}/forged", "--vouch", "the simulator's log", store=f"{T}/other").returncode == 0, "somebody may answer for it, in a store of their own")
# the claim comes first, the use afterwards
L = f"{T}/late"
check(tool("import", f"{T}/forged", store=L).returncode == 0, "where nothing is known of the bytes it is taken in, as a claim")
check(normalize(scans, "--store", L).returncode == 0, "the scans are read there afterwards")
tool("commit", "scans", scans, "--copy", store=L)
r = tool("descendants", "--subject", "sub-003", store=L)
check(r.returncode == 0 and "skullstrip-normalize" in r.stdout, "the scans stay the patient's: descendants", (r.returncode, r.stdout, r.stderr))
r = tool("subjects", f"{T}/normed", "--has", "sub-003", store=L)
check(r.returncode == 0, "subjects", (r.returncode, r.stderr))
r = tool("erase", "sub-003", store=L)
check(f"sub-003: {len(mine)} raw" in r.stdout and "a claim says" in r.stdout, "erase finds the patient's raw files, and says who claims them", r.stdout)
r = tool("erase", "sub-003", "--yes", "--reason", "a letter", store=L)
check(r.returncode == 3 and "nothing was erased" in r.stderr and len(mine) == sum(os.path.exists(f"{L}/objects/{sha(d)[:2]}/{sha(d)[2:]}") for d in mine.values()), "and leaves the choice to a person: exit 3", r.stderr)
tool("trust", "reject", id_, "--reason", "forged", store=L)
r = tool("erase", "sub-003", "--yes", "--reason", "a letter", store=L)
check(r.returncode == 0 and not any(os.path.exists(f"{L}/objects/{sha(d)[:2]}/{sha(d)[2:]}") for d in mine.values()), "rejected, it holds nothing back", r.stdout + r.stderr)
check(tool("verify", store=L).returncode == 0, "and verify is clean", tool("verify", store=L).stdout)

# --- a poisoned cache
honest = json.load(open([f"{T}/normed/.lineage/{d}/record.json" for d in os.listdir(f"{T}/normed/.lineage")][0]))
poison = dict(contents(f"{T}/normed"))
victim = sorted(p for p in poison if p.endswith(".nii.gz") or p.endswith(".nii"))[0]
poison[victim] = b"Dice 0.987"
j = dict(honest, outputs=[port_json("out", files_of(poison))])
j["result"] = sha(canonical({"derivation": j["derivation"], "outputs": [["out", j["outputs"][0]["tree"]]]}))
k = 0
while sha(canonical(j)) > sha(canonical(honest)):
    j["notes"] = dict(j.get("notes", {}), k=k)
    k += 1
for p, d in poison.items():
    write(f"{T}/poison/{p}", d)
put_record(f"{T}/poison", canonical(j))
r = tool("import", f"{T}/poison", store=S)
check(r.returncode == 76 and "another result" in r.stderr, "another result of a derivation that is known is refused", r.stderr)
P = f"{T}/poisoned"
check(tool("import", f"{T}/poison", store=P).returncode == 0, "where it is not known, it is a claim")
r = normalize(scans, "--store", P, "--out", f"{T}/again")
check(r.returncode == 0 and "reused" not in r.stderr and open(f"{T}/again/{victim}", "rb").read() != b"Dice 0.987", "a claim is not served from the cache", r.stderr)
r = tool("audit", f"{T}/again", store=P)
check(r.returncode == 76 and "different results" in r.stderr, "two results of one derivation: audit says so, 76", (r.returncode, r.stderr))
check(tool("verify", store=P).returncode == 76, "and so does verify")
tool("trust", "reject", sha(canonical(j)), "--reason", "poison", store=P)
check(tool("audit", f"{T}/again", store=P).returncode == 0 and tool("verify", store=P).returncode == 0, "rejected, it is gone from the answers")
r = normalize(scans, "--store", P, "--out", f"{T}/third")
check(r.returncode == 0 and "reused" in r.stderr, "what was executed here is reused")
tool("import", f"{T}/poison", "--vouch", "it was me", store=P)
r = normalize(scans, "--store", P, "--out", f"{T}/fourth")
check(r.returncode == 76 and "two results" in r.stderr, "two believed results: nothing is reused, and it is said", r.stderr)

# --- who answers for a record
raw, prep, crop, train, export = cohort(2)
C, d = f"{T}/claims", export.dir(f"{T}/export")
write(f"{T}/fresh/sub-100/t1.nii", "new")
tool("import", d, store=C)
for cmd in (("audit", d), ("subjects", d), ("descendants", "--subject", "sub-001"), ("leakage", train.id, f"{T}/fresh")):
    r = tool(*cmd, store=C)
    check(r.returncode == 3 and "nobody" in r.stderr, f"{cmd[0]}: an answer that rests on claims: exit 3", (r.returncode, r.stderr))
    r = tool(*cmd, "--require-signed", store=C)
    check(r.returncode == 3 and not r.stdout, f"{cmd[0]} --require-signed gives none", r.stdout)
check(tool("subjects", d, "--has", "sub-009", store=C).returncode == 3, "\"is not in it\" does not rest on a claim: exit 3")
check(tool("audit", d, store=f"{T}/none").returncode == 3, "a directory alone is a claim")
tool("consent", "withdraw", "sub-099", "--unknown", "--reason", "x", store=C)
check(tool("consent", "check", store=C).returncode == 3, "consent check: not known, while there are claims")
r = tool("import", d, "--require-signed", store=f"{T}/strict")
check(r.returncode == 3 and not tool("trust", "list", "--json", store=f"{T}/strict").stdout.count(export.id), "import --require-signed takes nothing in", r.stderr)
stage("voxtrail", "attest", "keygen", f"{T}/site.key")
stage("voxtrail", "attest", "keygen", f"{T}/stranger.key")
sign = lambda key, out: stage("voxtrail", "attest", "sign", d, "--all", "--key", key, "-o", out)
check(sign(f"{T}/site.key", f"{T}/good.jsonl").returncode == 0 and sign(f"{T}/stranger.key", f"{T}/bad.jsonl").returncode == 0, "attestations of the chain")
r = tool("trust", "take", f"{T}/good.jsonl", store=C)
check(r.returncode == 76, "before its key is known an attestation says nothing: 76", r.stderr)
tool("trust", "add-key", f"{T}/site.key.pub", "--name", "site", store=C)
check(tool("audit", d, store=C).returncode == 0, "what was kept counts once its key is known")
shutil.rmtree(f"{C}/signatures")
stage("voxtrail", "import", d, "--store", f"{T}/stranger-only")
r = tool("trust", "take", f"{T}/bad.jsonl", store=f"{T}/stranger-only")
tool("trust", "add-key", f"{T}/site.key.pub", store=f"{T}/stranger-only")
check(r.returncode == 76 and tool("audit", d, store=f"{T}/stranger-only").returncode == 3, "a stranger's signature counts for nothing")
check(tool("trust", "take", f"{T}/good.jsonl", store=C).returncode == 0 and tool("audit", d, "--require-signed", store=C).returncode == 0, "a signature of a known key does")
keys = tool("trust", "keys", store=C).stdout
tool("trust", "revoke-key", keys[:16], "--reason", "lost laptop", store=C)
check(tool("audit", d, store=C).returncode == 3 and "revoked" in tool("trust", "keys", store=C).stdout, "revoked, what rests on it is a claim again")
check(tool("trust", "add-key", f"{T}/site.key.pub", store=C).returncode == 64, "and cannot come back")
tool("trust", "add-key", f"{T}/stranger.key.pub", "--until", "2001-01-01", store=C)
check(tool("trust", "take", f"{T}/bad.jsonl", store=C).returncode == 76, "a key whose time is over counts for nothing")
check(tool("trust", "vouch", "--all", "--reason", "our own cluster", store=C).returncode == 0 and tool("audit", d, store=C).returncode == 0, "a person may answer for them")
before = tool("audit", d, "--json", store=C).stdout
check(stage("voxtrail", "rebuild", "--store", C).returncode == 0 and tool("audit", d, "--json", store=C).stdout == before, "and rebuild keeps all that")
# beside the records, and by the site's policy
write(f"{d}/.lineage/{export.json['result']}/attestations.jsonl", open(f"{T}/good.jsonl", "rb").read())
pem = open(f"{T}/site.key.pub").read()
write(f"{T}/policy.json", json.dumps({"format": 1, "believed": ["import", "audit"], "keys": [{"id": sha(pem.encode()), "name": "site", "pem": pem}]}))
env = dict(os.environ, VOXTRAIL_POLICY=f"{T}/policy.json")
check(tool("import", d, store=f"{T}/policed", env=env).returncode == 0, "a site that takes signed records only takes these")
d2 = crop[0].dir(f"{T}/unsigned")
r = tool("import", d2, store=f"{T}/policed2", env=env)
check(r.returncode == 3 and "nobody vouches" in r.stderr, "and no others", r.stderr)
write(f"{T}/policy.json", '{"format":1,"beleived":["import"]}')
check(tool("import", d2, store=f"{T}/policed2", env=env).returncode == 78, "a slip in the policy is an error, not a looser policy")

M = f"{T}/madeonly"
tool("commit", "x", f"{T}/fresh", "--copy", store=M)
tool("import", f"{T}/normed", "--vouch", "ours", store=M)
check("reused" in normalize(scans, "--store", M).stderr, "what somebody vouches for is reused")
tool("trust", "demand", "made", "reuse", store=M)
check("reused" not in normalize(scans, "--store", M).stderr and "reused" in normalize(scans, "--store", M).stderr, "unless the policy takes only what was executed here")
tool("commit", "out", f"{T}/unsigned", "--copy", store=f"{T}/from")
tool("commit", "x", f"{T}/fresh", "--copy", store=f"{T}/to")
tool("trust", "demand", "believed", "pull", store=f"{T}/to")
r = tool("pull", "out", f"{T}/from", store=f"{T}/to")
check(r.returncode == 3 and "nobody vouches" in r.stderr, "a site that pulls believed records only", r.stderr)

# --- the same bytes under another name
shutil.copytree(f"{scans}/sub-002", f"{T}/again2/sub-777")
shutil.copytree(f"{scans}/sub-001", f"{T}/again2/sub-001")
check(tool("consent", "withdraw", "sub-02", "--reason", "a letter", store=S).returncode == 66, "a name that matches nothing is an error")
check(tool("consent", "withdraw", "sub-002", "--reason", "a letter", store=S).returncode == 0, "withdrawn")
r = normalize(f"{T}/again2", "--store", S)
check(r.returncode == 65 and "sub-002" in r.stderr and "sub-777" in r.stderr, "the bytes of a withdrawn patient are refused under any name", r.stderr)
r = normalize(f"{T}/again2", "--out", f"{T}/no", env=dict(os.environ, VOXTRAIL_CONSENT=f"{S}/consent.json"))
check(r.returncode == 65, "and without the store, by its list")

# --- attestations travel with the records that they are of
A, B2, sig = f"{T}/att-a", f"{T}/att-b", lambda s: sum(len(fs) for _, _, fs in os.walk(f"{s}/signatures"))
signed = crop[0].dir(f"{T}/signed")
stage("voxtrail", "attest", "sign", signed, "--all", "--key", f"{T}/site.key", "-o", f"{T}/crop.jsonl")
tool("commit", "out", signed, "--copy", store=A)
r = tool("push", "out", B2, store=A)
check(r.returncode == 0 and sig(B2) == 0 and "claim" in tool("trust", "list", store=B2).stdout, "unsigned records arrive as claims", r.stderr)
tool("trust", "add-key", f"{T}/site.key.pub", store=A)
check(tool("trust", "take", f"{T}/crop.jsonl", store=A).returncode == 0 and sig(A) > 0, "a store keeps what it takes")
tool("trust", "add-key", f"{T}/site.key.pub", store=B2)
r = tool("push", "out", B2, store=A)
check(r.returncode == 0 and "attestations of" in r.stdout and tool("audit", "out", "--require-signed", store=B2).returncode == 0,
      "a push takes attestations along, also where no ref moves, and they are believed there by that site's keys", (r.stdout, r.stderr))
check("nothing to do" in tool("push", "out", B2, store=A).stdout, "and then there is nothing to do")
strict = f"{T}/att-strict"
tool("commit", "x", f"{T}/fresh", "--copy", store=strict)
tool("trust", "demand", "believed", "pull", store=strict)
check(tool("pull", "out", A, store=strict).returncode == 3, "a site that believes no key of theirs refuses them")
tool("trust", "add-key", f"{T}/site.key.pub", store=strict)
r = tool("pull", "out", A, store=strict)
check(r.returncode == 0 and tool("audit", "out", "--require-signed", store=strict).returncode == 0, "one that does takes signed records, the signatures before them", r.stderr)
r = tool("checkout", "out", f"{T}/att-co", store=strict)
check(r.returncode == 0 and glob.glob(f"{T}/att-co/.lineage/*/attestations.jsonl"), "a checkout has them beside the records", r.stderr)
check(tool("import", f"{T}/att-co", store=f"{T}/policed3", env=dict(os.environ, VOXTRAIL_POLICY="")).returncode == 0 and sig(f"{T}/policed3") > 0, "and import keeps them, whoever signed")
check(tool("verify", store=strict).returncode == 0, "verify is clean")
# an attestation under another record's name is refused
lying = f"{T}/att-lying"
shutil.copytree(A, lying)
files = sorted(os.path.join(b, f) for b, _, fs in os.walk(f"{lying}/signatures") for f in fs)
other = sha(b"another record")
for f in files:
    data = open(f).read()
    os.remove(f)
    write(f, json.dumps({"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}) + "\n" + data)
clean = f"{T}/att-clean"
tool("trust", "list", store=clean)
r = tool("pull", "out", lying, store=clean)
check(r.returncode == 0 and tool("verify", store=clean).returncode == 0, "an envelope that says nothing of a record is left out", (r.returncode, r.stderr))
if len(files) > 1:
    write(files[0], open(files[1]).read())
    r = tool("pull", "out", lying, store=f"{T}/att-clean2")
    check(r.returncode == 65 and "attestation of record" in r.stderr, "an attestation under another record's name is refused", (r.returncode, r.stderr))
