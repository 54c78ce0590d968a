"""Timing, ratios, tables and result files, shared by the benchmarks.

Times are medians over rounds in which every contestant runs once, in turn; a ratio is the median of the rounds' ratios,
so that a machine that slows down for a while slows down both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
Section = Callable[[], list[dict[str, object]]]


def row(what: str, value: float, unit: str, *, target: str = "", met: bool | None = None, **facts: object) -> dict:
    """One line of a benchmark: a number, what it should be, and the facts (n, d, epsilon, ...) it was taken with."""
    return {"what": what, "value": float(value), "unit": unit, "target": target, "met": met, **facts}


def at_least(what: str, value: float, target: float, unit: str = "x", **facts: object) -> dict:
    """Return a row whose target is a lower limit."""
    return row(what, value, unit, target=f">= {target:g}", met=bool(value >= target), **facts)


def at_most(what: str, value: float, target: float, unit: str = "x", **facts: object) -> dict:
    """Return a row whose target is an upper limit."""
    return row(what, value, unit, target=f"<= {target:g}", met=bool(value <= target), **facts)


def race(contestants: dict[str, Callable[[], object]], *, rounds: int = 15) -> dict[str, list[float]]:
    """Run all contestants in turn, `rounds` times after one warm-up, and return their seconds."""
    for run in contestants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median(seconds: list[float]) -> float:
    """Return the median."""
    return statistics.median(seconds)


def ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median of the rounds' ratios slow / fast."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


@contextmanager
def threads(count: int | None) -> Iterator[int]:
    """Let the library use `count` threads (None: as many as it likes) and yield how many that is."""
    from dpstruct.kernels import blocks

    before = os.environ.get("DPSTRUCT_NUM_THREADS")
    if count is not None:
        os.environ["DPSTRUCT_NUM_THREADS"] = str(count)
    try:
        yield blocks.threads()
    finally:
        if before is None:
            os.environ.pop("DPSTRUCT_NUM_THREADS", None)
        else:
            os.environ["DPSTRUCT_NUM_THREADS"] = before


def machine() -> str:
    """Return one line on the processor and the versions that the numbers depend on."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":", 1)[1].strip() if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ", ".join(f"{library} {version(library)}" for library in ("numpy", "numba", "scikit-learn"))
    return f"{name}, {cores} cores, {platform.system()}, Python {platform.python_version()}, {libraries}"


def show(title: str, rows: list[dict]) -> None:
    """Print the rows as a table."""
    fixed = {"what", "value", "unit", "target", "met"}
    print(f"\n{title}")
    for r in rows:
        verdict = {None: "", True: "yes", False: "NO"}[r["met"]]
        facts = ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in r.items() if k not in fixed
        )
        print(f"  {r['what']:<58} {r['value']:>11.4g} {r['unit']:<11} {r['target']:<14} {verdict:<4} {facts}")


def main(name: str, sections: dict[str, Section]) -> None:
    """Run the sections named by ``--only`` (default: all), print their tables and store them as JSON.

    A partial run replaces its own sections of an earlier file and keeps the others, each with the machine it ran on.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(sections), help="comma-separated: " + ", ".join(sections))
    wanted = parser.parse_args().only.split(",")
    unknown = sorted(set(wanted) - set(sections))
    if unknown:
        parser.error(f"unknown sections {unknown}; there are {list(sections)}")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    print(machine())
    for section in wanted:
        start = time.perf_counter()
        rows = sections[section]()
        show(f"{name}: {section} ({time.perf_counter() - start:.0f} s)", rows)
        stored[section] = {"machine": machine(), "rows": rows}
        path.write_text(json.dumps(stored, indent=1) + "\n")
