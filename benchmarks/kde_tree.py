"""KDETree against its rivals: error, real data, query speed and build.

    python benchmarks/kde_tree.py [--only error,metrics,digits,query,build]

The rivals are the trees of arXiv 2403.08917 (`BackursTree`) and 2409.01688 (`RefinedTree`), compiled and laid out as
well as ours. Error ratios are theirs over ours. Results go to ``benchmarks/results/kde_tree.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numba
import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row, threads

import dpstruct as dps
from dpstruct.kernels import blocks
from dpstruct.reference import BackursTree, RefinedTree

DELTA = 1e-6


def release(tree, X, *, epsilon=1.0, delta=DELTA, neighbors="add-remove", summary=None):
    """Release `X` (or its `summary`) from a fresh budget, all of it spent."""
    budget = dps.Budget(epsilon=epsilon, delta=delta, neighbors=neighbors)
    return budget.release(tree.summarize(X) if summary is None else summary, share=1)


def box(low, high, d):
    return dps.Box(low=[float(low)] * d, high=[float(high)] * d)


# ---- error -----------------------------------------------------------------------------------------------------------


def error(releases=5000, depth=4, R=2.0):
    """Standard deviation of answers at knots over fresh releases, in units of d R / mu: 1 is the single-query bound."""
    rows, mu = [], dps.GDP.from_approx_dp(1.0, DELTA).mu
    rng = np.random.default_rng(1)
    for d in (1, 8, 64):
        X = rng.uniform(0, R, (40, d))
        knots = rng.integers(0, 2**depth + 1, (4, d)) / 2**depth * R
        Y = np.concatenate([np.zeros((1, d)), np.full((1, d), R), np.full((1, d), R / 2), knots])
        exact = np.array([np.abs(X - y).sum() for y in Y])
        tree = dps.KDETree(bounds=box(0, R, d), metric="l1", depth=depth)
        for neighbors in ("add-remove", "substitute"):
            summary = tree.summarize(X)
            draws = [release(tree, X, neighbors=neighbors, summary=summary).query(Y) for _ in range(releases)]
            errors = np.array(draws) - exact
            unit = d * R / mu
            facts = {"d": d, "neighbors": neighbors, "epsilon": 1.0, "delta": DELTA, "releases": releases}
            for what, values in zip(("low corner", "high corner", "centre"), errors.T):
                rows.append(_near_one(f"std * mu / (d R), {what}", values.std() / unit, **facts))
            rows.append(_near_one("std * mu / (d R), rms of 4 random knots", errors[:, 3:].std() / unit, **facts))
            rows.append(row("mean error / its standard error, largest |.|", _z(errors), "sd", **facts))
    return rows


def _z(errors):
    return np.abs(errors.mean(axis=0) / (errors.std(axis=0) / np.sqrt(len(errors)))).max()


def _near_one(what, value, **facts):
    return row(what, value, "", target="1.00 +- 0.03", met=bool(abs(value - 1) <= 0.03), **facts)


# ---- the other metrics -----------------------------------------------------------------------------------------------


def metrics(releases=3000):
    """Worst standard error over that of a single Gaussian answer to the worst query, and measured over predicted error.

    One answer at the worst y moves by at most the largest distance that one record can have from it.
    """
    rows, mu = [], dps.GDP.from_approx_dp(1.0, DELTA).mu
    cases = [
        ("sqeuclidean", None, box(0, 2, 8), 8 * 4.0, 1.001),
        ("lp", 4, box(0, 2, 8), 8 * 16.0, 1.001),
        ("lp", 0.5, box(0, 2, 8), 8 * 2**0.5, 1.2),
        ("lp", 1.5, box(0, 2, 8), 8 * 2**1.5, 1.32),
        ("lp", 1.75, box(0, 2, 8), 8 * 2**1.75, 1.2),
        *(
            ("l2", None, dps.Ball(1.0, dim=d), 2.0, limit)
            for d, limit in ((2, 1.58), (3, 2.01), (4, 2.37), (8, 2.51), (64, 2.51))
        ),
    ]
    for metric, p, bounds, alone, limit in cases:
        tree = dps.KDETree(bounds=bounds, metric=metric, p=p)
        for neighbors in ("add-remove", "substitute"):
            plan = tree.plan(epsilon=1.0, delta=DELTA, neighbors=neighbors)
            facts = {"metric": metric, "p": p, "d": tree.dim, "neighbors": neighbors, "epsilon": 1.0, "delta": DELTA}
            target = limit if neighbors == "add-remove" else None
            value = plan.error * mu / alone
            what = "worst std / std of a single Gaussian answer"
            rows.append(row(what, value, "x", **facts) if target is None else at_most(what, value, target, **facts))
            rows.append(_near_one("std of an answer / error()", _measured(tree, neighbors, releases), **facts))
    return rows


def _measured(tree, neighbors, releases):
    """Root mean square over queries and releases of no records of noise over `error`; 5 queries at once."""
    rng = np.random.default_rng(2)
    if isinstance(tree.bounds, dps.Ball):
        Y = rng.standard_normal((5, tree.dim))
        Y /= np.linalg.norm(Y, axis=1, keepdims=True)
    else:
        Y = rng.uniform(tree.bounds.low, tree.bounds.high, (5, tree.dim))
    if tree.depth is not None:  # noise does not depend on the depth: a small tree gives the same answers faster
        tree = dps.KDETree(bounds=tree.bounds, metric=tree.metric, p=tree.p, depth=4, directions=tree.directions)
    summary = tree.summarize(np.empty((0, tree.dim)))
    draws = [release(tree, None, neighbors=neighbors, summary=summary) for _ in range(releases)]
    return _rms(np.array([private.query(Y) for private in draws]) / draws[0].error(Y))


# ---- real data -------------------------------------------------------------------------------------------------------

ALPHAS, DEPTHS = (0.05, 0.1, 0.2, 0.5, 1.0), tuple(range(3, 12))


class Silent:
    """A generator whose noise is zero, to find the bias of a baseline."""

    def normal(self, loc, scale, size):
        return np.zeros(size)

    laplace = normal


def digits(draws=200):
    """Root mean square error of distance sums from 200 digits to the 1,597 others, against both trees.

    A rival's is exact: its bias, from a run without noise, and the formula of its noise. Ours is measured, and
    predicted by `error`, which is what the ratios use (the pixels lie on knots: no bias).
    """
    from sklearn.datasets import load_digits

    data = load_digits().data
    X, Y = data[:-200], data[-200:]
    n, d = X.shape
    exact = np.array([np.abs(X - y).sum() for y in Y])
    facts = {"n": n, "d": d, "epsilon": 1.0}
    tree, ours, rows = dps.KDETree(bounds=box(0, 16, d), metric="l1"), {}, []
    summary = tree.summarize(X)
    for delta in (DELTA, 0.0):
        releases = [release(tree, X, delta=delta, summary=summary) for _ in range(draws)]
        ours[delta] = _rms(releases[0].error(Y))
        measured = _rms(np.array([private.query(Y) for private in releases]) - exact)
        rows.append(row("KDETree: RMSE of the mean distance, predicted", ours[delta] / n, "grey", delta=delta, **facts))
        rows.append(row("KDETree: the same, measured", measured / n, "grey", delta=delta, draws=draws, **facts))
    rows.append(row("the mean distance itself", exact.mean() / n, "grey", **facts))
    mu = dps.GDP.from_approx_dp(1.0, DELTA).mu

    def compare(what, cost, mine, backurs_target, refined_target):
        def score(kind, depth, **options):
            rival = kind(([0.0] * d, [16.0] * d), depth=depth, neighbors="add-remove", **cost, **options)
            bias = rival.fit(X, Silent()).query(Y) - exact
            return np.hypot(_rms(bias), _rms(rival.error(Y))) / mine

        backurs = {(k, a): score(BackursTree, k, alpha=a) for k in DEPTHS for a in ALPHAS}
        refined = {(k, o): score(RefinedTree, k, origin=o) for k in DEPTHS for o in ("low", "center")}
        paper = round(np.log2(n))
        alpha = min(ALPHAS, key=lambda a: backurs[paper, a])
        at = {"rival": "laplace" if "epsilon" in cost else "gaussian", **facts}
        rows.append(
            at_least(f"{what}: Backurs tree", backurs[paper, alpha], backurs_target, depth=paper, alpha=alpha, **at)
        )
        rows.append(at_least(f"{what}: refined tree", refined[paper, "low"], refined_target, depth=paper, **at))
        k, a = min(backurs, key=backurs.get)
        rows.append(row(f"{what}: Backurs tree, tuned on the data", backurs[k, a], "x", depth=k, alpha=a, **at))
        k, o = min(refined, key=refined.get)
        rows.append(row(f"{what}: refined tree, tuned on the data", refined[k, o], "x", depth=k, origin=o, **at))
        centred = refined[paper, "center"]
        rows.append(row(f"{what}: refined tree, sums centred", centred, "x", depth=paper, origin="center", **at))

    compare("as published", {"epsilon": 1.0}, ours[DELTA], 50, 100)
    compare("all Gaussian", {"mu": mu}, ours[DELTA], 10, 15)
    compare("all Laplace", {"epsilon": 1.0}, ours[0.0], 10, 15)
    return rows


def _rms(values):
    return np.sqrt(np.mean(np.square(values)))


# ---- queries ---------------------------------------------------------------------------------------------------------


@numba.njit(nogil=True, fastmath=True)
def scan(X, y):
    """Exact sum of distances from `y` to all rows of `X`, vectorised."""
    total = 0.0
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            total += abs(X[i, j] - y[j])
    return total


def read(Y):
    """Read all of `Y`, with the library's number of threads: ``Y.sum()`` if that is one."""
    return sum(blocks.run(lambda a, b: Y[a:b].sum(), blocks.spans(len(Y), -(-len(Y) // blocks.threads()))))


def query():
    """Nanoseconds per query and ratios at depth 12, one thread and all."""
    rows, rng = [], np.random.default_rng(3)
    for d, q in ((8, 1_048_576), (64, 131_072)):
        Y = rng.random((q, d))
        ours = release(dps.KDETree(bounds=box(0, 1, d), metric="l1", depth=12), rng.random((5000, d)))
        refined = RefinedTree(([0.0] * d, [1.0] * d), depth=12, epsilon=1.0, neighbors="add-remove")
        refined.fit(rng.random((5000, d)), rng)
        for count in (1, None):
            rows += _against_the_walk(ours, refined, Y, count)
        if d == 8:
            rows += _against_a_scan(ours, Y, rng)
    return rows


def _against_the_walk(ours, refined, Y, count):
    with threads(count) as used:
        runs = {"ours": lambda: ours.query(Y), "walk": lambda: refined.query(Y), "read": lambda: read(Y)}
        times = race(runs, rounds=15)
    q, d = Y.shape
    facts = {"d": d, "q": q, "depth": 12, "threads": used}
    return [
        *(row(f"{k}: time per query", median(times[k]) / q * 1e9, "ns", **facts) for k in runs),
        at_least("walking the refined tree / KDETree", ratio(times["walk"], times["ours"]), 8, **facts),
        at_most("KDETree / reading Y once", ratio(times["ours"], times["read"]), 10, **facts),
    ]


def _against_a_scan(ours, Y, rng):
    X = rng.random((1_000_000, 8))
    with threads(1):
        times = race({"scan": lambda: scan(X, Y[0]), "ours": lambda: ours.query(Y)}, rounds=15)
    per_query = [t / len(Y) for t in times["ours"]]
    facts = {"n": len(X), "d": 8, "threads": 1}
    return [
        row("exact scan: time per query", median(times["scan"]) * 1e9, "ns", **facts),
        at_least("exact scan / KDETree, per query", ratio(times["scan"], per_query), 1e4, **facts),
    ]


# ---- build -----------------------------------------------------------------------------------------------------------

ROWS, WIDTH = 10_000_000, 8


def build():
    """Time of `summarize` against one np.clip pass over the same data, and its memory beyond the data."""
    out = subprocess.run([sys.executable, __file__, "--child"], capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def child():
    """Build in a process of its own, so that the peak of its memory is the build's."""
    import resource

    rng = np.random.default_rng(4)
    X = np.empty((ROWS, WIDTH))
    for start, stop in blocks.spans(ROWS, 1 << 17):
        rng.random(out=X[start:stop])
    tree, facts = dps.KDETree(bounds=box(0, 1, WIDTH), metric="l1", depth=12), {"n": ROWS, "d": WIDTH}
    tree.summarize(X[:1000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tree.summarize(X)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    used = {"data_MiB": X.nbytes / 2**20, "threads": blocks.threads()}
    rows = [at_most("memory beyond the data", extra, 200, "MiB", **used, **facts)]
    reused = np.empty_like(X)

    def clip(out):
        blocks.run(lambda a, b: np.clip(X[a:b], 0.1, 0.9, out=out[a:b]), blocks.spans(ROWS, 1 << 15))

    for count in (1, None):
        with threads(count) as used:
            runs = {"summarize": lambda: tree.summarize(X), "clip": lambda: clip(np.empty_like(X))}
            times = race({**runs, "no pages": lambda: clip(reused)}, rounds=5)
        at = {**facts, "threads": used}
        rows.append(row("summarize: time per value", median(times["summarize"]) / X.size * 1e9, "ns", **at))
        rows.append(row("np.clip: time per value", median(times["clip"]) / X.size * 1e9, "ns", **at))
        rows.append(at_most("summarize / np.clip", ratio(times["summarize"], times["clip"]), 4, **at))
        bare = ratio(times["summarize"], times["no pages"])
        rows.append(row("summarize / np.clip into an existing array", bare, "x", **at))
    print(json.dumps(rows))


if __name__ == "__main__":
    if "--child" in sys.argv:
        child()
    else:
        main("kde_tree", {"error": error, "metrics": metrics, "digits": digits, "query": query, "build": build})
