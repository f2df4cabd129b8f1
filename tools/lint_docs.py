#!/usr/bin/env python3
"""lint_docs.py: what README and docs/ name and this tree does not have, one line each; for lint.sh.

- links to files;
- files of the tree, tests also without "tests/" and their ending: "e2e/hpe.sh", "unit/test_json", "pipelines/hpe.json";
- flags: a `--flag` that no source has, neither as "--flag" nor as the name of a param ("flag"). The changelog keeps old ones.
"""
import glob
import os
import re
import subprocess

# flags of other programs
FOREIGN = {"binary", "full-index", "git-dir", "ignore-existing", "immutable", "stat"}
ROOMS = "bench|common|docs|examples|gpu|manifests|pipelines|stages|tests|tools"
KINDS = "cli|corrupt|e2e|hostile|oracle|portability|repro|unit"


def tracked():
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files"], capture_output=True, text=True)
    if listed.returncode == 0:
        return listed.stdout.split("\n")
    return [os.path.join(d, f)[2:] for d, _, names in os.walk(".") for f in names if not d.startswith(("./build", "./demo"))]


def there(path):
    """The path itself, as a pattern, or without its ending."""
    return any(glob.glob(p) for p in (path, path + ".*"))


def named(text):
    """Paths that the text says are in the tree."""
    for found in re.finditer(r"(?<![\w/.*{<-])(?:(?:%s)/[\w*./{},-]+|(?:%s)/[\w*./-]+)" % (ROOMS, KINDS), text):
        path = found.group().rstrip(".,-")
        placeholder = "{" in path or text[found.end():found.end() + 1] == "<"
        if not placeholder and not (re.match(KINDS, path) and path.endswith("/")):
            yield path


def main():
    files = [f for f in tracked() if os.path.isfile(f)]
    pages = [f for f in files if f.endswith(".md") and (f.startswith("docs/") or "/" not in f)]
    sources = "\n".join(open(f, encoding="utf-8", errors="replace").read() for f in files
                        if f.endswith((".c", ".h", ".py", ".sh", ".mk", ".cu")) and not f.startswith("tests/") or f in ("Makefile", "Dockerfile"))
    flags = set(re.findall(r"--([a-z][a-z0-9-]*)", sources)) | set(re.findall(r'"([a-z][a-z0-9-]*)"', sources)) | FOREIGN
    for page in pages:
        for number, line in enumerate(open(page, encoding="utf-8").read().split("\n"), 1):
            where = "%s:%d: " % (page, number)
            for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if "://" not in link and not link.startswith("mailto:") and not os.path.exists(os.path.join(os.path.dirname(page), link)):
                    print(where + "links to %s, which is not there" % link)
            for path in named(re.sub(r"\]\([^)]*\)", "]", line)):
                if not there(path) and not there("tests/" + path) and not there(os.path.join(os.path.dirname(page), path)):
                    print(where + "names %s, which is not there" % path)
            if page == "CHANGELOG.md":
                continue
            for flag in re.findall(r"(?<![\w-])--([a-z][a-z0-9_-]*)", line):
                if flag not in flags:
                    print(where + "names --%s, which no program here has" % flag)


if __name__ == "__main__":
    main()
