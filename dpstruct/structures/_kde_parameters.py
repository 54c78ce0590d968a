"""The public parameters of `KernelDensity`, checked once."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from dpstruct.domain import Box, check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.features.radial import KERNELS, kernel_named

__all__ = ["METHODS", "checked"]

METHODS = ("fourier", "features", "mercer", "batch", "nystrom", "binned", "custom")


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters as plain values: floats, ints, text, tuples and a Box."""
    values = dict(given)
    values["bounds"] = _box(given["bounds"])
    dim = values["bounds"].dim
    if isinstance(given["kernel"], str):
        kernel = kernel_named(given["kernel"])
        values["kernel"] = kernel.name
        values["shape"] = _shape(kernel.name, kernel.shape, given["shape"])
    elif not callable(given["kernel"]):
        raise InvalidType("kernel", f"a {type(given['kernel']).__name__}", "the name of a kernel, or a feature map")
    custom = not isinstance(given["kernel"], str)
    values["bandwidth"] = _bandwidth(1.0 if custom and given["bandwidth"] is None else given["bandwidth"])
    for name in ("queries", "anchors"):
        values[name] = _points(name, given[name], dim)
    values["location"] = _per_coordinate("location", given["location"], dim)
    if values["location"] is not None and not all(abs(v) <= 1e100 for v in values["location"]):
        raise InvalidParameter("location", repr(values["location"]), "numbers up to 1e100 in size")
    values["scale"] = _scale(given["scale"], dim)
    if given["tolerance"] is not None and not 1e-12 <= real("tolerance", given["tolerance"]) <= 0.1:
        raise InvalidParameter("tolerance", repr(given["tolerance"]), "a number from 1e-12 to 0.1")
    if given["n_features"] is not None:
        values["n_features"] = positive_integer("n_features", given["n_features"], at_most=1 << 17)
    share = values["count_share"] = real("count_share", given["count_share"])
    if not 2**-20 <= share <= 0.5:
        raise InvalidParameter("count_share", repr(share), "a number from 2**-20 to 0.5")
    values["expected_rows"] = positive_integer("expected_rows", given["expected_rows"], at_most=1 << 50)
    if given["max_rows"] is not None:
        values["max_rows"] = positive_integer("max_rows", given["max_rows"], at_most=1 << 44)
    seed = given["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 63:
        raise InvalidParameter("seed", repr(seed), "an integer from 0 to 2**63 - 1")
    values["seed"] = int(seed)
    _check_method(values)
    values["structured"] = _structured(values)
    return values


def _box(bounds: object) -> Box:
    if not isinstance(bounds, Box):
        raise InvalidType("bounds", f"a {type(bounds).__name__}", "a Box", "use Box(low=[...], high=[...])")
    if bounds.dim is None:
        raise InvalidParameter("bounds", "a Box without a dimension", "a Box with one", "pass Box(low, high, dim=d)")
    return bounds


def _bandwidth(value: object) -> float | tuple[float, ...]:
    if isinstance(value, str):
        raise InvalidParameter(
            "bandwidth",
            repr(value),
            "a public number",
            "rules such as 'scott' read the data: pay for a private scale first, say that of a JohnEllipsoid, and "
            "compute a bandwidth from its release; or choose one from public knowledge",
        )
    several = isinstance(value, list | tuple | np.ndarray)
    numbers = tuple(real("bandwidth", h) for h in (np.asarray(value).tolist() if several else [value]))
    if not numbers or not all(1e-90 <= h <= 1e90 for h in numbers) or len(set(numbers)) < len(numbers):
        raise InvalidParameter("bandwidth", repr(numbers), "distinct numbers above zero")
    return numbers if len(numbers) > 1 else numbers[0]


def _shape(kernel: str, default: float | None, given: object) -> float | None:
    if default is None:
        if given is not None:
            raise InvalidParameter("shape", repr(given), f"nothing: kernel={kernel!r} has no shape parameter")
        return None
    number = default if given is None else real("shape", given)
    if not 0.1 <= number <= 100:
        raise InvalidParameter("shape", repr(number), "a number from 0.1 to 100")
    return number


def _structured(values: dict[str, Any]) -> bool | None:
    given, kernel = values["structured"], values["kernel"]
    if given is None or isinstance(given, bool):
        if given and values["method"] != "features":
            raise InvalidParameter("structured", f"True with method={values['method']!r}", 'method="features"')
        if given and kernel_named(kernel).norm != "l2":
            radial = ", ".join(name for name, k in KERNELS.items() if k.norm == "l2")
            raise InvalidParameter(
                "structured", f"True with kernel={kernel!r}", f"a kernel of the l2 distance: {radial}"
            )
        return given
    raise InvalidType("structured", f"a {type(given).__name__}", "True, False or None")


def _points(name: str, value: object, dim: int | None) -> tuple[tuple[float, ...], ...] | None:
    if value is None:
        return None
    rows = check_rows(name, value, dim).astype(np.float64) + 0.0
    if not 1 <= len(rows) <= 4096 or not np.isfinite(rows).all():
        raise InvalidParameter(name, f"{len(rows)} rows, or a value that is not finite", "1 to 4096 finite rows")
    if len(np.unique(rows, axis=0)) < len(rows):
        raise InvalidParameter(name, "rows that occur twice", "distinct rows")
    return tuple(tuple(row) for row in rows.tolist())


def _per_coordinate(name: str, value: Any, dim: int | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    assert dim is not None
    several = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
    numbers = tuple(real(name, v) for v in (np.asarray(value).tolist() if several else [value] * dim))
    if len(numbers) != dim:
        raise InvalidParameter(name, f"{len(numbers)} numbers", f"{dim}, one per coordinate")
    return numbers


def _scale(value: Any, dim: int | None) -> tuple[Any, ...] | None:
    """Return standard deviations, or the rows of a covariance matrix."""
    rows = list(value) if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim) else []
    if not rows or np.ndim(rows[0]) == 0:
        deviations = _per_coordinate("scale", value, dim)
        if deviations is not None and not all(1e-100 <= v <= 1e100 for v in deviations):
            raise InvalidParameter("scale", repr(deviations), "standard deviations above zero, from 1e-100 to 1e100")
        return deviations
    matrix = check_rows("scale", value, dim).astype(np.float64)
    if matrix.shape != (dim, dim) or not (np.abs(matrix) <= 1e200).all() or not np.allclose(matrix, matrix.T):
        raise InvalidParameter("scale", f"a matrix of shape {matrix.shape}", f"a symmetric one of shape ({dim}, {dim})")
    return tuple(tuple(row) for row in (matrix / 2 + matrix.T / 2).tolist())


def _check_method(values: dict[str, Any]) -> None:
    """Refuse what only another method would use."""
    method, custom = values["method"], callable(values["kernel"])
    if custom and method not in ("auto", "custom"):
        raise InvalidParameter("method", repr(method), '"auto" for a kernel that is a function')
    if method not in ("auto", *METHODS) or (method == "custom" and not custom):
        near = difflib.get_close_matches(str(method), METHODS, n=1)
        raise InvalidParameter(
            "method",
            repr(method),
            f"auto or one of {', '.join(METHODS)}",
            (near and f"did you mean {near[0]!r}?") or "",
        )
    for name, owner in (("queries", "batch"), ("anchors", "nystrom")):
        if values[name] is not None and method not in ("auto", owner):
            raise InvalidParameter(name, f"points with method={method!r}", f"method={owner!r}")
        if values[name] is None and method == owner:
            raise InvalidParameter(name, "nothing", f"public points for method={owner!r}")
    if values["queries"] is not None and values["anchors"] is not None:
        raise InvalidParameter("anchors", "both queries and anchors", "one of them")
    if isinstance(values["bandwidth"], tuple) and method not in ("auto", "fourier", "binned"):
        raise InvalidParameter("bandwidth", f"several with method={method!r}", 'one, or method="fourier" or "binned"')
