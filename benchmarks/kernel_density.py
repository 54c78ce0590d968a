"""KernelDensity against its rivals: noise, open queries, weights, published private sums, speed, build.

    python benchmarks/kernel_density.py [--only noise,open,weights,digits,plane,query,features,build,fft]

Errors are root mean squares over queries, in units of the floor ``1/mu``: the standard error of one Gaussian answer.
`LSQRFF` and `LSQFGT` are the private sums of Wagner, Naamad and Mishra (ICML 2023), at the best of several sizes,
chosen on the data, which is more than they could do privately. ``fft`` needs KDEpy on the path. Results go to
``benchmarks/results/kernel_density.json``.
"""

from __future__ import annotations

import importlib.util

import numba
import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row, threads

import dpstruct as dps
from dpstruct.features import random_features as rf
from dpstruct.reference import LSQFGT, LSQRFF
from dpstruct.testing import ZeroNoise

DELTA = 1e-6
MU = dps.GDP.from_approx_dp(1.0, DELTA).mu


def release(blueprint, X=None, *, summary=None, zero=False, epsilon=1.0, delta=DELTA):
    """Release from a fresh budget, all of it spent; with `zero`, without noise."""
    budget = dps.Budget(epsilon=epsilon, delta=delta, neighbors="add-remove")
    summary = blueprint.summarize(X) if summary is None else summary
    if zero:
        with ZeroNoise():
            return budget.release(summary, share=1)
    return budget.release(summary, share=1)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def kernel_sums(name, X, Y, h):
    """Exact sums, a block of queries at a time."""
    out = []
    for y in Y:
        z = np.abs(X - y) / h
        r = z.sum(axis=1) if name == "laplacian" else np.sqrt((z * z).sum(axis=1))
        out.append((np.exp(-r) if name == "laplacian" else np.exp(-0.5 * r * r)).sum())
    return np.array(out)


def clusters(n, d, seed, k=6, spread=0.07):
    """Records in k normal clusters in the unit box, and queries: half near records, half anywhere."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0.2, 0.8, (k, d))
    X = np.clip(centers[rng.integers(0, k, n)] + rng.normal(size=(n, d)) * spread, 0, 1)
    return X, np.concatenate([X[:100] + rng.normal(size=(100, d)) * 0.02, rng.random((100, d))])


# ---- noise -----------------------------------------------------------------------------------------------------------


def noise(releases=300):
    """Standard error of an answer over the floor, predicted and over fresh releases."""
    rng = np.random.default_rng(0)
    cases = {f"fourier, d={d}": (d, {"bandwidth": h}, 1.05) for d, h in ((1, 0.05), (2, 0.05), (3, 0.2))}
    cases |= {f"batch, d={d}": (d, {"bandwidth": 0.3, "queries": rng.random((100, d))}, 1.02) for d in (2, 8, 64)}
    cases["features, equal weights, d=8"] = (8, {"bandwidth": 0.5, "method": "features"}, 1.02)
    rows = []
    for name, (d, options, target) in cases.items():
        blueprint = dps.KernelDensity(bounds=dps.Box(0, 1, dim=d), **options)
        plan = blueprint.plan(epsilon=1.0, delta=DELTA, neighbors="add-remove")
        predicted = (blueprint._method.sketch(plan)[0] if "features" in name else plan.error) * MU
        rows.append(at_most(f"{name}: predicted / floor", predicted, target, d=d))
        if "features" in name:
            continue
        X = rng.random((50, d))
        Y = None if "queries" in options else rng.random((20, d))
        summary, exact = blueprint.summarize(X), release(blueprint, X, zero=True).query(Y)
        draws = np.array([release(blueprint, summary=summary).query(Y) for _ in range(releases)])
        rows.append(row(f"{name}: measured / floor", rms(draws - exact) * MU, "x", d=d, releases=releases))
    return rows


# ---- open queries ----------------------------------------------------------------------------------------------------


def open_():
    """Total error over the floor, a private law learned inside the budget; six clusters, 20,000 records."""
    rows = []
    cases = [("gaussian", 8, 0.2, 1.6), ("gaussian", 8, 0.35, 1.25), ("gaussian", 8, 0.7, 1.25)]
    cases += [("laplacian", 5, 0.5, 1.4), ("laplacian", 8, 1.5, 1.6)]
    for name, d, h, target in cases:
        totals, fits, others = [], [], []
        blueprint = dps.KernelDensity(name, bandwidth=h, bounds=dps.Box(0, 1, dim=d), expected_rows=20_000)
        features = dps.KernelDensity(
            name, bandwidth=h, bounds=dps.Box(0, 1, dim=d), method="features", expected_rows=20_000
        )
        for seed in range(3):
            X, Y = clusters(20_000, d, seed)
            exact, summary = kernel_sums(name, X, Y, h), blueprint.summarize(X)
            totals += [release(blueprint, summary=summary).query(Y) - exact for _ in range(4)]
            fits.append(release(blueprint, summary=summary, zero=True).query(Y) - exact)
            others.append(release(features, X).query(Y) - exact)
        facts = {"kernel": name, "d": d, "h": h, "n": 20_000, "m": 4096, "method": blueprint.method}
        rows.append(at_most("total / floor", rms(totals) * MU, target, **facts))
        rows.append(row("features' part / floor", rms(fits) * MU, "x", **facts))
        rows.append(row("random features: total / floor", rms(others) * MU, "x", **{**facts, "method": "features"}))
    return rows


def weights():
    """Quadrature weights against equal ones, and the predicted error of the features, over pairs of points."""
    rows = []
    for d, h, target in ((5, 0.4, 2.5), (8, 0.7, None)):
        blueprint = dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 1, dim=d), method="features", expected_rows=20_000)
        X, Y = clusters(20_000, d, 0)
        exact, summary = kernel_sums("gaussian", X, Y, h), blueprint.summarize(X)
        method = blueprint._method
        weighted = [release(blueprint, summary=summary).query(Y) - exact for _ in range(4)]
        fitted = method.candidates
        method.__dict__["candidates"] = tuple(part[:1] for part in fitted)
        equal = [release(blueprint, summary=summary).query(Y) - exact for _ in range(4)]
        method.__dict__["candidates"] = fitted
        facts = {"d": d, "h": h, "n": 20_000, "m": 4096}
        gain = rms(equal) / rms(weighted)
        rows.append(
            at_least("equal / quadrature weights", gain, target, **facts)
            if target
            else row("equal / quadrature weights", gain, "x", **facts)
        )
        rows.append(row("equal weights: total / floor", rms(equal) * MU, "x", **facts))
        rows.append(row("quadrature weights: total / floor", rms(weighted) * MU, "x", **facts))
        z = rf._differences(_Draws(), method.sides, h, 4000)
        waves = np.cos(2 * np.pi * z @ (method.public.matrix * rf.CELLS))
        truth = np.exp(-0.5 * (z**2).sum(axis=1) / h**2)
        found = np.sqrt(((waves @ fitted[0].T - truth[:, None]) ** 2).mean(axis=0)) / fitted[1]
        off = float(np.abs(found - 1).max())
        rows.append(at_most("feature error: measured / predicted, off by", off, 0.2, "", **facts))
    return rows


class _Draws:
    """NumPy's generator in the place of the library's, for differences that no weights were fitted on."""

    def __init__(self):
        self._rng = np.random.default_rng(77)
        self.normal, self.uniform = self._rng.standard_normal, self._rng.random


# ---- published private sums ------------------------------------------------------------------------------------------


def digits(draws=10):
    """RMSE of the mean kernel on 64-dimensional digits, against LSQ-RFF at its best m."""
    from sklearn.datasets import load_digits

    data = load_digits().data
    X, Y, h = data[:-200], data[-200:], 34.65
    n, exact = len(X), kernel_sums("gaussian", X, Y, h)
    rng, facts = np.random.default_rng(0), {"n": n, "d": 64, "h": h, "epsilon": 1.0}
    blueprint = dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 16, dim=64), expected_rows=1600)
    summary = blueprint.summarize(X)
    ours = rms([release(blueprint, summary=summary).query(Y) - exact for _ in range(draws)]) / n
    batch = dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 16, dim=64), queries=Y)
    summary = batch.summarize(X)
    fixed = rms([release(batch, summary=summary).query() - exact for _ in range(draws)]) / n
    scores = {}
    for m in (16, 32, 64, 128, 256, 512, 1024):
        errors = []
        for seed in range(draws):
            rival = LSQRFF(64, bandwidth=h, features=m, epsilon=1.0, neighbors="add-remove", seed=seed)
            errors.append(rival.fit(X, rng).query(Y) - exact)
        scores[m] = rms(errors) / n
    best = min(scores, key=scores.get)
    return [
        row("floor 1/(mu n)", 1 / (MU * n), "", **facts),
        row("KernelDensity: RMSE of the mean", ours, "", method=blueprint.method, **facts),
        row("KernelDensity, declared queries: RMSE", fixed, "", method="batch", **facts),
        row("LSQ-RFF at its best m: RMSE", scores[best], "", m=best, **facts),
        at_least("LSQ-RFF / KernelDensity", scores[best] / ours, 7, m=best, **facts),
        row("LSQ-RFF / KernelDensity, declared queries", scores[best] / fixed, "x", m=best, **facts),
    ]


def plane(draws=10):
    """RMSE of the sums on 20,000 points of the plane, against LSQ-FGT at its best order."""
    X, Y = clusters(20_000, 2, 3)
    X, Y, rng, rows = X, np.clip(Y, 0, 1), np.random.default_rng(1), []
    for h in (0.03, 0.1):
        exact = kernel_sums("gaussian", X, Y, h)
        blueprint = dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 1, dim=2))
        summary = blueprint.summarize(X)
        ours = rms([release(blueprint, summary=summary).query(Y) - exact for _ in range(draws)])
        binned = dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 1, dim=2), method="binned")
        pure = rms([release(binned, X, delta=0.0).query(Y) - exact for _ in range(draws)])
        scores = {}
        for law, price in (("laplace", {"epsilon": 1.0}), ("gaussian", {"mu": MU})):
            for order in (1, 2, 3, 4, 5, 6, 8):
                rival = LSQFGT(([0, 0], [1, 1]), bandwidth=h, order=order, neighbors="add-remove", **price)
                scores[law, order] = rms([rival.fit(X, rng).query(Y) - exact for _ in range(draws)])
        facts = {"n": 20_000, "d": 2, "h": h, "epsilon": 1.0}
        rows.append(row("KernelDensity: RMSE of the sum", ours, "records", method=blueprint.method, **facts))
        rows.append(row("KernelDensity, pure DP: RMSE of the sum", pure, "records", method="binned", **facts))
        for law, mine in (("laplace", ours), ("gaussian", ours), ("laplace", pure)):
            best = min((o for a, o in scores if a == law), key=lambda o: scores[law, o])
            what = f"LSQ-FGT ({law}) / KernelDensity{' in pure DP' if mine is pure else ''}"
            asked = law == "laplace" and mine is ours
            for order, tuned in ((4, "order 4"), (best, "order tuned on the data")):
                value, extra = scores[law, order] / mine, {**facts, "order": order}
                name = f"{what}, {tuned}"
                rows.append(at_least(name, value, 5, **extra) if asked else row(name, value, "x", **extra))
    return rows


# ---- speed -----------------------------------------------------------------------------------------------------------


def query():
    """A million queries of a plane from 100,000 records, against exact densities (timed on fewer queries)."""
    from scipy.stats import gaussian_kde
    from sklearn.neighbors import KernelDensity

    X, _ = clusters(100_000, 2, 5)
    rng, h, rows = np.random.default_rng(2), 0.05, []
    Y = rng.random((1_000_000, 2))
    private = release(dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 1, dim=2)), X)
    scipy = gaussian_kde(X.T, bw_method=h / X.std(axis=0, ddof=1).mean())
    trees = {f"scikit-learn, rtol={r:g}": KernelDensity(bandwidth=h, rtol=r).fit(X) for r in (0.0, 1e-2)}
    few = Y[:200]
    with threads(1):
        runs = {"ours": lambda: private.query(Y), "scipy": lambda: scipy(few.T)}
        runs |= {name: (lambda tree=tree: tree.score_samples(few)) for name, tree in trees.items()}
        times = race(runs, rounds=3)
    facts = {"n": len(X), "d": 2, "threads": 1}
    ours = [t / len(Y) for t in times.pop("ours")]
    rows.append(row("KernelDensity: time per query", median(ours) * 1e9, "ns", q=len(Y), **facts))
    for name, seconds in times.items():
        each = [t / len(few) for t in seconds]
        rows.append(row(f"{name}: time per query", median(each) * 1e9, "ns", q=len(few), **facts))
        rows.append(at_least(f"{name} / KernelDensity, per query", ratio(each, ours), 100, **facts))
    return rows


@numba.njit(nogil=True)
def _gather(index, cos, sin, out):
    """A bare table pass: two gathers and two additions per projection."""
    for i in range(index.shape[0]):
        for j in range(index.shape[1]):
            k = np.uint64(index[i, j])
            out[0, j] += cos[k]
            out[1, j] += sin[k]


@numba.njit(nogil=True)
def _weighted(index, cos, sin, a, out):
    for i in range(index.shape[0]):
        total = 0.0
        for j in range(index.shape[1]):
            k = np.uint64(index[i, j])
            total += a[j, 0] * cos[k] + a[j, 1] * sin[k]
        out[i] = total


def features():
    """Build and query of random features against a float64 product of the same size and one bare table pass."""
    return _features(8) + _features(64)


def _features(d, n=20_000, J=2048):
    rng = np.random.default_rng(d)
    X = rng.random((n, d))
    blueprint = dps.KernelDensity(bandwidth=0.5, bounds=dps.Box(0, 1, dim=d), method="features", n_features=2 * J)
    private = release(blueprint, X)
    W, index = rng.normal(size=(d, J)), rng.integers(0, 4096, (64, J))
    cos, sin = rng.integers(0, 99, 4096), rng.integers(0, 99, 4096)
    buffer, sums, out = np.empty((64, J)), np.zeros((2, J), np.int64), np.empty(64)
    wave, a = rng.normal(size=(2, 4096)), rng.normal(size=(J, 2))

    def floor(table):
        for start in range(0, n, 64):
            np.matmul(X[start : start + 64], W, out=buffer[: len(X[start : start + 64])])
            table()

    with threads(1):
        runs = {
            "build": lambda: blueprint.summarize(X),
            "build floor": lambda: floor(lambda: _gather(index, cos, sin, sums)),
            "query": lambda: private.query(X),
            "query floor": lambda: floor(lambda: _weighted(index, wave[0], wave[1], a, out)),
        }
        times = race(runs, rounds=5)
    facts, rows = {"n": n, "d": d, "m": 2 * J, "threads": 1}, []
    for what in ("build", "query"):
        over = ratio(times[what], times[f"{what} floor"])
        rows.append(row(f"{what}: time per row", median(times[what]) / n * 1e6, "us", **facts))
        rows.append(at_most(f"{what} / (product + table)", over, 1.5, **facts))
    return rows


def build():
    """Time per record of `summarize` as n and m grow, block by block; a ratio of 1 is linear."""
    Y = np.random.default_rng(0).random((200, 8))
    few, law = {"method": "features", "n_features": 512}, {"location": 0.5, "scale": 0.2}
    return [
        *_build("fourier, d=1", 1, 10_000_000, bandwidth=0.05),
        *_build("fourier, d=2", 2, 10_000_000, bandwidth=0.05),
        *_build("features, m=512", 8, 1_000_000, bandwidth=0.5, **few),
        *_build("features, m=4096", 8, 100_000, bandwidth=0.5, method="features"),
        *_build("mercer, m=4096", 8, 100_000, bandwidth=0.5, method="mercer", **law),
        *_build("batch, 200 queries", 8, 1_000_000, bandwidth=0.5, queries=Y),
    ]


def _build(name, d, n, **options):
    blueprint = dps.KernelDensity(bounds=dps.Box(0, 1, dim=d), **options)
    X = np.random.default_rng(1).random((n, d))
    with threads(1):
        runs = {"all": lambda: blueprint.summarize(X), "tenth": lambda: blueprint.summarize(X[: n // 10])}
        times = race(runs, rounds=3)
    facts = {"n": n, "d": d, "threads": 1}
    growth = ratio(times["all"], times["tenth"]) / 10
    return [
        row(f"{name}: time per record", median(times["all"]) / n * 1e6, "us", **facts),
        at_most(f"{name}: n rows over 10 times n/10 rows", growth, 1.3, **facts),
    ]


def fft():
    """Speed and accuracy on a grid of the plane against KDEpy's FFTKDE, which is exact up to its binning."""
    if importlib.util.find_spec("KDEpy") is None:
        return []
    from KDEpy import FFTKDE

    X, _ = clusters(100_000, 2, 5)
    h, side = 0.05, 256
    axis = np.linspace(-0.3, 1.3, side)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = ((grid >= 0) & (grid <= 1)).all(axis=1)
    blueprint = dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 1, dim=2))
    private = release(blueprint, X)
    few = np.flatnonzero(inside)[::97]
    exact = kernel_sums("gaussian", X, grid[few], h) / len(X) / (2 * np.pi * h * h)
    estimate = FFTKDE(kernel="gaussian", bw=h).fit(X).evaluate(grid)
    with threads(1):
        runs = {
            "fft": lambda: FFTKDE(kernel="gaussian", bw=h).fit(X).evaluate(grid),
            "ours": lambda: blueprint.summarize(X),
            "query": lambda: private.query(grid[inside]),
        }
        times = race(runs, rounds=5)
    facts = {"n": len(X), "d": 2, "h": h, "grid": side * side}
    whole = [a + b for a, b in zip(times["ours"], times["query"], strict=True)]
    return [
        row("FFTKDE: build and grid", median(times["fft"]) * 1e3, "ms", **facts),
        row("KernelDensity: build and grid", median(whole) * 1e3, "ms", **facts),
        row("KernelDensity / FFTKDE, build and grid", ratio(whole, times["fft"]), "x", **facts),
        row("KernelDensity / FFTKDE, the grid of a release", ratio(times["query"], times["fft"]), "x", **facts),
        row("FFTKDE: RMSE of the density", rms(estimate[few] - exact), "", **facts),
        row("KernelDensity: RMSE of the density", rms(private.density(grid[few]) - exact), "", **facts),
        row("root mean square of the density", rms(exact), "", **facts),
    ]


if __name__ == "__main__":
    sections = {"noise": noise, "open": open_, "weights": weights, "digits": digits, "plane": plane, "query": query}
    main("kernel_density", {**sections, "features": features, "build": build, "fft": fft})
