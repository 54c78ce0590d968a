"""The exact ellipsoid solver (not private) against leverage passes, Khachiyan's algorithm, CCLY and cvxpy + Clarabel.

    pip install cvxpy clarabel
    python benchmarks/ellipsoid_solver.py [--only passes,khachiyan,cvxpy,capped]

Rivals run on the same rows in the same run; a ratio is their time over ours. ``excess`` is the certificate over all
rows (largest leverage over d, minus 1), ``above`` the log volume above the best known. Results go to
``benchmarks/results/ellipsoid_solver.json``.
"""

from __future__ import annotations

import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row

from dpstruct import ellipsoid
from dpstruct.ellipsoid import _design
from dpstruct.reference import CCLY, Khachiyan


def sample(kind, n, d, seed=7):
    """Rows of several kinds; on the sphere all are nearly extreme."""
    rng = np.random.default_rng(seed)
    if kind == "cube":
        return rng.uniform(-1, 1, (n, d))
    if kind == "t3":
        return rng.standard_t(3, (n, d))
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1)[:, None] if kind == "sphere" else X


# ---- passes ----------------------------------------------------------------------------------------------------------


def one_pass(X):
    """Moment of weighted rows and all leverages under it, with the solver's own blocked functions."""
    p = np.full(len(X), 1 / len(X))
    return lambda: _design.scores(X, _design.gram(X, p))


def passes():
    """Time of a whole solve in units of one full leverage pass over the same rows."""
    rows = []
    for kind in ("normal", "cube", "t3", "sphere"):
        X = sample(kind, 100_000, 20)
        for center in (False, True):
            for tol in (1e-4, 1e-6):
                found = ellipsoid.mvee(X, center=center, tol=tol)
                runs = {"solve": lambda: ellipsoid.mvee(X, center=center, tol=tol), "pass": one_pass(X)}  # noqa: B023
                times = race(runs, rounds=7)
                facts = {"rows": kind, "n": 100_000, "d": 20, "tol": tol, "center": center, "excess": found.excess}
                facts |= {"ms": median(times["solve"]) * 1e3, "newton": found.iterations, "passes": found.passes}
                value = ratio(times["solve"], times["pass"])
                make = (lambda *a, **k: at_most(*a[:2], 15, *a[2:], **k)) if tol == 1e-4 else row
                rows.append(make("solve / full leverage pass", value, "x", **facts))
    return rows


# ---- Khachiyan -------------------------------------------------------------------------------------------------------


def khachiyan():
    """Khachiyan's algorithm and CCLY to the same certificate, with a limit on their steps."""
    rows = []
    for n, d in ((1000, 5), (1000, 10), (10_000, 10)):
        X = sample("normal", n, d)
        best = ellipsoid.mvee(X, tol=1e-10).log_volume
        for xi in (1e-2, 1e-3, 1e-4, 1e-6):
            rivals = {"Khachiyan with away steps": Khachiyan(tol=xi, away=True)}
            if xi >= 1e-3:
                rivals["Khachiyan"] = Khachiyan(tol=xi, max_steps=200_000)
            if xi >= 1e-2:
                rivals["CCLY"] = CCLY(xi=xi)
            runs = {"ours": lambda: ellipsoid.mvee(X, tol=xi)}  # noqa: B023
            runs |= {name: (lambda rival=rival: rival.fit(X)) for name, rival in rivals.items()}  # noqa: B023
            times = race(runs, rounds=3)
            found = ellipsoid.mvee(X, tol=xi)
            facts = {"n": n, "d": d, "xi": xi, "our_excess": found.excess, "our_above": found.log_volume - best}
            facts["our_ms"] = median(times["ours"]) * 1e3
            for name, rival in rivals.items():
                theirs = {"their_excess": rival.excess, "their_above": rival.ellipsoid().log_volume - best}
                theirs["their_ms"] = median(times[name]) * 1e3
                rows.append(at_least(f"{name} / ours", ratio(times[name], times["ours"]), 4, **facts, **theirs))
    return rows


# ---- cvxpy -----------------------------------------------------------------------------------------------------------


def program(A, nu=None):
    """``minimise -log det H`` with all leverages (or the mean of the largest nu n) at most d."""
    import cvxpy as cp

    n, d = A.shape
    H = cp.Variable((d, d), symmetric=True)
    h = cp.sum(cp.multiply(A @ H, A), axis=1)
    limit = [h <= d] if nu is None else [cp.sum_largest(h, round(nu * n)) / round(nu * n) <= d]
    return cp.Problem(cp.Maximize(cp.log_det(H)), limit), H


def clarabel(problem, xi):
    """Solve to a gap of `xi`."""
    problem.solve(solver="CLARABEL", tol_gap_abs=xi, tol_gap_rel=xi)


def certificate(A, H):
    """Twice the log volume of the multiple of H's ellipsoid that holds all rows, up to a constant: an upper bound."""
    h = np.einsum("ij,jk,ik->i", A, H, A)
    return len(H) * np.log(h.max() / len(H)) - np.linalg.slogdet(H)[1]


def cvxpy():
    """The whole call of cvxpy on new data, and the time that Clarabel itself reports, to the same accuracy."""
    rows = []
    for n, d in ((200, 3), (1000, 3), (1000, 10)):
        A = sample("normal", n, d)
        best = ellipsoid.mvee(A, center=False, tol=1e-10)
        for xi in (1e-2, 1e-4, 1e-6):
            inner, shapes = [], []

            def theirs():
                problem, H = program(A)  # noqa: B023
                clarabel(problem, xi)  # noqa: B023
                inner.append(problem.solver_stats.solve_time)  # noqa: B023
                shapes.append(H.value)  # noqa: B023

            ours = lambda: ellipsoid.mvee(A, center=False, tol=xi)  # noqa: B023, E731
            times = race({"ours": ours, "cvxpy": theirs}, rounds=5)
            found = ellipsoid.mvee(A, center=False, tol=xi)
            facts = {"n": n, "d": d, "xi": xi, "our_ms": median(times["ours"]) * 1e3, "our_excess": found.excess}
            facts |= {"our_above": found.log_volume - best.log_volume, "their_ms": median(times["cvxpy"]) * 1e3}
            facts["their_above"] = (certificate(A, shapes[-1]) - best.log_det) / 2
            rows.append(at_least("cvxpy + Clarabel / ours", ratio(times["cvxpy"], times["ours"]), 4, **facts))
            rows.append(row("Clarabel alone / ours", ratio(inner[1:], times["ours"]), "x", **facts))
    return rows


# ---- capped ----------------------------------------------------------------------------------------------------------


def capped():
    """Capped designs: cvxpy on small data, the monotone multiplicative step on large."""
    rows = []
    for n, d, nu in ((300, 3, 0.1), (1000, 5, 0.1)):
        A = sample("normal", n, d)
        found = ellipsoid.capped(A, nu=nu, center=False, tol=1e-6)
        values = []

        def theirs():
            problem, _ = program(A, nu)  # noqa: B023
            clarabel(problem, 1e-6)
            values.append(problem.value)  # noqa: B023

        runs = {"ours": lambda: ellipsoid.capped(A, nu=nu, center=False, tol=1e-6)}  # noqa: B023
        times = race({**runs, "cvxpy": theirs}, rounds=3)
        facts = {"n": n, "d": d, "nu": nu, "tol": 1e-6, "our_ms": median(times["ours"]) * 1e3, "excess": found.excess}
        facts["log_det_difference"] = found.log_det + values[-1]
        rows.append(at_least("cvxpy + Clarabel / ours", ratio(times["cvxpy"], times["ours"]), 4, **facts))
    for nu in (0.1, 0.5):
        X = sample("normal", 100_000, 20)
        for tol in (1e-3, 1e-6):
            found = ellipsoid.capped(X, nu=nu, center=False, tol=tol)
            runs = {"ours": lambda: ellipsoid.capped(X, nu=nu, center=False, tol=tol)}  # noqa: B023
            runs["pass"] = one_pass(X)
            times = race(runs, rounds=5)
            facts = {"n": 100_000, "d": 20, "nu": nu, "tol": tol, "excess": found.excess}
            facts |= {"ms": median(times["ours"]) * 1e3, "newton": found.iterations, "passes": found.passes}
            rows.append(row("solve / full leverage pass", ratio(times["ours"], times["pass"]), "x", **facts))
        steps, reached = multiplicative(X, nu, 1e-3, 300)
        rows.append(row("passes of the multiplicative step alone", steps, "passes", nu=nu, tol=1e-3, excess=reached))
    return rows


def multiplicative(X, nu, tol, limit):
    """Passes that the monotone step needs alone, and the excess it then has."""
    n, d = X.shape
    caps, p = np.full(n, 1 / (nu * n)), np.full(n, 1 / n)
    for steps in range(1, limit + 1):  # noqa: B007
        h = _design.scores(X, _design.gram(X, p))
        excess = _design.top(h, caps) / d - 1
        if excess <= tol:
            break
        p = _design.capped(p * h, caps, 1.0)
    return steps, excess


if __name__ == "__main__":
    main("ellipsoid_solver", {"passes": passes, "khachiyan": khachiyan, "cvxpy": cvxpy, "capped": capped})
