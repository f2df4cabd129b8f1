"""What computes besides the executable: a library that LD_PRELOAD or LD_LIBRARY_PATH puts there makes another program of a stage, in its record
and in the keys of a run; the system's libraries and their digests are observed."""
import glob, hashlib, shutil
from _hostile import *

scans = make_cohort(1)


def libraries(program):
    r = subprocess.run(["ldd", shutil.which(program)], capture_output=True, text=True)
    return [line.split("=>")[1].split()[0] for line in r.stdout.splitlines() if "=>" in line and "/" in line]


def digest(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


def record(out):
    return json.load(open(glob.glob(f"{out}/.lineage/*/record.json")[0]))


theirs = next(l for l in libraries("skullstrip-normalize") if "/libz.so" in l or "/libdeflate" in l)
preload = f"{T}/libswap.so"
shutil.copy(theirs, preload)
swapped = f"{T}/lib/{os.path.basename(theirs)}"
os.makedirs(f"{T}/lib")
shutil.copy(theirs, swapped)


def run_with(name, **env):
    r = normalize(scans, "--out", f"{T}/{name}", "--store", f"{T}/store", env={**os.environ, **env})
    return r, record(f"{T}/{name}") if r.returncode == 0 else None


r, plain = run_with("plain")
seen = json.load(open(glob.glob(f"{T}/plain/.lineage/*/observed-*.json")[0]))["libraries"]
check(r.returncode == 0 and {"name": os.path.basename(theirs), "sha256": digest(theirs)} in seen, "shared libraries are observed, with their digests", seen)
check("loaded" not in plain.get("notes", {}) and plain["binary"] == digest(shutil.which("skullstrip-normalize")), "the system's are in no id: the binary is the executable")
r, again = run_with("again")
check("event=reused" in r.stderr or '"event":"reused"' in r.stderr, "the same work is reused", r.stderr)
for name, env, path in (("preloaded", {"LD_PRELOAD": preload, "ASAN_OPTIONS": "verify_asan_link_order=0"}, preload), ("searched", {"LD_LIBRARY_PATH": f"/nowhere:{T}/lib/"}, swapped)):
    r, j = run_with(name, **env)
    check(r.returncode == 0 and "reused" not in r.stderr, f"{name}: nothing is reused", r.stderr)
    check(j["notes"].get("loaded") == [{"name": os.path.basename(path), "sha256": digest(path)}], f"{name}: the record names the library and its digest", j["notes"])
    check(j["binary"] != plain["binary"] and j["derivation"] != plain["derivation"], f"{name}: it is another program and another derivation")
    check(not any(T in open(f).read() for f in glob.glob(f"{T}/{name}/.lineage/*/record.json")), f"{name}: no path of the machine in the record")
    r = tool("rerun", f"{T}/{name}", store=f"{T}/store")
    check(r.returncode == 78, f"{name}: rerun says that it has another binary: exit 78", (r.returncode, r.stderr))
# where else the linker takes libraries from: a directory for a processor, the working directory, its own tokens, auditors
level = "glibc-hwcaps/x86-64-v2" if os.uname().machine == "x86_64" else "glibc-hwcaps/none"
for d in ("hw/" + level, "here", "tokens"):
    os.makedirs(f"{T}/{d}")
    shutil.copy(theirs, f"{T}/{d}")
program = os.path.realpath(shutil.which("skullstrip-normalize"))
write(f"{T}/audit.c", f'''#include <link.h>
#include <string.h>
unsigned la_version(unsigned v) {{ return v; }}
char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag)
{{ (void)cookie, (void)flag; return strstr(name, "{os.path.basename(theirs)}") ? "{swapped}" : (char *)name; }}
''')
stage(*os.environ.get("CC", "cc").split(), "-D_GNU_SOURCE", "-fPIC", "-shared", "-o", f"{T}/audit.so", f"{T}/audit.c")
token = "$ORIGIN/" + os.path.relpath(f"{T}/tokens", os.path.dirname(program))
for name, env, path, cwd in (("hwcaps", {"LD_LIBRARY_PATH": f"{T}/hw"}, f"{T}/hw/{level}/{os.path.basename(theirs)}", T), ("empty", {"LD_LIBRARY_PATH": "/nowhere:"}, swapped, f"{T}/here"),
                             ("token", {"LD_LIBRARY_PATH": token}, f"{T}/tokens/{os.path.basename(theirs)}", T), ("auditor", {"LD_AUDIT": f"{T}/audit.so"}, f"{T}/audit.so", T)):
    seen = subprocess.run(["ldd", program], capture_output=True, text=True, cwd=cwd, env={**os.environ, **env}).stdout
    if name in ("hwcaps", "token") and path not in os.path.realpath(next((w for w in seen.split() if w.startswith("/") and w.endswith(os.path.basename(theirs))), "/")):
        print(f"skip - {name}: this machine's linker does not look there")
        continue
    r = normalize(scans, "--out", f"{T}/{name}-out", cwd=cwd, env={**os.environ, **env, "ASAN_OPTIONS": "verify_asan_link_order=0"})
    j = record(f"{T}/{name}-out") if r.returncode == 0 else {"notes": {}, "derivation": ""}
    check(r.returncode == 0 and j["derivation"] != plain["derivation"] and {"name": os.path.basename(path), "sha256": digest(path)} in j["notes"].get("loaded", []), f"{name}: it is seen, and it is another program", (r.returncode, r.stderr[-300:], j["notes"].get("loaded")))

# OpenSSL's settings choose no other digest and none at all
write(f"{T}/openssl.cnf", "openssl_conf = i\n[i]\nproviders = p\nalg_section = a\n[p]\nbase = b\n[b]\nactivate = 1\n[a]\ndefault_properties = fips=yes\n")
r, j = run_with("settings", OPENSSL_CONF=f"{T}/openssl.cnf")
check(r.returncode == 0 and j["derivation"] == plain["derivation"] and j["result"] == plain["result"], "OPENSSL_CONF without a default provider: the same digests", r.stderr)
tool("commit", "scans", scans, "--copy", store=f"{T}/store")
os.makedirs(f"{T}/m")
shutil.copy(f"{ROOT}/manifests/embedded.json", f"{T}/m")
tool("commit", "m", f"{T}/m", "--copy", store=f"{T}/store")
r = tool("rerun", f"{T}/plain", store=f"{T}/store")
check(r.returncode == 0, "a rerun of the plain one gives the same", (r.returncode, r.stderr))
r, _ = run_with("missing", LD_PRELOAD=f"{T}/nothing.so")
check("reused" in r.stderr, "a preload that is not there changes nothing", r.stderr)

# a run: the key of a stage holds them, that of another command does not
write(f"{T}/p.json", json.dumps([{"pipeline": {"name": name}, "transform": {"image": "x@sha256:" + 64 * "0", "cmd": cmd, "acceptReturnCode": [65]},
    "input": {"pfs": {"name": "scans", "repo": "scans", "glob": "/"}}} for name, cmd in (
    ("ours", ["skullstrip-normalize", "--scans", "/pfs/scans", "--manifest", f"{ROOT}/manifests/embedded.json", "--out", "/pfs/out"]),
    ("theirs", ["cp", "-r", "/pfs/scans/.", "/pfs/out"]))]))


def plan(**env):
    r = subprocess.run(["voxtrail", "plan", f"{T}/p.json", "--repo", f"scans={scans}", "--store", f"{T}/rs", "--json", "--all"], capture_output=True, text=True,
                       env={**os.environ, **env})
    return {d["pipeline"]: d["hash"] for d in json.loads(r.stdout)} if r.returncode == 0 else r.stderr


before, after = plan(), plan(LD_LIBRARY_PATH=f"{T}/lib")
check(before["ours"] != after["ours"] and before["theirs"] == after["theirs"], "LD_LIBRARY_PATH is in the keys of stages, as far as it holds their libraries", (before, after))
check(plan(LD_LIBRARY_PATH="/nowhere")["ours"] == before["ours"], "a search path without them is not")

# the GPU plugin that a stage loaded, whatever came of it: a stand-in that finds no driver, so that --device auto takes the CPU
os.makedirs(f"{T}/gpu")
plugin = f"{T}/gpu/libvoxtrail-cuda.so"
r = stage(*os.environ.get("CC", "cc").split(), "-std=c11", "-D_GNU_SOURCE", f"-I{ROOT}", "-fPIC", "-shared", "-include", "string.h", "-DWRONG_DRIVER", "-Wl,-z,nodelete", "-o", plugin,
          f"{ROOT}/tests/cli/device/_plugin.c")
stage("crop-patch", "--normed", f"{T}/plain", "--labels", f"{T}/cohort/labels", "--manifest", f"{ROOT}/manifests/embedded.json", "--out", f"{T}/patches")


def trained(name, **env):
    r = stage("train", "--patches", f"{T}/patches", "--network", '{"init_filters":8}', "--patch", "16", "--steps", "1", "--validate-every", "1", "--max-validation", "1",
              "--fold=-1", "--device", "auto", "--out", f"{T}/{name}", env={**os.environ, **env})
    found = glob.glob(f"{T}/{name}/.lineage/*/record.json")
    return r, json.load(open(found[0])) if found else {}


r, without = trained("cpu", VOXTRAIL_PLUGIN=f"{T}/gpu/none.so")
check(r.returncode == 0 and "plugin" not in without["notes"], "no plugin, no word of one", r.stderr[-600:])
r, j = trained("with", VOXTRAIL_PLUGIN=plugin)
check(r.returncode == 0 and j["notes"].get("plugin") == [{"name": "libvoxtrail-cuda.so", "sha256": digest(plugin)}], "the record names the plugin that was loaded and its digest",
      (r.stderr[-600:], j.get("notes")))
open(plugin, "ab").write(b"changed")
r, k = trained("changed", VOXTRAIL_PLUGIN=plugin)
check(r.returncode == 0 and k["notes"].get("plugin") == [{"name": "libvoxtrail-cuda.so", "sha256": digest(plugin)}] and sha(canonical(k)) != sha(canonical(j)),
      "another plugin, another record", (r.stderr[-600:], k.get("notes")))
