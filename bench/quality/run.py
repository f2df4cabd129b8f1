"""Quality beside other trainers: the same cohort, split and budget, three seeds, scored by score.py alone. Opt-in; at full size hours.

    B=build/release PYTHON bench/quality/run.py [--cohorts phantoms,tumour,lesion] [--who ours,monai,nnunet] [--steps 1800] [--seeds 1,2,3]
                                               [--equal steps|time] [--work DIR] [--json bench/quality/results.json]

phantoms   training: the demo's 16 phantoms (make-cohort --seed 1); test: 20 unseen ones (--seed 77)
tumour     ../shared/data/tumour, leave one out, spacing 2 mm        lesion     ../shared/data/lesion, leave one out
ours       SegResNet of 8 filters, patch 48, the recipe of examples/recipe as it stands; ours+PARAM=VALUE: with that param of train
           or predict, e.g. ours+center=region or ours+tta=flips (the latter with the models that ours has made)
monai      Project MONAI's SegResNet, its own transforms and sliding windows, the same recipe: Adam at 0.002, warm-up of 50 steps and cosine to 0.01,
           Dice + cross-entropy, weight decay 1e-5, patches of 48 with 70 % near foreground, flips, scale and shift of 0.1;
           monai+batch=2: two patches a step, for which PyTorch takes oneDNN's convolutions (for one of this size it takes its own, which are slower)
nnunet     nnU-Net v2's own plan and trainer on the processor, epochs of at most 250 steps, --steps in all
--equal time: a peer gets the steps, and the schedule over them, that fit into the processor seconds of ours with the same seed; else the same steps.

Rows are added to the JSON file as they are made, a row of the same name replaced: a run that was stopped goes on."""
import argparse, itertools, json, os, resource, shutil, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
B = os.path.join(ROOT, os.environ.get("B", "build/release")) + "/bin/"
SHARED = os.path.join(ROOT, "../shared/data")
SPLITLESS = {"seed": 1, "test": 0, "folds": 5}
COHORTS = {
    "phantoms": {"title": "Phantoms", "manifest": "embedded", "spacing": 0, "channels": ("flair", "t1", "t1ce", "t2"), "label": "seg.nii.gz",
                 "regions": {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}},
    "tumour": {"title": "Gliomas of BRATS 2013, one left out", "manifest": "brats-2013", "spacing": 2, "channels": ("flair", "t1ce"), "label": "seg_0to4.nii.gz",
               "regions": {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)}},
    "lesion": {"title": "MS lesions, one left out", "manifest": None, "spacing": 2, "channels": ("flair", "t1", "t1ce", "t2"), "label": "seg.nii.gz", "regions": {"lesion": (1,)}},
}
RECIPE = json.load(open(ROOT + "/examples/recipe/train.json"))["params"]


def run(*args, env=None):
    """Processor seconds of a command that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run(args, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if r.returncode:
        raise SystemExit(f"{' '.join(map(str, args))}\nstatus {r.returncode}\n{r.stdout[-1000:]}{r.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# --- cohorts: lists of (training folder, test folder), a folder holding scans/<subject>/ and labels/<subject>/ -----------------------------

def copied(path, source, subjects):
    """The subjects' folders, scans and labels alike: the stages take no symbolic links."""
    for s in subjects:
        for kind in ("scans", "labels"):
            if not os.path.exists(f"{path}/{kind}/{s}"):
                shutil.copytree(f"{source}/{s}", f"{path}/{kind}/{s}")
    return path


def manifest_of(name, work):
    c = COHORTS[name]
    m = json.load(open(f"{ROOT}/manifests/{c['manifest'] or 'embedded'}.json"))
    if not c["manifest"]:
        m.update(name="lesion", regions=[{"name": "lesion", "values": [1]}])
        m["label"]["values"] = {"0": "background", "1": "lesion"}
    if name != "phantoms":
        m["split"] = SPLITLESS
        if c["spacing"]:
            m["spacing_mm"] = [c["spacing"]] * 3
    path = f"{work}/{name}.json"
    json.dump(m, open(path, "w"))
    return path


def splits(name, work, test):
    if name == "phantoms":
        for part, seed, n in (("train", 1, 16), ("test", 77, test)):
            if not os.path.isdir(f"{work}/{part}/labels"):
                run(B + "make-cohort", "--template", ROOT + "/examples/cohort/template", "--out", f"{work}/{part}", "--subjects", str(n), "--seed", str(seed))
        return [(f"{work}/train", f"{work}/test")]
    source = f"{SHARED}/{name}"
    if not os.path.isdir(source):
        return []
    every = sorted(s for s in os.listdir(source) if os.path.isdir(f"{source}/{s}"))
    return [(copied(f"{work}/{name}-{s}-train", source, [x for x in every if x != s]), copied(f"{work}/{name}-{s}-test", source, [s])) for s in every]


def score(name, test, predictions):
    sys.path.insert(0, HERE)
    import score as scorer
    c = COHORTS[name]
    scorer.REGIONS, scorer.LABEL = c["regions"], c["label"]
    return scorer.score(test + "/labels", predictions)


# --- who -----------------------------------------------------------------------------------------------------------------------------------

def patches_of(name, train, manifest):
    spacing, patches = COHORTS[name]["spacing"], train + "-patches"
    if not os.path.isdir(patches):
        run(B + "skullstrip-normalize", "--scans", train + "/scans", "--manifest", manifest, "--out", train + "-normed", *(["--spacing", str(spacing)] if spacing else []))
        run(B + "crop-patch", "--normed", train + "-normed", "--labels", train + "/labels", "--manifest", manifest, "--min-size", "48", "--out", patches)
    return patches


PREDICTS = {"tta", "window", "overlap", "weights"}


def ours(name, train, test, seed, steps, work, who):
    """Params of predict apply to the model that its training params have made before, if it is there."""
    given = [p.split("=", 1) for p in who.split("+")[1:]]
    flags = [x for k, v in given if k in PREDICTS for x in ("--" + k, v)]
    trained = "+".join(["ours"] + ["=".join(p) for p in given if p[0] not in PREDICTS])
    out, manifest, recipe = f"{work}/{trained}-{seed}-{steps}-{os.path.basename(train)}", f"{work}/{name}.json", f"{work}/recipe.json"
    predicted, spent = out + "/predicted" + "".join(flags), out + ".seconds"
    if not flags or not os.path.isfile(spent):
        patches = patches_of(name, train, manifest)
        params = {**RECIPE, "steps": steps, "validate-every": steps, "seed": seed, **({} if name == "phantoms" else {"fold": -1}), **{k: v for k, v in given if k not in PREDICTS}}
        json.dump({"params": params}, open(recipe, "w"))
        shutil.rmtree(out, ignore_errors=True)
        cpu = run(B + "train", "--patches", patches, "--recipe", recipe, "--out", out)
        json.dump(cpu, open(spent, "w"))
    shutil.rmtree(predicted, ignore_errors=True)
    run(B + "predict", "--model", out, "--scans", test + "/scans", "--manifest", manifest, "--out", predicted, *flags)
    return json.load(open(spent)), predicted


def read_subject(folder, s, c, labels):
    """Channels z-scored over what is not background, the labels, at the cohort's spacing; and the first channel's header."""
    import nibabel
    import numpy as np
    from scipy import ndimage
    first = nibabel.load(f"{folder}/scans/{s}/{c['channels'][0]}.nii.gz")
    factor = [z / c["spacing"] if c["spacing"] else 1 for z in first.header.get_zooms()[:3]]
    image = []
    for ch in c["channels"]:
        v = np.asarray(nibabel.load(f"{folder}/scans/{s}/{ch}.nii.gz").dataobj).astype("f4")
        brain = v != v.flat[0]
        v = np.where(brain, (v - v[brain].mean()) / (v[brain].std() + 1e-8), 0)
        image.append(ndimage.zoom(v, factor, order=1) if c["spacing"] else v)
    target = None
    if labels:
        t = np.asarray(nibabel.load(f"{folder}/labels/{s}/{c['label']}").dataobj)
        target = np.stack([np.isin(t, v) for v in c["regions"].values()]).astype("f4")
        if c["spacing"]:
            target = np.stack([ndimage.zoom(r, factor, order=1) > 0.5 for r in target]).astype("f4")
    return np.stack(image).astype("f4"), target, first


def write_labels(path, regions, c, like):
    """Probabilities of regions, from the largest to the smallest, as the label map that the scorer reads."""
    import nibabel
    import numpy as np
    from scipy import ndimage
    shape = like.shape[:3]
    out = np.zeros(shape, "i2")
    values = {"WT": 2, "TC": 1, "ET": 4, "lesion": 1}
    for name, p in zip(c["regions"], regions):
        if p.shape != shape:
            p = ndimage.zoom(p, [a / b for a, b in zip(shape, p.shape)], order=1)
        out[p > 0.5] = values[name]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(out, like.affine), path)


def monai(name, train, test, seed, steps, work, who, seconds):
    import numpy as np
    import torch
    from monai.inferers import sliding_window_inference
    from monai.losses import DiceCELoss
    from monai.networks.nets import SegResNet
    from monai.transforms import Compose, RandCropByPosNegLabeld, RandFlipd, RandScaleIntensityd, RandShiftIntensityd, SpatialPadd
    from monai.utils import set_determinism
    c = COHORTS[name]
    torch.set_num_threads(1)  # waiting threads count as processor time
    edge, rate = [int(RECIPE["patch"])] * 3, RECIPE["learning-rate"]
    batch = int(dict(p.split("=", 1) for p in who.split("+")[1:]).get("batch", 1))
    held = held_out(name, train, work) if name == "phantoms" else set()
    data = []
    for s in sorted(os.listdir(train + "/scans")):
        if s not in held:
            image, target, _ = read_subject(train, s, c, True)
            data.append({"image": torch.from_numpy(image), "label": torch.from_numpy(target), "any": torch.from_numpy(target.max(0, keepdims=True))})
    both = ["image", "label"]
    change = Compose([SpatialPadd(both + ["any"], edge), RandCropByPosNegLabeld(both, "any", edge, pos=0.7, neg=0.3), *[RandFlipd(both, 0.5, a) for a in range(3)],
                      RandScaleIntensityd("image", 0.1, 1, channel_wise=True), RandShiftIntensityd("image", 0.1, prob=1, channel_wise=True)])
    loss = DiceCELoss(sigmoid=True, squared_pred=True, smooth_nr=1, smooth_dr=1)

    def trained(steps):
        """The network after that many steps, with the schedule of that many; processor seconds."""
        set_determinism(seed)
        change.set_random_state(seed)
        net = SegResNet(3, RECIPE["network"]["init_filters"], len(c["channels"]), len(c["regions"]), blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1))
        optim = torch.optim.Adam(net.parameters(), rate, weight_decay=1e-5)
        sched = torch.optim.lr_scheduler.LambdaLR(optim, lambda k: (k + 1) / 50 if k < 50 else 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * (k - 50) / max(1, steps - 50))))
        order, begun = np.random.default_rng(seed), time.process_time()
        turn = itertools.chain.from_iterable(order.permutation(len(data)) for _ in itertools.count())
        for _ in range(steps):
            drawn = [change(data[next(turn)])[0] for _ in range(batch)]
            optim.zero_grad(set_to_none=True)
            loss(net(torch.stack([d["image"].as_tensor() for d in drawn])), torch.stack([d["label"].as_tensor() for d in drawn])).backward()
            optim.step()
            sched.step()
        return net, time.process_time() - begun

    if seconds:
        trained(2)
        steps = max(1, round(seconds / (trained(5)[1] / 5)))
    net, cpu = trained(steps)
    out = f"{work}/{who}-{seed}-{steps}{'-time' if seconds else ''}-{os.path.basename(train)}"
    net.eval()
    for s in sorted(os.listdir(test + "/scans")):
        image, _, like = read_subject(test, s, c, False)
        with torch.no_grad():
            p = torch.sigmoid(sliding_window_inference(torch.from_numpy(image)[None], edge, 1, net, 0.5, mode="gaussian"))[0].numpy()
        write_labels(f"{out}/{s}/seg.nii.gz", p, c, like)
    return cpu, out, steps


def held_out(name, train, work):
    """Subjects that ours keeps for validation and test: the peers train on the same ones."""
    import struct
    held, patches = set(), patches_of(name, train, f"{work}/{name}.json")
    for s in os.listdir(patches):
        path = f"{patches}/{s}/subject.vtp"
        if os.path.isfile(path):
            with open(path, "rb") as f:
                n = struct.unpack("<8xQ", f.read(16))[0]
                h = json.loads(f.read(n))
            if h["test"] or h["fold"] == 0:
                held.add(s)
    return held


def nnunet(name, train, test, seed, steps, work, who, seconds):
    """Its own plan, preprocessing, augmentation, schedule and prediction; regions as its region-based training has them."""
    import nibabel
    import numpy as np
    c = COHORTS[name]
    base = f"{work}/nnunet-{os.path.basename(train)}"
    env = {"nnUNet_raw": base + "/raw", "nnUNet_preprocessed": base + "/pre", "nnUNet_results": f"{base}/results-{seed}-{steps}{'-time' if seconds else ''}", "nnUNet_compile": "0", "nnUNet_n_proc_DA": "0"}
    raw, held = base + "/raw/Dataset900_bench", held_out(name, train, work) if name == "phantoms" else set()
    values = {v: i for i, v in enumerate(sorted({x for r in c["regions"].values() for x in r}), 1)}
    if not os.path.isdir(raw):
        for folder, images in ((train, "imagesTr"), (test, "imagesTs")):
            os.makedirs(f"{raw}/{images}")
            for s in sorted(set(os.listdir(folder + "/scans")) - held if images == "imagesTr" else os.listdir(folder + "/scans")):
                for i, ch in enumerate(c["channels"]):
                    shutil.copy(f"{folder}/scans/{s}/{ch}.nii.gz", f"{raw}/{images}/{s}_{i:04d}.nii.gz")
                if images == "imagesTr":
                    t = nibabel.load(f"{folder}/labels/{s}/{c['label']}")
                    v = np.asarray(t.dataobj)
                    os.makedirs(f"{raw}/labelsTr", exist_ok=True)
                    nibabel.save(nibabel.Nifti1Image(sum((v == k) * n for k, n in values.items()).astype("u1"), t.affine), f"{raw}/labelsTr/{s}.nii.gz")
        regions = {r: [values[x] for x in v] for r, v in c["regions"].items()}
        json.dump({"channel_names": {str(i): ch for i, ch in enumerate(c["channels"])}, "labels": {"background": 0, **regions},
                   "regions_class_order": [{"WT": values.get(2, 1), "TC": values.get(1, 1), "ET": values.get(4, 1), "lesion": 1}[r] for r in c["regions"]],
                   "numTraining": len(os.listdir(raw + "/labelsTr")), "file_ending": ".nii.gz"}, open(raw + "/dataset.json", "w"))
        tools = os.path.dirname(sys.executable) + "/"
        run(tools + "nnUNetv2_plan_and_preprocess", "-d", "900", "-c", "3d_fullres", "-np", "1", "-npfp", "1", env={**env, "nnUNet_n_proc_DA": "1"})
    code = f"""
import json, time, torch
from nnunetv2.run.run_training import get_trainer_from_args

torch.set_num_threads(1)

def trainer():
    torch.manual_seed({seed})
    return get_trainer_from_args("900", "3d_fullres", "all", device=torch.device("cpu"))

steps = {steps}
if {seconds or 0}:
    t = trainer()
    t.on_train_start()
    t.train_step(next(t.dataloader_train))
    begun = time.process_time()
    for _ in range(3):
        t.train_step(next(t.dataloader_train))
    steps = max(1, round({seconds or 0} / ((time.process_time() - begun) / 3)))
t = trainer()
t.num_epochs = -(-steps // 250)
t.num_iterations_per_epoch, t.num_val_iterations_per_epoch, t.save_every = round(steps / t.num_epochs), 1, 10 ** 6
begun = time.process_time()
t.run_training()
print(json.dumps(["trained", t.num_epochs * t.num_iterations_per_epoch, time.process_time() - begun]))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env})
    if told.returncode:
        raise SystemExit(f"nnU-Net's training: status {told.returncode}\n{told.stdout[-1000:]}{told.stderr[-2000:]}")
    _, steps, cpu = json.loads(next(x for x in told.stdout.splitlines() if x.startswith('["trained"')))
    out = f"{env['nnUNet_results']}/predicted"
    model = f"{env['nnUNet_results']}/Dataset900_bench/nnUNetTrainer__nnUNetPlans__3d_fullres"
    run(os.path.dirname(sys.executable) + "/nnUNetv2_predict_from_modelfolder", "-i", raw + "/imagesTs", "-o", out, "-m", model, "-f", "all", "-chk", "checkpoint_final.pth",
        "-device", "cpu", "-npp", "1", "-nps", "1", env=env)
    back = {n: k for k, n in values.items()}
    for f in sorted(os.listdir(out)):
        if f.endswith(".nii.gz"):
            t = nibabel.load(f"{out}/{f}")
            v = np.asarray(t.dataobj)
            nibabel.save(nibabel.Nifti1Image(sum((v == n) * k for n, k in back.items()).astype("i2"), t.affine), f"{out}/{f}")
    return cpu, out, steps


# --- results -------------------------------------------------------------------------------------------------------------------------------

def missing(who):
    import importlib.util
    need = {"monai": ("monai", "torch", "nibabel", "scipy"), "nnunet": ("nnunetv2",)}.get(who.split("+")[0], ())
    return [m for m in need if importlib.util.find_spec(m) is None]


def keep(path, name, about, row, absent):
    all_ = json.load(open(path)) if os.path.exists(path) else {"cohorts": []}
    all_["about"] = ("Dice of label maps, scored by bench/quality/score.py (numpy and nibabel). Means over seeds with 95 % intervals of Student's t; "
                     "`PARTS=quality make bench` repeats and adds rows.")
    cohort = next((c for c in all_["cohorts"] if c["title"] == COHORTS[name]["title"]), None)
    if not cohort:
        cohort = {"title": COHORTS[name]["title"], "regions": list(COHORTS[name]["regions"]), "rows": []}
        all_["cohorts"].append(cohort)
    cohort.update(about=about, absent=absent)
    if row:
        cohort["rows"] = [r for r in cohort["rows"] if (r["who"], r["budget"]) != (row["who"], row["budget"])] + [row]
    json.dump(all_, open(path, "w"), indent=1)


def seconds_of_ours(path, name, steps, parts):
    """What ours took for each seed and split, by the rows of an earlier run."""
    all_ = json.load(open(path)) if os.path.exists(path) else {"cohorts": []}
    rows = [r for c in all_["cohorts"] if c["title"] == COHORTS[name]["title"] for r in c["rows"] if (r["who"], r["budget"]) == ("ours", f"{steps} steps")]
    return {(s["seed"], train): s["cpu"] for r in rows for s in r["seeds"] for train, _ in parts}


def mean_of(parts, regions):
    """Over subjects, those left out one after another too."""
    subjects = {s: v for p in parts for s, v in p["subjects"].items()}
    return {r: sum(v[r] for v in subjects.values()) / len(subjects) for r in regions}, subjects


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cohorts", default="phantoms,tumour,lesion")
    p.add_argument("--who", default="ours,monai,nnunet")
    p.add_argument("--steps", type=int, default=int(RECIPE["steps"]))
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--test", type=int, default=20)
    p.add_argument("--equal", choices=("steps", "time"), default="steps")
    p.add_argument("--work", default=ROOT + "/build/quality")
    p.add_argument("--json", default=HERE + "/results.json")
    o = p.parse_args()
    os.makedirs(o.work, exist_ok=True)
    for name in o.cohorts.split(","):
        manifest_of(name, o.work)
        parts, absent = splits(name, o.work, o.test), []
        regions = list(COHORTS[name]["regions"])
        about = f"{len(parts)} split{'s' if len(parts) != 1 else ''}, network SegResNet-{RECIPE['network']['init_filters']}, patch {RECIPE['patch']}."
        if not parts:
            print(f"{name}: absent ({SHARED}/{name})")
            continue
        seconds = seconds_of_ours(o.json, name, o.steps, parts)
        for who in o.who.split(","):
            if missing(who):
                absent.append(f"{who}: absent ({sys.executable} lacks {', '.join(missing(who))})")
                print(absent[-1])
                keep(o.json, name, about, None, absent)
                continue
            row = {"who": who, "budget": f"{o.steps} steps" if o.equal == "steps" or who.startswith("ours") else "ours' time", "seeds": []}
            for seed in map(int, o.seeds.split(",")):
                cpu, made, done = 0, [], o.steps
                for train, test in parts:
                    limit = seconds.get((seed, train)) if o.equal == "time" else None
                    if o.equal == "time" and not limit and not who.startswith("ours"):
                        raise SystemExit(f"--equal time: {o.json} has no row of ours with {o.steps} steps and seed {seed}; let --who begin with ours")
                    if who.startswith("ours"):
                        c, out = ours(name, train, test, seed, o.steps, o.work, who)
                        seconds[seed, train] = c
                    else:
                        c, out, done = {"monai": monai, "nnunet": nnunet}[who.split("+")[0]](name, train, test, seed, o.steps, o.work, who, limit)
                    cpu += c
                    made.append(score(name, test, out))
                mean, subjects = mean_of(made, regions)
                row["seeds"].append({"seed": seed, "cpu": cpu / len(parts), "steps": done, **mean, "mean": sum(mean.values()) / len(mean), "subjects": subjects})
                print(f"{name} {who} seed {seed}: " + ", ".join(f"{r} {v:.3f}" for r, v in mean.items()) + f"; {done} steps, {cpu:.0f} s of processor time", flush=True)
            keep(o.json, name, about, row, absent)


main()
