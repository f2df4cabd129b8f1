#!/usr/bin/env python3
"""Attestations against implementations that are not ours: `cryptography` for signatures, coreutils for digests, python3-prov for
PROV-JSON, a bundle of the reference implementation for model signing (oms/), and the rules of the other formats' texts."""
import base64, hashlib, json, os, re, shutil, subprocess, sys, uuid
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from prov.model import ProvDocument

T, ROOT = os.environ["T"], os.environ["ROOT"]
os.chdir(T)
HERE = os.path.join(ROOT, "tests/oracle/store/oms")


def ok(good, what):
    print("ok" if good else "not ok", "-", what, flush=True)


def run(*words, status=0, **env):
    out = subprocess.run(words, capture_output=True, text=True, env=dict(os.environ, **env))
    if out.returncode != status:
        print(f"not ok - {' '.join(words)}: exit {out.returncode}, want {status}: {out.stderr[-500:]}")
    return out.stdout + out.stderr


def voxtrail(*words, **more):
    return run("voxtrail", *words, **more)


def sha(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


def pae(kind, body):
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


def public(path):
    return serialization.load_pem_public_key(open(path, "rb").read())


def holds(key, signature, body):
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, body, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, body)
        return True
    except InvalidSignature:
        return False


def opened(envelope, key):
    body = base64.b64decode(envelope["payload"], validate=True)
    good = envelope["payloadType"] == "application/vnd.in-toto+json"
    good &= any(holds(key, base64.b64decode(s["sig"], validate=True), pae(envelope["payloadType"], body)) for s in envelope["signatures"])
    return json.loads(body), good


# --- two executions
run("make-cohort", "--out", "cohort", "--subjects", "1", "--seed", "7", "--coarse")
manifest = os.path.join(ROOT, "manifests/embedded.json")
run("skullstrip-normalize", "--scans", "cohort/scans", "--manifest", manifest, "--out", "prep")
run("crop-patch", "--normed", "prep", "--labels", "cohort/labels", "--manifest", manifest, "--out", "crops")
voxtrail("import", "prep", "crops", "--store", "st")
record_id = sorted(os.listdir("crops/.lineage"))[0]
record = json.load(open(f"crops/.lineage/{record_id}/record.json"))
record_sha = sha(f"crops/.lineage/{record_id}/record.json")
observed = json.load(open(f"crops/.lineage/{record_id}/observed-{record_sha}.json"))
files = {f["path"]: f["sha256"] for f in record["outputs"][0]["files"]}

# --- keys
for name, kind in (("p", "p256"), ("e", "ed25519")):
    voxtrail("attest", "keygen", name, "--type", kind)
    secret = serialization.load_pem_private_key(open(name, "rb").read(), None)
    same = secret.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo) == open(name + ".pub", "rb").read()
    right = isinstance(secret, ed25519.Ed25519PrivateKey) if kind == "ed25519" else secret.curve.name == "secp256r1"
    ok(same and right and os.stat(name).st_mode & 0o777 == 0o600, f"keygen {kind}: a key that `cryptography` reads, mode 0600")
ok("never overwritten" in voxtrail("attest", "keygen", "p", status=73), "a key is never overwritten")

# --- (a) in-toto, SLSA, DSSE
for name in "pe":
    voxtrail("attest", "sign", "crops", "--all", "--key", name, "--out", name + ".jsonl")
    lines = [json.loads(l) for l in open(name + ".jsonl")]
    pairs = [opened(l, public(name + ".pub")) for l in lines]
    ok(len(lines) == 2 and all(good for _, good in pairs), f"{name}: `cryptography` accepts both signatures over the pre-authentication encoding")
    ok(all(l["signatures"][0]["keyid"] == sha(name + ".pub") for l in lines), "the key id is the SHA-256 of the public key's PEM")
    wrong, _ = opened(lines[0], public(name + ".pub"))
    ok(not holds(public(name + ".pub"), base64.b64decode(lines[0]["signatures"][0]["sig"]), pae("application/x", base64.b64decode(lines[0]["payload"]))), "the type is signed too")
s = pairs[0][0]
lineless = subprocess.run("find . -type f -not -path './.lineage/*' | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum | cut -c1-64", shell=True, cwd="crops", capture_output=True, text=True).stdout.strip()
subject = {x["name"]: x["digest"] for x in s["subject"]}
ok(s["_type"] == "https://in-toto.io/Statement/v1" and {k: v["sha256"] for k, v in subject.items() if "sha256" in v} == {p: sha("crops/" + p) for p in files}, "subject: every file by SHA-256")
ok(subject["out"] == {"dirHash": lineless, "voxtrailTree": record["outputs"][0]["tree"]}, "subject: the directory by in-toto's dirHash (coreutils)")
d, r = s["predicate"]["buildDefinition"], s["predicate"]["runDetails"]
ok(s["predicateType"] == "https://slsa.dev/provenance/v1" and set(d) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"} and
   set(r) == {"builder", "metadata", "byproducts"} and re.match(r"\w+:", d["buildType"]) and re.match(r"\w+:", r["builder"]["id"]), "SLSA provenance v1: the fields and no others, URIs where they must be")
deps = d["resolvedDependencies"]
wanted = {(f"{i['port']}/{f['path']}", f["sha256"]) for i in record["inputs"] for f in i["files"]} | {("binary", record["binary"])} | {("record.json", p) for i in record["inputs"] for p in i["parents"]}
ok(wanted == {(x["name"], x["digest"]["sha256"]) for x in deps if "sha256" in x["digest"]} and d["externalParameters"]["params"] == record["params"], "dependencies: every input file, parent record and the binary; params")
parse = lambda t: datetime.strptime(t, "%Y-%m-%dT%H:%M:%SZ")
ok(r["metadata"]["finishedOn"] == observed["finished"] and parse(r["metadata"]["startedOn"]) <= parse(r["metadata"]["finishedOn"]) and r["byproducts"][0]["digest"]["sha256"] == record_sha, "times as observed; the record by digest")
ok("startedOn" not in pairs[1][0]["predicate"]["runDetails"]["metadata"], "no time where none was observed")
ok(voxtrail("attest", "export", "crops", "--format", "slsa").strip() == base64.b64decode(lines[0]["payload"]).decode() or json.loads(voxtrail("attest", "export", "crops", "--format", "slsa")) == s, "export --format slsa is what is signed")
ok(voxtrail("attest", "sign", "crops", "--key", "e") == voxtrail("attest", "sign", "crops", "--key", "e"), "Ed25519: the same envelope each time")

voxtrail("attest", "sign", "crops", "--key", "p", "--out", "c.jsonl")
ok("good" in voxtrail("attest", "verify", "c.jsonl", "crops", "--key", "p.pub") and "good" in voxtrail("attest", "verify", "p.jsonl", "--key", "p"), "verify, by public and by private key")
ok("not this key's" in voxtrail("attest", "verify", "c.jsonl", "--key", "e.pub", status=76), "another key: exit 76")
e = json.loads(open("c.jsonl").read())
e["payload"] = base64.b64encode(base64.b64decode(e["payload"]).replace(b"crop-patch", b"crop-batch")).decode()
json.dump(e, open("bad.json", "w"), indent=1)
voxtrail("attest", "verify", "bad.json", "--key", "p.pub", status=76)
ok(True, "a changed payload: exit 76")
theirs = ec.generate_private_key(ec.SECP256R1())
open("theirs.pub", "wb").write(theirs.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
body = base64.b64decode(json.loads(open("c.jsonl").read())["payload"])
e = {"payloadType": "application/vnd.in-toto+json", "payload": base64.b64encode(body).decode(), "signatures": [{"keyid": "other", "sig": "AAAA"}, {"sig": base64.b64encode(theirs.sign(pae("application/vnd.in-toto+json", body), ec.ECDSA(hashes.SHA256()))).decode()}]}
json.dump(e, open("theirs.json", "w"), indent=2)
ok("good" in voxtrail("attest", "verify", "theirs.json", "crops", "--key", "theirs.pub"), "an envelope that `cryptography` signed, with another signature before it")
shutil.copytree("crops", "hurt")
victim = "hurt/" + sorted(files)[0]
os.chmod(victim, 0o644)
open(victim, "r+b").write(b"?")
ok(sorted(files)[0] in voxtrail("attest", "verify", "c.jsonl", "hurt", "--key", "p.pub", status=76), "a changed file is named: exit 76")

# --- (b) model signing
voxtrail("attest", "sign", "crops", "--format", "oms", "--key", "p", "--out", "model.sig")
b = json.load(open("model.sig"))
s, good = opened(b["dsseEnvelope"], public("p.pub"))
res = s["predicate"]["resources"]
ok(good and b["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json" and b["verificationMaterial"]["publicKey"]["hint"] == sha("p.pub"), "a Sigstore bundle; `cryptography` accepts its signature")
ok([(x["name"], x["digest"], x["algorithm"]) for x in res] == [(p, sha("crops/" + p), "sha256") for p in sorted(files)] and len(s["subject"]) == 1 and
   s["subject"][0]["digest"]["sha256"] == hashlib.sha256(b"".join(bytes.fromhex(x["digest"]) for x in res)).hexdigest() and s["predicateType"] == "https://model_signing/signature/v1.0",
   "resources by code point, root digest over their digests")
voxtrail("attest", "verify", "model.sig", "crops", "--key", "p.pub")
model = shutil.copytree(os.path.join(HERE, "model"), "model")
check = lambda status: voxtrail("attest", "verify", os.path.join(HERE, "model.sig"), "model", "--key", os.path.join(HERE, "key.pub"), status=status)
ok("every file" in check(0), "a bundle made by the reference implementation")
open("model/a.txt", "a").write("x")
ok("a.txt: its bytes" in check(76), "a changed file")
shutil.copy(os.path.join(HERE, "model/a.txt"), "model/a.txt")
open("model/new", "w").close()
ok("new: there, but not signed" in check(76), "an added file")
os.unlink("model/new")
os.rename("model/sub/b.txt", "model/sub/c.txt")
ok("signed, but not there" in check(76), "a renamed file, which the root digest alone would not show")
voxtrail("attest", "sign", "model", "--format", "oms", "--key", "p", "--out", "model/model.sig")
ok("every file" in voxtrail("attest", "verify", "model/model.sig", "model", "--key", "p.pub"), "a bundle inside the directory leaves itself out")
ok("P-256" in voxtrail("attest", "sign", "model", "--format", "oms", "--key", "e", status=64), "an Ed25519 key is refused there")

# --- (c) OpenLineage
events = [json.loads(l) for l in voxtrail("attest", "export", "crops", "--all", "--format", "openlineage", SOURCE_DATE_EPOCH="1767225600").splitlines()]
uri = re.compile(r"[a-z][a-z0-9+.-]*:\S+$")


def facets(o):
    for k, v in o.items():
        if k.lower().endswith("facets"):
            yield from v.values()
        elif isinstance(v, dict):
            yield from facets(v)
        elif isinstance(v, list):
            for x in v:
                yield from facets(x)


good = [x["eventType"] for x in events] == ["START", "COMPLETE"] * 2
for x in events:
    good &= x["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent" and bool(uri.match(x["producer"]))
    parse(x["eventTime"])
    good &= uuid.UUID(x["run"]["runId"]).variant == uuid.RFC_4122 and bool(x["job"]["namespace"]) and bool(x["job"]["name"])
    good &= all(y["namespace"] and y["name"] for y in x["inputs"] + x.get("outputs", []))
    good &= all(uri.match(f["_producer"]) and uri.match(f["_schemaURL"]) for f in facets(x)) and len(list(facets(x))) > 4
ok(good, "RunEvent 2-0-2: required fields, UUID, date-time, every facet with producer and schema")
ok(events[0]["run"]["runId"] == events[1]["run"]["runId"] != events[2]["run"]["runId"] and events[1]["eventTime"] == observed["finished"] and events[3]["eventTime"] == "2026-01-01T00:00:00Z", "one run id an execution; times as observed, else of the export")
made = {y["name"] for x in events for y in x.get("outputs", [])}
ok(any(y["name"] in made for y in events[0]["inputs"]), "an output of one run is an input of the next by the same name")

# --- (d) PROV
voxtrail("attest", "export", "crops", "--format", "prov", "--out", "prov.json")
doc = ProvDocument.deserialize("prov.json")
kinds = {}
for rec in doc.get_records():
    kinds.setdefault(rec.get_type().localpart, []).append(rec)
ok(len(kinds["Activity"]) == 2 and len(kinds["Agent"]) == 2 and len(kinds["Communication"]) == 1 and len(kinds["Generation"]) == 2, "python3-prov reads it: two activities, one informed by the other")
ids = {r.identifier.localpart for k in ("Activity", "Agent", "Entity") for r in kinds[k]}
ends = {v.localpart for k, rs in kinds.items() if k not in ("Activity", "Agent", "Entity") for r in rs for a, v in r.formal_attributes if v is not None and hasattr(v, "localpart")}
ok(ends <= ids, "every relation's ends are there")
raw = {i[5:] for i in ids if i.startswith("file-")}
on_disk = {sha(os.path.join(b, f)) for b, _, fs in os.walk("cohort") for f in fs}
ok(raw - {sha(manifest)} <= on_disk and len(raw) >= 4, "raw files are entities by the digests that sha256 gives")
ok(voxtrail("attest", "export", "crops", "--format", "prov") == open("prov.json").read(), "the same document each time")

# --- (e) Provenance Run Crate
voxtrail("attest", "export", "crops", "--format", "crate", "--out", "crate", "--license", "https://spdx.org/licenses/CC0-1.0")
c = json.load(open("crate/ro-crate-metadata.json"))
graph = {x["@id"]: x for x in c["@graph"]}
of = lambda kind: [x for x in c["@graph"] if kind in (x["@type"] if isinstance(x["@type"], list) else [x["@type"]])]
many = lambda v: v if isinstance(v, list) else [v]


def refs(o):
    for k, v in o.items():
        for x in many(v):
            if isinstance(x, dict):
                yield x["@id"]


local = {i for x in c["@graph"] for i in refs(x) if i.startswith("#") or not i.startswith("http")}
ok(len(graph) == len(c["@graph"]) and local <= set(graph), "ids are unique and local references lead somewhere")
root = graph["./"]
ok(c["@context"][0] == "https://w3id.org/ro/crate/1.1/context" and {"name", "description", "datePublished", "license", "hasPart", "mainEntity", "conformsTo"} <= set(root) and
   {"https://w3id.org/ro/wfrun/provenance/0.5", "https://w3id.org/ro/wfrun/workflow/0.5", "https://w3id.org/ro/wfrun/process/0.5"} <= {x["@id"] for x in root["conformsTo"]} and
   graph["ro-crate-metadata.json"]["about"] == {"@id": "./"}, "the root and its profiles")
ok({x["@id"] for x in many(root["hasPart"])} == set(files) | {"workflow.json"} and all(sha("crate/" + p) == graph[p]["sha256"] == h and int(graph[p]["contentSize"]) == os.stat("crate/" + p).st_size for p, h in files.items()), "the data, by digest and size")
w = graph[root["mainEntity"]["@id"]]
tools = {x["@id"] for x in many(w["hasPart"])}
runs = {x["@id"]: x for x in of("CreateAction")}
ok({"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"} <= set(w["@type"]) and os.path.exists("crate/workflow.json") and
   all(x["instrument"]["@id"] in tools | {"workflow.json"} for x in runs.values()) and f"#record-{record_sha}" in runs and
   all(graph[x["instrument"]["@id"]]["workExample"]["@id"] in tools and x["object"]["@id"] in runs for x in of("ControlAction")) and
   {x["@id"] for x in many(w["step"])} == {x["@id"] for x in of("HowToStep")}, "tools, steps and their executions hang together as the profile says")
ok(of("OrganizeAction")[0]["result"]["@id"] in runs and graph[f"#record-{record_sha}"]["endTime"] == observed["finished"], "the engine's run; times")
ok("new one" in voxtrail("attest", "export", "crops", "--format", "crate", "--out", "crate", status=64), "a crate is never written over")

# --- without the directory, and without sense
tree = record["outputs"][0]["tree"]
ok(json.loads(voxtrail("attest", "export", tree, "--format", "slsa", "--store", "st"))["subject"] == json.loads(voxtrail("attest", "export", "crops", "--format", "slsa"))["subject"], "from a store, by the digest of the tree")
voxtrail("attest", "sign", "crops", status=64)
voxtrail("attest", "sign", "crops", "--key", "p.pub", status=64)
voxtrail("attest", "export", "crops", "--format", "xml", status=64)
voxtrail("attest", "verify", "c.jsonl", "--key", "cohort/labels/sub-001/seg.nii.gz", status=65)
voxtrail("attest", "frobnicate", status=64)
ok(True, "misuse has its exit status")
