"""The public parameters of `NTKRegression`: checked, and defaults from public values alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpstruct.domain import Ball, Box, positive_integer, real
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.features.sphere import sphere_dim
from dpstruct.structures._ntk_targets import normalised

__all__ = ["check_device", "checked"]


def checked(
    bounds: Any,
    target: Any,
    *,
    expected_rows: Any,
    depth: Any,
    n_features: Any,
    features: Any,
    sphere: Any,
    solver: Any,
    loss: Any,
    steps: Any,
    clip: Any,
    prediction_noise: Any,
    center: Any,
    whiten: Any,
    intercept: Any,
    seed: Any,
    max_rows: Any,
) -> dict[str, Any]:
    """Return every field of the blueprint."""
    if not isinstance(bounds, Box | Ball) or bounds.dim is None:
        raise InvalidType("bounds", f"a {type(bounds).__name__}", "a Box or Ball with a dimension", "pass dim=d")
    target = normalised(target)
    labels = not isinstance(target, Box)
    sphere = choice("sphere", sphere, "project" if labels else "lift", ("project", "lift"))
    solver = choice("solver", solver, "descent" if labels else "moments", ("moments", "descent"))
    features = choice("features", features, "ntk", ("ntk", "linear"))
    max_rows = positive_integer("max_rows", max_rows, at_most=1 << 32)
    expected_rows = positive_integer("expected_rows", expected_rows, at_most=max_rows)
    descent = solver == "descent"
    loss = choice("loss", loss, "softmax" if labels and descent else "squared", ("softmax", "squared"))
    if loss == "softmax" and not (labels and descent):
        raise InvalidParameter("loss", "'softmax'", "'squared' for an interval, and for the solver 'moments'")
    dim = sphere_dim(bounds.dim, sphere)
    if features == "linear":
        size = dim if n_features is None else positive_integer("n_features", n_features, at_most=1 << 16)
        if size != dim:
            raise InvalidParameter("n_features", str(size), f"{dim}: linear features are the point itself")
    else:
        size = max(512, 2 * (1 + dim)) if n_features is None else n_features
        size = positive_integer("n_features", size, at_most=1 << 16)
        if size <= 1 + dim:
            raise InvalidParameter("n_features", str(size), f"more than {1 + dim}")
    return {
        "bounds": bounds,
        "target": target,
        "expected_rows": expected_rows,
        "depth": positive_integer("depth", depth, at_most=64),
        "n_features": size,
        "features": features,
        "sphere": sphere,
        "solver": solver,
        "loss": loss,
        "steps": positive_integer("steps", steps, at_most=10_000),
        "clip": positive("clip", clip, 0.15 if loss == "softmax" else 0.5),
        "prediction_noise": positive("prediction_noise", prediction_noise, 1.5 if loss == "softmax" else 0.25),
        "center": flag("center", center, descent, descent),
        "whiten": flag("whiten", whiten, descent and expected_rows >= 5000, descent),
        "intercept": flag("intercept", intercept, descent, descent),
        "seed": positive_integer("seed", seed, at_most=1 << 62) if seed else 0,
        "max_rows": max_rows,
    }


def choice(argument: str, value: Any, default: Any, allowed: tuple[str, ...]) -> Any:
    if value is None:
        return default
    if value not in allowed:
        raise InvalidParameter(argument, repr(value), " or ".join(map(repr, allowed)))
    return value


def flag(argument: str, value: object, default: bool, descent: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool | np.bool_):
        raise InvalidType(argument, f"a {type(value).__name__}", "True, False or None")
    if value and not descent:
        raise InvalidParameter(argument, "True", "a descent", 'pass solver="descent"')
    return bool(value)


def positive(argument: str, value: Any, default: float) -> float:
    number = default if value is None else real(argument, value)
    if number <= 0:
        raise InvalidParameter(argument, repr(number), "a positive number")
    return number


def check_device(device: str) -> None:
    if device not in ("auto", "cpu"):
        raise InvalidParameter("device", repr(device), '"auto" or "cpu": this structure has no other kernels')
