"""What another program gave, for machines that do not have it: of each array its length, its largest magnitude, its product
with cos(0, 1, 2, ...) and some of its values.  `Kept(path, live, write)`: where the program is there (live) arrays are
compared whole and what is kept must be what it gives; `write` keeps them anew."""
import json, os
import numpy as np

SAMPLES = 7


def sample(a):
    a = np.asarray(a, "f8").ravel()
    at = np.linspace(0, a.size - 1, min(a.size, SAMPLES)).astype(int)
    dot = float((a * np.cos(np.arange(a.size))).sum())
    return [a.size, float(np.abs(a).max())] + [float(f"{v:.9g}") for v in [dot, *a[at]]]


class Kept:
    def __init__(self, path, live, write):
        self.path, self.live, self.write = path, live, live and write
        self.known = {} if self.write or not os.path.exists(path) else json.load(open(path))
        self.stale = 0.0

    def magnitude(self, key, compute):
        return float(np.abs(np.asarray(compute())).max()) if self.live else self.known[key][1]

    def error(self, key, ours, compute, least=1e-30):
        """The largest difference of `ours` from the other program's array, over that array's magnitude or `least`."""
        ours = np.asarray(ours, "f8").ravel()
        if self.live:
            theirs = np.asarray(compute(), "f8").ravel()
            if self.write:
                self.known[key] = sample(theirs)
            else:
                self.stale = max(self.stale, self.difference(self.known.get(key), theirs, least))
            return float(np.abs(ours - theirs).max()) / max(float(np.abs(theirs).max()), least) if ours.size == theirs.size else np.inf
        return self.difference(self.known.get(key), ours, least)

    @staticmethod
    def difference(kept, a, least):
        if kept is None or kept[0] != a.size:
            return np.inf
        mine, scale = sample(a), max(kept[1], least)
        values = max(abs(x - y) for x, y in zip(mine[3:], kept[3:])) / scale
        return float(max(values, abs(mine[2] - kept[2]) / (scale * a.size ** .5), abs(mine[1] - kept[1]) / scale))

    def done(self, tolerance=1e-4):
        """Writes what is kept; else a line that says whether what is kept is what the program gives."""
        if self.write:
            with open(self.path, "w") as f:
                f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(self.known.items())) + "\n}\n")
        elif self.live:
            print(f"{'ok' if self.stale <= tolerance else 'not ok'} - the kept numbers are what it gives (worst {self.stale:.1e})")
