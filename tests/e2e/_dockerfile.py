"""Reads the Dockerfile as a builder would: instructions, stages, users; and holds its packages against what the binaries need."""
import json, os, re, subprocess, sys
from _checks import say
ROOT, B = os.environ["ROOT"], os.environ["B"]
KNOWN = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "CMD", "ENV", "LABEL", "ARG"}


text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", open(ROOT + "/Dockerfile").read()))
stages, wrong, arguments = [], [], {}
for line in filter(None, (l.strip() for l in text.splitlines())):
    word, rest = line.split(None, 1)
    if word == "ARG" and not stages:
        arguments.update([rest.split("=", 1)])
        continue
    if word not in KNOWN:
        wrong.append(line)
    elif word == "FROM":
        m = re.fullmatch(r"(\S+) AS ([a-z-]+)", rest)
        if not m:
            wrong.append(line)
            continue
        stages.append({"base": m.group(1), "name": m.group(2), "lines": []})
    else:
        stages[-1]["lines"].append((word, rest))
        if word in ("CMD", "ENTRYPOINT") and not isinstance(json.loads(rest), list):
            wrong.append(line)
        m = re.search(r"--from=(\S+)", rest) if word == "COPY" else None
        if m and m.group(1) not in [s["name"] for s in stages[:-1]]:
            wrong.append(line)
        if word == "RUN" and subprocess.run(["sh", "-n", "-c", rest]).returncode:
            wrong.append(line)
say(not wrong and [s["name"] for s in stages] == ["build", "cpu", "build-cuda", "cuda"], "the Dockerfile parses: four stages, shell lines, sources of COPY %s" % wrong)
final = {s["name"]: s for s in stages if not s["name"].startswith("build")}
say(all(("USER", "65532:65532") in s["lines"] for s in final.values()), "both images run as a user without privilege")
def filled(text):
    return re.sub(r"\$\{(\w+)\}", lambda m: filled(arguments[m.group(1)]), text)
say(all(not re.search(r":latest|^[^:]+$", filled(s["base"])) for s in stages), "every base has a version")
# --build-arg PINNED=yes: the check of a build stage, run as the builder would
said = set()
for i in (0, 2):
    line = next(rest for word, rest in stages[i]["lines"] if word == "RUN" and "PINNED" in rest)
    names = re.findall(r"\$\{(\w+)\}", stages[i]["base"] + stages[i + 1]["base"])
    declared = {rest for word, rest in stages[i]["lines"][:3] if word == "ARG"}
    digest = "x@sha256:" + "0" * 64
    for pinned, first, second in (("", "x:1", "x:1"), ("yes", digest, digest), ("yes", "x:1", digest), ("yes", digest, "x:1")):
        r = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env={"PINNED": pinned, names[0]: first, names[1]: second})
        said.add((declared == {"PINNED", *names}, pinned, "x:1" in (first, second), r.returncode))
say(said == {(True, "", True, 0), (True, "yes", False, 0), (True, "yes", True, 1)}, "PINNED=yes refuses a base image without a digest %s" % sorted(said))
say(all(("LABEL", 'org.opencontainers.image.base.name="%s"' % s["base"]) in s["lines"] for s in final.values()), "an image names its base")

def packages(stage):
    for word, rest in stage["lines"]:
        m = re.search(r"apt-get install -y --no-install-recommends (.*?)\s*&&", rest)
        if m:
            return set(m.group(1).split())
build = re.search(r"build='([^']*)'", open(ROOT + "/tools/deps.sh").read()).group(1).split()
say(set(build) | {"git", "dpkg-dev"} <= packages(stages[0]) and packages(stages[0]) == packages(stages[2]), "the build stages install what tools/deps.sh names %s" % (set(build) - packages(stages[0]) or ""))
say(arguments["DEBIAN"] == "12" and filled(stages[0]["base"]) == "debian:12" and filled(stages[1]["base"]) == "debian:12-slim" and "${DEBIAN}" in arguments["BASE"] and "${DEBIAN}" in arguments["BASE_SLIM"], "one Debian builds and runs the image: 12 unless said")
say(all(any("runtime_packages.sh /image/usr/bin >/runtime_packages" in rest for word, rest in s["lines"]) for s in stages if s["name"].startswith("build"))
    and all(packages(s) == {"$(cat", "/runtime_packages)"} for s in final.values()), "the images install the packages that their build stage found")
if not os.path.exists("/usr/bin/dpkg-shlibdeps"):
    print("skip - run-time packages: no dpkg-shlibdeps (dpkg-dev)"); sys.exit()
def owner(lib):
    """The package of a library; /lib may be a link to /usr/lib, and dpkg knows one of the two names."""
    real = os.path.realpath(lib)
    for name in (real, real.replace("/usr", "", 1)):
        r = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
        if r.returncode == 0:
            return r.stdout.split(":")[0]
    return ""
need = set()
programs = [B + "/bin/" + b for b in os.listdir(B + "/bin") if not b.endswith(".so")]
for b in programs:
    direct = re.findall(r"NEEDED.*\[(.*?)\]", subprocess.run(["readelf", "-d", b], capture_output=True, text=True).stdout)
    where = dict(re.findall(r"(\S+) => (/\S+)", subprocess.run(["ldd", b], capture_output=True, text=True).stdout))
    need |= {owner(where[lib]) for lib in direct if lib in where}      # what they need themselves comes along with the package
os.makedirs(os.environ["T"] + "/programs", exist_ok=True)
for b in programs:
    os.symlink(b, os.environ["T"] + "/programs/" + os.path.basename(b))
r = subprocess.run(["sh", ROOT + "/tools/runtime_packages.sh", os.environ["T"] + "/programs"], capture_output=True, text=True)
said = set(r.stdout.split())
need -= {""}
say(r.returncode == 0 and need == said, "runtime_packages.sh names the owners of the libraries that the programs link: %s" % (sorted(need ^ said) or sorted(need)))
