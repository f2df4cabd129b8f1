"""predict --tta: the mean of the probabilities of scans that numpy turned, each turned back."""
import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import numpy as np
from _phantoms import manifest, prepare, run, save, subject, train
import nibabel as nib
from _checks import say

os.chdir(os.environ["T"])


# Edges on which windows of 16 lie the same from both ends.
roles = ("flair", "t1ce")
manifest("m.json")
for i in range(2):
    subject("scans/s%d" % i, i, (24, 24, 16))
train("t", prepare("one", "scans", "m.json"), "--fold", -1, steps=15)
turns = [(m, q, z) for m in (False, True) for q in range(4) for z in (False, True)]


def forth(v, turn):
    v = np.flip(v, 0) if turn[0] else v
    v = np.rot90(v, turn[1])                     # of x and y
    return np.flip(v, 2) if turn[2] else v


def back(v, turn):
    v = np.flip(v, 2) if turn[2] else v
    v = np.rot90(v, -turn[1])
    return np.flip(v, 0) if turn[0] else v


volumes = {c: np.asarray(nib.load("scans/s0/%s.nii.gz" % c).dataobj) for c in roles + ("mask",)}
for k, turn in enumerate(turns):
    for c, v in volumes.items():
        save("turned/k%02d/%s.nii.gz" % (k, c), np.ascontiguousarray(forth(v, turn)))
        save("plain/k/%s.nii.gz" % c, v)
common = ["--model", "t", "--manifest", "m.json", "--overlap", "0.5", "--probabilities", "true"]
run("predict", "--scans", "turned", "--out", "alone", *common)
for region in ("WT", "ET"):
    name = "probability-%s.nii.gz" % region
    parts = np.array([back(np.asarray(nib.load("alone/k%02d/%s" % (k, name)).dataobj), turn) for k, turn in enumerate(turns)])
    spread = np.abs(parts - parts[0]).max()
    for tta, members in (("axial16", range(16)), ("flips", [k for k, t in enumerate(turns) if t[1] % 2 == 0])):
        if not os.path.isdir(tta):
            run("predict", "--scans", "plain", "--out", tta, "--tta", tta, *common)
        got = np.asarray(nib.load("%s/k/%s" % (tta, name)).dataobj)
        want = parts[list(members)].mean(0)
        off = np.abs(got - want).max()
        say(off < 1e-5 < 1e-3 < spread, "--tta %s, %s: the mean over %d turned scans, turned back (%.0e; one alone is off by %.2f)" % (tta, region, len(list(members)), off, spread), (off, spread))
