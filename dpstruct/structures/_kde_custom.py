"""Kernel sums of a user's own feature map: its norm is cut to 1 on the lattice, whatever it returns.

Joint bounds, in steps of ``2**-30`` (attacked by ``tests/structures/test_kernel_density_prices.py``): `to_lattice`
makes every record's integers at most ``2**30`` long; two may be opposite, so a substitution counts twice that.
"""

from __future__ import annotations

import threading
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Line
from dpstruct.core.plan import Scales
from dpstruct.errors import InvalidParameter
from dpstruct.lattice import to_lattice
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._kde_method import Floats, Method, Transcript

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["Custom"]

_one_at_a_time = threading.RLock()  # filters of warnings belong to the process

BITS = 30


class Custom(Method):
    """Sums of a user's features, called with one record at a time: other rows can not change its result."""

    name = "custom"

    def __init__(self, blueprint: KernelDensity) -> None:
        super().__init__(blueprint)
        assert not isinstance(blueprint.kernel, str)
        self.map = blueprint.kernel
        middle = np.asarray(self.map(self.middle.copy()))
        if middle.ndim != 1 or middle.dtype.kind not in "fiub" or not 1 <= middle.size <= 1 << 17:
            raise InvalidParameter(
                "kernel", "a function that does not return a vector", "one from a record (d,) to real features (m,)"
            )
        self.features = middle.size

    def _lattice(self, rows: Floats) -> NDArray[np.int64]:
        """Return the integer features of each row; no exception and no warning tells of a value.

        What is mapped to anything but a vector of `features` real numbers, or not at all, is 0.
        """
        out = np.zeros((len(rows), self.features))
        with _one_at_a_time, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # as errors, by the user's filters, they would make a record 0
            for i, row in enumerate(rows):
                try:
                    value = np.asarray(self.map(row.copy()))
                    if value.shape == out[i].shape and value.dtype.kind in "fiub":
                        out[i] = value
                except Exception:
                    out[i] = 0.0
        return to_lattice(out, bound=1.0, bits=BITS)

    def lines(self, cost: GDP | PureDP, neighbors: Relation) -> tuple[list[Line], Fraction]:
        """Return the sums of the features."""
        change = 1 if neighbors == "add-remove" else 4
        return [Line("sums", (self.features,))], Fraction(change * 4**BITS)

    def sums_of(self, rows: Floats) -> dict[str, NDArray[np.int64]]:
        """Return the exact sums of the lattice features."""
        return {"sums": np.asarray(self._lattice(rows).sum(axis=0, dtype=np.int64))}

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return inner products of the queries' features with the released sums."""
        features = np.ldexp(self._lattice(Y).astype(np.float64), -BITS)
        answers: Floats = np.ldexp(features @ transcript["sums"].astype(np.float64), -BITS)
        return answers

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the squared norm of each query's features times the variance of a line."""
        squares: Floats = (np.ldexp(self._lattice(Y).astype(np.float64), -BITS) ** 2).sum(axis=1)
        spread: Floats = squares * self.worst_variance(scales)
        return spread

    def worst_variance(self, scales: Scales) -> float:
        """Return the variance of a query whose features have norm 1."""
        return float(scales.variance("sums")[0]) / 4.0**BITS
