"""`CrossAttention`: softmax attention to private keys and values, for any number of queries, from one release."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Group, Plan
from dpstruct.domain import check_rows, positive_integer, real
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures import _attention_blueprint as public
from dpstruct.structures import _attention_coefficients as polynomials
from dpstruct.structures import _attention_price as price
from dpstruct.structures import _attention_sensitivity as sensitivity
from dpstruct.structures._attention_moments import PrivateCrossAttention

__all__ = ["CrossAttention", "PrivateCrossAttention"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CrossAttention(public.Memory[PrivateCrossAttention]):
    """Softmax attention to private keys and values with a noise that does not grow with dimension or queries.

    Polynomial moments of the keys, ``sum_j phi_p(k_j) v_j^T`` and ``sum_j phi_p(k_j)`` for p = 0 .. degree, are summed
    as exact integers and noised once. A polynomial in <q, k>, chosen when a query comes, makes them attention outputs.

    Parameters
    ----------
    dim_key, dim_value : int
        Lengths of a key and of a value (per head).
    key_norm, value_norm : float
        Public norm bounds, around the centres; longer keys and values are shrunk to them.
    degree : {1, 2, 3}
        Largest power of <q, k>. The state has ``C(dim_key + degree, degree) (dim_value + 1)`` numbers per head. Degree
        3 pays for keys of up to some 16 coordinates, degree 2 beyond.
    temperatures : sequence of float
        What to plan for: values of ``temperature / (|q| key_norm)``. They divide the noise between the degrees; queries
        may use any.
    coefficients : {"prior", "taylor"} or sequence of float
        Default polynomial: noise-optimal without any data, the Taylor series, or degree + 1 numbers such as
        `fit_coefficients` returns, which then also divide the noise.
    value_weight : float, optional
        Precision of the value sums over that of the weight sums. Default ``sqrt(dim_value)``, or 1 and more where the
        number of records is public, which makes the weight sums free.
    key_center, value_center : sequence of float, optional
        Public centres; softmax does not change when all keys move together.
    normalize : {"clip", "sphere"}
        Shrink keys that are too long, or give every key the length `key_norm`.
    heads : int
        Heads, or heads of all layers, of one record under one charge: keys ``(n, heads, dim_key)``.
    features : {"exact", "tensorsketch"}
        Sketch the powers of wide keys by public hash functions of `sketch_seed` into `sketch_size` numbers per degree.
    unit_rule : None, "mean", ("max_rows", g) or ("clip", C)
        What bounds the rows of one unit: they share the weight of one row; the first g count; or their weighted norm is
        clipped to that of C rows. With a rule, plan, budget and `summarize` name the unit; without, a unit is a row.
    max_rows : int
        Public capacity; sums beyond it wrap modulo 2**64, which stays private but is useless.
    expected_rows : int
        A public guess of the number of records, for the division of noise and for `Plan.error`.
    feature_bits, value_bits : int
        Lattice steps: features are integers up to ``2**feature_bits``, values up to ``2**value_bits``.

    Notes
    -----
    Neighbours: add-remove, substitute and `RowsWithin` (its own sensitivity under GDP without unit rule, sketch and
    sphere; else charged as substitute). Joint sensitivity over all lines: `dpstruct.structures._attention_sensitivity`,
    attacked by ``tests/structures/test_cross_attention.py``. Error per coordinate of a numerator, in records:
    ``(Delta / mu) sqrt(sum_p a_p**2 / beta_p)`` value norms. Relative errors below a third need about
    ``3 (sqrt(dim_value) + 1) |a|_1 / mu`` records and more; sharp attention is a query about single records, which
    privacy forbids. Keys and values must be made row by row by a fixed public encoder.

    Relatives: NTK-Attention (arXiv 2406.14036), DPTree softmax (arXiv 2407.14717).

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> memory = dps.CrossAttention(4, 2, key_norm=1.0, value_norm=1.0)
    >>> K, V = np.full((3000, 4), 0.5), np.tile([0.6, 0.8], (3000, 1))
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> private = budget.release(memory.summarize(K, V), share=1)
    >>> private.query(np.ones((5, 4))).shape
    (5, 2)
    """

    degree: int
    temperatures: tuple[float, ...]
    coefficients: str | tuple[float, ...]
    value_weight: float | None
    heads: int
    features: str
    sketch_size: int
    sketch_seed: int
    feature_bits: int

    release_type: ClassVar[type[Any]] = PrivateCrossAttention

    def __init__(
        self,
        dim_key: int,
        dim_value: int,
        *,
        key_norm: float,
        value_norm: float,
        degree: int = 2,
        temperatures: Sequence[float] = (1.0, 0.5, 0.25, 0.125),
        coefficients: str | ArrayLike = "prior",
        value_weight: float | None = None,
        key_center: ArrayLike | None = None,
        value_center: ArrayLike | None = None,
        normalize: str = "clip",
        heads: int = 1,
        features: str = "exact",
        sketch_size: int = 2048,
        sketch_seed: int = 0,
        unit_rule: Any = None,
        max_rows: int = 1 << 26,
        expected_rows: int = 10_000,
        feature_bits: int = 18,
        value_bits: int = 14,
    ) -> None:
        values = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        for name, value in public.checked(values).items():
            object.__setattr__(self, name, value)

    @property
    def _heads(self) -> int:
        return self.heads

    # ---- public shapes ------------------------------------------------------------------------------

    @cached_property
    def _hashes(self) -> Any:
        from dpstruct.features.polynomial import hashes

        return hashes(self.dim_key, self.degree, self.sketch_size, self.sketch_seed)

    @cached_property
    def _sizes(self) -> list[int]:
        """Number of features per degree."""
        from dpstruct.features.polynomial import sizes

        if self.features == "exact":
            return sizes(self.dim_key, self.degree)
        return [1, self.dim_key, *[self.sketch_size] * (self.degree - 1)]

    @property
    def _unit(self) -> float:
        """Lattice steps of one full record."""
        return 2.0 ** (self.feature_bits + self.value_bits)

    @cached_property
    def _query_factors(self) -> Floats:
        """Factors that turn sums of lattice features into products with a query's monomials."""
        from dpstruct.features.polynomial import multiplicities

        if self.features == "exact":
            return multiplicities(self.dim_key, self.degree)
        return np.ones(sum(self._sizes))

    # ---- exact sums ------------------------------------------------------------------------------------------------

    def _sums(self, K: NDArray[Any], V: NDArray[Any], rows: Any, weights: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the exact sums of the chosen rows, shape (heads, m, dim_value + 1)."""
        from dpstruct.features.polynomial import moments

        total = np.zeros((self.heads, sum(self._sizes), self.dim_value + 1), np.int64)
        hashed = None if self.features == "exact" else self._hashes
        for head, X, W in self._blocks(K, V, rows, weights):
            total[head] += moments(
                X, W, degree=self.degree, bits=self.feature_bits, bound=1 << self.value_bits, hashed=hashed
            )
        return total

    def _lines(self, total: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        parts = np.split(total, np.cumsum(self._sizes)[:-1], axis=1)
        lines = {f"N{p}": part[:, :, :-1] for p, part in enumerate(parts)}
        return lines | {f"D{p}": part[:, :, -1] for p, part in enumerate(parts)}

    def _each(
        self, K: NDArray[Any], V: NDArray[Any], rows: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        from dpstruct.features.polynomial import moments_each

        weights = np.full(len(rows), 1 << self.value_bits)
        hashed = None if self.features == "exact" else self._hashes
        parts = [
            moments_each(X, W, starts, degree=self.degree, bits=self.feature_bits, hashed=hashed)
            for _, X, W in self._blocks(K, V, rows, weights)
        ]
        return np.stack(parts, axis=1)

    def _row_precisions(self) -> Floats:
        given = price.precisions(self)
        columns = [[float(b)] * self.dim_value + [float(g)] for b, g in zip(given.beta, given.gamma)]
        return np.repeat(np.array(columns), self._sizes, axis=0)

    def _row_bound(self) -> float:
        return float(sensitivity.added(price.precisions(self)))

    # ---- price -----------------------------------------------------------------------------------------------------

    @cached_property
    def _shares(self) -> tuple[float, ...]:
        return price.shares(self)

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group of all moments under one joint sensitivity."""
        return [price.gaussian(self, neighbors) if isinstance(cost, GDP) else price.laplace(self, neighbors)]

    def worst_error(self, plan: Plan[PrivateCrossAttention]) -> float:
        """Return the largest standard error of a plain output over the planned temperatures and `expected_rows`."""
        return max(price.predicted(self, plan))

    def notes(self, plan: Plan[PrivateCrossAttention]) -> list[str]:
        """Return the error to expect at each planned temperature, and what to do where it is too large."""
        return price.advice(self, plan)

    def fit_coefficients(
        self,
        Q: ArrayLike,
        K: ArrayLike,
        V: ArrayLike,
        *,
        temperature: float | None = None,
        rows: int | None = None,
        mu: float,
    ) -> tuple[float, ...]:
        """Return the coefficients of least error on *public* pilot data, for `coefficients` of a blueprint or a query.

        A convex program balances the polynomial's error against its noise. It beats the data-free default where pilot
        and private records resemble each other. Never pass private records: that would be a release without noise.

        Parameters
        ----------
        Q, K, V : array-like, shapes (q, dim_key), (m, dim_key), (m, dim_value)
            Public queries, keys and values of one head. No query should be one of the keys.
        temperature : float, optional
            Of the softmax; default ``sqrt(dim_key)``.
        rows : int, optional
            Number of private records to expect; default `expected_rows`.
        mu : float
            Price of the planned release, ``plan.cost.mu``; half of it under substitute.
        """
        keys, values = public.pilot(self, K, V)
        unit, length = public.directions(check_rows("Q", Q, self.dim_key).astype(np.float64))
        soft = math.sqrt(self.dim_key) if temperature is None else real("temperature", temperature)
        count = positive_integer("rows", self.expected_rows if rows is None else rows, at_most=1 << 60)
        noise = (math.sqrt(self.dim_value) + 1) / (real("mu", mu) * count)
        theta = length * self.key_norm / soft
        return tuple(polynomials.fit(unit @ keys.T, values, theta, self.degree, noise).tolist())

    def __repr__(self) -> str:
        rule = "" if self.unit_rule is None else f", unit_rule={self.unit_rule!r}"
        heads = "" if self.heads == 1 else f", heads={self.heads}"
        sketched = "" if self.features == "exact" else f", features={self.features!r}"
        sizes = f"{self.dim_key}, {self.dim_value}, key_norm={self.key_norm:g}, value_norm={self.value_norm:g}"
        return f"CrossAttention({sizes}, degree={self.degree}{heads}{sketched}{rule})"
