"""The iterative solver: centre, whitening and full-batch gradient steps with momentum, every sum of them noised.

A record's feature vector is cut to integers of length at most S after every stage, and its residual, clipped to C, to
integers of length at most S that stand for C. So with n records changing by one, the sums move by at most

* centre: ``S**2`` and the square of what the count counts per record (add-remove), ``4 S**2`` (substitute, where the
  count does not move);
* whitening: the second moments of `dpstruct.structures._second_moment`;
* a step: ``|p r^T|_F**2 <= S**4``, ``4 S**4`` under substitute. For a linear model ``p r^T`` is the gradient of one
  record, so this is per-record clipping without per-record gradients.

Every stage is one Gaussian mechanism given what was released before it; the squares of mu add up (arXiv 1905.02383).
Attacked by ``tests/structures/test_ntk_regression_privacy.py``.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line, Rounds, Rows
from dpstruct.core.plan import Scales
from dpstruct.features import PublicMatrix, multiply, quantise
from dpstruct.features.ntk import zonal_rows
from dpstruct.features.sphere import STEPS
from dpstruct.privacy import GDP, Relation
from dpstruct.structures import _second_moment as gram

__all__ = ["Course", "Model", "advance"]

Floats = NDArray[np.float64]
Public = Mapping[str, NDArray[Any]]
Integers = NDArray[np.int64]
Ask = tuple[Any, dict[str, NDArray[Any]], Sequence[str]]

MOMENTUM = 0.9
CENTER, WHITEN = Fraction(1, 25), Fraction(1, 10)  # shares
CONSTANT = 0.25  # the intercept's feature
FAR = 2.0**20  # coefficients are kept within it, whatever the noise


# ---- row maps: functions of lattice rows and released values alone ---------------------------------------------------


def held(store: Floats, width: int) -> NDArray[np.int16]:
    """Return the lattice features in a store: four in the place of a double, so that a step reads four times less."""
    return store.view(np.int16)[:, :width]


def advance(points: NDArray[np.int16], public: Public, store: Floats) -> None:
    """Bring the stored lattice features of some rows to the next stage, or through all that `public` holds."""
    features = np.empty((len(points), int(public["size"])))
    if "psi" in public:
        zonal_rows(points, public, features)
    elif "linear" in public:
        from dpstruct.kernels.ntk_regression import unit_rows

        features[:] = points
        unit_rows(features)
    else:
        features[:] = held(store, features.shape[1])
    if "center" in public:
        from dpstruct.kernels.ntk_regression import centred_rows

        centred_rows(features, public["center"])
    if "whitener" in public:
        from dpstruct.kernels.ntk_regression import unit_rows

        features = multiply(features, PublicMatrix(public["whitener"], 1.0, STEPS))
        unit_rows(features)
    if "intercept" in public:
        features = np.append(
            np.trunc(features * math.sqrt(1 - CONSTANT**2)), np.full((len(points), 1), CONSTANT * STEPS), 1
        )
    held(store, features.shape[1])[:] = features


def center_sum(rows: Any, public: Public, store: Floats) -> list[Integers]:
    """Return the sum of the features and, last, what counts the rows."""
    advance(rows[:, :-1], public, store)
    total = held(store, int(public["size"])).sum(axis=0, dtype=np.int64)
    return [np.append(total, len(rows) * np.int64(public["count"]))]


def gram_sum(rows: Any, public: Public, store: Floats) -> list[Integers]:
    """Return the second moments of the features."""
    advance(rows[:, :-1], public, store)
    moments = gram.total(held(store, int(public["size"])), bound=STEPS**2)
    return list(gram.pack("whiten", moments).values())


def step_sum(rows: Any, public: Public, store: Floats) -> list[Integers]:
    """Return the sum of the clipped gradients at a released iterate.

    Both products are exact: the iterate is quantised for it, and the second adds products of at most ``2**30`` over a
    block of rows.
    """
    from dpstruct.kernels.ntk_regression import residual_rows

    if "due" in public:
        advance(rows[:, :-1], public, store)
    features = held(store, public["theta"].shape[1]).astype(np.float64)
    scores = np.ascontiguousarray((public["theta"] @ features.T).T)  # long rows first: what BLAS is fastest at
    scores *= public["unit"]
    residual_rows(scores, np.ascontiguousarray(rows[:, -1]), int(public["kind"]), float(public["clip"]))
    return [(scores.T @ features).T.astype(np.int64)]


# ---- the course of a release -----------------------------------------------------------------------------------------


class Model(NamedTuple):
    """What the rounds of a release end with: the way from points to features, coefficients, rows, noise of a score."""

    public: dict[str, NDArray[Any]]
    theta: Floats
    rows: float
    noise: float


@dataclass(frozen=True)
class Course:
    """The public settings of the rounds."""

    features: dict[str, NDArray[Any]]
    size: int
    outputs: int
    kind: int
    steps: int
    clip: float
    prediction_noise: float
    center: bool
    whiten: bool
    intercept: bool
    expected_rows: int

    @property
    def width(self) -> int:
        """Number of features with the intercept's."""
        return self.size + self.intercept

    def groups(self, cost: GDP, neighbors: Relation) -> list[Group]:
        """Return a group per stage; the steps share what the centre and the whitening leave."""
        found, one = [], neighbors == "add-remove"
        if self.center:
            moved = Fraction(STEPS**2 + self._count(neighbors) ** 2 if one else 4 * STEPS**2)
            found.append(Group([Line("center", (self.size + 1,))], moved, CENTER))
        if self.whiten:
            moved = gram.sensitivity(self.size, cost, neighbors, bound=STEPS**2)
            found.append(Group(gram.lines("whiten", self.size, cost), moved, WHITEN))
        share = (1 - sum((group.share for group in found), Fraction(0))) / self.steps
        moved = Fraction(STEPS**4 * (1 if one else 4))
        return found + [Group([Line(f"step{t}", (self.width, self.outputs))], moved, share) for t in range(self.steps)]

    def _count(self, neighbors: Relation) -> int:
        """Return what the count counts per row: much where no neighbour changes it."""
        return STEPS // 4 if neighbors == "add-remove" else STEPS << 10

    def rate(self, rows: float, scales: Scales, spread: float | None = None) -> tuple[float, float]:
        """Return the step size over 1 - momentum, and the noise that it gives to a score if nothing contracts.

        `spread` is about the number of directions that the whitened features fill.
        """
        steps, z = self.steps, float(scales.scale("step0")[0]) / STEPS**2
        if self.whiten and self.kind == 1:  # the clip and the softmax itself bound a step that is too long
            most = 8.0 * self.size
        elif self.whiten:
            most = min(3.0 * self.size, 6.0 * (spread or self.size), 300.0 if self.intercept else math.inf)
        else:  # heavy ball with curvature h is stable below 2 (1 + momentum) / h
            most = (3.2 if self.kind == 1 else 1.6) * (1 + MOMENTUM) / (1 - MOMENTUM)
        unit = self.clip * z * math.sqrt(steps) / rows
        rate = min(self.prediction_noise / unit, most)
        weights = [1 - MOMENTUM ** (s + 1) for s in range(steps)]
        return rate, rate * unit * math.sqrt(math.fsum(w * w for w in weights) / steps)

    def run(self, scales: Scales, neighbors: Relation) -> Generator[Ask, Mapping[str, Integers], Model]:
        """Yield what to sum, receive it noised, and return the model: the same in a release and in its rebuilding."""
        size = {"size": np.array(self.size)}
        due, learned = dict(self.features), dict(self.features) | size
        rows, spread = float(self.expected_rows), None
        if self.center:
            count = np.array(self._count(neighbors))
            noised = (yield center_sum, due | size | {"count": count}, ("center",))["center"]
            rows = max(1.0, float(noised[-1]) / float(count))
            due = {"center": noised[:-1] / rows}
            learned |= due
        if self.whiten:
            names = tuple(name for name in scales.lines if name.startswith("whiten"))
            noised_lines = yield gram_sum, due | size, names
            whitener, spread = self._whitener(noised_lines, scales)
            due = {"whitener": whitener}
            learned |= due
        if self.intercept:
            learned["intercept"] = due["intercept"] = np.array(1)
        due["due"] = np.array(1)
        rate, noise = self.rate(rows, scales, spread)
        theta, pace = np.zeros((self.width, self.outputs)), np.zeros((self.width, self.outputs))
        fixed = {"kind": np.array(self.kind), "clip": np.array(self.clip)} | size
        for t in range(self.steps):
            matrix = quantise(theta, entry_bound=STEPS)
            at = {"theta": np.ascontiguousarray(matrix.integers.T), "unit": np.array(matrix.unit / STEPS)}
            noised = (yield step_sum, due | fixed | at, (f"step{t}",))[f"step{t}"]
            due = {}
            pace = MOMENTUM * pace + noised * (self.clip / STEPS**2 / rows)
            theta = np.clip(theta - (1 - MOMENTUM) * rate * pace, -FAR, FAR)
        return Model(learned, theta, rows, noise)

    def _whitener(self, noised: Mapping[str, Integers], scales: Scales) -> tuple[Floats, float]:
        """Return the integers of ``(G + ridge)**(-1/2)``, whose unit does not matter to directions, and the spread."""
        values, vectors = np.linalg.eigh(gram.unpack("whiten", noised) / STEPS**2)
        ridge = float(scales.scale("whiten_diagonal")[0]) / STEPS**2 * math.sqrt(2 * self.size)
        above = np.maximum(values, 0.0)
        root = (vectors / np.sqrt(above + ridge)) @ vectors.T
        return quantise(root, entry_bound=STEPS).integers, max(1.0, float((above / (above + ridge)).sum()))

    def rounds(self, scales: Scales, neighbors: Relation, state: Rows) -> Rounds:
        """Run the course on sealed rows."""
        store, course = state.cache(-(-self.width // 4)), self.run(scales, neighbors)
        ask = next(course)
        while True:
            row_map, public, lines = ask
            size = 1 << (17 if row_map is step_sum else 22)  # a step's features stay in a core's own cache
            noised = yield state.sum(row_map, public, lines=lines, block=max(64, size // self.width), cache=store)
            try:
                ask = course.send(noised)
            except StopIteration:
                return

    def replay(self, scales: Scales, neighbors: Relation, transcript: Mapping[str, Integers]) -> Model:
        """Return the model that a transcript ends with."""
        course = self.run(scales, neighbors)
        ask = next(course)
        while True:
            try:
                ask = course.send({name: transcript[name] for name in ask[2]})
            except StopIteration as end:
                model: Model = end.value
                return model
