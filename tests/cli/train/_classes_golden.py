"""Makes classes_golden.json: DeLong's interval of an AUC by the package confidenceinterval (PyPI, 1.0.5), of scores drawn with two
decimals, so that many are tied.  python3 _classes_golden.py >classes_golden.json"""
import json
from importlib.metadata import version

import numpy as np
from confidenceinterval import roc_auc_score


def case(truth, score):
    auc, ci95 = roc_auc_score(truth, score)
    return {"truth": truth, "score": score, "auc": float(auc), "ci95": [float(x) for x in ci95]}


def draw(rng, n):
    truth = rng.integers(0, 2, n)
    score = np.clip(0.4 + 0.2 * truth + 0.25 * rng.standard_normal(n), 0, 1).round(2)
    return truth.tolist(), score.tolist()


if __name__ == "__main__":
    rng = np.random.default_rng(7)
    print(json.dumps({"program": "confidenceinterval " + version("confidenceinterval"), "cases": [case(*draw(rng, n)) for n in (12, 40, 200)]}))
