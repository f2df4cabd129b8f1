"""Patch containers written after the byte table of patch_file.h, not by crop-patch: a bright ball in noise."""
import json, os
import numpy as np


def last_of_each(words):
    """Command-line words in which an option that is given again replaces the earlier one."""
    said, flags = {}, []
    i = 0
    while i < len(words):
        if i + 1 == len(words) or words[i + 1].startswith("--"):
            flags.append(words[i])
            i += 1
        else:
            said[words[i]] = words[i + 1]
            i += 2
    return [w for pair in said.items() for w in pair] + flags


def container(path, subject, fold, manifest, seed, n=24):
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:n, :n, :n]
    regions = (((z - 12) ** 2 + (y - 11) ** 2 + (x - 13) ** 2 < 36) * 1).astype("u1")
    image = rng.normal(size=(4, n, n, n)).astype("<f4") + 2 * regions
    foreground = np.flatnonzero(regions).astype("<u4")
    affine = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]
    grid = {"dim": [n, n, n], "spacing": [2, 2, 2], "affine": affine, "form": "sform", "sform_code": 1, "qform_code": 0, "sform": affine,
            "quatern": [0, 0, 0], "qoffset": [0, 0, 0], "qfac": 1, "pixdim": [2, 2, 2], "form_gap_mm": 0}
    placement = {"native": grid, "axis": [0, 1, 2], "flip": [False] * 3, "resampled": False, "full": grid, "crop_from": [0, 0, 0], "work": grid}
    sections = {"image": image.tobytes(), "regions": regions.tobytes(), "labels": (2 * regions).tobytes(), "foreground": foreground.tobytes(), "reference": (2 * regions).tobytes()}
    header = {"format": 1, "subject": subject, "dims": [n, n, n], "channels": [c["role"] for c in manifest["channels"]], "dtype": "f32",
              "regions": [r["name"] for r in manifest["regions"]], "n_foreground": len(foreground), "labeled": True, "test": False,
              "fold": fold, "spacing_mm": [2, 2, 2], "box": [0, 0, 0], "geometry": {"settings": {}, "placement": placement},
              "crop": {"margin": 2, "multiple": 8, "min_size": 0, "dtype": "f32", "region": False},
              "reference": {"dims": [n, n, n], "at": [0, 0, 0], "size": [n, n, n], "spacing_mm": [2, 2, 2]}, "manifest": manifest, "offsets": {k: 10 ** 7 for k in sections}}
    room = -(-len(json.dumps(header)) // 64) * 64
    at = 16 + room + 48
    for k, v in sections.items():
        header["offsets"][k] = at
        at += -(-len(v) // 64) * 64
    text = json.dumps(header).encode().ljust(room + 48)
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as f:
        f.write(b"VOXPATCH" + len(text).to_bytes(8, "little") + text)
        for v in sections.values():
            f.write(v.ljust(-(-len(v) // 64) * 64, b"\0"))
