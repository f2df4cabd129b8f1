"""Makes radiomics.json: what pyradiomics 3.0.1 measures in the regions of _radiomics_cases.py.  Run by hand, never by the tests:
      python3 _make_radiomics.py
needs pyradiomics 3.0.1 and numpy below 2."""
import json, logging, os, sys, warnings
import numpy as np
np.float = float            # pyradiomics 3.0.1 asks for the old name
warnings.simplefilter("ignore")
import radiomics
import SimpleITK as sitk
from radiomics import featureextractor

radiomics.logger.setLevel(logging.CRITICAL)
here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, ".."))
from _radiomics_cases import CASES

out = {}
for name, ((image, mask), spacing, width, count, alpha) in CASES.items():
    i, m = sitk.GetImageFromArray(image.astype("f8")), sitk.GetImageFromArray(mask.astype("u1"))
    i.SetSpacing(tuple(map(float, spacing)))
    m.SetSpacing(tuple(map(float, spacing)))
    how = {"binCount": count} if count else {"binWidth": width}
    e = featureextractor.RadiomicsFeatureExtractor(gldm_a=alpha, minimumROIDimensions=1, **how)
    e.enableAllFeatures()
    found = {k[len("original_"):]: float(v) for k, v in e.execute(i, m).items() if k.startswith("original_")}
    out[name] = {k: v if np.isfinite(v) else None for k, v in found.items()}
    print(name, int(mask.sum()), len(found), [k for k, v in out[name].items() if v is None], file=sys.stderr)
with open(os.path.join(here, "radiomics.json"), "w") as f:
    json.dump({"source": "pyradiomics " + radiomics.__version__, "cases": out}, f, indent=0)
    f.write("\n")
