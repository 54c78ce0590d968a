"""What the plan of a private ellipsoid decides from public numbers: method, cap, lattice, lines and their price."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from dpstruct.core import Group, Line
from dpstruct.core.plan import Scales
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, PureDP, Relation, RowsWithin
from dpstruct.structures import _second_moment as moments
from dpstruct.structures._tail_scale import Tail, laplace_quantile

if TYPE_CHECKING:
    from dpstruct.structures.john_ellipsoid import JohnEllipsoid

__all__ = ["CAPPED", "CLIP", "CLIP_WHITENING", "ENTRY", "WHITENING", "Recipe", "groups", "recipe", "rows_needed"]

ENTRY = 1 << 24  # a sealed row is 2**24 times a vector in the unit ball
WHITENING = tuple(f"whitening{t}" for t in range(1, 4))
CAPPED = tuple(f"capped{t}" for t in range(1, 9))
CLIP, CLIP_WHITENING = 2.0, 3.0  # rows are clipped to these multiples of d, the mean of their squared length
SHAPE = Fraction(17, 20)  # of a Gaussian cost; the rest pays for the scale
SHAPE_LAPLACE = Fraction(4, 5)
PART_WHITENING = Fraction(3, 10)  # of the shape's part
# The cap nu is 3 alpha, or up to 1/4 where that brings the noise of a round down to half the identity; with more than
# 1.2 times the identity one second moment is the better ellipsoid.
TIMES_ALPHA, LARGEST_NU, ETA, LARGEST_ETA = 3.0, 0.25, 0.5, 1.2
NOISIEST = 2.0**50


@dataclass(frozen=True)
class Recipe:
    """Everything that the rounds of one release need to know, all of it public.

    Attributes
    ----------
    d : int
        Coordinates of a sealed row, the constant one included.
    unit : float
        A sealed integer times it is the entry of a vector a with ``|a| <= 1``.
    rows : int
        The public number or guess of rows.
    counted : bool
        Whether the number of rows is private and counted.
    capped : bool
        The method: capped rounds, or one second moment.
    nu, eta : float
        A row's weight is at most ``1 / (nu n)``; the noise of one capped round in operator norm at `nu`, relative.
    bits : int
        A contribution has a squared length of at most ``size = 4**bits``.
    count_unit : int
        What one row adds to the sum of weights.
    moved : Fraction or None
        The joint bound of the second moment where one row moves a little.
    """

    d: int
    unit: float
    rows: int
    counted: bool
    capped: bool
    nu: float
    eta: float
    bits: int
    count_unit: int
    resolution: float
    tail: Tail
    cost: GDP | PureDP
    moved: Fraction | None = None

    @property
    def size(self) -> int:
        """Largest squared length of a contribution."""
        return int(4**self.bits)

    def floor(self, least: float) -> float:
        """Return the smallest eigenvalue kept."""
        return max(least, self.resolution**2)

    def lines(self, prefix: str, *, counted: bool) -> list[Line]:
        """Return the lines of one round."""
        return moments.lines(prefix, self.d, self.cost) + [Line(f"{prefix}_count", ())] * counted

    def price(self, neighbors: Relation, *, counted: bool) -> Fraction:
        """Return the joint bound of one round.

        The sum of weights, in 0 .. `count_unit` per row, changes by at most that whether rows are added or replaced.
        """
        power = 2 if isinstance(self.cost, GDP) else 1
        extra = self.count_unit**power if counted else 0
        return moments.sensitivity(self.d, self.cost, neighbors, bound=self.size) + extra

    @property
    def _counts(self) -> tuple[str, ...]:
        """The lines whose mean counts the rows."""
        names = WHITENING if self.capped else ("moment",)
        return tuple(f"{name}_count" for name in names) if self.counted else ()

    def count_error(self, noise: Scales) -> float:
        """Return the standard error of the released number of rows; 0 where it is public."""
        if not self.counted:
            return 0.0
        total = sum(float(noise.variance(name)[0]) for name in self._counts)
        return math.sqrt(total) / (self.count_unit * len(self._counts))

    def count_excess(self, noise: Scales, chance: float) -> float:
        """Return what the released number of rows exceeds the truth by with at most this probability."""
        if not self.counted:
            return 0.0
        if isinstance(self.cost, PureDP):
            return laplace_quantile(1, float(noise.scale("moment_count")[0]) / self.count_unit, chance)
        from scipy.special import ndtri

        return -float(ndtri(chance)) * self.count_error(noise)


def recipe(structure: JohnEllipsoid, cost: GDP | PureDP, neighbors: Relation) -> Recipe:
    """Return the recipe of a release at this cost."""
    nu, eta, capped = _method(structure, cost, neighbors)
    bits, moved = _lattice(structure, cost, neighbors, capped)
    counted = neighbors == "add-remove"
    return Recipe(
        d=structure._width,
        unit=1 / (ENTRY * math.sqrt(2)) if structure.center else 1 / ENTRY,
        rows=structure.expected_rows,
        counted=counted,
        capped=capped,
        nu=nu,
        eta=eta,
        bits=bits,
        count_unit=4**bits * (3 if capped else 1) // 10 if capped or counted else 0,
        resolution=structure.resolution,
        tail=_tail(structure, cost),
        cost=cost,
        moved=moved,
    )


def groups(r: Recipe, neighbors: Relation) -> list[Group]:
    """Return one group per round."""
    if r.capped:
        parts = [(prefix, SHAPE * PART_WHITENING / len(WHITENING), r.counted) for prefix in WHITENING]
        parts += [(prefix, SHAPE * (1 - PART_WHITENING) / len(CAPPED), True) for prefix in CAPPED]
    else:
        parts = [("moment", SHAPE if isinstance(r.cost, GDP) else SHAPE_LAPLACE, r.counted)]
    found = []
    for prefix, share, counted in parts:
        price = r.moved or r.price(neighbors, counted=counted)
        found.append(Group(r.lines(prefix, counted=counted), price, share))
    left = 1 - sum((group.share for group in found), Fraction(0))
    return [*found, Group(r.tail.lines, r.tail.sensitivity(neighbors), left)]


def rows_needed(structure: JohnEllipsoid, cost: GDP, neighbors: Relation) -> int:
    """Return the least `expected_rows` at which capped rounds are worth their noise."""
    nu = structure.nu if isinstance(structure.nu, float) else _nu(structure, math.inf)
    return math.ceil(_noise(structure, cost, neighbors) * structure.expected_rows / (LARGEST_ETA * nu))


def _nu(structure: JohnEllipsoid, whole: float) -> float:
    """Return the cap where the noise at nu = 1 is `whole`, relative to the identity."""
    return min(1.0, max(TIMES_ALPHA * (1 - structure.coverage), min(whole / ETA, LARGEST_NU)))


def _noise(structure: JohnEllipsoid, cost: GDP, neighbors: Relation) -> float:
    """Return the operator norm of the noise of one capped round, relative to the identity, at nu = 1."""
    d, factor = structure._width, 1.0 if neighbors == "add-remove" else math.sqrt(2)
    mu = math.sqrt(SHAPE * (1 - PART_WHITENING) / len(CAPPED)) * cost.mu / factor
    return CLIP * d * math.sqrt(2 * d) / (structure.expected_rows * mu)


def _method(structure: JohnEllipsoid, cost: GDP | PureDP, neighbors: Relation) -> tuple[float, float, bool]:
    """Return nu, eta and whether the rounds are capped.

    Where the noise of a capped round is large beside the identity, one second moment, which clips no row and gets the
    whole shape's part, is the better ellipsoid.
    """
    d, times = structure._width, 1.0 if neighbors == "add-remove" else 2.0
    if isinstance(cost, PureDP):
        if structure.method == "capped":
            raise InvalidParameter("method", "'capped' at delta = 0", "'auto' or 'second-moment'", "or delta > 0")
        scale = (
            ((d + 1) / 2 + (0.1 if neighbors == "add-remove" else 0)) * times / (float(SHAPE_LAPLACE) * cost.epsilon)
        )
        return 1.0, d * math.sqrt(8 * d) * scale / structure.expected_rows, False
    if structure.method != "second-moment":
        whole = _noise(structure, cost, neighbors)
        nu = structure.nu if isinstance(structure.nu, float) else _nu(structure, whole)
        if whole <= LARGEST_ETA * nu or structure.method == "capped":
            return nu, whole / nu, True
    mu = math.sqrt(SHAPE) * cost.mu / math.sqrt(times)
    return 1.0, d * math.sqrt(2 * d) / (structure.expected_rows * mu), False


def _lattice(
    structure: JohnEllipsoid, cost: GDP | PureDP, neighbors: Relation, capped: bool
) -> tuple[int, Fraction | None]:
    """Return the finest lattice whose sums fit `max_rows` rows and whose noise the sampler can draw."""
    fine = isinstance(neighbors, RowsWithin) and isinstance(cost, GDP) and not capped
    bits = min((62 - (structure.max_rows - 1).bit_length()) // 2, 20 if fine else 16)
    while True:
        moved = _moved(structure, neighbors.radius, bits) if fine and isinstance(neighbors, RowsWithin) else None
        if isinstance(cost, PureDP):
            noise = (structure._width + 2) * 4.0**bits / (float(SHAPE_LAPLACE) * cost.epsilon)
        else:
            change = math.sqrt(moved) if moved is not None else 1.5 * 4.0**bits
            share = SHAPE * PART_WHITENING / len(WHITENING) if capped else SHAPE
            noise = change / (math.sqrt(share) * cost.mu)
        if noise <= NOISIEST or bits == 4:
            return bits, moved
        bits -= 1


def _moved(structure: JohnEllipsoid, radius: float, bits: int) -> Fraction:
    """Return the joint bound of one second moment when a row moves by at most `radius`, in user units.

    Mapping and clipping are projections and move a row by at most ``radius max(scale)``. Sealing truncates coordinates
    to steps of ``2**-24`` and may move one by another; the lattice truncates again: less than sqrt(d) steps for both
    ends together. The quarter is for floating point after the mapping.
    """
    scale, dim = max(structure._scale.tolist()), structure.bounds.dim or 1
    length = Fraction(radius) * Fraction(scale) * (1 + Fraction(1, 2**40)) + Fraction(_roundings(structure))
    length *= 2**bits
    bound, constant = Fraction(4**bits), 0
    if structure.center:
        length *= Fraction(math.isqrt(1 << 79) + 1, 1 << 40)  # a record is divided by sqrt(2)
        bound, constant = bound / 2, math.isqrt(4**bits // 2) + 1
    root = Fraction(math.isqrt(dim << 40) + 1, 1 << 20)
    step = length + root + (root + 2) * Fraction(2**bits, ENTRY) + Fraction(1, 4)
    exact = moments.moved_within(step, bound=bound, constant=constant)
    return Fraction(math.ceil(min(exact, Fraction(2 * 16**bits))))


def _roundings(structure: JohnEllipsoid) -> float:
    """Return how far the roundings of both ends may move mapped records apart, in the unit ball.

    A coordinate of size at most ``|middle| + side`` loses up to one part in ``2**53`` when a 64-bit integer becomes a
    double; the difference to the middle and the quotient by the side, each up to one side long, lose as much of that.
    Beyond the bounds more is lost, and clipping takes as much away. Scaled as records are, added up in l2.
    """
    far = 2.0**-52 * (np.abs(structure._middle) + 4 * structure._sides) * structure._scale
    return math.hypot(*far.tolist()) * (1 + 2.0**-40)


def _tail(structure: JohnEllipsoid, cost: GDP | PureDP) -> Tail:
    conservative = structure.quantile == "conservative"
    if isinstance(cost, PureDP):
        return Tail(structure._width, 256, laplace=True)
    bits = 30
    while bits > 4 and 2.5 * 2.0**bits / (math.sqrt(1 - SHAPE) * cost.mu) > NOISIEST:
        bits -= 1
    return Tail(structure._width, 1024 if conservative else 256, laplace=False, bits=bits)
