"""Makes training_golden.json with Project MONAI 1.3.2: a loss's value and its gradient's product with cos(0, 1, 2, ...).
training.py takes the cases and examples from here."""
import json, os, sys
import numpy as np

CASES = {
    "dice": dict(dice=1),
    "dice squared": dict(dice=1, squared=True, smooth=0, smooth_below=1e-5),
    "dice batch squared": dict(dice=1, squared=True, batch=True, smooth=1, smooth_below=1),
    "dice softmax": dict(dice=1, softmax=True, no_background=True),
    "generalized": dict(generalized=1),
    "generalized softmax batch": dict(generalized=1, softmax=True, batch=True),
    "tversky": dict(tversky=1, false_positive=.3, false_negative=.7),
    "cross-entropy": dict(cross_entropy=1),
    "cross-entropy softmax": dict(cross_entropy=1, softmax=True),
    "focal": dict(focal=1),
    "focal balanced": dict(focal=1, gamma=1.5, balance=.25),
    "focal softmax": dict(focal=1, softmax=True),
    "dice and cross-entropy": dict(dice=1, cross_entropy=.5),
    "dice and cross-entropy softmax": dict(dice=1, cross_entropy=1, softmax=True),
    "all": dict(dice=.5, generalized=.25, tversky=.75, cross_entropy=.5, focal=2, batch=True),
}


def example(o, voxels, n=2, c=3):
    """Logits [n, c, voxels] f32, target as [n, c, voxels] 0/1 and as loss.h wants it; channel 2 of item 1 is empty."""
    rng = np.random.RandomState(voxels)
    z = (3 * rng.standard_normal((n, c, voxels))).astype("f4")
    if o.get("softmax"):
        t = rng.randint(0, c, (n, voxels)).astype("u1")
        t[1][t[1] == 2] = 0
        return z, np.stack([t == k for k in range(c)], 1).astype("u1"), t
    r = (rng.rand(n, c, voxels) < .3).astype("u1")
    r[1, 2] = 0
    return z, r, sum(r[:, k] << k for k in range(c)).astype("u1")


def monai_loss(o):
    from monai.losses import DiceCELoss, DiceLoss, FocalLoss, GeneralizedDiceLoss, TverskyLoss
    soft = bool(o.get("softmax"))
    common = dict(sigmoid=not soft, softmax=soft, batch=bool(o.get("batch")), smooth_nr=o.get("smooth", 1e-5), smooth_dr=o.get("smooth_below", 1e-5),
                  include_background=not o.get("no_background"))
    terms = [k for k in ("dice", "generalized", "tversky", "cross_entropy", "focal") if k in o]
    if terms == ["dice"]:
        return DiceLoss(squared_pred=bool(o.get("squared")), **common)
    if terms == ["generalized"]:
        return GeneralizedDiceLoss(**common)
    if terms == ["tversky"]:
        return TverskyLoss(alpha=o["false_positive"], beta=o["false_negative"], **common)
    if terms == ["focal"]:
        return FocalLoss(gamma=o.get("gamma", 2.0), alpha=o.get("balance"), use_softmax=soft)
    if terms == ["dice", "cross_entropy"] and soft:
        return DiceCELoss(lambda_dice=o["dice"], lambda_ce=o["cross_entropy"], **common)
    return None


def main():
    import torch
    golden = {}
    for name, o in CASES.items():
        loss = monai_loss(o)
        if loss is None:
            continue
        z, r, _ = example(o, 77)
        x = torch.tensor(z, dtype=torch.float64).reshape(2, 3, 7, 11, 1).requires_grad_()
        value = loss(x, torch.tensor(r, dtype=torch.float64).reshape(2, 3, 7, 11, 1))
        value.backward()
        g = x.grad.numpy().ravel()
        golden[name] = [float(value), float((g * np.cos(np.arange(g.size))).sum())]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "training_golden.json")
    json.dump(golden, open(path, "w"), indent=1)


if __name__ == "__main__":
    sys.exit(main())
