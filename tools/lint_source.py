#!/usr/bin/env python3
"""lint_source.py: findings that need more than a regular expression, one line each; for lint.sh.

- circles: inside a room, files that call each other in a ring (a -> b when a.c names a function that b.c defines);
- unused: functions with external linkage that no other file names;
- log: =%s without quotes in a log line, where a value with a space would be cut; words and hex digits of ours may stand bare;
- nested: a ?: inside a ?:, which is read twice; an if says it once.

Names are read from the text, with comments and strings taken out, so that nothing needs to be built.
"""
import collections
import os
import re
import subprocess
import sys

PRODUCT = ("common/", "gpu/", "pipelines/", "stages/")
USERS = PRODUCT + ("tests/", "bench/", "examples/")


def tracked():
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files"], capture_output=True, text=True)
    if listed.returncode == 0:
        return listed.stdout.split("\n")
    return [os.path.join(d, f)[2:] for d, _, names in os.walk(".") for f in names if not d.startswith(("./build", "./demo"))]


def code(path):
    text = open(path, encoding="utf-8").read()
    taken_out = r'''/\*.*?\*/|//[^\n]*|"(\\.|[^"\\\n])*"|'(\\.|[^'\\])+'|\b(struct|enum|union)\s+\w+'''
    return re.sub(taken_out, lambda m: " " + "\n" * m.group().count("\n"), text, flags=re.S)


def nested(text):
    """Lines of a ? that follows another one in the same expression."""
    depth, line = [0], 1
    for c in text:
        if c == "\n":
            line += 1
        elif c in "([{":
            depth.append(0)
        elif c in ")]}" and len(depth) > 1:
            depth.pop()
        elif c == "?":
            if depth[-1]:
                yield line
            depth[-1] += 1
        if c in ",;}":
            depth[-1] = 0


def definitions(sources):
    """name -> file, of functions with external linkage in product sources."""
    out = subprocess.run(
        ["ctags", "-f", "-", "--kinds-C=f", "--fields=f", "--langmap=C:.c.cu", "-L", "-"],
        input="\n".join(sources), capture_output=True, text=True, check=True).stdout
    found = collections.defaultdict(set)
    for line in out.splitlines():
        columns = line.split("\t")
        if len(columns) > 2 and not line.startswith("!") and not line.endswith("file:"):
            found[columns[0]].add(columns[1])
    return found


def rings(graph):
    """Strongly connected components of more than one file (Tarjan)."""
    index, low, stack, rings_found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for after in sorted(graph[node]):
            if after not in index:
                visit(after)
                low[node] = min(low[node], low[after])
            elif after in stack:
                low[node] = min(low[node], index[after])
        if low[node] == index[node]:
            ring = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(ring) > 1:
                rings_found.append(sorted(ring))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return rings_found


BARE = "tree record object derivation version isa chosen state changed precision from to".split()


def bare_values(text):
    """Keys of log lines whose %s may hold a space and stands without quotes."""
    for call in re.finditer(r'\bvt_(?:log|progress_step)\(((?:[^;"]|"(?:\\.|[^"\\])*")*);', text):
        words = " ".join(re.findall(r'"((?:\\.|[^"\\])*)"', call[1]))
        for key in re.findall(r"(\w+)=%s", words):
            if key not in BARE:
                yield text.count("\n", 0, call.start()) + 1, key


def main():
    sys.setrecursionlimit(10000)
    files = [f for f in tracked() if f.startswith(USERS) and f.endswith((".c", ".h", ".cu", ".cuh")) and os.path.exists(f)]
    text = {f: code(f) for f in files}
    words = {f: set(re.findall(r"\b[A-Za-z_]\w*\b", t)) for f, t in text.items()}
    pasted = tuple(p for t in text.values() for p in re.findall(r"\b(v[tg]_\w+_)##", t))
    inline = {w for f, t in text.items() if f.endswith((".h", ".cuh")) for w in re.findall(r"\bv[tg]_\w+\b", "".join(re.findall(r"^[\t#].*\n", t, re.M)))}
    defined = definitions([f for f in files if f.startswith(PRODUCT) and f.endswith((".c", ".cu"))])
    users = collections.defaultdict(set)
    for file, named in words.items():
        for name in named:
            if name in defined:
                users[name].add(file)
    graph = collections.defaultdict(set)
    for name, where in defined.items():
        if name == "main" or len(where) > 1:
            continue
        (home,) = where
        callers = {f for f in users[name] if f.endswith((".c", ".cu", "_source.h")) and f != home}
        if not callers and name not in inline and name.startswith(("vt_", "vg_")) and not name.startswith(pasted):
            print("%s: %s is named in no other file; make it static, or remove it" % (home, name))
        for caller in callers:
            if os.path.dirname(caller) == os.path.dirname(home):
                graph[caller].add(home)
    for caller in list(graph):
        for home in graph[caller]:
            graph.setdefault(home, set())
    for file in sorted(f for f in text if f.startswith(PRODUCT)):
        for line in nested(text[file]):
            print("%s:%d: a ?: inside a ?:; write an if" % (file, line))
        for line, key in bare_values(open(file, encoding="utf-8").read()):
            print('%s:%d: %s=%%s in a log line: write %s=\\"%%s\\"' % (file, line, key, key))
    for file in sorted(f for f in text if f.startswith("stages/")):
        for row in re.finditer(r'VT_(?:INT|REAL|BOOL|ENUM|TEXT|JSON_TEXT)\("([^"]*)",\s*([\w.]+)', open(file).read()):
            if not re.search(r"(->|\.)%s\b" % row[2].split(".")[-1], text[file]):
                print("%s: nothing reads --%s" % (file, row[1]))
    for ring in rings(collections.defaultdict(set, graph)):
        print("%s: calls in a circle with %s" % (ring[0], ", ".join(ring[1:])))
        if os.environ.get("V"):
            for a in ring:
                for b in ring:
                    names = [n for n, w in defined.items() if w == {b} and a in users[n] and a != b]
                    if names:
                        print("    %s -> %s: %s" % (a, b, " ".join(sorted(names))))


if __name__ == "__main__":
    main()
