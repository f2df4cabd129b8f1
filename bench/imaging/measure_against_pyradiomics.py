"""`measure` beside pyradiomics (3.0.1, numpy below 2) in one run: one region of growing size, one channel, every feature of both, processor seconds of one thread in turns.
      B=build/release PYTHON bench/imaging/measure_against_pyradiomics.py [EDGE...]"""
import json, os, resource, subprocess, sys, tempfile, time, warnings
import numpy as np
np.float = float            # pyradiomics 3.0.1 asks for the old name
warnings.simplefilter("ignore")
import logging
import SimpleITK as sitk
import radiomics
from radiomics import featureextractor

radiomics.logger.setLevel(logging.CRITICAL)
B = os.environ.get("B", "build/release")
WIDTH = 25
print("%8s %9s %11s %13s %7s" % ("edge", "voxels", "measure, s", "pyradiomics, s", "ratio"))
for edge in map(int, sys.argv[1:] or ("24", "48", "96")):
    rng = np.random.default_rng(1)
    z, y, x = (np.indices((edge, edge, edge)) + 0.5) / edge - 0.5
    mask = (z / 0.45) ** 2 + (y / 0.4) ** 2 + (x / 0.35) ** 2 < 1 + 0.2 * np.sin(9 * x) * np.cos(7 * y)
    image = 500 + 150 * np.sin(6 * z) * np.cos(5 * x) + rng.normal(0, 40, mask.shape)
    i, m = sitk.GetImageFromArray(image.astype("f4")), sitk.GetImageFromArray(mask.astype("u1"))
    with tempfile.TemporaryDirectory() as t:
        os.makedirs(t + "/scans/s"), os.makedirs(t + "/masks/s")
        sitk.WriteImage(i, t + "/scans/s/t1.nii.gz"), sitk.WriteImage(m, t + "/masks/s/seg.nii.gz")
        json.dump({"format": 1, "name": "one", "channels": [{"role": "t1", "files": ["{subject}/t1.nii.gz"]}],
                   "label": {"files": ["{subject}/seg.nii.gz"], "values": {"0": "none", "1": "it"}}, "regions": [{"name": "it", "values": [1]}]}, open(t + "/m.json", "w"))
        ours, theirs = [], []
        for k in range(2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([B + "/bin/measure", "--threads", "1", "--masks", t + "/masks", "--scans", t + "/scans", "--manifest", t + "/m.json", "--values", "written",
                            "--bin-width", str(WIDTH), "--out", t + "/out%d" % k], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            ours.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            e = featureextractor.RadiomicsFeatureExtractor(binWidth=WIDTH)
            e.enableAllFeatures()
            start = time.process_time()
            e.execute(sitk.ReadImage(t + "/scans/s/t1.nii.gz"), sitk.ReadImage(t + "/masks/s/seg.nii.gz"))
            theirs.append(time.process_time() - start)
        print("%8d %9d %11.2f %13.2f %7.1f" % (edge, mask.sum(), min(ours), min(theirs), min(theirs) / min(ours)), flush=True)
