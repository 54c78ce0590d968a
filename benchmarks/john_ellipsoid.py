"""JohnEllipsoid against the best non-private ellipsoid, exact and noisy covariances: size, coverage, outliers, time.

    python benchmarks/john_ellipsoid.py [--only quality,rule,coverage,real,outliers,build]

Radii are those of the ball of equal volume; a radius ratio r is a volume ratio of r**d. "At equal coverage" scales
every ellipsoid to hold exactly the wanted fraction, so that shapes are compared; "as released" has its own private
size. The best non-private ellipsoid is the smallest exact capped one over several caps. ``AnalyzeGauss`` is the noisy
covariance at the same price. Real images: ``apt-get install dataset-fashion-mnist``, and the digits of scikit-learn.
Results go to ``benchmarks/results/john_ellipsoid.json``.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row, threads

import dpstruct as dps
from dpstruct import ellipsoid
from dpstruct.reference import AnalyzeGauss, WhitenedSecondMoment

DELTA = 1e-6
COVERAGE = 0.95
FASHION = Path("/usr/share/datasets/fashion-mnist")


# ---- data, rows in the unit ball -------------------------------------------------------------------------------------


def mix(n, d, rng):
    """85 % long in the first half of the coordinates, the rest in the second."""
    X, most = rng.standard_normal((n, d)), rng.random(n) < 0.85
    X[most, d // 2 :] *= 0.05
    X[~most, : d // 2] *= 0.05
    return placed(X)


def gauss(n, d, rng):
    """Normal with standard deviations from 1 to 0.1."""
    X = rng.standard_normal((n, d)) * np.geomspace(1, 0.1, d)
    return placed(X @ np.linalg.qr(rng.standard_normal((d, d)))[0].T)


def student(n, d, rng):
    """Heavy tails: three degrees of freedom."""
    return placed(rng.standard_normal((n, d)) / np.sqrt(rng.chisquare(3, (n, 1)) / 3) * np.geomspace(1, 0.2, d))


def placed(X):
    """Scale to 0.6 of the unit ball, off its middle; the scale counts as public knowledge."""
    X = X / np.quantile(np.linalg.norm(X, axis=1), 0.99)
    X = 0.6 * X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1) + 0.3 / math.sqrt(X.shape[1])
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1)


def images(kind):
    """Return Fashion-MNIST, averaged over 7 x 7 squares, in 0..1, and the labels."""
    size = {"train": 60_000, "t10k": 10_000}[kind]
    with gzip.open(FASHION / f"{kind}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(size, 4, 7, 4, 7)
    with gzip.open(FASHION / f"{kind}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return pixels.mean(axis=(2, 4)).reshape(size, 16) / 255, labels


# ---- sizes -----------------------------------------------------------------------------------------------------------


def release(X, *, bounds=None, epsilon=1.0, neighbors="add-remove", **options):
    blueprint = dps.JohnEllipsoid(
        bounds or dps.Ball(1.0, dim=X.shape[1]), **{"expected_rows": len(X), "coverage": COVERAGE, **options}
    )
    return dps.Budget(epsilon, DELTA, neighbors=neighbors).release(blueprint.summarize(X), share=1)


def radius(shape):
    """Return the radius of the ball of equal volume."""
    d = len(shape.center)
    return math.exp((shape.log_volume - d / 2 * math.log(math.pi) + math.lgamma(d / 2 + 1)) / d)


def scaled(shape, X, coverage=COVERAGE):
    """Return the radius of the shape that holds exactly this fraction of the rows."""
    return radius(shape) * math.sqrt(np.quantile(shape.score(X), coverage, method="higher"))


def best(X, caps=(0.5, 0.35, 0.25, 0.15, 0.1, 0.05)):
    """Return the radius of the smallest non-private ellipsoid, and that of the exact covariance."""
    found = {nu: ellipsoid.capped(X, nu=nu, coverage=COVERAGE, tol=1e-3).radius for nu in (1.0, *caps)}
    return min(found.values()), found[1.0]


def noisy(kind, X, epsilon, rng):
    """Return a baseline's ellipsoid at the same price."""
    mu = dps.GDP.from_approx_dp(epsilon, DELTA).mu
    return kind(mu=mu, neighbors="add-remove", coverage=COVERAGE).fit(X, rng).region


def quality(seeds=7):
    """Radii over that of the best non-private ellipsoid; medians over noise."""
    rows, rng = [], np.random.default_rng(5)
    cases = [(mix, 5, 10_000, 1.03, 1.1), (mix, 20, 100_000, 1.03, 1.25), (mix, 50, 100_000, 1.06, 1.33)]
    for data, d, n, target, rival in [*cases, (gauss, 5, 10_000, 1.03, None), (student, 20, 100_000, 1.03, None)]:
        X = data(n, d, np.random.default_rng(1))
        smallest, covariance = best(X)
        made = [release(X) for _ in range(seeds)]
        facts = {"data": data.__name__, "d": d, "n": n, "epsilon": 1.0, "nu": made[0].nu}
        equal = [scaled(m, X) / smallest for m in made]
        rows.append(at_most("JohnEllipsoid, at equal coverage", np.median(equal), target, worst=max(equal), **facts))
        rows.append(row("JohnEllipsoid, as released", np.median([radius(m) for m in made]) / smallest, "x", **facts))
        gauss_radius = np.median([scaled(noisy(AnalyzeGauss, X, 1.0, rng), X) for _ in range(seeds)]) / smallest
        what = "noisy covariance (AnalyzeGauss), at equal coverage"
        rows.append(
            row(what, gauss_radius, "x", **facts) if rival is None else at_least(what, gauss_radius, rival, **facts)
        )
        whitened = np.median([scaled(noisy(WhitenedSecondMoment, X, 1.0, rng), X) for _ in range(seeds)]) / smallest
        rows.append(row("whitened noisy covariance, at equal coverage", whitened, "x", **facts))
        rows.append(row("exact covariance, at equal coverage", covariance / smallest, "x", **facts))
    return rows


def rule(seeds=9):
    """The ellipsoid that the public rule chooses over the noisy covariance, at equal coverage."""
    rows, rng = [], np.random.default_rng(6)
    for d, sizes in ((5, (1000, 2300, 5000, 20_000)), (20, (5000, 15_000, 50_000))):
        for n in sizes:
            for data in (mix, gauss, student):
                X = data(n, d, np.random.default_rng(1))
                made = [release(X) for _ in range(seeds)]
                theirs = np.median([scaled(noisy(AnalyzeGauss, X, 1.0, rng), X) for _ in range(seeds)])
                found = np.median([scaled(m, X) for m in made]) / theirs
                facts = {"data": data.__name__, "d": d, "n": n, "method": made[0].method, "eta": made[0].eta}
                rows.append(at_most("JohnEllipsoid / AnalyzeGauss", found, 1.03, **facts))
    return rows


# ---- coverage --------------------------------------------------------------------------------------------------------


def coverage(seeds=200):
    """Fraction of the rows inside: how far off, and how often a conservative size holds too few."""
    rows = []
    for data, d, n in ((gauss, 5, 10_000), (mix, 5, 10_000)):
        X = data(n, d, np.random.default_rng(1))
        for neighbors in ("add-remove", "substitute"):
            made = [release(X, neighbors=neighbors) for _ in range(seeds)]
            off = np.array([m.contains(X).mean() - COVERAGE for m in made])
            facts = {"data": data.__name__, "d": d, "n": n, "neighbors": neighbors, "seeds": seeds}
            rows.append(at_most("|coverage - 0.95|, 95th percentile", np.quantile(abs(off), 0.95), 0.01, "", **facts))
            rows.append(
                row("rms of it / coverage_error", np.sqrt((off**2).mean()) / made[0].coverage_error, "", **facts)
            )
            safe = [release(X, neighbors=neighbors, quantile="conservative") for _ in range(seeds)]
            inside = np.array([m.contains(X).mean() for m in safe])
            rows.append(
                at_most("conservative: covers too little", (inside < COVERAGE).mean(), 0.05, "of seeds", **facts)
            )
            rows.append(row("conservative: mean coverage", inside.mean(), "", **facts))
    return rows


# ---- real data -------------------------------------------------------------------------------------------------------


def real(seeds=5):
    """Radii on images: Fashion-MNIST in 4 x 4 means, and all 4 x 4 patches of the digits, with their ink."""
    from sklearn.datasets import load_digits

    digits = load_digits().images / 16
    patches = np.lib.stride_tricks.sliding_window_view(digits, (4, 4), axis=(1, 2)).reshape(-1, 16)
    rows, rng = [], np.random.default_rng(7)
    for name, X in (("fashion", images("train")[0]), ("digit patches", np.ascontiguousarray(patches))):
        smallest, covariance = best(X)
        unit = (X - 0.5) * 2 / math.sqrt(X.shape[1])  # what AnalyzeGauss takes: rows of the unit ball
        back = math.sqrt(X.shape[1]) / 2
        for epsilon in (0.5, 1.0, 3.0):
            made = [release(X, bounds=dps.Box(0, 1, dim=16), epsilon=epsilon) for _ in range(seeds)]
            facts = {"data": name, "n": len(X), "d": 16, "epsilon": epsilon, "method": made[0].method, "nu": made[0].nu}
            ours = np.median([scaled(m, X) for m in made]) / smallest
            rows.append(row("JohnEllipsoid, at equal coverage", ours, "x", **facts))
            theirs = np.median([scaled(noisy(AnalyzeGauss, unit, epsilon, rng), unit) for _ in range(seeds)])
            rows.append(at_most("JohnEllipsoid / AnalyzeGauss", ours * smallest / (theirs * back), 1.03, **facts))
            off = np.median([abs(m.contains(X).mean() - COVERAGE) for m in made])
            rows.append(at_most("|coverage - 0.95|", off, 0.01, "", **facts))
        rows.append(row("exact covariance, at equal coverage", covariance / smallest, "x", data=name, n=len(X), d=16))
    return rows


def outliers(seeds=5):
    """Area under the ROC curve: shoes (three classes) against all other Fashion-MNIST images, scored by radius."""
    from sklearn.covariance import EllipticEnvelope, EmpiricalCovariance
    from sklearn.metrics import roc_auc_score

    X, labels = images("train")
    Y, kinds = images("t10k")
    X, shoe, rows, rng = X[np.isin(labels, (5, 7, 9))], np.isin(kinds, (5, 7, 9)), [], np.random.default_rng(8)
    facts = {"n": len(X), "d": 16}
    exact = roc_auc_score(~shoe, EmpiricalCovariance().fit(X).mahalanobis(Y))
    rows.append(row("exact covariance", exact, "AUC", **facts))
    robust = EllipticEnvelope(contamination=0.05, random_state=0).fit(X)
    rows.append(
        row(
            "scikit-learn EllipticEnvelope (robust, not private)",
            roc_auc_score(~shoe, robust.mahalanobis(Y)),
            "AUC",
            **facts,
        )
    )
    unit, other = ((Z - 0.5) / 2 for Z in (X, Y))
    for epsilon in (0.3, 1.0, 3.0):
        made = [release(X, bounds=dps.Box(0, 1, dim=16), epsilon=epsilon) for _ in range(seeds)]
        ours = np.median([roc_auc_score(~shoe, m.score(Y)) for m in made])
        theirs = np.median(
            [roc_auc_score(~shoe, noisy(AnalyzeGauss, unit, epsilon, rng).score(other)) for _ in range(seeds)]
        )
        rows.append(
            at_least("JohnEllipsoid", ours, exact - 0.02, "AUC", epsilon=epsilon, method=made[0].method, **facts)
        )
        rows.append(row("AnalyzeGauss", theirs, "AUC", epsilon=epsilon, **facts))
        flagged = [(m.query(Y[shoe]) > 1).mean() for m in made]
        rows.append(row("unseen shoes flagged (wanted 0.05)", np.median(flagged), "", epsilon=epsilon, **facts))
    return rows


# ---- time ------------------------------------------------------------------------------------------------------------


def build():
    """A private build, summarise and release, over as many Gram passes as it makes: 3 + 8 + 1 products of X^T X."""
    rows = []
    for d, limit in ((20, 6.0), (50, 3.0)):
        X = mix(100_000, d, np.random.default_rng(1))
        blueprint = dps.JohnEllipsoid(dps.Ball(1.0, dim=d), expected_rows=len(X))
        summary = blueprint.summarize(X)
        runs = {
            "build": lambda X=X: release(X),
            "release": lambda s=summary: dps.Budget(1.0, DELTA, neighbors="add-remove").release(s, share=1),
            "gram": lambda X=X: [X.T @ X for _ in range(12)],
        }
        with threads(1):
            times = race(runs, rounds=7)
        facts = {"n": len(X), "d": d, "threads": 1}
        rows.append(row("12 Gram passes", median(times["gram"]), "s", **facts))
        rows.append(row("summarize and release", median(times["build"]), "s", **facts))
        rows.append(
            at_most("summarize and release / 12 Gram passes", ratio(times["build"], times["gram"]), limit, **facts)
        )
        rows.append(row("release / 12 Gram passes", ratio(times["release"], times["gram"]), "x", **facts))
    return rows


if __name__ == "__main__":
    main(
        "john_ellipsoid",
        {
            "quality": quality,
            "rule": rule,
            "coverage": coverage,
            "real": real,
            "outliers": outliers,
            "build": build,
        },
    )
