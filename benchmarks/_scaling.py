"""How the build of `KernelDensity` grows with records and features; every run in a process of its own.

    python benchmarks/_scaling.py CASE ROWS [FEATURES]

streams that many records in blocks, adds the summaries and prints, as JSON, the median processor seconds of the
summaries alone (the blocks are made between the clocks) and the peak memory of the process in bytes. Processor time
of a single thread is the time on an idle machine, and suffers least from a busy one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import dpstruct as dps

BLOCK = 100_000
START = 1_000  # records of a run whose memory is that of starting: libraries, tables, compiled code
LAW = {"method": "mercer", "location": 0.5, "scale": 0.2}
CASES = {
    "fourier, d=1": (1, {"bandwidth": 0.05}),
    "fourier, d=2": (2, {"bandwidth": 0.05}),
    "features, m=512": (8, {"bandwidth": 0.5, "method": "features", "n_features": 512}),
    "features, m=4096": (8, {"bandwidth": 0.5, "method": "features"}),
    "mercer, m=4096": (8, {"bandwidth": 0.5, **LAW}),
    "batch, 200 queries": (8, {"bandwidth": 0.5, "queries": np.random.default_rng(0).random((200, 8))}),
}


def measure(case: str, n: int, m: int | None = None) -> tuple[float, float]:
    """Return processor seconds and peak bytes of one run on one thread."""
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "DPSTRUCT_NUM_THREADS"), "1")
    command = [sys.executable, str(Path(__file__).resolve()), case, str(n), *([] if m is None else [str(m)])]
    result = subprocess.run(command, env={**os.environ, **one}, capture_output=True, text=True, check=True)
    seconds, peak = json.loads(result.stdout)
    return seconds, peak


def _stream(blueprint, n):
    rng, seconds, summary = np.random.default_rng(1), 0.0, None
    for start in range(0, n, BLOCK):
        X = rng.random((min(BLOCK, n - start), blueprint.dim))
        begin = time.process_time()
        part = blueprint.summarize(X)
        summary = part if summary is None else summary + part
        seconds += time.process_time() - begin
    return seconds


def _peak():
    """Largest resident set: on Linux of this program alone, elsewhere of the process."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _run(case, n, m=None):
    d, options = CASES[case]
    options = options if m is None else {**options, "n_features": m}
    blueprint = dps.KernelDensity(bounds=dps.Box(0, 1, dim=d), **options)
    _stream(blueprint, START)
    seconds = [_stream(blueprint, n) for _ in range(max(1, min(15, 5 * BLOCK // n)))]
    return statistics.median(seconds), _peak()


def exponent(sizes, values):
    """Slope of the logarithm of the values on that of the sizes: 1 is linear growth."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def draw(path, times, memory, features):
    """Draw seconds and peak megabytes against n, and microseconds per record against m; nothing where Matplotlib lacks.

    Parameters
    ----------
    times, memory, features : dict of str to (sizes, values)
    """
    try:
        import matplotlib
    except ImportError:
        print("no Matplotlib: the plot stays as it was")
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    style = {"svg.hashsalt": "dpstruct", "svg.fonttype": "none", "font.size": 8, "lines.markersize": 3.5}
    panels = (
        (times, "records n", "build, s"),
        (memory, "records n", "peak memory above the start, MB"),
        (features, "features m", "build, µs per record"),
    )
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(1, 3, figsize=(9.2, 3.1), layout="constrained")
        for axis, (curves, across, up) in zip(axes, panels, strict=True):
            for name, (sizes, values) in curves.items():
                axis.plot(sizes, values, "o-", linewidth=1, label=name)
            axis.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        axes[0].legend(fontsize=6.5)  # the colours are those of the second panel, too
        axes[1].set(yscale="linear", ylim=(0, None))
        axes[2].legend(fontsize=6.5)
        axes[2].set(xticks=[256, 1024, 4096], xticklabels=["256", "1024", "4096"])
        axes[2].set(yticks=[0.5, 1, 2, 4], yticklabels=["0.5", "1", "2", "4"])
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1], *map(int, sys.argv[2:]))))
