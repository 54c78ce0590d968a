"""The second moment with Gaussian noise of Dwork, Talwar, Thakurta and Zhang (STOC 2014), as an ellipsoid."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import real
from dpstruct.ellipsoid import Region
from dpstruct.errors import InvalidParameter
from dpstruct.reference import _moments as shared
from dpstruct.reference._label import FLOAT_NOISE, Label
from dpstruct.reference._moments import Array

_SHAPE = 0.85  # of mu squared; the scale has the rest


class NoisyMoment(ABC):
    """Base of the baselines that release a noisy second moment of rows in the unit ball, then a noisy scale.

    `fit` sets `moment` (of the lifted rows if `center`), `count` (noisy under add-remove), `scale` and `region`.
    """

    _source: str

    def __init__(self, *, mu: SupportsFloat, neighbors: str, coverage: SupportsFloat, center: bool) -> None:
        self.mu = real("mu", mu)
        if not self.mu > 0:
            raise InvalidParameter("mu", repr(self.mu), "a positive number")
        self.neighbors, self.center = shared.relation(neighbors), bool(center)
        self.coverage = shared.fraction("coverage", coverage)
        self.moment: Array | None = None
        self.count = self.scale = math.nan
        self.region: Region | None = None

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this implementation guarantees nothing."""
        claim = f"{self.mu!r}-GDP under {self.neighbors} neighbours of rows, which are clipped to the unit ball"
        return Label(self._source, claim, None, FLOAT_NOISE, True)

    def fit(self, X: ArrayLike, rng: np.random.Generator) -> Self:
        """Release the ellipsoid of the rows of `X`, shape (n, D), clipped to the unit ball, with noise from `rng`."""
        rows = shared.lift(shared.in_the_ball(X), self.center)
        moment, self.count = self._release(rows, math.sqrt(_SHAPE) * self.mu, rng)
        self.moment = shared.lowered(moment)
        self.scale = shared.private_scale(
            shared.leverages(rows, self.moment),
            self.moment,
            coverage=self.coverage,
            count=self.count,
            mu=math.sqrt(1 - _SHAPE) * self.mu,
            neighbors=self.neighbors,
            rng=rng,
        )
        self.region = shared.region(self.moment, self.scale, self.center)
        return self

    @abstractmethod
    def _release(self, rows: Array, mu: float, rng: np.random.Generator) -> tuple[Array, float]:
        """Return a noisy second moment of `rows` and their noisy count."""

    def _noised_sum(
        self, rows: Array, mu: float, weight: float, form: str, rng: np.random.Generator
    ) -> tuple[Array, float, float]:
        """Return the noised sum of ``a a^T``, |a| <= 1, the noised count, and the deviation of the noise.

        A count of weight `weight` shares the noise under add-remove: one row costs ``sqrt(1 + weight**2) / sigma``.
        Under substitute the count is public, and two rows are at most sqrt 2 apart.
        """
        n, d = rows.shape
        known = self.neighbors == "substitute"
        sigma = (math.sqrt(2) if known else math.hypot(1, weight)) / mu
        total = rows.T @ rows + shared.noise_matrix(d, sigma, rng, form=form)
        return total, float(n) if known else n + rng.normal(0.0, sigma) / weight, sigma


class AnalyzeGauss(NoisyMoment):
    """Release the second moment of rows in the unit ball with Gaussian noise, and a scale that covers most rows.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    mu : float
        Price of the whole release: 85 % of its square for the moment, 15 % for the scale.
    neighbors : {"add-remove", "substitute"}
        The relation of the claim. Under "substitute" the number of rows is public.
    coverage : float
        Wanted fraction of rows inside, in (0, 1].
    center : bool
        Fit the centre by lifting the rows to ``(x, 1) / sqrt 2``.
    noise : {"goe", "symmetric"}
        Off-diagonal deviation sigma / sqrt 2, isotropic in the Frobenius norm, or sigma, as published.

    Attributes
    ----------
    region : Region
        The ellipsoid, after `fit`; `moment`, `scale` and `count` are what it was made of.

    Notes
    -----
    ``|a a^T|_F = |a|^2 <= 1`` bounds the change of the sum under both forms of the noise, which for "symmetric" covers
    the upper triangle alone. Eigenvalues are raised to the size of the noise, ``sigma sqrt d / n``.

    References
    ----------
    Dwork, Talwar, Thakurta, Zhang, "Analyze Gauss" (STOC 2014). Modelled from the published description; the scale, the
    count and the "goe" form are additions.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((5000, 2)) / 4
    >>> fitted = AnalyzeGauss(mu=1.0, neighbors="add-remove", coverage=0.9).fit(X, np.random.default_rng(1))
    >>> bool(abs(fitted.region.contains(X).mean() - 0.9) < 0.02)
    True
    """

    _source = "doi:10.1145/2591796.2591883"

    def __init__(
        self,
        *,
        mu: SupportsFloat,
        neighbors: str,
        coverage: SupportsFloat = 0.95,
        center: bool = True,
        noise: str = "goe",
    ) -> None:
        super().__init__(mu=mu, neighbors=neighbors, coverage=coverage, center=center)
        if noise not in ("goe", "symmetric"):
            raise InvalidParameter("noise", repr(noise), "'goe' or 'symmetric'")
        self.noise = noise

    def _release(self, rows: Array, mu: float, rng: np.random.Generator) -> tuple[Array, float]:
        total, count, sigma = self._noised_sum(rows, mu, 0.1, self.noise, rng)
        count = max(1.0, count)
        floor = max(sigma * math.sqrt(rows.shape[1]) / count, shared.RESOLUTION**2)
        return shared.raised(total / count, floor), count
