# Every stage keeps the same contract on the command line.  What is expected here is written from the contract, not taken from
# the program: streams, exit statuses, width, and that --help, --describe and the flags agree with each other.
import glob, json, os, re, subprocess
from _checks import say as check

B, ROOT, T = os.environ["B"], os.environ["ROOT"], os.environ["T"]
STAGES = sorted(os.path.basename(p)[:-2] for p in glob.glob(ROOT + "/stages/*.c"))


def run(stage, *args, **env):
    return subprocess.run([f"{B}/bin/{stage}", *args], capture_output=True, text=True, env={**os.environ, **env})


def check_help(stage):
    r = run(stage, "--help")
    wide = [line for line in r.stdout.splitlines() if len(line) > 80]
    check(r.returncode == 0 and r.stdout and not r.stderr, f"{stage} --help: stdout only, status 0", r.stderr)
    check(not wide, f"{stage} --help: at most 80 columns", wide[:1])
    check(not [line for line in r.stdout.splitlines() if line != line.rstrip()], f"{stage} --help: no trailing space")
    return r.stdout


def check_describe(stage, help_text):
    r = run(stage, "--describe=json")
    try:
        d = json.loads(r.stdout)
    except ValueError as e:
        return check(False, f"{stage} --describe=json parses", e)
    names = [p["name"] for p in d["params"]]
    ports = [p["name"] for p in d.get("inputs", d.get("in", []))]
    check(r.returncode == 0 and not r.stderr and ports, f"{stage} --describe=json: stdout only, ports named")
    # "patches-2" is what "patches" given again is: told of there
    again = [n for n in ports if re.sub(r"-[2-9]$", "", n) in ports and re.search(r"-[2-9]$", n)]
    shown = [n for n in names + ports if n not in again]
    check(all(f"--{n} " in help_text for n in shown), f"{stage}: help shows every port and param of the description",
          [n for n in shown if f"--{n} " not in help_text])
    check(all(f"\n  --{n} " not in help_text for n in again) and
          (not again or f"at most {len(again) + 1} times; --{again[0]} is" in " ".join(help_text.split())),
          f"{stage}: a port that may be given again is one row, which says how often", again)
    check(len(set(names + ports)) == len(names + ports), f"{stage}: names are unique")
    r = run(stage, "--describe=boutiques")
    try:
        b = json.loads(r.stdout)
        check({"name", "tool-version", "command-line", "inputs"} <= set(b), f"{stage} --describe=boutiques: required keys", list(b))
    except ValueError as e:
        check(False, f"{stage} --describe=boutiques parses", e)
    r = run(stage, "--describe=markdown")
    check(r.returncode == 0 and r.stdout.startswith("#") and all(n in r.stdout for n in shown), f"{stage} --describe=markdown: names all")
    check_values(stage, d)


def check_values(stage, d):
    for p in d["params"]:
        bad = {"int": "1x", "real": "abc", "bool": "maybe", "enum": "no-such-name"}.get(p.get("type", p.get("kind")))
        if bad:
            r = run(stage, f"--{p['name']}={bad}", "--out", T + "/x")
            check(r.returncode == 64 and p["name"] in r.stderr and not r.stdout, f"{stage} --{p['name']}={bad}: status 64, param named",
                  (r.returncode, r.stderr))


def check_errors(stage):
    r = run(stage, "--no-such-option", "1")
    check(r.returncode == 64 and not r.stdout and "no-such-option" in r.stderr, f"{stage}: unknown option is 64 and named on stderr", r)
    r = run(stage)
    check(r.returncode == 64 and "--" in r.stderr and not r.stdout, f"{stage}: no arguments is 64 and says what is missing", r)
    for line in r.stderr.splitlines():
        try:
            json.loads(line)
        except ValueError:
            check(False, f"{stage}: stderr that is no terminal is JSON lines", line)
            break
    r = run(stage, "--describe=yaml")
    check(r.returncode == 64 and not r.stdout, f"{stage}: unknown form of description is 64", r)
    check(run(stage, "--version").stdout.startswith(stage + " "), f"{stage} --version names itself")


for s in STAGES:
    if not os.access(f"{B}/bin/{s}", os.X_OK):
        check(False, f"{s} was built")
        continue
    check_describe(s, check_help(s))
    check_errors(s)
