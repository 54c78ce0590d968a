"""Neighbour relations: what two datasets may differ in, and which guarantee implies which."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from dpstruct.errors import InvalidParameter, NeighborsMismatch
from dpstruct.privacy._checks import real, shown

__all__ = ["Relation", "RowsWithin", "decode", "describe", "encode", "factor", "parse"]


@dataclass(frozen=True, slots=True)
class RowsWithin:
    """Datasets of equal size whose one differing row moved at most ``radius``.

    Parameters
    ----------
    radius : float
        Largest l2 distance between the two versions of the row, in user units, > 0.

    Raises
    ------
    InvalidParameter
        If the radius is not a finite number > 0.

    Examples
    --------
    >>> RowsWithin(0.5)
    RowsWithin(radius=0.5)
    """

    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", real("radius", self.radius))


Relation = Literal["add-remove", "substitute"] | RowsWithin

_EXPECTED = '"add-remove", "substitute" or RowsWithin(radius)'


def parse(value: object) -> Relation:
    """Return the relation that a user named, or raise.

    Raises
    ------
    InvalidParameter
        If the value is neither of the two names nor a ``RowsWithin``. There is no default.
    """
    if isinstance(value, RowsWithin):
        return value
    if isinstance(value, str):
        if value == "add-remove":
            return "add-remove"
        if value == "substitute":
            return "substitute"
    raise InvalidParameter("neighbors", shown(value), _EXPECTED, "name what two neighbouring datasets differ in")


def describe(relation: Relation) -> str:
    """Return the name of a relation for printed guarantees.

    Examples
    --------
    >>> describe(RowsWithin(0.5))
    'rows-within 0.5'
    """
    relation = parse(relation)
    return f"rows-within {relation.radius!r}" if isinstance(relation, RowsWithin) else relation


def encode(relation: Relation) -> str | dict[str, str]:
    """Return a JSON value that holds the relation exactly."""
    relation = parse(relation)
    return {"rows-within": relation.radius.hex()} if isinstance(relation, RowsWithin) else relation


def decode(value: object) -> Relation:
    """Return the relation of a JSON value, or raise ``InvalidParameter`` on anything that ``encode`` does not write."""
    if not isinstance(value, dict):
        return parse(value)
    text = value.get("rows-within")
    if len(value) == 1 and isinstance(text, str) and len(text) <= 40:
        try:
            radius = float.fromhex(text)
        except (ValueError, OverflowError):
            radius = float("nan")
        if radius.hex() == text:
            return RowsWithin(radius)
    raise InvalidParameter("neighbors", "a malformed JSON object", '{"rows-within": <hexadecimal float>}')


def factor(source: Relation, target: Relation, *, diameter: float | None = None) -> int:
    """Return k such that mu under ``source`` is at most k mu under ``target`` (and epsilon at most k epsilon).

    A substitution is one removal and one addition, a small move is a substitution, and a move across a convex domain
    is a chain of small ones. Apply the result with ``measure.group(k)``, once.

    Parameters
    ----------
    source, target : Relation
        The relation that a guarantee was proved for, and the one wanted.
    diameter : float, optional
        Public l2 diameter of a *convex* domain that holds every row. Needed to leave ``RowsWithin`` upwards.

    Returns
    -------
    int
        1, 2, or ``ceil(distance / radius)``.

    Raises
    ------
    NeighborsMismatch
        If ``source`` says nothing about ``target``.

    Examples
    --------
    >>> factor("add-remove", "substitute")
    2
    >>> factor(RowsWithin(0.25), "substitute", diameter=1.0)
    4
    """
    source, target = parse(source), parse(target)
    reach = None if diameter is None else Fraction(real("diameter", diameter))
    if source == target:
        return 1
    if source == "add-remove":
        return 2
    if source == "substitute" and isinstance(target, RowsWithin):
        return 1
    if isinstance(source, RowsWithin) and target != "add-remove":
        step = Fraction(source.radius)
        if isinstance(target, RowsWithin):
            if target.radius <= source.radius:
                return 1
            reach = None if reach is None else min(reach, Fraction(target.radius))
        if reach is not None:
            return -(-reach // step)
    raise NeighborsMismatch(
        f"a guarantee under {describe(source)} neighbors says nothing about {describe(target)} neighbors"
        + ("" if reach or target == "add-remove" else "; declare the public diameter of a convex domain")
    )
