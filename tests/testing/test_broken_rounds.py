"""Rounds that see more than was released."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from oracle.rejected import BALL, COST, place, rejected
from oracle.toy import Location, pull

from dpstruct.core import Group, Line
from dpstruct.testing import PrivacyViolation, assert_price, statistics
from dpstruct.testing.invariants import assert_laws
from dpstruct.testing.pairs import split
from dpstruct.testing.statistics import histories


def rows_of(X):
    return split((X,))


@dataclass(frozen=True)
class OrderOfLines(Location):
    def groups(self, cost, neighbors):
        change = self.reach * (1 if neighbors == "add-remove" else 2)
        lines = [Line(f"step{t}", (self.bounds.dim,)) for t in range(self.steps)]
        return [Group(lines, Fraction(self.steps * self.bounds.dim * change**2))]

    def rounds(self, plan, state):
        public = {"theta": np.zeros(self.bounds.dim, np.int64), "reach": np.array(self.reach)}
        together = int(state._units > 3)  # the steps 0 and 1 come in one round, or in two
        names = [f"step{t}" for t in range(self.steps)]
        for lines in [names[:2], names[2:]] if together else [names[:1], names[1:]]:
            yield state.sum(pull_twice if len(lines) == 2 else pull, public, lines=lines)


def pull_twice(rows, public):
    return pull(rows, public) * 2


@dataclass(frozen=True)
class SecondLook(Location):
    """Follows the exact sums and ignores what was released."""

    def rounds(self, plan, state):
        theta = np.zeros(self.bounds.dim, np.int64)
        for t in range(self.steps):
            sealed = state.sum(pull, {"theta": theta, "reach": np.array(self.reach)}, lines=(f"step{t}",))
            exact = []
            sealed.map(lambda sums, kept=exact: kept.append(dict(sums)) or sums)
            yield sealed
            theta = self.follow(theta, exact[0][f"step{t}"] * 8)


@dataclass(frozen=True)
class NotAdditive(Location):
    def rounds(self, plan, state):
        for t in range(self.steps):
            yield state.sum(largest, {"reach": np.array(self.reach)}, lines=(f"step{t}",))


def largest(rows, public):
    return [np.clip(rows, -public["reach"], public["reach"]).max(axis=0, initial=-public["reach"])]


@dataclass(frozen=True)
class FloatMap(Location):
    """The step is a float sum over the block, rounded once."""

    def rounds(self, plan, state):
        theta = np.zeros(self.bounds.dim, np.int64)
        for t in range(self.steps):
            noised = yield state.sum(float_pull, {"theta": theta, "reach": np.array(self.reach)}, lines=(f"step{t}",))
            theta = self.follow(theta, noised[f"step{t}"])


def float_pull(rows, public):
    return [(np.clip(rows - public["theta"], -public["reach"], public["reach"]) / 3.0).sum(axis=0).astype(np.int64)]


@pytest.mark.parametrize("structure", [OrderOfLines, SecondLook, NotAdditive, FloatMap])
def test_rounds_that_see_more_than_was_released_are_found(structure):
    rejected(structure(BALL), answers=place)


@pytest.mark.parametrize("structure", [OrderOfLines, SecondLook])
def test_what_a_round_asks_for_may_depend_on_the_history_alone(structure):
    plan = structure(BALL).plan(neighbors="add-remove", **COST)
    x = np.ones((4, 2))
    with pytest.raises(PrivacyViolation, match="more than the released history"):
        assert_price(plan, (x, x[:3]))
    with pytest.raises(PrivacyViolation, match="more than the released history"):
        assert_laws(plan, rows_of(x))


def pull_double(rows, public):
    return [2 * part for part in pull(rows, public)]


@dataclass(frozen=True)
class OneBadHistory(Location):
    """The second step is doubled after exactly the first one that a single far record makes without noise."""

    def rounds(self, plan, state):
        public = {"theta": np.zeros(self.bounds.dim, np.int64), "reach": np.array(self.reach)}
        noised = yield state.sum(pull, public, lines=("step0",))
        double = (noised["step0"] == self.reach).all()
        for t in range(1, self.steps):
            yield state.sum(pull_double if double else pull, public, lines=(f"step{t}",))


def test_every_history_counts():
    plan = OneBadHistory(BALL).plan(neighbors="add-remove", **COST)
    x, y = np.empty((0, 2)), np.full((1, 2), 0.9)
    assert len(histories(plan, *map(plan.structure.summarize, (x, y)))) == 5
    for pair in ((x, y), (y, x)):
        with pytest.raises(PrivacyViolation, match=r"step1\): 4 of the declared"):
            assert_price(plan, pair)
    assert "costs more" in rejected(OneBadHistory(BALL), answers=lambda release: [])


@dataclass(frozen=True)
class Closure(Location):
    def rounds(self, plan, state):
        for t in range(self.steps):
            yield state.sum(lambda rows, public: [rows.sum(axis=0) * 0], {}, lines=(f"step{t}",))


def test_a_row_map_that_is_a_closure_is_refused():
    assert "module-level function" in rejected(Closure(BALL), answers=place)


def test_a_correct_adaptive_structure_needs_a_common_history():
    # each dataset with its own exact history: even a correct structure would look too dear
    random = np.random.default_rng(2)
    plan = Location(BALL, expected_rows=40, steps=2).plan(neighbors="add-remove", **COST)
    x = random.uniform(-1, 1, (400, 2))
    y = np.concatenate([x, [[2.0, 0.0]]])
    assert assert_price(plan, (x, y)).worst <= 1
    a, b = statistics(plan, x)["step1"], statistics(plan, y)["step1"]
    assert ((a - b) ** 2).sum() > plan.events[0].sensitivity
