"""docs/benchmarks.md and README's table, from what the parts of bench/run.sh left.

    page.py build/bench docs/benchmarks.md README.md

A figure that was not taken is not in the page, and a peer that was absent is said to be."""
import glob, json, os, platform, re, subprocess, sys

OUT, PAGE, README = sys.argv[1:4]
OURS = ("ours AVX2", "ours bf16", "ours int8")
PEERS = ("PyTorch", "PyTorch compiled", "onnxruntime", "OpenVINO")


def machine():
    text = open("/proc/cpuinfo").read()
    model = re.search(r"model name\s*: (.*)", text)
    flags = set(re.search(r"flags\s*: (.*)", text)[1].split()) if "flags" in text else set()
    wide = [n for f, n in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_vnni", "VNNI"), ("avx512_bf16", "BF16"), ("amx_tile", "AMX")) if f in flags]
    gib = int(re.search(r"MemTotal:\s*(\d+)", open("/proc/meminfo").read())[1]) / 2 ** 20
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} processors ({', '.join(wide) or 'no wide vectors'}), {gib:.0f} GiB"


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return "absent"


def cell(row, side):
    v = row["sides"].get(side)
    return "" if not v else f"{v['median']:.3g}" if v["median"] < 100 else f"{v['median']:.0f}"


def ratio(row, side):
    v, us = row["sides"].get(side), row["sides"]["ours"]
    return f"{v['median'] / us['median']:.2f}" if v else ""


def table(rows, head, line):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(line(r)) + " |" for r in rows] + [""]


def label(r):
    return r["work"] + (f", {r['threads']} threads" if r["threads"] > 1 else "")


def engine(rows):
    text = ["## Networks", "",
            "Seconds, the median of steps taken in turns in one run: ours, then each peer, then ours again; one thread by processor time, several by the "
            "wall clock. A step is a forward and a backward pass of one patch, a pass is inference; f32 where nothing else is said. **Ratios are the peer's time over ours.**",
            ""]
    for step, title in ((True, "Training steps"), (False, "Inference passes")):
        some = [r for r in rows if r["step"] == step]
        peers = [p for p in PEERS if any(p in r["sides"] for r in some)]
        mine = [p for p in OURS if any(p in r["sides"] for r in some)]
        absent = [p for p in (PEERS[:1] if step else (PEERS[0],) + PEERS[2:]) if p not in peers]
        if not some:
            text += [f"### {title}", "", "Not taken.", ""]
            continue
        text += [f"### {title}", ""] + table(some, ["work", "ours", *mine, *[f"{p} (ratio)" for p in peers], "memory, MiB: ours" + "".join(f", {p}" for p in peers)],
                     lambda r: [label(r), cell(r, "ours"), *[cell(r, p) for p in mine], *[f"{cell(r, p)} ({ratio(r, p)})" if p in r["sides"] else "" for p in peers],
                                ", ".join(f"{r['sides'][p]['mib']:.0f}" if p in r["sides"] else "-" for p in ("ours", *peers))])
        text += [f"Absent: {', '.join(absent)}." if absent else "No peer was absent.", ""]
    versions = {(p, v["version"]) for r in rows for p, v in r["sides"].items() if "version" in v}
    loads = [r["load"] for r in rows]
    text += ["Versions: " + (", ".join(f"{p} {v}" for p, v in sorted(versions)) or "no peer") + f". Kernels: {', '.join(sorted({r['isa'] for r in rows}))}. "
             f"Load of the machine while they were taken: {min(loads):.1f} to {max(loads):.1f} (above the number of processors other programs shared caches and execution units).", ""]
    return text


def interval(v):
    n = len(v)
    mean = sum(v) / n
    if n < 2:
        return f"{mean:.3f}"
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(n, 2.6)
    half = t * (sum((x - mean) ** 2 for x in v) / (n - 1)) ** 0.5 / n ** 0.5
    return f"{mean:.3f} ± {half:.3f}"


def deviation(v):
    mean = sum(v) / len(v)
    return f"{(sum((x - mean) ** 2 for x in v) / (len(v) - 1)) ** 0.5:.3f}" if len(v) > 1 else "one seed"


def quality(results):
    text = ["## Quality", "", results["about"], ""]
    for cohort in results["cohorts"]:
        text += [f"### {cohort['title']}", "", cohort["about"], ""]
        regions = cohort["regions"]
        text += table(cohort["rows"], ["who", "budget", "processor s a run", *regions, "mean", "deviation over seeds", "every seed: mean"],
                      lambda r: [r["who"], r["budget"], f"{sum(s['cpu'] for s in r['seeds']) / len(r['seeds']):.0f}", *[interval([s[g] for s in r["seeds"]]) for g in regions],
                                 interval([s["mean"] for s in r["seeds"]]),
                                 deviation([s["mean"] for s in r["seeds"]]),
                                 ", ".join(f"{s['seed']}: {s['mean']:.3f}" for s in r["seeds"])])
        for absent in cohort.get("absent", []):
            text += [f"- {absent}"]
        text += [""]
    return text


def other():
    text = []
    for name in ("conv", "trainer", "prepare", "gz", "predict", "distances", "brains", "runner", "lineage"):
        path = f"{OUT}/{name}.txt"
        if os.path.exists(path):
            title, command, *lines = open(path).read().splitlines()
            text += [f"### {title}", "", f"`{command}`", "", "```", *lines, "```", ""]
    return ["## The rest", ""] + (text or ["Not taken.", ""])


def readme(rows):
    chosen = [r for r in rows if r["threads"] == 1]
    text = [f"Seconds of one thread for a training step or an inference pass, f32, side by side in one run on {machine().split(',')[0]} "
            f"(medians; `make bench`; [all figures](docs/benchmarks.md)):", ""]
    text += table(chosen, ["work", "Voxtrail", "PyTorch", "onnxruntime", "OpenVINO"], lambda r: [r["work"], *[cell(r, s) for s in ("ours", "PyTorch", "onnxruntime", "OpenVINO")]])
    whole = open(README).read()
    a, b = "<!-- make bench -->\n", "<!-- /make bench -->"
    if a not in whole or b not in whole:
        raise SystemExit(f"{README}: has no place for the table: {a.strip()} ... {b}")
    at, end = whole.index(a) + len(a), whole.index(b)
    with open(README, "w") as f:
        f.write(whole[:at] + "\n".join(text) + whole[end:])


rows = json.load(open(f"{OUT}/engine.json")) if os.path.exists(f"{OUT}/engine.json") else []
results = "bench/quality/results.json"
commit = first_line("git", "describe", "--always", "--dirty")
page = ["# Benchmarks", "", "Written by `make bench` and by nothing else; `PYTHON=VENV/bin/python make bench` with the peers in a virtual environment, `SIZE=large` for every network.", "",
        f"- machine: {machine()}", f"- system: {platform.system()} {platform.release()}, {first_line('gcc', '--version')}", f"- commit: {commit}", ""]
page += engine(rows) if rows else ["## Networks", "", "Not taken.", ""]
page += quality(json.load(open(results))) if os.path.exists(results) else ["## Quality", "", "Not taken: `PARTS=quality make bench`, hours.", ""]
page += other()
with open(PAGE, "w") as f:
    f.write("\n".join(page).rstrip() + "\n")
if rows:
    readme(rows)
print(f"{PAGE}: {len(rows)} rows, {len(glob.glob(OUT + '/*.txt'))} other parts")
