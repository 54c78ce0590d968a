"""One charge in writing: enough to recompute its price without the code that made it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from dpstruct.errors import InvalidParameter
from dpstruct.privacy._checks import integer, rational, real, shown
from dpstruct.privacy.calibration import Kind, check_kind, price

__all__ = ["Event", "Line"]

_RATIONAL = re.compile(r"[1-9][0-9]{0,999}/[1-9][0-9]{0,999}", re.ASCII)
_MOST_BITS = 3300  # fewer than 1000 digits: every event that exists can be written and read back
_MOST_ITEMS = 1 << 24


class Line(NamedTuple):
    """One noised array: weights and scales are single, or one per first-axis entry."""

    name: str
    shape: tuple[int, ...]
    weights: tuple[Fraction, ...]
    scales: tuple[float, ...]


def _check_rational(argument: str, value: object) -> Fraction:
    """Return a positive rational of writable length, or raise."""
    checked = rational(argument, value)
    if max(checked.numerator.bit_length(), checked.denominator.bit_length()) > _MOST_BITS:
        raise InvalidParameter(argument, "a rational of too many digits", f"at most {_MOST_BITS} bits above and below")
    return checked


def _check_line(line: object) -> Line:
    """Return a line with Python types only, or raise."""
    if not isinstance(line, tuple) or len(line) != 4 or not all(isinstance(part, tuple) for part in line[1:]):
        raise InvalidParameter("lines", shown(line), "tuples (name, shape, weights, scales), the last three tuples")
    name, shape, weights, scales = line
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        raise InvalidParameter("name", shown(name), "a string of 1 to 200 characters")
    shape = tuple(integer("shape", n, low=1) for n in shape)
    allowed = {1, shape[0]} if shape else {1}
    for argument, values in (("weights", weights), ("scales", scales)):
        if len(values) not in allowed:
            raise InvalidParameter(argument, f"{len(values)} of them", " or ".join(map(str, sorted(allowed))))
    checked = {w: _check_rational("weight", w) for w in weights}
    return Line(name, shape, tuple(checked[w] for w in weights), tuple(real("scale", s) for s in scales))


def _paired(line: Line) -> set[tuple[Fraction, float]]:
    """Return the distinct (weight, scale) pairs of a line."""
    entries = max(len(line.weights), len(line.scales))
    weights = line.weights * (entries if len(line.weights) == 1 else 1)
    scales = line.scales * (entries if len(line.scales) == 1 else 1)
    return set(zip(weights, scales, strict=True))


@dataclass(frozen=True, slots=True)
class Event:
    """The typed record of one charge: noise kind, joint sensitivity, and the scales handed to the sampler.

    Parameters
    ----------
    kind : {"rounded-gaussian", "discrete-laplace"}
        Also fixes the norm: l2 (squared) or l1.
    sensitivity : Fraction
        S >= sum of ``d**2 / w`` (Gaussian) or ``|d| / w`` (Laplace) over all lines and all neighbours, lattice units.
    lines : tuple of Line
        ``(name, shape, weights, scales)``; the names are distinct.

    Raises
    ------
    InvalidParameter
        If a part is malformed, not positive, or not finite.

    Examples
    --------
    >>> from fractions import Fraction
    >>> event = Event("rounded-gaussian", Fraction(1), (("sums", (3,), (Fraction(1),), (10.0,)),))
    >>> event.price()
    12676506002282294014967032054
    >>> Event.decode(event.encode()) == event
    True
    """

    kind: Kind
    sensitivity: Fraction
    lines: tuple[Line, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", check_kind(self.kind))
        object.__setattr__(self, "sensitivity", _check_rational("sensitivity", self.sensitivity))
        if not isinstance(self.lines, tuple) or not self.lines:
            raise InvalidParameter("lines", shown(self.lines), "a tuple of at least one line")
        object.__setattr__(self, "lines", tuple(_check_line(line) for line in self.lines))
        if len({line.name for line in self.lines}) < len(self.lines):
            raise InvalidParameter("lines", "a repeated name", "distinct names")

    def price(self) -> int:
        """Return the cost in units of 2^-100, rounded up, from this record alone.

        ``sum d**2 / s**2 = sum (d**2 / w)(w / s**2) <= S max(w / s**2)``: lines under one joint bound cost their
        maximum, not their sum. The unit is mu^2 (Gaussian) or epsilon (Laplace).
        """
        pairs = set().union(*map(_paired, self.lines))
        return max(price(self.kind, w, self.sensitivity, s) for w, s in pairs)

    def encode(self) -> dict[str, Any]:
        """Return a JSON value: rationals as "num/den", scales as hexadecimal floats, nothing rounded."""
        lines = [
            {
                "name": line.name,
                "shape": list(line.shape),
                "weights": [f"{w.numerator}/{w.denominator}" for w in line.weights],
                "scales": [s.hex() for s in line.scales],
            }
            for line in self.lines
        ]
        return {
            "kind": self.kind,
            "sensitivity": f"{self.sensitivity.numerator}/{self.sensitivity.denominator}",
            "lines": lines,
        }

    @classmethod
    def decode(cls, value: object) -> Event:
        """Return the event of a JSON value.

        Raises
        ------
        InvalidParameter
            On anything that ``encode`` does not write: other keys, other types, numbers not in lowest terms.
        """
        kind, sensitivity, lines = _fields(value, "event", ("kind", "sensitivity", "lines"))
        parsed = []
        for item in _items(lines, "lines"):
            name, shape, weights, scales = _fields(item, "line", ("name", "shape", "weights", "scales"))
            parsed.append(
                Line(
                    name,
                    tuple(_items(shape, "shape")),
                    tuple(_fraction(w) for w in _items(weights, "weights")),
                    tuple(_scale(s) for s in _items(scales, "scales")),
                )
            )
        return cls(kind, _fraction(sensitivity), tuple(parsed))


def _fields(value: object, what: str, keys: tuple[str, ...]) -> list[Any]:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise InvalidParameter(what, "a malformed JSON value", f"an object with the keys {', '.join(keys)}")
    return [value[key] for key in keys]


def _items(value: object, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_ITEMS:
        raise InvalidParameter(what, "a malformed JSON value", f"an array of at most {_MOST_ITEMS} items")
    return value


def _fraction(text: object) -> Fraction:
    if isinstance(text, str) and _RATIONAL.fullmatch(text):
        parsed = Fraction(text)
        if f"{parsed.numerator}/{parsed.denominator}" == text:
            return parsed
    raise InvalidParameter("rational", shown(text), 'a string "num/den" in lowest terms')


def _scale(text: object) -> float:
    if isinstance(text, str) and len(text) <= 40:
        try:
            parsed = float.fromhex(text)
        except (ValueError, OverflowError):
            parsed = -1.0
        if parsed.hex() == text:
            return parsed
    raise InvalidParameter("scale", shown(text), "a hexadecimal float as float.hex writes it")
