"""Makes the table of common/image/radiomics_mesh.c.  Run by hand, never by the tests; needs pyradiomics 3.0.1:
      python3 _make_mesh_table.py
The surface of a cell of 2x2x2 voxel centers runs through the middles of its edges.  On each face the crossings are joined
in pairs (a face whose inside corners are diagonal keeps them apart, or joins them where corner z = 1, y = 1, x = 0 is
inside), pairs make closed loops, and loops are cut into triangles.  Area and volume of a loop that is not flat depend on
the cut: the one is taken whose area and volume equal what pyradiomics measures on that cell alone, with another
spacing on each axis."""
import itertools, warnings
import numpy as np
np.float = float            # pyradiomics 3.0.1 asks for the old name
warnings.simplefilter("ignore")
from radiomics import cShape

SPACING = np.array([1.0, 1.37, 1.91])
CORNER = [np.array([k >> 2 & 1, k >> 1 & 1, k & 1], float) for k in range(8)]     # z, y, x
EDGE = [(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1]
MIDDLE = [(CORNER[a] + CORNER[b]) / 2 for a, b in EDGE]


def faces():
    """The corners of each face, counter-clockwise as seen from outside."""
    for bit in range(3):
        u, v = (1 << b for b in range(3) if b != bit)
        for side in (0, 1):
            cycle = [side << bit, side << bit | u, side << bit | u | v, side << bit | v]
            normal = np.zeros(3)
            normal[2 - bit] = 1 if side else -1
            p = [CORNER[c] for c in cycle]
            yield cycle if np.dot(np.cross(p[1] - p[0], p[2] - p[1]), normal) > 0 else cycle[::-1]


def loops(pattern, join):
    follow = {}
    for cycle in faces():
        inside = [pattern >> c & 1 for c in cycle]
        leave = [i for i in range(4) if inside[i] and not inside[(i + 1) % 4]]
        enter = [i for i in range(4) if not inside[i] and inside[(i + 1) % 4]]
        edge = lambda i: EDGE.index(tuple(sorted((cycle[i], cycle[(i + 1) % 4]))))
        for i in leave:
            j = enter[0] if len(enter) == 1 else (i + 1) % 4 if join else (i - 1) % 4
            follow[edge(i)] = edge(j)
    seen = set()
    for start in sorted(follow):
        loop, at = [], start
        while at not in seen:
            seen.add(at)
            loop.append(at)
            at = follow[at]
        if loop:
            yield loop


def cuts(loop):
    if len(loop) == 3:
        yield [tuple(loop)]
    elif len(loop) < 3:
        yield []
    else:
        for k in range(1, len(loop) - 1):
            for left in cuts(loop[:k + 1]):
                for right in cuts(loop[k:]):
                    yield left + [(loop[0], loop[k], loop[-1])] + right


def measure(triangles):
    p = [[MIDDLE[e] * SPACING for e in t] for t in triangles]
    return (sum(np.linalg.norm(np.cross(b - a, c - a)) / 2 for a, b, c in p), sum(np.dot(np.cross(a, b), c) / 6 for a, b, c in p))


rows = []
for pattern in range(256):
    cell = np.array([pattern >> k & 1 for k in range(8)], bool).reshape(2, 2, 2)
    area, volume, _ = cShape.calculate_coefficients(cell, SPACING)
    for combination in itertools.product(*[list(cuts(l)) for l in loops(pattern, bool(pattern & 64))]):
        triangles = [t for c in combination for t in c]
        a, v = measure(triangles)
        if abs(a - area) < 1e-12 and abs(-v - volume) < 1e-12:
            break
    else:
        raise SystemExit("no cut of pattern %d gives %r" % (pattern, (area, volume)))
    rows.append("".join("%x%x%x" % (a, c, b) for a, b, c in triangles))
for i in range(0, 256, 4):
    print("\t" + " ".join('"%s",' % r for r in rows[i:i + 4]))
