"""The auditor against known mechanisms: power, false alarms, tightness, sensitivity bugs, and speed against rivals.

``python benchmarks/audit.py [--only power,alarms,tightness,bugs,speed,sampler]``

For the published rivals: put the sources of dp_auditorium on the path, and name in STATDP_PYTHON the interpreter of an
environment with pystatdp (it needs NumPy < 1.24). Without them only the library's own versions are timed.
"""

import functools
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import types
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction

import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row

import dpstruct as dps
from dpstruct.audit import (
    epsilon_bound,
    float_features,
    mechanisms,
    mu_bound,
    one_at_a_time,
    runs_needed,
    sampler,
    sequential_test,
)
from dpstruct.core import door
from dpstruct.reference import DPSniper, HistogramTester, StatDP
from dpstruct.testing import PrivacyViolation, noise_fit, price, worst_pair

ALPHA = 1e-6
WORKERS = 2


@functools.cache
def known():
    """Return all known mechanisms by name."""
    return {c.name: c for c in [*mechanisms.broken(), *mechanisms.correct()]}


def case(name, seed=0):
    """Return a known mechanism with a generator of its own; floats are looked at bit by bit."""
    found = known()[name].seeded(seed)
    if "floats" in name or "numpy" in name:
        draw = found.mechanism
        return found, lambda data, n: float_features(draw(data, n))
    return found, found.mechanism


def parallel(work, *arguments):
    """Return the results of `work` over the arguments, in order, on two processes."""
    with ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, *arguments))


# ---- power ---------------------------------------------------------------------------------------------------------


def refute(name, seed, most=20_000_000):
    """Return the runs until a claim is refuted, infinite if it is not."""
    found, mechanism = case(name, seed)
    verdict = sequential_test(mechanism, found.x, found.x2, found.claim, alpha=ALPHA, max_runs=most, seed=seed)
    return verdict.runs if verdict.rejected else math.inf


def power(seeds=7):
    """Runs until each broken mechanism is refuted at 1e-6, beside what the best test with full knowledge needs."""
    names = [name for name, c in known().items() if c.broken]
    runs = parallel(refute, [name for name in names for _ in range(seeds)], list(range(seeds)) * len(names))
    rows, ratios = [], []
    for k, name in enumerate(names):
        found, _ = case(name)
        middle = statistics.median(runs[k * seeds : (k + 1) * seeds])
        best = runs_needed(found.claim, found.alternative, ALPHA) if found.alternative else None
        if best and best > 100:
            ratios.append(middle / best)
        limit = 15 * max(best, 200) if best else 10_000
        rows.append(at_most(name, middle, round(limit), "runs", least=best, claim=repr(found.claim), seeds=seeds))
    rows.append(row("median of runs / least, where that exceeds 100", median(ratios), "x"))
    rows.append(row("largest of them", max(ratios), "x"))
    return rows


# ---- false alarms --------------------------------------------------------------------------------------------------


def alarms_of(name, seeds, most):
    """Return how often a correct mechanism is refuted at 1e-3, wherever the test may stop."""
    count = 0
    for seed in range(seeds):
        found, mechanism = case(name, 1000 + seed)
        count += sequential_test(
            mechanism, found.x, found.x2, found.claim, alpha=1e-3, max_runs=most, seed=seed
        ).rejected
    return count


LEARNED = {"histogram-substitute", "three-answers", "race-sketch", "gaussian-vector"}  # vectors, with a score to fit


def alarms(seeds=1000, most=4000, vectors=1200):
    """Alarms at 1e-3 on correct mechanisms, many of them exactly at their claim: one in a thousand is allowed."""
    names = [name for name, c in known().items() if not c.broken]
    runs = [vectors if name in LEARNED else most for name in names]
    counts = parallel(alarms_of, names, [seeds] * len(names), runs)
    facts = {"alpha": 1e-3, "seeds": seeds}
    rows = [at_most(name, count, 5, "alarms", runs=n, **facts) for name, count, n in zip(names, counts, runs)]
    total = len(names) * seeds
    rows.append(at_most("all together, share", sum(counts) / total, 1e-3, "", tests=total, alarms=sum(counts)))
    return rows


# ---- tightness -----------------------------------------------------------------------------------------------------


def laplace(fold):
    """Return a mechanism with `fold` discrete Laplace answers of scale 64 / 64, and its log-likelihood ratio."""
    p, random = -math.expm1(-1 / 64), np.random.default_rng(5)

    def mechanism(data, n):
        return 64 * len(data) + random.geometric(p, (n, fold)) - random.geometric(p, (n, fold))

    return mechanism, lambda rows: (np.abs(rows - 64) - np.abs(rows)).sum(axis=1)


def tightness(runs=1_000_000, seeds=5):
    """95 % lower bounds over the truth, and how often they exceed it."""
    x, x2 = [], [0]
    rows = []
    for fold, name in ((1, "Laplace(1)"), (2, "two answers of Laplace(1)")):
        mechanism, score = laplace(fold)
        for how, options in (("", {"score": score}), (", score learned", {})):
            if fold == 1 and how:
                continue
            values = [epsilon_bound(mechanism, x, x2, runs=runs, seed=s, **options).value / fold for s in range(seeds)]
            what, mean = f"epsilon: {name}{how}", float(np.mean(values))
            facts = {"runs": runs, "seeds": seeds, "above": int(np.sum(np.array(values) > 1))}
            rows.append(row(what, mean, "", **facts) if how else at_least(what, mean, 0.97, "", **facts))
    found, mechanism = case("rounded-gaussian", 3)
    values = [mu_bound(mechanism, found.x, found.x2, runs=runs, seed=s).value / found.true_mu for s in range(seeds)]
    rows.append(at_least("mu: rounded Gaussian", float(np.mean(values)), 0.95, "", runs=runs, seeds=seeds))
    rows[-1]["above"] = int(np.sum(np.array(values) > 1))
    return rows


# ---- sensitivity bugs ----------------------------------------------------------------------------------------------


def broken_tree(name, **methods):
    """Return a KDETree with some methods replaced."""
    return type(name, (dps.KDETree,), methods)(bounds=dps.Box([0, -2], [1, 3]), depth=5)


def scaled_groups(factor):
    """Return a `groups` that understates the joint sensitivity,."""

    def groups(self, cost, neighbors):
        groups = dps.KDETree.groups(self, cost, neighbors)
        return [replace(group, sensitivity=group.sensitivity * factor) for group in groups]

    return groups


def wrong_relation(self, cost, neighbors):
    return dps.KDETree.groups(self, cost, "add-remove" if neighbors == "substitute" else neighbors)


def last_level(self, cost, neighbors):
    (group,) = dps.KDETree.groups(self, cost, neighbors)
    *lines, last = group.lines
    weights = last.weight if isinstance(last.weight, tuple) else (last.weight,)
    factor = Fraction(1, 4 if isinstance(cost, dps.GDP) else 2)
    less = tuple(weight * factor for weight in weights)
    return [replace(group, lines=[*lines, replace(last, weight=less if len(less) > 1 else less[0])])]


def near_a_corner(self, X, **options):
    far = (X > [0.9, 2.5]).all(axis=1)
    return dps.KDETree.seal(self, np.concatenate([X, X[far]]), **options)


#: Elsewhere these are no bugs.
ONLY = {"priced by the other relation": ("substitute",), "half the noise of the last level": ("add-remove",)}


def bugs():
    """Evaluations of a price until the search hands over a shrunk pair, over wrong structures; noise 6 % low."""
    trees = {
        "half the sensitivity": scaled_groups(Fraction(1, 2)),
        "1 % too small": scaled_groups(Fraction(99, 100)),
        "half the noise of the last level": last_level,
        "priced by the other relation": wrong_relation,
    }
    rows, counts = [], []
    made = {what: broken_tree("Wrong", groups=groups) for what, groups in trees.items()}
    made["records near a corner count twice"] = broken_tree("Wrong", seal=near_a_corner)
    for what, tree in made.items():
        for neighbors in ONLY.get(what, ("add-remove", "substitute")):
            for cost in ({"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0}):
                plan = tree.plan(neighbors=neighbors, **cost)
                calls = evaluations(plan)
                counts.append(calls)
                noise = "Gaussian" if "delta" in cost else "Laplace"
                rows.append(row(f"{what}, {neighbors}, {noise}", calls, "calls"))
    rows.append(at_most("median calls to a shrunk pair", median(counts), 60, "calls", bugs=len(counts)))
    return rows + [low_noise(cost) for cost in ({"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0})]


def evaluations(plan):
    """Return how many prices `worst_pair` evaluates until it raises; infinite if it does not."""
    original, seen = price.price_of, []

    def counted(*arguments):
        seen.append(0)
        return original(*arguments)

    price.price_of = counted
    try:
        worst_pair(plan)
    except PrivacyViolation:
        return len(seen)
    finally:
        price.price_of = original
    return math.inf


def low_noise(cost):
    """Return the p-value of one release of a large tree whose noise has 16/17 of its scale."""
    tree = dps.KDETree(bounds=dps.Box(0, 1, dim=1), depth=16)
    plan = tree.plan(neighbors="add-remove", **cost)
    entries = sum(math.prod(line.shape) for _, line in plan.lines.values())
    honest = door.noise.draw
    door.noise.draw = lambda kind, scales, shape: honest(kind, scales * (16 / 17), shape)
    try:
        noise = noise_fit._collect(plan, (np.array([[0.3], [0.7]]),), 1)
    finally:
        door.noise.draw = honest
    tests = noise_fit._fits(plan.events[0].kind, noise)
    p = min(test.p for test in tests if test.name == "it is too small (all lines)")
    law = plan.events[0].kind
    return at_most(f"noise 6 % low, one release: p, {law}", p, 1e-12, "", integers=entries)


# ---- speed ---------------------------------------------------------------------------------------------------------

RACE = "laplace-standard-deviation"


def told(refuted, start=500):
    """Return the smallest n of a doubling ladder with which a fixed-n tester refutes."""
    n = start
    while not refuted(n):
        n *= 2
    return n


def speed():
    """Time to refute one claim at 1e-6. A rival is told the sample size that it needs; ours finds out by itself."""
    found, batch = case(RACE, 1)
    needed, each = _needed(found, batch), one_at_a_time(lambda data: batch(data, 1)[0])
    rows = _against(found, batch, "NumPy batches", needed, rounds=5)
    rows += _against(found, each, "one Python call a run", needed, rounds=1)
    return rows + _statdp_package()


def _needed(found, mechanism):
    """Return by rival how many runs it needs, and what runs it with another mechanism of the same law."""
    x, x2, claim = found.x, found.x2, found.claim
    made = {"StatDP (ours)": StatDP(), "DP-Sniper (ours)": DPSniper(), "histogram (ours)": HistogramTester()}
    rivals = {}
    for name, tester in made.items():

        def refuted(mechanism, n, tester=tester):
            return tester.refutes(mechanism, x, x2, claim, runs=n, alpha=ALPHA).rejected

        rivals[name] = told(lambda n, refuted=refuted: refuted(mechanism, n)), refuted
    if published_histogram() is not None:
        sizes = []
        for size in (4, 8, 16):
            refuted = dp_auditorium(claim.epsilon, size, x, x2)
            sizes.append((told(lambda n, refuted=refuted: refuted(mechanism, n)), size, refuted))
        n, _, refuted = min(sizes, key=lambda found: found[:2])
        rivals["dp_auditorium"] = n, refuted
    return rivals


def _against(found, mechanism, how, needed, rounds):
    x, x2, claim = found.x, found.x2, found.claim
    used = []

    def ours():
        verdict = sequential_test(mechanism, x, x2, claim, alpha=ALPHA, max_runs=10**6, seed=len(used))
        used.append(verdict.runs)
        assert verdict.rejected

    runs = {name: lambda n=n, refuted=refuted: refuted(mechanism, n) for name, (n, refuted) in needed.items()}
    times = race({"ours": ours} | runs, rounds=rounds)
    facts = {"claim": repr(claim), "mechanism": found.name, "calls": how}
    rows = [row("sequential_test", median(times["ours"]) * 1e3, "ms", runs=round(median(used)), **facts)]
    for name, (n, _) in needed.items():
        many = at_least(f"{name} / sequential_test, time", ratio(times[name], times["ours"]), 5, **facts)
        rows.append(many | {"runs": n, "runs_ratio": n / median(used)})
    return rows


@functools.cache
def published_histogram():
    """Return the configuration modules and the tester of dp_auditorium, or None where it is not installed."""
    spec = importlib.util.find_spec("dp_auditorium")
    if spec is None:
        return None
    for package in ("", ".testers", ".configs"):  # their __init__ would load TensorFlow
        module = types.ModuleType("dp_auditorium" + package)
        module.__path__ = [os.path.join(spec.submodule_search_locations[0], *package.split(".")[1:])]
        sys.modules[module.__name__] = module
    from dp_auditorium.configs import privacy_property, property_tester_config
    from dp_auditorium.testers import histogram_tester

    return privacy_property, property_tester_config, histogram_tester


def dp_auditorium(epsilon, size, x, x2):
    """Return the published tester in both directions, as a function of mechanism and runs."""
    privacy_property, property_tester_config, histogram_tester = published_histogram()
    tester = histogram_tester.HistogramTester(
        property_tester_config.HistogramPropertyTesterConfig(
            approximate_dp=privacy_property.ApproximateDp(epsilon=epsilon, delta=1e-9),
            test_discrete_mechanism=False,
            histogram_size=size,
            min_value=-6,
            max_value=6,
        )
    )

    def refuted(mechanism, n):
        first, second = (np.asarray(mechanism(data, n // 2), dtype=float) for data in (x, x2))
        bounds = [tester.estimate_lower_bound(a, b, ALPHA / 2) for a, b in ((first, second), (second, first))]
        return max(bounds) > 1e-9

    return refuted


STATDP = """
import json, sys, time
import numpy as np
from pystatdp import pystatdp

def noisy_count(queries, epsilon):
    p = 1 - np.exp(-np.sqrt(2.0))
    return int(queries.sum()) + int(np.random.geometric(p)) - int(np.random.geometric(p))

tester, (x, x2) = pystatdp(), (np.ones(1, int), np.zeros(1, int))
def run(n):
    start = time.perf_counter()
    (found,) = tester.detect_counterexample(noisy_count, 1.0, {"epsilon": 1.0}, databases=(x, x2), quiet=True, cores=1,
                                            event_iterations=n // 10, detect_iterations=n * 4 // 10, loglevel=40)
    return time.perf_counter() - start, found[1]
run(1000)
n = 1000
while run(n)[1] > 1e-6:
    n *= 2
print(json.dumps([n, sorted(run(n)[0] for _ in range(5))[2]]))
"""


def _statdp_package():
    """The published package, in its own environment; it calls a mechanism once per run, and so do we here."""
    python = os.environ.get("STATDP_PYTHON")
    if not python:
        return []
    n, seconds = json.loads(subprocess.run([python, "-c", STATDP], capture_output=True, check=True).stdout)
    random, p, used = np.random.default_rng(4), 1 - math.exp(-math.sqrt(2)), []

    def noisy_count(data):
        return int(data.sum()) + int(random.geometric(p)) - int(random.geometric(p))

    def ours():
        x, x2 = np.ones(1, int), np.zeros(1, int)
        verdict = sequential_test(noisy_count, x, x2, dps.PureDP(1.0), alpha=ALPHA, seed=len(used))
        used.append(verdict.runs)

    mine = [race({"ours": ours}, rounds=1)["ours"][0] for _ in range(5)]
    facts = {"claim": "PureDP(1.0)", "mechanism": "Laplace, scale 1/sqrt(2)", "calls": "one Python call a run"}
    return [
        row("sequential_test", median(mine) * 1e3, "ms", runs=round(median(used)), **facts),
        at_least("pystatdp / sequential_test, time", seconds / median(mine), 5, runs=n, **facts),
    ]


# ---- sampler -------------------------------------------------------------------------------------------------------


def sampling(n=1_000_000):
    """The sampler of a plan and its whole audit, against drawing the same noise and nothing else."""
    rows = []
    for cost in ({"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0}):
        plan = dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=6).plan(neighbors="add-remove", **cost)
        pair = worst_pair(plan, examples=10)[0]
        mechanism = sampler(plan, *pair)
        changed = _changed(plan, pair)
        kind = plan.events[0].kind

        def noise(kind=kind, changed=changed):
            step = (1 << 17) // changed
            for _ in range(0, n, step):
                door._draw("A", kind, np.array([1e6]), (changed, step))

        def audit(mechanism=mechanism, pair=pair, plan=plan):
            # a claim far above the truth never stops early
            sequential_test(mechanism, *pair, claim=_generous(plan), max_runs=n * 4 // 5, seed=1)

        runs = {"noise": noise, "sampler": lambda m=mechanism, p=pair: m(p.first, n), "audit": audit}
        times = race(runs, rounds=5)
        facts = {"kind": kind, "changed": changed, "runs": n}
        rows.append(
            at_least("rate of the sampler / of its noise", ratio(times["noise"], times["sampler"]), 0.5, **facts)
        )
        rows.append(at_least("rate of an audit / of its noise", ratio(times["noise"], times["audit"]), 0.5, **facts))
    return rows


def _generous(plan):
    return dps.GDP(3.0) if isinstance(plan.cost, dps.GDP) else dps.PureDP(3.0)


def _changed(plan, pair):
    from dpstruct.testing import statistics as exact

    first, second = (exact(plan, data) for data in pair)
    return int(sum((first[name] != second[name]).sum() for name in plan.lines))


if __name__ == "__main__":
    sections = {"power": power, "alarms": alarms, "tightness": tightness, "bugs": bugs, "speed": speed}
    main("audit", sections | {"sampler": sampling})
