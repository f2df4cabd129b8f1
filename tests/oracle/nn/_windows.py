"""What windows.py and _make_windows.py share: volumes and weights that follow from integers, and the cases."""
import numpy as np

cases = {"mirrored": ([20, 17, 23], [8, 8, 8], 0.5, 1), "uneven": ([19, 26, 15], [8, 12, 10], 0.4, 0), "one axis short": ([5, 21, 18], [8, 8, 8], 0.25, 0),
         "all short, odd": ([5, 7, 3], [8, 12, 8], 0.5, 1), "one voxel thick": ([1, 14, 11], [8, 8, 8], 0.7, 0), "no overlap": ([16, 16, 24], [8, 8, 8], 0.0, 0),
         "one window": ([12, 8, 10], [12, 8, 10], 0.5, 0)}
request = {"name": "meshnet", "params": {"channels": 3, "dilations": [2], "norm": "none", "act": "relu", "bias": True}, "in": 2, "out": 3, "n": 1}


def numbers(shape, seed):
    """Uniform in -1 .. 1, exact in float32."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed * 1000003)
    h = (i * np.uint64(2654435761) + np.uint64(12345)) % np.uint64(1 << 32)
    h ^= h >> np.uint64(15)
    h = h * np.uint64(2246822519) % np.uint64(1 << 32)
    return ((h >> np.uint64(9)).astype("f8") / (1 << 22) - 1).astype("f4").reshape(shape)


weights = {"model.0.0.weight": numbers((3, 2, 3, 3, 3), 1), "model.0.0.bias": numbers((3,), 2), "model.1.weight": numbers((3, 3, 1, 1, 1), 3),
           "model.1.bias": numbers((3,), 4)}


def volume(name):
    return numbers([2] + cases[name][0], 10 + list(cases).index(name))


def places(n):
    """Where a case's values are kept: all, or 160 spread over them."""
    return np.unique(np.linspace(0, n - 1, 160).astype(int))
