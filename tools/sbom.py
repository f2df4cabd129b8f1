"""sbom.py BIN OUT: what the programs in BIN consist of, as OUT/voxtrail.spdx.json (SPDX 2.3) and OUT/voxtrail.cdx.json (CycloneDX 1.5):
every program with its digest, every shared library that one of them links, by name, digest and Debian package. One build gives one text:
times are the commit's, the order is that of names, the serial number follows from the contents."""
import hashlib, json, os, re, subprocess, sys, uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LICENSE = "Apache-2.0"


def out(*args):
    r = subprocess.run(args, capture_output=True, text=True, cwd=ROOT)
    return r.stdout.strip() if r.returncode == 0 else ""


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def version():
    with open(f"{ROOT}/CHANGELOG.md") as f:
        return re.search(r"^## ([0-9][0-9.]*)", f.read(), re.M).group(1)


def package_of(path):
    """(name, version, architecture) of the Debian package of a file; None where there is none. /lib may be a link to /usr/lib."""
    for name in (path, os.path.realpath(path), "/usr" + path):
        owner = out("dpkg-query", "-S", name).split(": ")[0].split(",")[0]
        if owner:
            return tuple(out("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}", owner).split())
    return None


def libraries(programs):
    found = {}
    for program in programs:
        for line in out("ldd", program).splitlines():
            m = re.match(r"\s*(?:\S+ => )?(/\S+)", line)
            if m:
                found[os.path.basename(m.group(1))] = m.group(1)
    return [{"name": name, "sha256": digest(path), "package": package_of(path)} for name, path in sorted(found.items())]


def spdx(programs, libs, v, time, commit):
    packages = [{"SPDXID": "SPDXRef-voxtrail", "name": "voxtrail", "versionInfo": v, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": LICENSE, "licenseDeclared": LICENSE, "copyrightText": "NOASSERTION", "sourceInfo": f"commit {commit}", "primaryPackagePurpose": "APPLICATION"}]
    files, related = [], [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-voxtrail"}]
    for path in programs:
        ref = "SPDXRef-program-" + re.sub(r"[^A-Za-z0-9.-]", "-", os.path.basename(path))
        files.append({"SPDXID": ref, "fileName": "./" + os.path.basename(path), "fileTypes": ["BINARY"],
            "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(open(path, "rb").read()).hexdigest()}, {"algorithm": "SHA256", "checksumValue": digest(path)}],
            "licenseConcluded": LICENSE, "licenseInfoInFiles": [LICENSE], "copyrightText": "NOASSERTION"})
        related.append({"spdxElementId": "SPDXRef-voxtrail", "relationshipType": "CONTAINS", "relatedSpdxElement": ref})
    for lib in libs:
        ref = "SPDXRef-library-" + re.sub(r"[^A-Za-z0-9.-]", "-", lib["name"])
        one = {"SPDXID": ref, "name": lib["name"], "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION", "checksums": [{"algorithm": "SHA256", "checksumValue": lib["sha256"]}], "primaryPackagePurpose": "LIBRARY"}
        if lib["package"]:
            one["versionInfo"] = lib["package"][1]
            one["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(lib)}]
        packages.append(one)
        related.append({"spdxElementId": "SPDXRef-voxtrail", "relationshipType": "DYNAMIC_LINK", "relatedSpdxElement": ref})
    j = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"voxtrail-{v}", "packages": packages, "files": files, "relationships": related,
        "creationInfo": {"created": time, "creators": ["Tool: voxtrail-sbom"]}}
    j["documentNamespace"] = "https://voxtrail.invalid/spdx/" + hashlib.sha256(json.dumps(j, sort_keys=True).encode()).hexdigest()
    return j


def purl(lib):
    name, v, arch = lib["package"]
    quote = lambda s: "".join(c if re.match(r"[A-Za-z0-9.~_-]", c) else "%%%02X" % ord(c) for c in s)
    return f"pkg:deb/debian/{quote(name)}@{quote(v)}?arch={arch}"


def cyclonedx(programs, libs, v, time, commit):
    components = [{"type": "application", "bom-ref": "program:" + os.path.basename(p), "name": os.path.basename(p), "version": v,
        "hashes": [{"alg": "SHA-256", "content": digest(p)}], "licenses": [{"license": {"id": LICENSE}}]} for p in programs]
    for lib in libs:
        one = {"type": "library", "bom-ref": "library:" + lib["name"], "name": lib["name"], "hashes": [{"alg": "SHA-256", "content": lib["sha256"]}]}
        if lib["package"]:
            one["version"], one["purl"] = lib["package"][1], purl(lib)
        components.append(one)
    refs = [c["bom-ref"] for c in components]
    j = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"timestamp": time, "component": {"type": "application", "bom-ref": "voxtrail", "name": "voxtrail", "version": v,
            "licenses": [{"license": {"id": LICENSE}}], "properties": [{"name": "voxtrail:commit", "value": commit}]}},
        "components": components, "dependencies": [{"ref": "voxtrail", "dependsOn": refs}] + [{"ref": r} for r in refs]}
    j["serialNumber"] = "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(j, sort_keys=True)))
    return j


def main(bin_dir, out_dir):
    programs = sorted(os.path.join(bin_dir, n) for n in os.listdir(bin_dir) if os.access(os.path.join(bin_dir, n), os.X_OK) and os.path.isfile(os.path.join(bin_dir, n)))
    if not programs:
        sys.exit(f"sbom.py: {bin_dir} holds no program; run `make` first")
    libs = libraries(programs)
    seconds = int(out("sh", "tools/build_id.sh", "--time") or 0)
    import datetime
    time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    commit = out("git", "-c", f"safe.directory={ROOT}", "rev-parse", "HEAD") or "unknown"
    os.makedirs(out_dir, exist_ok=True)
    for name, make in (("voxtrail.spdx.json", spdx), ("voxtrail.cdx.json", cyclonedx)):
        with open(os.path.join(out_dir, name), "w") as f:
            json.dump(make(programs, libs, version(), time, commit), f, indent=1)
            f.write("\n")
        print(os.path.join(out_dir, name))


if len(sys.argv) != 3:
    sys.exit("usage: sbom.py BIN OUT")
main(sys.argv[1], sys.argv[2])
