"""Which method answers best, judged by public values alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dpstruct.core.plan import Plan
from dpstruct.errors import InvalidParameter
from dpstruct.features.fourier import FourierSeries
from dpstruct.features.radial import kernel_named
from dpstruct.structures._kde_binned import Binned
from dpstruct.structures._kde_custom import Custom
from dpstruct.structures._kde_features import Features
from dpstruct.structures._kde_fourier import Fourier, usual_tolerance
from dpstruct.structures._kde_mercer import LAW_SHARE, Mercer
from dpstruct.structures._kde_method import Method
from dpstruct.structures._kde_points import Batch, Nystrom

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["METHODS", "best", "table"]

METHODS: dict[str, type[Method]] = {m.name: m for m in (Batch, Binned, Custom, Features, Fourier, Mercer, Nystrom)}
_USUAL = 0.2367043807  # mu of (1, 1e-6)-DP, the price at which methods are compared before one is known


def best(blueprint: KernelDensity) -> tuple[str, str]:
    """Return the name of the method for ``method="auto"``, and why."""
    if not isinstance(blueprint.kernel, str):
        return "custom", "the kernel is a feature map"
    if blueprint.queries is not None:
        return "batch", "all queries are declared: unbiased, with the error of one answer"
    if blueprint.anchors is not None:
        return "nystrom", "anchors are given"
    if _has_series(blueprint, blueprint.kernel):
        return "fourier", "the Fourier series on the box is short"
    if isinstance(blueprint.bandwidth, tuple):
        return "fourier", "several bandwidths are declared"
    if blueprint.location is not None:
        return "mercer", "a law of the records is given"
    noise, width = _law(blueprint, _USUAL)
    rows = blueprint.expected_rows
    if noise < 4 * width:
        return "mercer", f"at {rows} rows a law of the records can be learned privately"
    return "features", f"{rows} expected rows are too few to learn a law of the records privately"


def _has_series(blueprint: KernelDensity, name: str) -> bool:
    try:
        box = blueprint.bounds
        sides, kernel = np.array(box.high) - np.array(box.low), kernel_named(name)
        tolerance = blueprint.tolerance or usual_tolerance(kernel)
        FourierSeries(kernel, blueprint.shape, sides, blueprint.bandwidths, tolerance)
    except InvalidParameter:
        return False
    return True


def _law(blueprint: KernelDensity, mu: float) -> tuple[float, float]:
    """Return the noise of a private second moment, and the square of the smallest width, in units of half sides."""
    d = len(blueprint.bounds.low)
    return 2 * math.sqrt(d) * d / (mu * math.sqrt(LAW_SHARE) * blueprint.expected_rows), (1 / 10) ** 2


def table(blueprint: KernelDensity, plan: Plan[Any]) -> list[str]:
    """Return lines that compare the noise of the methods that are offered for this kernel, box and price."""
    if callable(blueprint.kernel):
        return []
    rows = [
        "methods: standard error of one answer / root mean square error of the features per record; release; query:"
    ]
    for name in ("fourier", "mercer", "features", "binned", "batch", "nystrom"):
        rows.append(f"  {name}: {_figures(blueprint, plan, name)}")
    return rows


def _figures(blueprint: KernelDensity, plan: Plan[Any], name: str) -> str:
    if name in ("batch", "nystrom") and name != blueprint.method:
        return "needs public " + ("queries" if name == "batch" else "anchors")
    try:
        other = blueprint if name == blueprint.method else _twin(blueprint, name)
        twin = plan if other is blueprint else other.plan(cost=plan.cost, neighbors=plan.neighbors, unit=plan.unit)
        noise, fit = other._method.sketch(twin)
    except InvalidParameter as refusal:
        return f"not offered: received {refusal.received}, expected {refusal.expected}"
    numbers = sum(math.prod(line.shape) for event in twin.events for line in event.lines)
    work = f"{8 * numbers / 1024:,.1f} KB; {other._method.operations(numbers):,} multiplications"
    chosen = f"; chosen: {_why(blueprint)}" if other is blueprint else ""
    return f"{noise:.6g} / {fit:.2g}; {work}{chosen}"


def _twin(blueprint: KernelDensity, name: str) -> KernelDensity:
    structured = blueprint.structured if name == "features" else None
    return replace(blueprint, method=name, queries=None, anchors=None, structured=structured)


def _why(blueprint: KernelDensity) -> str:
    name, why = best(blueprint)
    return why if name == blueprint.method else "asked for"
