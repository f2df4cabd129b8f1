"""make sbom: the documents name every program and every library that ldd finds, with the digests that sha256sum has, twice the same; and the
directory of a release is signed by attest, so that nothing in it is changed, added or taken away unseen."""
import hashlib, json, os, re, subprocess

B, ROOT, T = (os.environ[k] for k in ("B", "ROOT", "T"))


def check(good, what, more=""):
    print("ok - " + what if good else f"not ok - {what}: {more}")


def run(*args):
    return subprocess.run(args, capture_output=True, text=True, cwd=ROOT)


def sha256(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


r = run("/usr/bin/python3", "tools/sbom.py", f"{B}/bin", f"{T}/a")
run("/usr/bin/python3", "tools/sbom.py", f"{B}/bin", f"{T}/b")
check(r.returncode == 0, "sbom.py runs", r.stderr)
check(all(open(f"{T}/a/{n}").read() == open(f"{T}/b/{n}").read() for n in ("voxtrail.spdx.json", "voxtrail.cdx.json")), "one build gives one text")
s, c = (json.load(open(f"{T}/a/voxtrail.{k}.json")) for k in ("spdx", "cdx"))
programs = {n: sha256(f"{B}/bin/{n}") for n in os.listdir(f"{B}/bin") if os.access(f"{B}/bin/{n}", os.X_OK)}
linked = {}
for n in programs:
    for m in re.finditer(r"(/\S+) \(0x", run("ldd", f"{B}/bin/{n}").stdout):
        linked[os.path.basename(m.group(1))] = sha256(m.group(1))
check({f["fileName"][2:]: next(h["checksumValue"] for h in f["checksums"] if h["algorithm"] == "SHA256") for f in s["files"]} == programs, "SPDX: every program with its digest")
check({p["name"]: p["checksums"][0]["checksumValue"] for p in s["packages"][1:]} == linked, "SPDX: every linked library with its digest", linked)
check({x["name"]: x["hashes"][0]["content"] for x in c["components"]} == {**programs, **linked}, "CycloneDX: the same")
ids = [x["SPDXID"] for x in s["packages"] + s["files"]] + ["SPDXRef-DOCUMENT"]
check(len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids) and all(r[k] in ids for r in s["relationships"] for k in ("spdxElementId", "relatedSpdxElement")),
      "SPDX: ids are once each, and relationships name them")
check(all(s.get(k) for k in ("spdxVersion", "dataLicense", "name", "documentNamespace", "creationInfo")) and all("downloadLocation" in p and "name" in p for p in s["packages"]), "SPDX: what version 2.3 demands is there")
refs = [x["bom-ref"] for x in c["components"]]
check(len(set(refs)) == len(refs) and set(c["dependencies"][0]["dependsOn"]) == set(refs) and re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", c["serialNumber"]) and c["specVersion"] == "1.5", "CycloneDX: references and serial number")
if run("dpkg-query", "-W", "libc6").returncode == 0:
    libc = next(x for x in c["components"] if x["name"].startswith("libc.so"))
    v = run("dpkg-query", "-W", "-f", "${Version}", "libc6").stdout
    check(libc.get("version") == v and libc["purl"].startswith("pkg:deb/debian/libc6"), "the library's Debian package and version", libc)
check(T not in open(f"{T}/a/voxtrail.spdx.json").read() and ROOT not in open(f"{T}/a/voxtrail.cdx.json").read(), "no path of the machine")

# the release's directory, signed
run("voxtrail", "attest", "keygen", f"{T}/release.key")
sign = run("sh", "tools/sign_release.sh", f"{T}/a", f"{T}/release.key")
verify = lambda: run("voxtrail", "attest", "verify", f"{T}/a/voxtrail.sig.json", f"{T}/a", "--key", f"{T}/release.key.pub")
r = verify()
check(sign.returncode == 0 and r.returncode == 0, "a signed release verifies", sign.stderr + r.stderr)
with open(f"{T}/a/voxtrail.cdx.json", "a") as f:
    f.write(" ")
check(verify().returncode == 76, "a byte more, and it does not")
