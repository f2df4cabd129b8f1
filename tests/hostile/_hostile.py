"""What the attacks of tests/hostile share: forged records (tests/cli/lineage/_records.py writes them from their definition), a small
cohort, and running the tool as somebody who vouches for nothing."""
import json, os, pwd, subprocess, sys

sys.path.insert(0, os.environ["ROOT"] + "/tests/cli/lineage")
from _records import *

ROOT = os.environ["ROOT"]


# what the programs are run under, where a test wants another one than its own
umask = -1


def tool(*args, store=None, **more):
    return run(*args, store=store, claim=True, umask=umask, **more)


def stage(*args, **more):
    return subprocess.run(args, capture_output=True, text=True, umask=umask, **more)


def nobodys(login):
    """The login, or a longer one, that nobody has on this machine: not who runs the tests either."""
    while any(user.pw_name == login for user in pwd.getpwall()):
        login += "-2"
    return login


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").write(data if isinstance(data, bytes) else data.encode())


def make_cohort(n=3):
    """scans/ and labels/ of n subjects below $T."""
    stage("make-cohort", "--out", f"{T}/cohort", "--subjects", str(n), "--seed", "5", "--coarse")
    return f"{T}/cohort/scans"


def normalize(scans, *args, **more):
    return stage("skullstrip-normalize", "--scans", scans, "--manifest", f"{ROOT}/manifests/embedded.json", *args, **more)


def put_record(directory, text):
    """A record beside the files of a directory."""
    j = json.loads(text)
    write(f"{directory}/.lineage/{j['result']}/record.json", text)
    return sha(text)


def contents(directory):
    found = {}
    for base, dirs, names in os.walk(directory):
        if ".lineage" in dirs:
            dirs.remove(".lineage")
        for n in names:
            found[os.path.relpath(f"{base}/{n}", directory)] = open(f"{base}/{n}", "rb").read()
    return found
