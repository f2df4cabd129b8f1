"""Regions that pyradiomics measured (golden/radiomics.json) and that measure measures: whole numbers, so that every numpy makes
the same; and the digital phantom of the IBSI reference manual (arXiv:1612.07003v11, section 5.1; CC BY 4.0)."""
import numpy as np

_ = 0           # outside the region of interest
PHANTOM = np.array([[[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
                    [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [_, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
                    [[1, 4, 4, _, _], [1, 1, 1, 1, 1], [1, 1, _, 1, 1], [1, 1, 6, 1, 1]],
                    [[1, 4, 4, _, _], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]]])


def smooth(x, turns):
    """Sums of three neighbors along each axis, circular."""
    for turn in range(turns):
        for axis in range(3):
            x = np.roll(x, 1, axis) + x + np.roll(x, -1, axis)
        x = x // 9
    return x


def region(seed, shape, level, turns=2):
    rng = np.random.default_rng(seed)
    image = smooth(rng.integers(0, 1000, shape), turns)
    form = smooth(rng.integers(0, 1000, shape), turns)
    return image.astype("f4"), form > np.sort(form.ravel())[int(level * form.size)]


def flat(seed):
    image, mask = region(seed, (5, 14, 12), 0.4)
    mask[[0, 1, 3, 4]] = False
    return image, mask


def line():
    image, mask = region(9, (4, 4, 24), 0.5)
    mask[:] = False
    mask[2, 1, 3:20] = True
    return image, mask


def constant():
    image, mask = region(11, (9, 9, 9), 0.5)
    return image * 0 + 7, mask


def diagonal():
    """Ambiguous faces of the surface everywhere; levels that lack neighbors in some directions."""
    rng = np.random.default_rng(12)
    mask = np.indices((8, 7, 9)).sum(0) % 2 == 0
    return rng.integers(0, 40, mask.shape).astype("f4"), mask & (rng.integers(0, 4, mask.shape) > 0)


def negative():
    image, mask = region(13, (12, 13, 11), 0.5)
    return image / 8 - 300, mask


# name: image and mask [z, y, x], spacing x, y, z in mm, bin-width, bin-count, gldm-alpha
CASES = {
    "phantom": ((PHANTOM.astype("f4"), PHANTOM > 0), (2, 2, 2), 1, 0, 0),
    "smooth": (region(1, (16, 18, 20), 0.6), (1, 1, 1), 25, 0, 0),
    "anisotropic": (region(2, (12, 20, 17), 0.5), (0.75, 1.25, 3), 40, 0, 0),
    "rough": (region(3, (10, 11, 12), 0.5, 1), (1, 2, 1.5), 100, 0, 1),
    "bins": (region(4, (14, 15, 13), 0.5), (1, 1, 1), 25, 32, 0),
    "many-levels": (region(5, (13, 12, 16), 0.4, 3), (1, 1, 2.5), 4, 0, 2),
    "flat": (flat(6), (1, 1.5, 4), 30, 0, 0),
    "line": (line(), (1, 1, 1), 50, 0, 0),
    "constant": (constant(), (2, 1, 1), 25, 0, 0),
    "diagonal": (diagonal(), (1.25, 1, 2), 5, 0, 0),
    "negative": (negative(), (1, 1, 1), 10, 0, 0),
}
