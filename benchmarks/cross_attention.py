"""CrossAttention against its rivals: error and task on real data, noise, query speed, build and state.

    python benchmarks/cross_attention.py [--only error,task,noise,query,build]

Real data are sentence embeddings (``benchmarks/_sentences.py`` writes them; their path in ``DPSTRUCT_SENTENCES``), else
the bundled digits. Keys and values are their projections to 64 principal coordinates of public rows, of unit length.
Errors are relative: root mean square of the l2 error over that of the exact output. PyTorch joins where installed.
Results go to ``benchmarks/results/cross_attention.json``.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row, threads

import dpstruct as dps
from dpstruct.kernels import cross_attention as kernel
from dpstruct.reference import DPTreeSoftmax, RandomFeaturesAttention

DELTA, PUBLIC, QUERIES, MOST = 1e-6, 1500, 300, 12_100


def real_data(dim=64):
    """Return unit keys and labels of public, query and private rows, and what they are."""
    path = os.environ.get("DPSTRUCT_SENTENCES")
    if path:
        stored = np.load(path)
        X, labels, name = stored["vectors"].astype(np.float64), stored["labels"], "sentences"
    else:
        from sklearn.datasets import load_digits

        X, labels = load_digits(return_X_y=True)
        order, name = np.random.default_rng(0).permutation(len(X)), "digits"
        images = X[order].reshape(-1, 8, 8)
        moved = [np.roll(images, (i, j), axis=(1, 2)) for i in (0, -1, 1) for j in (0, -1, 1)]
        X, labels = np.stack(moved, axis=1).reshape(-1, 64), np.repeat(labels[order], 9)
    public = X[:PUBLIC]
    center = public.mean(axis=0)
    axes = np.linalg.svd(public - center, full_matrices=False)[2][:dim]
    K = (X - center) @ axes.T
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    return K[:MOST], labels[:MOST], name


def exact(Q, K, V, tau):
    """Return softmax attention, some queries at a time."""
    out = np.empty((len(Q), V.shape[1]), V.dtype)
    for start in range(0, len(Q), 64):
        scores = Q[start : start + 64] @ K.T
        scores /= scores.dtype.type(tau)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        out[start : start + 64] = scores @ V / scores.sum(axis=1, keepdims=True)
    return out


def off(found, truth):
    """Return the relative root mean square error."""
    return float(np.sqrt(((found - truth) ** 2).sum() / (truth**2).sum()))


def released(structure, summary, epsilon):
    budget = dps.Budget(epsilon=epsilon, delta=DELTA, neighbors="add-remove")
    return budget.release(summary, share=1)


# ---- error -----------------------------------------------------------------------------------------------------------


def error(draws=10):
    K, _, name = real_data()
    d, public = K.shape[1], K[:PUBLIC]
    Q, private = K[PUBLIC : PUBLIC + QUERIES], K[PUBLIC + QUERIES :]
    n, rows = len(private), []
    for tau in (0.25, 0.5, 0.125):
        truth = exact(Q, private, private, tau)
        facts = {"data": name, "n": n, "d": d, "tau": tau, "draws": draws}
        constant = off(np.broadcast_to(private.mean(axis=0), truth.shape), truth)
        rows.append(row("the exact mean of the values", constant, "rel. error", **facts))
        base = {"key_norm": 1.0, "value_norm": 1.0, "degree": 2, "temperatures": (tau,), "expected_rows": n}
        plain = dps.CrossAttention(d, d, **base)
        sketched = dps.CrossAttention(d, d, features="tensorsketch", sketch_size=2048, **base)
        summaries = {"prior": plain.summarize(private, private)}
        if tau == 0.25:
            summaries["sketch"] = sketched.summarize(private, private)
        for epsilon in (1.0, 4.0):
            mu = dps.GDP.from_approx_dp(epsilon, DELTA).mu
            pilot = public[:500], public[500:], public[500:]
            a = plain.fit_coefficients(*pilot, temperature=tau, rows=n, mu=mu)
            fitted = dps.CrossAttention(d, d, coefficients=a, **base)
            summaries["fitted"] = fitted.summarize(private, private)
            rows += _errors(summaries, Q, private, truth, tau, epsilon, facts)
    return rows


def _errors(summaries, Q, private, truth, tau, epsilon, facts):
    d, draws, mu = facts["d"], facts["draws"], dps.GDP.from_approx_dp(epsilon, DELTA).mu
    facts = facts | {"epsilon": epsilon}
    found = {}
    for what, summary in summaries.items():
        structure = summary.structure
        each = [off(released(structure, summary, epsilon).query(Q, temperature=tau), truth) for _ in range(draws)]
        found[what] = float(np.mean(each))
    names = {"fitted": "ours, coefficients fitted on public rows", "prior": "ours, data-free coefficients"}
    if tau != 0.25:
        return [row(name, found[what], "rel. error", **facts) for what, name in names.items()]
    limits = {"fitted": {1.0: 0.24, 4.0: 0.14}, "prior": {1.0: 0.31, 4.0: 0.19}}
    rows = [at_most(name, found[what], limits[what][epsilon], "rel. error", **facts) for what, name in names.items()]
    rows.append(row("ours, tensor sketch of degree 2 in 2,048 numbers", found["sketch"], "rel. error", **facts))
    kinds = {
        "TensorSketch": (2, [{"kind": "sketch", "degree": p, "clip": c} for p in (2, 4) for c in (0.7, 1.0, 1.4)]),
        "FAVOR+": (3, [{"kind": "favor", "clip": c} for c in (0.1, 0.3, 1.0)]),
        "Fourier": (3, [{"kind": "fourier"}]),
    }
    for name, (times, choices) in kinds.items():
        plain, shrunk = [], []
        for options in choices:
            rival = RandomFeaturesAttention(d, d, theta=1 / tau, mu=mu, features=2048, **options)
            rival.fit(private, private, np.random.default_rng(1))
            plain.append(off(rival.query(Q, shrink=False), truth))
            shrunk.append(off(rival.query(Q), truth))
        rows.append(row(f"{name}, 2,048 features, best in hindsight", min(plain), "rel. error", **facts))
        rows.append(at_least(f"{name} over ours, fitted", min(plain) / found["fitted"], times, **facts))
        rows.append(row(f"{name}, with our shrinking, over ours", min(shrunk) / found["fitted"], "x", **facts))
    return rows


# ---- a task ----------------------------------------------------------------------------------------------------------


def task(draws=10, tau=0.25):
    """Name the class of held-out rows: values are one-hot labels, the answer the largest weight."""
    K, labels, name = real_data()
    classes = int(labels.max()) + 1
    V = np.eye(classes)[labels]
    Q, truth = K[PUBLIC : PUBLIC + QUERIES], labels[PUBLIC : PUBLIC + QUERIES]
    private, values = K[PUBLIC + QUERIES :], V[PUBLIC + QUERIES :]
    best = np.mean(exact(Q, private, values, tau).argmax(axis=1) == truth)
    guess = np.mean(values.sum(axis=0).argmax() == truth)
    rows, facts = [], {"data": name, "n": len(private), "classes": classes, "tau": tau, "draws": draws}
    rows.append(row("accuracy, exact softmax", best, "", **facts))
    rows.append(row("accuracy, most frequent class", guess, "", **facts))
    center = np.full(classes, 1 / classes)
    structure = dps.CrossAttention(
        K.shape[1], classes, key_norm=1, value_norm=float(np.linalg.norm(V[0] - center)), value_center=center,
        temperatures=(tau,), expected_rows=len(private),
    )  # fmt: skip
    summary = structure.summarize(private, values)
    for epsilon in (0.5, 1.0, 4.0):
        each = []
        for _ in range(draws):
            answers = released(structure, summary, epsilon).query(Q, temperature=tau)
            each.append(np.mean(answers.argmax(axis=1) == truth))
        what, value = "accuracy lost by privacy", float(best - np.mean(each))
        shown = {"accuracy": float(np.mean(each)), "epsilon": epsilon, **facts}
        rows.append(at_most(what, value, 0.06, "", **shown) if epsilon == 1.0 else row(what, value, "", **shown))
    return rows


# ---- noise -----------------------------------------------------------------------------------------------------------


def noise(tau=1.0, n=1024):
    """Standard deviation of one coordinate of a numerator: trees of distances over ours, same Taylor polynomial."""
    rows = []
    for d, dv in ((4, 4), (8, 8)):
        a = np.array([1.0, 1 / tau, 0.5 / tau**2])
        structure = dps.CrossAttention(d, dv, key_norm=1, value_norm=1, coefficients=a)
        plan = structure.plan(epsilon=1.0, delta=DELTA, neighbors="add-remove")
        ours = np.sqrt(a**2 @ [plan.variance(f"N{p}")[0] for p in range(3)]) / structure._unit
        Q = np.random.default_rng(0).normal(size=(200, d))
        Q /= np.linalg.norm(Q, axis=1, keepdims=True)
        facts = {"n": n, "d": d, "dv": dv, "depth": 10, "epsilon": 1.0}
        for what, price in (("Laplace, as published", {"epsilon": 1.0}), ("one joint Gaussian", {"mu": plan.cost.mu})):
            trees = DPTreeSoftmax(d, dv, theta=1 / tau, depth=10, **price)
            times = float(np.sqrt(trees.variance(Q).mean()) / ours)
            gated = d == 8 and "epsilon" in price
            rows.append(
                at_least(f"DPTree noise over ours, {what}", times, 1000, **facts)
                if gated
                else row(f"DPTree noise over ours, {what}", times, "x", **facts)
            )
    return rows


# ---- queries ---------------------------------------------------------------------------------------------------------


def random_rows(n, d, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def query(n=100_000, d=64, q=512, rounds=7):
    K, Q = random_rows(n, d), random_rows(q, d, 1)
    structure = dps.CrossAttention(d, d, key_norm=1, value_norm=1)
    private = released(structure, structure.summarize(K[:2000], K[:2000]), 1.0)
    rows = []
    with threads(1):
        contestants = {
            "ours": lambda: private.query(Q, temperature=0.25),
            "exact": lambda: exact(Q, K, K, 0.25),
        }
        if find_spec("torch"):
            import torch

            torch.set_num_threads(1)
            q4, k4 = torch.tensor(Q)[None, None], torch.tensor(K)[None, None]
            attend = torch.nn.functional.scaled_dot_product_attention

            def sdpa():
                with torch.no_grad():
                    return attend(q4, k4, k4, scale=4.0)

            contestants["sdpa"] = sdpa
        seconds = race(contestants, rounds=rounds)
        facts = {"n": n, "d": d, "queries": q, "threads": 1, "us_per_query": 1e6 * median(seconds["ours"]) / q}
        rows.append(
            at_least("exact attention (NumPy) over ours", ratio(seconds["exact"], seconds["ours"]), 40, **facts)
        )
        if "sdpa" in seconds:
            rows.append(
                at_least("exact attention (PyTorch) over ours", ratio(seconds["sdpa"], seconds["ours"]), 40, **facts)
            )
        rows += [_floor(dtype, degree, d) for dtype in (np.float32, np.float64) for degree in (2,)]
    return rows


def _floor(dtype, degree, d, q=4096, rounds=15):
    """Return the time of the query kernel over that of its one matrix product, features given."""
    rng = np.random.default_rng(0)
    m = sum(np.array([1, d, d * (d + 1) // 2])[: degree + 1])
    Q, A = rng.normal(size=(q, d)).astype(dtype), np.ones((q, degree + 1), dtype)
    state, features = rng.normal(size=(m, d + 1)).astype(dtype), rng.normal(size=(m, kernel.BLOCK)).astype(dtype)

    def product():
        for _ in range(q // kernel.BLOCK):
            features.T @ state

    seconds = race({"kernel": lambda: kernel.attend(Q, A, state, degree), "product": product}, rounds=rounds)
    facts = {
        "d": d,
        "degree": degree,
        "dtype": np.dtype(dtype).name,
        "us_per_query": 1e6 * median(seconds["kernel"]) / q,
    }
    return at_most("query kernel over its matrix product", ratio(seconds["kernel"], seconds["product"]), 1.3, **facts)


# ---- build -----------------------------------------------------------------------------------------------------------


def build(n=20_000, d=64, rounds=7):
    K = random_rows(n, d)
    structure = dps.CrossAttention(d, d, key_norm=1, value_norm=1)
    m = 1 + d + d * (d + 1) // 2
    rng = np.random.default_rng(0)
    F, W = rng.normal(size=(512, m)), rng.normal(size=(512, d + 1))

    def product():
        for _ in range(n // 512):
            F.T @ W

    with threads(1):
        seconds = race({"build": lambda: structure.summarize(K, K), "product": product}, rounds=rounds)
    facts = {"n": n, "d": d, "dv": d, "us_per_row": 1e6 * median(seconds["build"]) / n}
    state = 8 * m * (d + 1) / 1e6
    return [
        at_most("build over its matrix product", ratio(seconds["build"], seconds["product"]), 2, **facts),
        at_most("state, float64, whatever n", state, 1.2, "MB", d=d, dv=d, degree=2),
    ]


if __name__ == "__main__":
    main("cross_attention", {"error": error, "task": task, "noise": noise, "query": query, "build": build})
