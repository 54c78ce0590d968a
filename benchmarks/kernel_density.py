"""KernelDensity against its rivals: noise, open queries, weights, published private sums, speed, build.

    python benchmarks/kernel_density.py [--only SECTIONS]

Sections: noise, open, weights, digits, plane, query, features, structured, build, fft, finufft.

Errors are root mean squares over queries, in units of the floor ``1/mu``: the standard error of one Gaussian answer.
`LSQRFF` and `LSQFGT` are the private sums of Wagner, Naamad and Mishra (ICML 2023), at the best of several sizes,
chosen on the data, which is more than they could do privately. ``fft`` needs KDEpy on the path, ``finufft`` needs
finufft. Results go to ``benchmarks/results/kernel_density.json``.
"""

from __future__ import annotations

import importlib.util

import _scaling as scaling
import numba
import numpy as np
from _harness import RESULTS, at_least, at_most, main, median, race, ratio, row, threads

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
    """Exact sums, a query at a time."""
    profiles = {"gaussian": lambda r: np.exp(-0.5 * r * r), "cauchy": lambda r: 1 / (1 + r * r)}
    profiles |= {"laplacian": lambda r: np.exp(-r), "exponential": lambda r: np.exp(-r)}
    profiles |= {"inv_l1": lambda r: 1 / (1 + r), "inv_l2": lambda r: 1 / (1 + r)}
    out = []
    for y in Y:
        z = np.abs(X - y) / h
        r = z.sum(axis=1) if name in ("laplacian", "inv_l1") else np.sqrt((z * z).sum(axis=1))
        out.append(profiles[name](r).sum())
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
    cases += [
        (name, d, h, None) for name in ("exponential", "cauchy", "inv_l2") for d, h in ((2, 0.1), (5, 0.3), (8, 0.5))
    ]
    cases += [("exponential", 8, 0.2, None), ("inv_l1", 5, 0.5, None), ("inv_l1", 8, 1.5, None)]
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
        total = rms(totals) * MU
        rows.append(
            at_most("total / floor", total, target, **facts) if target else row("total / floor", total, "x", **facts)
        )
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


def finufft():
    """Answers of a Fourier release through the non-uniform FFT against the direct sums; on the plane and in space."""
    if importlib.util.find_spec("finufft") is None:
        return []
    cases = [(d, h, q) for d, h in ((2, 0.05), (2, 0.02), (3, 0.1), (3, 0.05)) for q in (10**5, 10**6)]
    return [line for case in cases for line in _finufft(*case)]


def _finufft(d, h, q):
    X, _ = clusters(100_000, d, 5)
    private = release(dps.KernelDensity(bandwidth=h, bounds=dps.Box(0, 1, dim=d)), X)
    series, amplitudes = private._method.series, private._method._amplitudes(private.transcript, h)
    Y, found = np.random.default_rng(2).random((q, d)), {}
    runs = {
        "direct": lambda: found.update(direct=series._direct(amplitudes, Y / series.period - 0.5 / 2**16)),
        "finufft": lambda: found.update(finufft=series.evaluate(amplitudes, Y, np.zeros(d))),
    }
    with threads(1):
        times = race(runs, rounds=3 if d == 2 else 1)
    off = np.abs(found["direct"] - found["finufft"]).max() / private.error(Y[:1])[0]
    facts = {"d": d, "h": h, "m": len(amplitudes), "q": q, "threads": 1}
    return [
        row("finufft: time per query", median(times["finufft"]) / q * 1e9, "ns", **facts),
        at_least("direct / finufft", ratio(times["direct"], times["finufft"]), 1, **facts),
        at_most("largest difference / standard error", off, 1e-3, "", **facts),
    ]


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
    """Build and query of features against a float64 product of random ones' size and one bare table pass."""
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

    law = {"method": "mercer", "n_features": 2 * J, "location": 0.5, "scale": 0.2}
    products = dps.KernelDensity(bandwidth=0.35, bounds=dps.Box(0, 1, dim=d), **law)
    with threads(1):
        runs = {
            "build": lambda: blueprint.summarize(X),
            "mercer": lambda: products.summarize(X),
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
    over, what = ratio(times["mercer"], times["build floor"]), "mercer build / (product + table)"
    rows.append(row("mercer build: time per row", median(times["mercer"]) / n * 1e6, "us", **facts))
    rows.append(at_most(what, over, 0.5, **facts) if d == 8 else row(what, over, "x", **facts))
    return rows


def structured(n=4096, m=4096):
    """Structured random features, signs and fast Hadamard transforms, against a matrix: build, query, error."""
    return [line for d in (8, 16, 32, 64, 128, 256, 784) for line in _structured(d, n, m)]


def _structured(d, n, m):
    X = np.random.default_rng(d).random((n, d))
    made, runs, h = {}, {}, 0.25 * np.sqrt(d)
    options = {"bandwidth": h, "bounds": dps.Box(0, 1, dim=d), "method": "features", "n_features": m}
    for name, fast in (("matrix", False), ("structured", True)):
        blueprint = dps.KernelDensity(structured=fast, **options)
        private = made[name] = release(blueprint, X)
        runs[f"build, {name}"] = lambda blueprint=blueprint: blueprint.summarize(X)
        runs[f"query, {name}"] = lambda private=private: private.query(X)
    with threads(1):
        times = race(runs, rounds=7)
    facts, rows = {"n": n, "d": d, "m": m, "threads": 1}, []
    z = rf._differences(_Draws(), np.ones(d), h, 2000)
    exact = np.exp(-0.5 * (z**2).sum(axis=1) / h**2)
    for name, private in made.items():
        waves = np.cos(2 * np.pi * z @ private.structure._method.projection.turns)
        rows.append(row(f"feature error, equal weights, {name}", rms(waves.mean(axis=1) - exact), "", **facts))
        rows.append(row(f"feature error, quadrature weights, {name}", private.fit_error, "", **facts))
    for what in ("build", "query"):
        matrix, fast = times[f"{what}, matrix"], times[f"{what}, structured"]
        rows.append(row(f"{what}: time per row, matrix", median(matrix) / n * 1e6, "us", **facts))
        rows.append(row(f"{what}: time per row, structured", median(fast) / n * 1e6, "us", **facts))
        speed, name = ratio(matrix, fast), f"{what}: matrix / structured"
        rows.append(at_least(name, speed, 1, **facts) if d >= 32 else row(name, speed, "x", **facts))
    return rows


def build():
    """Time and memory of summaries added block by block, up to ten million records; a plot for the documentation."""
    rows, times, memory, sizes = [], {}, {}, [10**4, 10**5, 10**6, 10**7]
    for case, (d, _) in scaling.CASES.items():
        base = scaling.measure(case, scaling.START)[1]
        seconds, peaks = zip(*[scaling.measure(case, n) for n in sizes], strict=True)
        above = [(peak - base) / 2**20 for peak in peaks]
        times[case], memory[case] = (sizes, seconds), (sizes, above)
        facts, power = {"d": d, "block": scaling.BLOCK, "threads": 1}, scaling.exponent(sizes, seconds)
        for n, t in zip(sizes, seconds, strict=True):
            rows.append(row(f"{case}: time per record", t / n * 1e6, "us", n=n, **facts))
        rows.append(at_most(f"{case}: time grows like n to the power", power, 1.1, "", n=n, **facts))
        rows.append(row(f"{case}: peak memory above the start", above[-1], "MB", n=n, **facts))
        rows.append(at_most(f"{case}: of it since n = 10**6", above[-1] - above[-2], 8, "MB", n=n, **facts))
    features = {}
    for case in ("features, m=4096", "mercer, m=4096"):
        more, features[case.split(",")[0]] = _more_features(case)
        rows += more
    scaling.draw(RESULTS.parents[1] / "docs" / "_static" / "kernel_density_scaling.svg", times, memory, features)
    return rows


def _more_features(case, n=20_000):
    name, sizes, facts = case.split(",")[0], [2**k for k in range(8, 14)], {"n": n, "d": 8, "threads": 1}
    seconds, peaks = zip(*[scaling.measure(case, n, m) for m in sizes], strict=True)
    each, power = [t / n * 1e6 for t in seconds], scaling.exponent(sizes, seconds)
    rows = [row(f"{name}: time per record", t, "us", m=m, **facts) for m, t in zip(sizes, each, strict=True)]
    rows.append(at_most(f"{name}: time grows like m to the power", power, 1.1, "", m=sizes[-1], **facts))
    grown = (peaks[-1] - peaks[0]) / 2**20
    return [*rows, row(f"{name}: peak memory, m = 8192 over m = 256", grown, "MB", **facts)], (sizes, each)


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
    main(
        "kernel_density",
        {**sections, "features": features, "structured": structured, "build": build, "fft": fft, "finufft": finufft},
    )
