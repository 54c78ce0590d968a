"""KDEClassifier: accuracy and time of private class-wise similarity, beside an opacus DP-SGD linear model.

    python benchmarks/class_densities.py [--only digits,fashion]

Needs, beside the library, what the environment names: DPSTRUCT_OPACUS, a Python with torch and opacus, and for the
section fashion DPSTRUCT_FASHION, what ``benchmarks/_fashion.py`` wrote. Both sides see the same features; batch, clip
and momentum of the linear model are those of arXiv 2011.11660, and its best epoch on the test rows counts, in its
favour. Add-remove, delta = 1e-5.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from _harness import main, row
from sklearn.datasets import load_digits
from sklearn.neighbors import KernelDensity

import dpstruct as dps
from dpstruct.sklearn import KDEClassifier

DELTA = 1e-5


def opacus(path, epsilon, most):
    """Run DP-SGD on a linear model in its own environment."""
    script = str(Path(__file__).with_name("_peers.py"))
    command = [os.environ["DPSTRUCT_OPACUS"], script, "opacus-linear", str(path), str(epsilon), "101", str(most)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def compare(data, bounds, bandwidth, epsilons, *, seeds, most, features=4096):
    """Return rows of accuracy and seconds of both sides on one split."""
    X, y, Xt, yt = data
    facts = {"n": len(X), "d": X.shape[1], "bandwidth": bandwidth, "m": features, "delta": DELTA}
    rows = []
    for epsilon in epsilons:
        scores, seconds = [], []
        for _ in range(seeds):
            budget = dps.Budget(epsilon, DELTA, neighbors="add-remove")
            model = KDEClassifier(
                budget,
                share=1,
                bounds=bounds,
                classes=range(10),
                bandwidth=bandwidth,
                n_features=features,
                expected_rows=len(X),
            )
            start = time.perf_counter()
            model.fit(X, y)
            seconds.append(time.perf_counter() - start)
            scores.append(100 * model.score(Xt, yt))
        what = {"epsilon": epsilon, "seeds": seeds, "lowest": min(scores), "highest": max(scores), **facts}
        rows.append(row("KDEClassifier: test accuracy", np.mean(scores), "%", **what))
        rows.append(row("KDEClassifier: fit", np.median(seconds), "s", epsilon=epsilon, **facts))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.npz"
            middle, scale = (0.5 * (bounds.high[0] + bounds.low[0]), 0.5 * (bounds.high[0] - bounds.low[0]))
            parts = {"X_train": X, "X_test": Xt}
            scaled = {name: ((rows_ - middle) / scale).astype(np.float32) for name, rows_ in parts.items()}
            np.savez(path, **scaled, y_train=y.astype(np.int64), y_test=yt.astype(np.int64))
            found = opacus(path, epsilon, most)
        rows.append(row("opacus DP-SGD linear: best test accuracy", found["accuracy"], "%", epsilon=epsilon, **facts))
        spent = {"epsilon": epsilon, "epochs": found["epochs"], **facts}
        rows.append(row("opacus DP-SGD linear: fit", found["seconds"], "s", **spent))
    return rows


def without_noise(data, bandwidth):
    """Return the accuracy of exact class-wise kernel sums on the first 1,000 test rows."""
    X, y, Xt, yt = data
    Xt, yt = Xt[:1000], yt[:1000]
    sums = [
        KernelDensity(bandwidth=bandwidth).fit(X[y == c]).score_samples(Xt) + np.log((y == c).sum()) for c in range(10)
    ]
    accuracy = 100 * (np.argmax(sums, axis=0) == yt).mean()
    return row("exact class-wise kernel sums: test accuracy", accuracy, "%", n=len(X), d=X.shape[1])


def digits():
    """8 x 8 digits: 1,437 to fit, 360 to test; the bandwidth is the range of a pixel."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    data = X[:1437], y[:1437], X[1437:], y[1437:]
    rows = compare(data, dps.Box(0, 16), 16.0, (0.5, 1.0, 3.0), seeds=5, most=120)
    return [*rows, without_noise(data, 16.0)]


def fashion():
    """Fashion-MNIST, 637 public image features of length 1; bandwidth and m chosen on 50,000 of the training images."""
    with np.load(os.environ["DPSTRUCT_FASHION"]) as file:
        data = [file[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    data[0], data[2] = data[0].astype(np.float64), data[2].astype(np.float64)
    rows = compare(data, dps.Box(-1, 1), 0.2, (0.5, 1.0, 3.0), seeds=2, most=300, features=1 << 17)
    return [*rows, without_noise(data, 0.2)]


if __name__ == "__main__":
    main("class_densities", {"digits": digits, "fashion": fashion})
