"""What the blueprints of private memories share: checked parameters, the lattice of keys and values, units."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Plan, Structure, Summary, Sums
from dpstruct.core.release import Release
from dpstruct.domain import LARGE, SMALL, check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter, InvalidType, NeighborsMismatch
from dpstruct.features.polynomial import KEY_BITS
from dpstruct.lattice import to_lattice
from dpstruct.structures import _attention_units as units

__all__ = ["Memory", "checked", "coefficients", "directions", "pilot"]

R = TypeVar("R", bound=Release)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_CAPACITY = 62  # bits of a sum
_BLOCK = 1 << 14


def _size(argument: str, value: Any) -> float:
    number = real(argument, value)
    if not SMALL <= number <= LARGE:
        raise InvalidParameter(argument, repr(number), f"a number from {SMALL:g} to {LARGE:g}")
    return number


def _center(argument: str, value: Any, dim: int) -> tuple[float, ...] | None:
    if value is None:
        return None
    found = numbers(argument, value)
    if len(found) != dim or max(map(abs, found)) > LARGE:
        raise InvalidParameter(argument, f"{len(found)} numbers", f"{dim} numbers within +-{LARGE:g}")
    return found


def numbers(argument: str, value: Any) -> tuple[float, ...]:
    """Return a sequence of finite numbers as floats."""
    items = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(items, str) or not hasattr(items, "__iter__"):
        raise InvalidType(argument, f"a {type(value).__name__}", "a sequence of numbers")
    return tuple(real(f"{argument}[{i}]", item) for i, item in enumerate(items))


def coefficients(value: Any, degree: int) -> str | tuple[float, ...]:
    """Return "prior", "taylor", or degree + 1 numbers whose polynomial is positive on average."""
    if isinstance(value, str) and value in ("prior", "taylor"):
        return value
    if isinstance(value, str):
        raise InvalidParameter("coefficients", repr(value), f'"prior", "taylor" or {degree + 1} numbers')
    found = numbers("coefficients", value)
    if len(found) != degree + 1:
        raise InvalidParameter("coefficients", f"{len(found)} numbers", f"{degree + 1}, for powers 0 to {degree}")
    if found[0] + (found[2] / 16 if degree >= 2 else 0.0) <= 0:
        raise InvalidParameter("coefficients", "a polynomial of no positive mean", "one that is positive on average")
    return found


_INTEGERS = {"dim_key": 1 << 16, "dim_value": 1 << 16, "degree": 3, "heads": 1 << 16, "feature_bits": 24}
_CHOICES = {"normalize": ("clip", "sphere"), "features": ("exact", "tensorsketch")}


def checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a blueprint as plain values, or raise naming the first that is not allowed."""
    v = dict(values)
    for name in _INTEGERS.keys() & v.keys():
        v[name] = positive_integer(name, v[name], at_most=_INTEGERS[name])
    for name in ("key_norm", "value_norm"):
        v[name] = _size(name, v[name])
    for name, dim in (("key_center", "dim_key"), ("value_center", "dim_value")):
        v[name] = _center(name, v[name], v[dim])
    for name, allowed in _CHOICES.items():
        if name in v and v[name] not in allowed:
            raise InvalidParameter(name, repr(v[name])[:60], " or ".join(map(repr, allowed)))
    v["unit_rule"] = units.parse(v["unit_rule"])
    v["value_bits"] = positive_integer("value_bits", v["value_bits"], at_most=24)
    if v["value_weight"] is not None and not 1e-6 <= real("value_weight", v["value_weight"]) <= 1e6:
        raise InvalidParameter("value_weight", repr(v["value_weight"]), "None, or a number from 1e-6 to 1e6")
    v["value_weight"] = None if v["value_weight"] is None else float(v["value_weight"])
    bits = v["value_bits"] + v.get("feature_bits", 0)
    v["max_rows"] = positive_integer("max_rows", v["max_rows"], at_most=1 << (_CAPACITY - bits))
    v["expected_rows"] = positive_integer("expected_rows", v["expected_rows"], at_most=1 << 60)
    return _checked_polynomial(v) if "degree" in v else v


def _checked_polynomial(v: dict[str, Any]) -> dict[str, Any]:
    v["temperatures"] = numbers("temperatures", v["temperatures"])
    if not v["temperatures"] or not all(1e-3 <= t <= 1e6 for t in v["temperatures"]):
        raise InvalidParameter("temperatures", repr(v["temperatures"])[:60], "numbers from 0.001 to 1e6")
    v["coefficients"] = coefficients(v["coefficients"], v["degree"])
    size = v["sketch_size"] = positive_integer("sketch_size", v["sketch_size"], at_most=1 << 16)
    if size & (size - 1) or size < 2:
        raise InvalidParameter("sketch_size", str(size), "a power of two")
    v["sketch_seed"] = positive_integer("sketch_seed + 1", v["sketch_seed"] + 1, at_most=1 << 53) - 1
    if v["features"] == "tensorsketch":
        if v["degree"] < 2 or v["dim_key"] > 1024:
            raise InvalidParameter("features", "'tensorsketch'", "degree 2 or 3 and keys of at most 1024 coordinates")
        m = 1 + v["dim_key"] + (v["degree"] - 1) * size
    else:
        m = math.comb(v["dim_key"] + v["degree"], v["degree"])
    state = v["heads"] * m * (v["dim_value"] + 1)
    if state > 1 << 28:
        remedy = 'project the keys by a public matrix, lower the degree, or use features="tensorsketch"'
        raise InvalidParameter("dim_key", f"a state of {state:,} numbers", f"at most {1 << 28:,}", remedy)
    return v


def directions(Q: NDArray[Any]) -> tuple[NDArray[Any], Floats]:
    """Return unit vectors and lengths of finite queries; zero becomes the first axis, with length 0."""
    largest = np.abs(Q).max(axis=1, initial=0).astype(np.float64)
    unit = Q / np.where(largest > 0, largest, 1)[:, None].astype(Q.dtype)
    unit[largest == 0, 0] = 1
    length = np.sqrt(np.einsum("ij,ij->i", unit, unit, dtype=np.float64))
    unit /= length[:, None].astype(Q.dtype)
    with np.errstate(over="ignore"):
        return unit, np.minimum(length * largest, LARGE)


@dataclass(frozen=True)
class Memory(Structure[R]):
    """Base of the blueprints: rows of keys and values, clipped to balls, on a lattice, in units."""

    dim_key: int
    dim_value: int
    key_norm: float
    value_norm: float
    value_weight: float | None
    key_center: tuple[float, ...] | None
    value_center: tuple[float, ...] | None
    normalize: str
    unit_rule: units.Rule
    max_rows: int
    expected_rows: int
    value_bits: int

    bounds_units: ClassVar[bool] = True

    @property
    def _heads(self) -> int:
        """Heads of one record."""
        return 1

    @property
    @abstractmethod
    def _unit(self) -> float:
        """Lattice steps of one full record."""

    @abstractmethod
    def _row_bound(self) -> float:
        """Return the largest squared weighted norm of one row and head."""

    @abstractmethod
    def _sums(self, K: NDArray[Any], V: NDArray[Any], rows: Any, weights: Integers) -> Integers:
        """Return the exact sums of the chosen rows with integer weights."""

    @abstractmethod
    def _lines(self, total: Integers) -> dict[str, Integers]:
        """Return the sums by line."""

    @abstractmethod
    def _each(self, K: NDArray[Any], V: NDArray[Any], rows: Integers, starts: Integers) -> Integers:
        """Return the exact sums of consecutive units, their rows at full weight."""

    @abstractmethod
    def _row_precisions(self) -> Floats:
        """Return the precision of every entry of a sum but for its first axis, heads."""

    def no_rows(self) -> tuple[Floats, Floats]:
        """Return no keys and no values."""
        return np.empty((0, self._heads * self.dim_key)), np.empty((0, self._heads * self.dim_value))

    def plan(self, *, unit: str = "row", **options: Any) -> Plan[R]:
        """Return price, noise scales and predicted error: `Structure.plan`. A unit other than a row needs a rule."""
        if (unit == "row") != (self.unit_rule is None):
            given = "no unit_rule" if self.unit_rule is None else f"unit_rule={self.unit_rule!r}"
            raise NeighborsMismatch(
                f"{type(self).__name__} has {given} and the unit is {unit!r}: a rule bounds the rows of a named unit "
                'such as "user", and a row needs none'
            )
        return super().plan(unit=unit, **options)

    def summarize(self, K: Any, V: Any, unit_ids: Any = None, *, device: str = "auto") -> Summary[R]:
        """Return the sealed exact sums of some records.

        Parameters
        ----------
        K : array-like, shape (n, dim_key), or (n, heads, dim_key) with several heads
            Keys. Longer ones are shrunk to `key_norm` around the centre; a NaN or infinity counts as the centre's
            coordinate.
        V : array-like, shape (n, dim_value), or (n, heads, dim_value)
            Values, likewise.
        unit_ids : array-like, shape (n,), optional
            Whose row it is, numbers or strings; required with a unit rule. All rows of a unit come in one call: a unit
            split over k summaries has k times the sensitivity.
        device : {"auto", "cpu"}
            Where to compute.
        """
        data = [
            check_rows(name, _flat(part, self._heads, dim), self._heads * dim)
            for name, part, dim in (("K", K, self.dim_key), ("V", V, self.dim_value))
        ]
        if len(data[0]) != len(data[1]):
            raise InvalidParameter("K, V", "arrays of different lengths", "one row per record in each")
        return Summary(self, self.seal(*data, unit_ids=unit_ids, device=device))

    def seal_none(self) -> Sums:
        """Return the sealed sums of no units."""
        return self.seal(*self.no_rows(), unit_ids=None if self.unit_rule is None else np.empty(0, np.int64))

    def seal(self, *data: NDArray[Any], unit_ids: Any = None, device: str = "auto") -> Sums:
        """Return the exact sums of the rows, each unit bounded by the rule."""
        if device not in ("auto", "cpu"):
            raise InvalidParameter("device", repr(device), '"auto" or "cpu": attention has no other kernels')
        if (unit_ids is None) != (self.unit_rule is None):
            received = "none" if unit_ids is None else "ids without a unit_rule"
            raise InvalidParameter("unit_ids", received, "one id per row if and only if the blueprint has a unit_rule")
        K, V = data
        ids = None if unit_ids is None else units.check_ids(unit_ids, len(K))
        precisions = self._row_precisions()
        limit = math.sqrt(self._heads * self._row_bound()) * units.factor(self.unit_rule) * self._unit
        sums = units.Sums(
            lambda rows, weights: self._sums(K, V, rows, weights),
            lambda rows, starts: self._each(K, V, rows, starts),
            lambda found: units.shrink(found, precisions, limit),
            max(1, min((1 << 22) // (self._heads * precisions.size), _BLOCK, int(2.0**53 / self._unit))),
        )
        count, total = units.seal(self.unit_rule, ids, len(K), 1 << self.value_bits, sums)
        return Sums(count, self._lines(total))

    def _blocks(
        self, K: NDArray[Any], V: NDArray[Any], rows: Any, weights: Integers
    ) -> Iterator[tuple[int, Integers, Integers]]:
        """Yield ``(head, keys, values)`` on their lattices, a block of the chosen rows at a time.

        Keys have norm at most ``2**KEY_BITS``. A value row holds ``trunc(u w)`` and u, for its weight u.
        """
        for start in range(0, len(weights), _BLOCK):
            part = slice(start, start + _BLOCK)
            chosen, u = part if isinstance(rows, slice) else rows[part], weights[part, None]
            for head in range(self._heads):
                k = K[chosen, head * self.dim_key : (head + 1) * self.dim_key]
                v = V[chosen, head * self.dim_value : (head + 1) * self.dim_value]
                X = _on_lattice(k, self.key_center, self.key_norm, self.normalize == "sphere")
                w = _on_lattice(v, self.value_center, self.value_norm, False) * u
                W = np.sign(w) * (np.abs(w) >> KEY_BITS)
                yield head, X, np.concatenate([W, u], axis=1)

    def _slack(self) -> tuple[float, float]:
        """Return how far rounding may move a key (to 30 bits) and a value (to its bits), over their norms.

        One step per coordinate, two more for a repaired norm, and the conversion of 64-bit integers to floats.
        """

        def steps(dim: int, center: tuple[float, ...] | None, norm: float) -> float:
            far = max(map(abs, center)) if center else 0.0
            return (math.sqrt(dim) + 2) * 2.0**-KEY_BITS + math.sqrt(dim) * math.ulp(far + 2 * norm) / norm

        value = math.sqrt(self.dim_value) * 2.0**-self.value_bits
        return (
            steps(self.dim_key, self.key_center, self.key_norm),
            steps(self.dim_value, self.value_center, self.value_norm) + value,
        )


def pilot(blueprint: Memory[Any], K: Any, V: Any) -> tuple[Floats, Floats]:
    """Return public keys and values of one head as real vectors in the unit balls."""
    keys = _on_lattice(
        check_rows("K", K, blueprint.dim_key), blueprint.key_center, blueprint.key_norm, blueprint.normalize == "sphere"
    )
    values = _on_lattice(check_rows("V", V, blueprint.dim_value), blueprint.value_center, blueprint.value_norm, False)
    if len(keys) != len(values) or not len(keys):
        raise InvalidParameter("K, V", "no rows, or arrays of different lengths", "one row per record in each")
    return np.ldexp(keys.astype(np.float64), -KEY_BITS), np.ldexp(values.astype(np.float64), -KEY_BITS)


def _flat(part: Any, heads: int, dim: int) -> Any:
    """Return (n, heads, dim) as (n, heads * dim); anything else as it is."""
    if heads > 1 and getattr(part, "ndim", None) == 3 and part.shape[1:] == (heads, dim):
        return part.reshape(len(part), -1)
    return part


def _on_lattice(rows: NDArray[Any], center: tuple[float, ...] | None, norm: float, sphere: bool) -> Integers:
    """Return integers of norm at most ``2**KEY_BITS`` for rows around a public centre, each from its row alone."""
    with np.errstate(all="ignore"):
        shifted = rows.astype(np.float64)
        if center is not None:
            shifted -= np.array(center)
        if sphere:
            shifted[~np.isfinite(shifted)] = 0.0
            largest = np.abs(shifted).max(axis=1, initial=0.0)
            shifted /= np.where(largest > 0, largest, 1.0)[:, None]
            norm = 1.0
    return to_lattice(shifted, bound=norm, bits=KEY_BITS)
