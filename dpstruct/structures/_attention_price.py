"""Noise lines of polynomial attention, the errors they predict, and advice, all from public values."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line, Plan
from dpstruct.core.plan import Scales
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, Relation, RowsWithin
from dpstruct.structures import _attention_coefficients as polynomials
from dpstruct.structures import _attention_sensitivity as sensitivity
from dpstruct.structures import _attention_units as units

if TYPE_CHECKING:
    from dpstruct.structures.cross_attention import CrossAttention

__all__ = ["advice", "gaussian", "laplace", "precisions", "predicted", "shares", "variances"]

Floats = NDArray[np.float64]
_TYPICAL_MU = 0.236704381  # epsilon = 1 at delta = 1e-6


def shares(blueprint: CrossAttention) -> tuple[float, ...]:
    """Return the typical part of each degree in ``|a|_1`` at the planned temperatures, whatever the price.

    Precisions belong to the blueprint because `summarize` clips units by them and knows no price. The optimum is flat,
    and solvers differ in last bits between machines, so that the parts are multiples of 1/256 of sum 1: two machines
    disagree only if a part is within a last bit of half a step.
    """
    noise = (math.sqrt(blueprint.dim_value) + 1) / (_TYPICAL_MU * blueprint.expected_rows)
    rows = float(blueprint.expected_rows)
    found = polynomials.amplitudes(blueprint.temperatures, blueprint.degree, rows, noise, blueprint.coefficients)
    steps = [max(1, round(256 * part)) for part in found.tolist()]
    steps[steps.index(max(steps))] += 256 - sum(steps)
    return tuple(step / 256 for step in steps)


def counted(blueprint: CrossAttention, neighbors: Relation) -> bool:
    """Return whether D_0, the total weight of the rows, differs between neighbours and so is released with noise."""
    return neighbors == "add-remove" or isinstance(blueprint.unit_rule, tuple)


def _clipped(blueprint: CrossAttention) -> bool:
    return isinstance(blueprint.unit_rule, tuple) and blueprint.unit_rule[0] == "clip"


def precisions(blueprint: CrossAttention, *, replaced: bool = False) -> sensitivity.Precisions:
    """Return the precisions: the weight sums get what is best, or what is free where a unit is replaced."""
    of = sensitivity.Precisions.of
    if blueprint.value_weight is not None:
        return of(blueprint._shares, 1 / blueprint.value_weight)
    if not replaced or _clipped(blueprint):
        return of(blueprint._shares, 1 / math.sqrt(blueprint.dim_value))
    for ratio in np.linspace(1, 0.25, 13).tolist():  # the largest that leaves the weight sums free
        found = of(blueprint._shares, ratio)
        if sensitivity.common(found) <= 4.000001 * float(sum(found.beta)):
            break
    return found


def gaussian(blueprint: CrossAttention, neighbors: Relation) -> Group:
    """Return the lines of a Gaussian release under one joint sensitivity."""
    noisy_count = counted(blueprint, neighbors)
    given = precisions(blueprint, replaced=neighbors != "add-remove")
    shapes = [(blueprint.heads, m) for m in blueprint._sizes]
    lines = [Line(f"N{p}", (*s, blueprint.dim_value), 1 / given.beta[p]) for p, s in enumerate(shapes)]
    lines += [Line(f"D{p}", s, 1 / given.gamma[p]) for p, s in enumerate(shapes) if p or noisy_count]
    return Group(lines, _delta_squared(blueprint, given, neighbors) * int(blueprint._unit) ** 2)


def _delta_squared(blueprint: CrossAttention, given: sensitivity.Precisions, neighbors: Relation) -> Fraction:
    """Return the joint squared sensitivity of all heads over neighbouring units.

    A unit under "mean" or "max_rows" lies in the convex hull of 0 and g times a row's contribution, and the distance of
    two points of a hull is largest between its corners.
    """
    added, heads = sensitivity.added(given) * blueprint.heads, blueprint.heads
    factor = Fraction(units.factor(blueprint.unit_rule)) ** 2
    if neighbors == "add-remove" or _clipped(blueprint):
        return added * factor * (1 if neighbors == "add-remove" else 4)
    if blueprint.features == "exact":
        replaced = sensitivity.substituted(given, blueprint._sizes, blueprint.feature_bits) * heads
    else:
        replaced = sensitivity.any_substitution(given) * heads
    if blueprint.unit_rule is not None:
        return max(replaced, added) * factor
    lipschitz = blueprint.features == "exact" and blueprint.normalize == "clip"
    if not (isinstance(neighbors, RowsWithin) and lipschitz):
        return replaced
    near = sensitivity.moved(
        given,
        blueprint._sizes,
        blueprint.feature_bits,
        radius=(neighbors.radius / blueprint.key_norm, neighbors.radius / blueprint.value_norm),
        slack=blueprint._slack(),
        heads=blueprint.heads,
    )
    return min(near, replaced)


def laplace(blueprint: CrossAttention, neighbors: Relation) -> Group:
    """Return the lines of a pure release: scales in the ratio that is best for the planned amplitudes.

    A record moves N_p by at most ``max |phi_p|_1 sqrt(dim_value)`` in l1 and D_p by ``max |phi_p|_1``.
    """
    if _clipped(blueprint):
        raise InvalidParameter("cost", "pure DP", 'GDP: unit_rule="clip" bounds an l2 norm', "pass delta > 0")
    norms = sensitivity.l1_norms(blueprint.dim_key, blueprint._sizes, blueprint.features == "exact")
    dv, noisy_count = blueprint.dim_value, counted(blueprint, neighbors)
    entries = {"N": math.isqrt((dv << 60) - 1) + 1, "D": 1 << 30}  # 2**30 times the l1 norm of a value, and of 1
    lines, parts = [], Fraction(0)
    for name, tail in (("N", (dv,)), ("D", ())):
        for p, m in enumerate(blueprint._sizes):
            if name == "N" or p or noisy_count:
                bound = Fraction(norms[p] * entries[name], 1 << 60)
                size = blueprint._shares[p] * float(bound) * math.sqrt(math.prod(tail))
                part = Fraction(max(1, round(2**30 * size ** (2 / 3))))
                lines.append(Line(f"{name}{p}", (blueprint.heads, m, *tail), bound * int(blueprint._unit) / part))
                parts += part
    ends = 1 if neighbors == "add-remove" else 2
    return Group(lines, parts * blueprint.heads * ends * Fraction(units.factor(blueprint.unit_rule)))


def variances(blueprint: CrossAttention, noise: Scales) -> tuple[Floats, Floats]:
    """Return the variances per degree of the value sums and of the weight sums, in records squared."""
    names, found = noise.lines, []
    for kind in "ND":
        lines = [f"{kind}{p}" for p in range(blueprint.degree + 1)]
        found.append(np.array([noise.variance(line)[0] if line in names else 0.0 for line in lines]))
    return found[0] / blueprint._unit**2, found[1] / blueprint._unit**2


def predicted(blueprint: CrossAttention, noise: Scales) -> list[float]:
    """Return the standard error of a plain output at each planned temperature, for `expected_rows` records."""
    var_N, var_D = variances(blueprint, noise)
    family = polynomials.Family(blueprint.degree, float(blueprint.expected_rows))
    theta, unit = 1 / np.array(blueprint.temperatures), blueprint.dim_value * var_N + var_D
    if blueprint.coefficients == "prior":
        A = family.best(theta, unit / blueprint.expected_rows**2)
    elif blueprint.coefficients == "taylor":
        A = polynomials.taylor(theta, blueprint.degree)
    else:
        A = np.tile(np.array(blueprint.coefficients, dtype=np.float64), (len(theta), 1))
    A = A / (A @ family.mass)[:, None]
    errors: list[float] = (blueprint.value_norm * np.sqrt(A**2 @ unit) / blueprint.expected_rows).tolist()
    return errors


def advice(blueprint: CrossAttention, plan: Plan[Any]) -> list[str]:
    """Return the error to expect at each planned temperature, and what to do where it is too large."""
    notes, state = [], blueprint.heads * sum(blueprint._sizes) * (blueprint.dim_value + 1)
    hopeless = []
    for tau, error in zip(blueprint.temperatures, predicted(blueprint, plan)):
        part = error / blueprint.value_norm
        notes.append(
            f"temperature {tau:g} |q| key_norm: noise {part:.2g} value norms at {blueprint.expected_rows} rows"
        )
        if part > 1 / 3:
            hopeless.append(f"{tau:g} (from about {math.ceil(3 * part * blueprint.expected_rows):,} rows)")
    if hopeless:
        notes.append("hopeless, hardly better than the mean of the values, at " + ", ".join(hopeless))
        if not isinstance(plan.cost, GDP) and sum(blueprint._sizes) > 16:
            notes.append("pure DP pays for every feature: use delta > 0, or AnchorAttention with few public anchors")
        else:
            notes.append("use more records or a higher temperature, or AnchorAttention if public anchors fit the keys")
    slower = round(state / blueprint.heads / (blueprint.dim_key + blueprint.dim_value))
    notes.append(f"state: {state:,} numbers, {8 * state / 1e6:.3g} MB; exact attention is slower from {slower:,} rows")
    if blueprint.features == "exact" and sum(blueprint._sizes) > 20_000:
        notes.append(
            'wide keys: project them by a public matrix to 64 coordinates or fewer, or features="tensorsketch"'
        )
    return notes
