"""What `assert_private` accepts, and how each kind of broken structure or mechanism fails it."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from oracle.toy import Location, Mean, pull

import dpstruct as dps
from dpstruct.audit.private import _assert_blind, assert_private
from dpstruct.core import Group, Line, door
from dpstruct.core.hooks import _noise_source
from dpstruct.errors import InvalidParameter, NeighborsMismatch
from dpstruct.testing import Pair, PrivacyViolation, check_structure

BALL = dps.Ball(2.0, dim=2)
COST = {"epsilon": 1.0, "delta": 1e-6}
FAR, NONE = np.array([[2.0, 0.0]]), np.empty((0, 2))


def plan_of(structure, neighbors="add-remove", **cost):
    return structure.plan(neighbors=neighbors, **(cost or COST))


def refuted(target, *args, **options):
    with pytest.raises(PrivacyViolation) as caught:
        assert_private(target, *args, seed=1, **options)
    return str(caught.value)


# ---- correct ones --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cost", [COST, {"epsilon": 1.0}, {"cost": dps.GDP(3.0)}], ids=["gaussian", "laplace", "narrow"]
)
@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
def test_a_correct_structure_passes(neighbors, cost, fixed_words):
    verdict = assert_private(plan_of(Mean(BALL), neighbors, **cost), max_runs=20_000, seed=1, examples=10)
    assert not verdict.rejected
    assert verdict.runs >= 20_000 // 2


def test_a_correct_structure_of_several_rounds_passes(fixed_words):
    plan = plan_of(Location(BALL), cost=dps.GDP(1.0))
    assert not assert_private(plan, max_runs=1000, seed=1, examples=5).rejected


def test_a_smaller_claim_than_the_price_is_refuted(fixed_words):
    plan = plan_of(Mean(BALL), cost=dps.GDP(1.0))
    message = refuted(plan, pair=(FAR, NONE), claim=dps.GDP(0.7))
    assert "do not keep GDP(" in message
    assert "x_only = [[2.0, 0.0]]" in message
    assert "neighbors: add-remove" in message
    assert not assert_private(plan, pair=(FAR, NONE), claim=dps.GDP(1.0), seed=1).rejected


# ---- broken structures: found exactly, before any noise --------------------------------------------------------------


@dataclass(frozen=True)
class Branch(Mean):
    """A record at the far right counts twice."""

    def contributions(self, X):
        weight = np.where(X[:, 0] > 1.9, 2, 1)
        return {name: (rows.T * weight).T for name, rows in super().contributions(X).items()}


@dataclass(frozen=True)
class Understated(Mean):
    def groups(self, cost, neighbors):
        (group,) = super().groups(cost, neighbors)
        return [Group(group.lines, group.sensitivity / 2)]


@dataclass(frozen=True)
class Support(Location):
    """The step is rounded to a grid that depends on the rows: its support gives them away."""

    def rounds(self, plan, state):
        for t in range(self.steps):
            public = {"theta": np.zeros(self.bounds.dim, np.int64), "reach": np.array(self.reach)}
            sealed = state.sum(pull, public, lines=(f"step{t}",))
            yield sealed.map(lambda sums: {name: v * (1 + 3 * (v > 0)) for name, v in sums.items()})


@dataclass(frozen=True)
class Peeks(Location):
    """Asks for another sum if the exact one is large."""

    def rounds(self, plan, state):
        theta = np.zeros(self.bounds.dim, np.int64)
        for t in range(self.steps):
            public = {"theta": theta, "reach": np.array(self.reach)}
            sealed, exact = state.sum(pull, public, lines=(f"step{t}",)), []
            sealed.map(lambda sums, kept=exact: kept.append(dict(sums)) or sums)
            yield sealed
            theta = theta + exact[0][f"step{t}"]


@pytest.mark.parametrize("structure", [Branch, Understated, Support, Peeks])
def test_broken_statistics_are_found_exactly(structure, monkeypatch):
    monkeypatch.setattr("dpstruct.audit.private.sequential_test", None)
    message = refuted(plan_of(structure(BALL)), examples=30)
    assert structure.__name__ in message
    assert structure.__name__ in refuted(plan_of(structure(BALL)), pair=(FAR, NONE))


@dataclass(frozen=True)
class Drifts(Location):
    """A later run of the same data offers other sums."""

    def rounds(self, plan, state):
        calls.append(0)
        theta = np.full(self.bounds.dim, len(calls))
        for t in range(self.steps):
            yield state.sum(pull, {"theta": theta, "reach": np.array(self.reach)}, lines=(f"step{t}",))


calls = []


def test_transcripts_that_are_not_statistic_plus_noise_are_found(monkeypatch):
    monkeypatch.setattr("dpstruct.audit.private.sequential_test", None)
    monkeypatch.setattr("dpstruct.audit.private.assert_price", lambda plan, pair: None)
    assert "more than statistics and noise" in refuted(plan_of(Drifts(BALL)), pair=(FAR, NONE))
    _assert_blind(plan_of(Location(BALL)), Pair((FAR,), (NONE,)))


# ---- broken structures that only real noise shows ----------------------------------------------------------------


@dataclass(frozen=True)
class Defeat(Location):
    """Behaves while a test injects noise, and doubles its sums otherwise."""

    def rounds(self, plan, state):
        factor = 1 if _noise_source.get() is not None else 2
        theta = np.zeros(self.bounds.dim, np.int64)
        for t in range(self.steps):
            sealed = state.sum(pull, {"theta": theta, "reach": np.array(self.reach)}, lines=(f"step{t}",))
            yield sealed.map(lambda sums: {name: v * factor for name, v in sums.items()})


def test_a_structure_that_knows_when_it_is_tested(monkeypatch, fixed_words):
    plan = plan_of(Defeat(BALL, steps=1), cost=dps.GDP(1.0))
    monkeypatch.setattr("dpstruct.audit.private._assert_blind", lambda plan, pair: None)
    assert "do not keep" in refuted(plan, pair=(FAR, NONE), max_runs=3000)


def scaled(kind, scales, shape):
    return REAL(kind, scales / 2, shape)


def constant(kind, scales, shape):
    return np.full(shape, 7)


def coarse(kind, scales, shape):
    grid = max(1, int(scales[0]))
    return REAL(kind, scales, shape) // grid * grid


REAL = door.noise.draw


@pytest.mark.parametrize("draw", [scaled, constant, coarse])
@pytest.mark.parametrize("cost", [COST, {"epsilon": 1.0}], ids=["gaussian", "laplace"])
def test_broken_noise_is_refuted(draw, cost, monkeypatch, fixed_words):
    monkeypatch.setattr(door.noise, "draw", draw)
    assert "do not keep" in refuted(plan_of(Mean(BALL), **cost), pair=(FAR, NONE))


@dataclass(frozen=True)
class OneLine(Mean):
    """The same, with one group per line that share the cost."""

    def groups(self, cost, neighbors):
        size = 1 << self.bits
        lines = [Line("total", (2,)), Line("count", ())]
        return [Group([line], Fraction(size**2), Fraction(1, 2)) for line in lines]


def test_it_agrees_with_the_suite(fixed_words):
    plan = plan_of(OneLine(BALL))
    check_structure(plan, examples=10)
    assert not assert_private(plan, max_runs=5000, seed=1, examples=10).rejected


# ---- any mechanism -------------------------------------------------------------------------------------------------


def counting(scale, seed=3):
    random = np.random.default_rng(seed)

    def noisy_count(data, n):
        p = -np.expm1(-1 / scale)
        return len(data) + random.geometric(p, n) - random.geometric(p, n)

    return noisy_count


def test_any_mechanism():
    assert not assert_private(counting(2.0), [0], [0, 0], dps.PureDP(0.5), max_runs=20_000, seed=1).rejected
    message = refuted(counting(2.0), [0], [0, 0], dps.PureDP(0.3))
    assert message.startswith("noisy_count does not keep PureDP(0.3)")


def test_what_it_refuses():
    plan = plan_of(Mean(BALL))
    with pytest.raises(NeighborsMismatch):
        assert_private(plan, pair=(FAR, np.ones((3, 2))))
    with pytest.raises(InvalidParameter, match="pair="):
        assert_private(plan, FAR, NONE)
    with pytest.raises(InvalidParameter, match="claim"):
        assert_private(counting(1.0), [0], [0, 0], None)
    with pytest.raises(InvalidParameter, match="alpha"):
        assert_private(plan, pair=(FAR, NONE), alpha=0.7)
