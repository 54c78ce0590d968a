"""Exact integer noise against NumPy's floating-point samplers and against OpenDP's vector Gaussian.

Run ``python benchmarks/noise.py`` (about a minute). Everything runs on one thread (``DPSTRUCT_NUM_THREADS=1``), entropy
from the system's generator included on our side and NumPy's seeded PCG64 on the other. Beside each time stands the
empirical standard deviation relative to the declared one: a sampler that is fast and wrong shows there. The section
``opendp`` needs ``pip install opendp`` and says so where it is missing.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from _harness import at_least, at_most, main, median, race, ratio, row, threads

from dpstruct.noise import draw, entropy_source
from dpstruct.privacy.laws import variance

GENERATOR = np.random.default_rng()
NUMPY = {"rounded-gaussian": GENERATOR.normal, "discrete-laplace": GENERATOR.laplace}
TARGET = {"rounded-gaussian": 0.8, "discrete-laplace": 1.2}
POWERS = {0.8: "0.8", 5.0: "5", 1000.0: "1000", 2.0**22: "2^22", 2.0**28: "2^28", 2.0**36: "2^36"}
N = 1 << 20


def spread(kind, scale, n=N):
    """Return the empirical over the declared standard deviation, n draws."""
    return float(draw(kind, np.array([scale]), (n,)).std() / np.sqrt(variance(kind, scale)))


def numpy_section():
    """Time per draw over NumPy's continuous sampler, same size, in turns."""
    rows = []
    with threads(1):
        for kind, rival in NUMPY.items():
            for scale, name in POWERS.items():
                scales = np.array([scale])
                seconds = race(
                    {
                        "ours": lambda kind=kind, scales=scales: draw(kind, scales, (N,)),
                        "numpy": lambda rival=rival, scale=scale: rival(0.0, scale, N),
                    }
                )
                facts = {
                    "n": N,
                    "threads": 1,
                    "ns_per_draw": 1e9 * median(seconds["ours"]) / N,
                    "numpy_ns": 1e9 * median(seconds["numpy"]) / N,
                    "std_over_declared": round(spread(kind, scale), 4),
                }
                target = TARGET[kind] if scale <= 2.0**28 else 2.0
                rows.append(
                    at_most(f"{kind} {name} / numpy", ratio(seconds["ours"], seconds["numpy"]), target, **facts)
                )
    return rows


def small_section():
    """One draw of 64 entries with 64 scales: the overhead of a call; and the widest scales, where stages 2, 3 work."""
    rows, scales = [], np.linspace(1.0, 100.0, 64)
    with threads(1):
        for kind in NUMPY:
            seconds = race({kind: lambda kind=kind: [draw(kind, scales, (64,)) for _ in range(100)]})[kind]
            rows.append(row(f"{kind}, 64 scales", 1e4 * median(seconds), "us/call", entropy=entropy_source()))
            for power in (44, 52):
                wide, n = np.array([2.0**power]), 1 << 14
                seconds = race({kind: lambda kind=kind, wide=wide, n=n: draw(kind, wide, (n,))}, rounds=5)[kind]
                facts = {"n": n, "std_over_declared": round(spread(kind, 2.0**power, n), 4)}
                rows.append(row(f"{kind} 2^{power}", 1e9 * median(seconds) / n, "ns/draw", **facts))
    return rows


def opendp_section():
    """OpenDP's discrete Gaussian on a vector of 4096 integers, time per draw over ours at 2^20."""
    if find_spec("opendp") is None:
        print("opendp is not installed: section skipped (pip install opendp)")
        return []
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    rows, few = [], 4096
    zeros = [0] * few
    with threads(1):
        for scale, name in POWERS.items():
            rival, scales = dp.m.make_gaussian(*space, scale=scale), np.array([scale])
            seconds = race(
                {
                    "ours": lambda scales=scales: draw("rounded-gaussian", scales, (N,)),
                    "opendp": lambda rival=rival: rival(zeros),
                },
                rounds=5,
            )
            facts = {
                "n": N,
                "opendp_n": few,
                "ns_per_draw": 1e9 * median(seconds["ours"]) / N,
                "opendp_ns": 1e9 * median(seconds["opendp"]) / few,
                "std_over_declared": round(spread("rounded-gaussian", scale), 4),
                "opendp": version("opendp"),
            }
            factor = ratio(seconds["opendp"], seconds["ours"]) * N / few
            rows.append(at_least(f"opendp / rounded-gaussian {name}", factor, 500, **facts))
    return rows


if __name__ == "__main__":
    main("noise", {"numpy": numpy_section, "small": small_section, "opendp": opendp_section})
