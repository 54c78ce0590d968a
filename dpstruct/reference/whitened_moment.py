"""Repeatedly whitened noisy second moments in the style of CoinPress (arXiv 2006.06618), as an ellipsoid."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np

from dpstruct.domain import positive_integer
from dpstruct.reference import _moments as shared
from dpstruct.reference._moments import Array
from dpstruct.reference.analyze_gauss import NoisyMoment

_RADIUS, _COUNT = 3.0, 0.3  # squared clip radius over d, weight of the count


class WhitenedSecondMoment(NoisyMoment):
    """Release the second moment in several rounds, each whitened by the one before, so that noise follows the shape.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    mu : float
        Price of the whole release: 85 % of its square for the rounds, in equal parts, 15 % for the scale.
    neighbors : {"add-remove", "substitute"}
        The relation of the claim. Under "substitute" the number of rows is public.
    coverage : float
        Wanted fraction of rows inside, in (0, 1].
    center : bool
        Fit the centre by lifting the rows to ``(x, 1) / sqrt 2``.
    rounds : int
        Number of rounds.

    Attributes
    ----------
    region : Region
        The ellipsoid, after `fit`; `moment`, `scale` and `count` are what it was made of.

    Notes
    -----
    The first round is `AnalyzeGauss` with GOE noise. A later one maps the rows by the inverse root of the last moment,
    clips them to the squared radius 3 d, releases the sum of their squares, and maps back. All rounds and the count
    compose to mu-GDP, since the map of a round depends on released values alone.

    References
    ----------
    Biswas, Dong, Kamath, Ullman, "CoinPress" (2020), arXiv 2006.06618. Modelled from the published description, with
    one fixed radius per round in place of a confidence set.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((5000, 2)) / 4
    >>> fitted = WhitenedSecondMoment(mu=1.0, neighbors="substitute", coverage=0.9).fit(X, np.random.default_rng(1))
    >>> bool(abs(fitted.region.contains(X).mean() - 0.9) < 0.02)
    True
    """

    _source = "arXiv:2006.06618"

    def __init__(
        self,
        *,
        mu: SupportsFloat,
        neighbors: str,
        coverage: SupportsFloat = 0.95,
        center: bool = True,
        rounds: int = 3,
    ) -> None:
        super().__init__(mu=mu, neighbors=neighbors, coverage=coverage, center=center)
        self.rounds = positive_integer("rounds", rounds, at_most=1000)

    def _release(self, rows: Array, mu: float, rng: np.random.Generator) -> tuple[Array, float]:
        d = rows.shape[1]
        moment, counts = np.eye(d), []
        for t in range(self.rounds):
            values, vectors = np.linalg.eigh(moment)
            root, whiten = (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T
            square = 1.0 if t == 0 else _RADIUS * d
            white = rows @ whiten / math.sqrt(square)
            white /= np.maximum(np.linalg.norm(white, axis=1), 1.0)[:, None]
            total, count, sigma = self._noised_sum(white, mu / math.sqrt(self.rounds), _COUNT, "goe", rng)
            counts.append(count)
            n = max(1.0, float(np.mean(counts)))
            seen = shared.raised(total * square / n, sigma * square * math.sqrt(2 * d) / n)
            moment = shared.lowered(shared.raised(root @ seen @ root, shared.RESOLUTION**2))
        return moment, n
