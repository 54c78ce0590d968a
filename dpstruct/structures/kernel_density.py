"""`KernelDensity`: kernel sums over all records, for any number of queries, from one private release."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Group, Plan, Release, Rounds, Structure, Summary
from dpstruct.core.state import State
from dpstruct.domain import Box, check_rows
from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws
from dpstruct.features.radial import kernel_named
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures import _kde_choice as choice
from dpstruct.structures._kde_method import Method
from dpstruct.structures._kde_parameters import checked

__all__ = ["KernelDensity", "PrivateKernelDensity"]

Floats = NDArray[np.float64]
FeatureMap = Callable[[Floats], ArrayLike]


class PrivateKernelDensity(Release):
    """Answers ``f(y) = sum_i k(x_i, y)`` for any y, for ever, from one noised set of sums.

    `error` is the standard error of the noise, from public values; `fit_error` what the features themselves may be off.
    Made by `Budget.release` or `dpstruct.load`.
    """

    @property
    def structure(self) -> KernelDensity:
        """The public blueprint."""
        blueprint: KernelDensity = self.__dict__["_structure"]
        return blueprint

    @property
    def _method(self) -> Method:
        return self.structure._method

    @property
    def count(self) -> float:
        """Number of records: exact where it is public, else the released noisy count."""
        return self._method.count(self.transcript)

    @property
    def count_error(self) -> float:
        """Standard error of `count`; 0 where it is public."""
        return math.sqrt(self._method.count_variance(self.receipt))

    @property
    def fit_error(self) -> float:
        """Root mean square error of the features per record, before noise, over the differences they were made for."""
        return self._method.fit(self.receipt)

    def _row_count(self) -> tuple[float, float]:
        return self.count, 6 * self.count_error

    def query(self, Y: ArrayLike | None = None, *, bandwidth: float | None = None) -> Floats:
        """Return the kernel sums at the queries; they may be negative where there is little but noise.

        Parameters
        ----------
        Y : array-like, shape (q, d), optional
            Queries, in the units of the data. A row with a NaN gets a NaN. May be left out with ``method="batch"``.
        bandwidth : float, optional
            One of the declared bandwidths; the first unless given.

        Returns
        -------
        ndarray of float64, shape (q,)
        """
        rows, h = self._checked(Y, bandwidth)
        self._warn_of_capacity()
        return self._method.answers(self.transcript, self.receipt, rows, h)

    def error(self, Y: ArrayLike | None = None, *, bandwidth: float | None = None) -> Floats:
        """Return the standard error of the noise of each answer of `query`, shape (q,), from public values only."""
        rows, h = self._checked(Y, bandwidth)
        return np.sqrt(self._method.variance(self.receipt, rows, h))

    def mean(self, Y: ArrayLike | None = None, *, bandwidth: float | None = None) -> Floats:
        """Return the average of the kernel over the records: `query` over ``max(count, 1)``."""
        return self.query(Y, bandwidth=bandwidth) / max(self.count, 1.0)

    def density(self, Y: ArrayLike | None = None, *, bandwidth: float | None = None) -> Floats:
        """Return the kernel density estimate: `mean` over the integral of the kernel; raw, so it may be negative.

        Raises
        ------
        InvalidParameter
            If the kernel has no integral in this dimension, or none is known.
        """
        return self.mean(Y, bandwidth=bandwidth) / self._mass(bandwidth)

    def score_samples(self, Y: ArrayLike | None = None, *, bandwidth: float | None = None) -> Floats:
        """Return ``log(max(density, one standard error of it))``: a public floor that keeps logarithms finite."""
        floor = self.error(Y, bandwidth=bandwidth) / max(self.count, 1.0) / self._mass(bandwidth)
        return np.asarray(np.log(np.maximum(self.density(Y, bandwidth=bandwidth), floor)), dtype=np.float64)

    def score(self, Y: ArrayLike | None = None, *, bandwidth: float | None = None) -> float:
        """Return the sum of `score_samples`."""
        return float(self.score_samples(Y, bandwidth=bandwidth).sum())

    def sample(self, size: int, *, seed: int = 0, cells: int = 0) -> Floats:
        """Return points drawn from the released density on a grid of the box, cut at 0; for up to three dimensions.

        Parameters
        ----------
        size : int
            Number of points.
        seed : int
            Public seed: the same one gives the same points.
        cells : int, optional
            Grid cells per coordinate; about eight per bandwidth unless given, at most 2**20 in all.

        Returns
        -------
        ndarray of float64, shape (size, d)
        """
        blueprint = self.structure
        d, low, sides = blueprint.dim, np.array(blueprint.bounds.low), self._method.sides
        if d > 3:
            raise InvalidParameter("bounds", f"{d} dimensions", "up to three for a grid of the density")
        most = int(2 ** (20 / d))
        counts = [min(most, cells or math.ceil(8 * side / blueprint.bandwidths[0])) for side in sides]
        axes = [low[j] + (np.arange(c) + 0.5) * (sides[j] / c) for j, c in enumerate(counts)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
        weights = np.cumsum(np.maximum(self.query(grid), 0.0))
        draws = Draws(seed, "sample")
        place = np.searchsorted(weights, draws.uniform((size,)) * weights[-1]) if weights[-1] > 0 else 0
        inside = draws.uniform((size, d)) - 0.5
        points: Floats = grid[place] + inside * (sides / np.array(counts))
        return points

    @property
    def law(self) -> tuple[Floats, Floats]:
        """Mean (d,) and covariance (d, d) of the normal law behind the features of "mercer", public or learned.

        Given as ``location=`` and ``scale=`` to another blueprint they spare it a first round.
        """
        return self._method.law_of(self.transcript)

    def coverage(self, Y: ArrayLike) -> Floats:
        """Return which part of the kernel at each query the features hold, 0 to 1: below 1 where anchors are far."""
        return self._method.coverage(check_rows("Y", Y, self.structure.dim).astype(np.float64))

    def _mass(self, bandwidth: float | None) -> float:
        blueprint = self.structure
        mass = kernel_named(blueprint.kernel).mass if isinstance(blueprint.kernel, str) else None
        if mass is None:
            raise InvalidParameter(
                "kernel", str(blueprint.kernel), "one with a known integral", "use query or mean instead of density"
            )
        h = blueprint.bandwidths[0] if bandwidth is None else bandwidth
        return mass(blueprint.dim) * h**blueprint.dim

    def _checked(self, Y: ArrayLike | None, bandwidth: float | None) -> tuple[Floats, float]:
        h = self.structure.bandwidths[0] if bandwidth is None else float(bandwidth)
        self._method.check_bandwidth(h)
        if Y is None:
            return self._method.own_queries(), h
        return check_rows("Y", Y, self.structure.dim).astype(np.float64), h


@dataclass(frozen=True)
class KernelDensity(Structure[PrivateKernelDensity]):
    """Kernel sums and densities at any number of queries with about the error of one single private answer.

    All methods release sums of public features of norm at most 1 with Gaussian noise, so the standard error of a sum is
    about ``1/mu``, whatever the dimension, the bandwidth, the number of features and of queries (``method="binned"``,
    which offers pure DP, is the exception). They differ in what the features themselves miss, `fit_error`.

    Parameters
    ----------
    kernel : str or callable
        "gaussian" (``exp(-|x-y|**2 / (2 bandwidth**2))``), "laplacian" (l1), "exponential" (l2), "cauchy",
        "product_cauchy", "rational_quadratic", "matern", "inv_l2" (``1/(1 + |x-y|/bandwidth)``), "inv_l1";
        or a pure feature map from one record (d,) to (m,) numbers, whose inner products are the kernel; its norm is cut
        to 1. Files do not carry it: ``dpstruct.load(path, structure=...)`` gives it back.
    bandwidth : float or sequence of float
        Public; a number. Several may be declared with methods "fourier" and "binned", which share one release.
    bounds : Box
        Public box with a dimension; records are clipped to it, NaN and infinities become its midpoint.
    method : str
        "auto" chooses from public values. "fourier": nearly exact, up to three dimensions. "features": random features,
        any kernel and dimension. "mercer": eigenfunctions of the kernel, or of product kernels that it is a mixture of,
        under a law of the records, given or learned privately; the best in many dimensions. "batch" and "nystrom":
        public points. "binned": a grid, for pure DP, in one and two dimensions.
    queries : array-like, shape (q, d), optional
        For "batch": the public queries, all that will be asked.
    anchors : array-like, shape (q, d), optional
        For "nystrom": public points, where the answers are good.
    n_features : int, optional
        For "features" and "mercer": number of numbers released. Default 4096.
    structured : bool, optional
        For "features" with a kernel of the l2 distance: frequencies as signs and fast Hadamard transforms, O(m log d)
        per record and per query in place of O(m d), up to 8192 dimensions (Yu et al., arXiv 1610.09072). Default: from
        32 dimensions on.
    location, scale : float or array-like, optional
        For "mercer": a public guess of the records' mean, and of the standard deviation of each coordinate, or of the
        covariance matrix (d, d). The `law` of an earlier release is one.
    shape : float, optional
        nu of "matern" (default 1.5), alpha of "rational_quadratic" (default 1).
    tolerance : float, optional
        For "fourier": largest error of the series per record. Default 1e-6 (gaussian) or 1e-3.
    count_share : float
        Part of the cost that pays for a private count under add-remove. Default 1/64, a standard error of ``8/mu``.
    expected_rows : int
        A public guess of the number of records: accuracy only.
    max_rows : int
        Public capacity; sums beyond it may wrap modulo 2**64, which stays private but is useless.
    seed : int
        Public seed of random features.

    Notes
    -----
    Neighbours: add-remove, substitute, and `RowsWithin`, charged as substitute. Sensitivity: joint over all lines,
    proved at the top of each method's module, attacked by ``tests/structures/test_kernel_density_prices.py``. Private
    kernel sums by random features follow Wagner, Naamad and Mishra (ICML 2023).

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> kde = dps.KernelDensity(bandwidth=0.1, bounds=dps.Box(0, 1, dim=2))
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> private = budget.release(kde.summarize(np.full((1000, 2), 0.5)), share=1)
    >>> Y = np.array([[0.5, 0.5], [0.5, 0.6]])
    >>> private.density(Y).shape, private.error(Y).round(1)
    ((2,), array([4.2, 4.2]))
    """

    kernel: str | FeatureMap
    bandwidth: tuple[float, ...] | float
    bounds: Box
    method: str
    queries: tuple[tuple[float, ...], ...] | None
    anchors: tuple[tuple[float, ...], ...] | None
    n_features: int | None
    structured: bool | None
    location: tuple[float, ...] | None
    scale: tuple[Any, ...] | None
    shape: float | None
    tolerance: float | None
    count_share: float
    expected_rows: int
    max_rows: int
    seed: int

    release_type: ClassVar[type[Any]] = PrivateKernelDensity

    def __init__(
        self,
        kernel: str | FeatureMap = "gaussian",
        *,
        bandwidth: float | Sequence[float] | None = None,
        bounds: Box,
        method: str = "auto",
        queries: ArrayLike | None = None,
        anchors: ArrayLike | None = None,
        n_features: int | None = None,
        structured: bool | None = None,
        location: float | Sequence[float] | None = None,
        scale: ArrayLike | None = None,
        shape: float | None = None,
        tolerance: float | None = None,
        count_share: float = 1 / 64,
        expected_rows: int = 10_000,
        max_rows: int | None = None,
        seed: int = 0,
    ) -> None:
        given = locals()
        values = checked({field.name: given[field.name] for field in fields(type(self))})
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if method == "auto":
            object.__setattr__(self, "method", choice.best(self)[0])
        if max_rows is None:
            object.__setattr__(self, "max_rows", choice.METHODS[self.method].capacity(self))
        self._method  # noqa: B018 -- what does not fit together is refused now

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.bounds.low)

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """The declared bandwidths."""
        return self.bandwidth if isinstance(self.bandwidth, tuple) else (self.bandwidth,)

    @cached_property
    def _method(self) -> Method:
        return choice.METHODS[self.method](self)

    def summarize(self, X: ArrayLike, *, device: str = "auto") -> Summary[PrivateKernelDensity]:
        """Return the sealed exact sums of the records of `X`.

        Parameters
        ----------
        X : array-like, shape (n, d)
            One record per row, in the units of the bounds; any real dtype. Read block by block.
        device : {"auto", "cpu"}
            Where to compute.
        """
        return Summary(self, self.seal(check_rows("X", X, self.dim), device=device))

    def seal(self, *data: NDArray[Any], device: str = "auto") -> State:
        """Return the exact sums of the method's features, or lattice rows where it takes two rounds."""
        if device not in ("auto", "cpu"):
            raise InvalidParameter("device", repr(device), '"auto" or "cpu": this structure has no other kernels')
        return self._method.seal(check_rows("X", data[0], self.dim))

    def no_rows(self) -> tuple[NDArray[np.float64]]:
        """Return an array of no records."""
        return (np.empty((0, self.dim)),)

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return the kernel sums under one joint bound, and a count where the number of records is private."""
        return self._method.groups(cost, neighbors)

    def rounds(self, plan: Plan[PrivateKernelDensity], state: Any) -> Rounds:
        """Yield sealed sums: once, or twice where a law of the records is learned first."""
        return self._method.rounds(plan, state)

    def worst_error(self, plan: Plan[PrivateKernelDensity]) -> float:
        """Return the largest standard error of one answer."""
        return math.sqrt(self._method.worst_variance(plan))

    def notes(self, plan: Plan[PrivateKernelDensity]) -> list[str]:
        """Return what the features miss, and how the other methods would do."""
        return self._method.notes() + choice.table(self, plan)

    def __repr__(self) -> str:
        sides = f"dim={self.dim}" if self.dim > 3 else f"low={self.bounds.low}, high={self.bounds.high}"
        kernel = (
            repr(self.kernel) if isinstance(self.kernel, str) else getattr(self.kernel, "__qualname__", "a function")
        )
        return f"KernelDensity({kernel}, bandwidth={self.bandwidth}, Box({sides}), method={self.method!r})"
