"""A store behind a pipe that says what $EVIL (a Python file that fills objs, refs, erased, vouch) tells it to say."""
import hashlib, json, os, sys

i, o = sys.stdin.buffer, sys.stdout.buffer
objs, erased, vouch, refs, history = {}, [], [], [], []
sha = lambda b: hashlib.sha256(b).hexdigest()
canon = lambda j: json.dumps(j, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def put(kind, data):
    objs[f"{kind} {sha(data)}"] = data
    return sha(data)


def commit(tree):
    c = put("commits", canon({"format": 1, "message": "m", "parents": [], "time": 1700000000, "tree": tree}))
    history.append(c)
    refs.append(f"g heads/master {c}")
    return c


def w(s):
    o.write(s if isinstance(s, bytes) else s.encode())
    o.flush()


def ok(lines):
    w("ok %d\n" % len(lines) + "".join(x + "\n" for x in lines))


def answers(word, asked):
    """$EVIL may put another in its place that answers itself and returns true."""


exec(open(os.environ["EVIL"]).read())
w("voxtrail 2\n")
for line in iter(lambda: i.readline().decode().rstrip("\n"), ""):
    word, _, args = line.partition(" ")
    asked = [i.readline().decode().rstrip("\n") for _ in range(int(args))] if word != "refs" and args.isdigit() else []
    if answers(word, asked):
        continue
    if word == "get":
        for n in asked:
            w("object %s %d\n" % (n, len(objs[n])))
            w(objs[n])
    else:
        ok({"refs": refs, "history": history, "erased": erased, "vouchers": vouch}.get(word, []))
