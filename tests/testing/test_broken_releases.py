"""Releases, structures and classes that keep something of the data."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from oracle.rejected import BALL, COST, rejected
from oracle.toy import Mean, PrivateMean

from dpstruct.testing import PrivacyViolation
from dpstruct.testing.invariants import assert_laws
from dpstruct.testing.pairs import split


def rows_of(X):
    return split((X,))


class Keeping(Mean):
    """Stashes something while it seals; `how` says what and where."""

    def seal(self, X, device="auto"):
        state = super().seal(X, device=device)
        type(self).stash(self, X, state)
        return state


def keeper(name, stash, release_type=PrivateMean):
    return dataclass(frozen=True)(type(name, (Keeping,), {"stash": stash, "release_type": release_type}))


def on_structure(value):
    return lambda self, X, state: object.__setattr__(self, "_kept", value(X, state))


def on_class(value):
    def stash(self, X, state):
        type(self)._kept = value(X, state)

    return stash


def closure(X):
    return lambda: X


KEEPERS = {
    "rows": on_structure(lambda X, state: X),
    "copy": on_structure(lambda X, state: [X.tolist()]),
    "float32": on_structure(lambda X, state: X.clip(-9, 9).astype(np.float32)),
    "sums": on_structure(lambda X, state: state.sums),
    "integers": on_structure(lambda X, state: state.sums._open()["total"].copy()),
    "as_floats": on_structure(lambda X, state: tuple(state.sums._open()["total"].astype(float).tolist())),
    "scaled": on_structure(lambda X, state: state.sums._open()["total"] / 7.0),
    "closure": on_structure(lambda X, state: closure(X)),
    "view": on_structure(lambda X, state: X[:0]),
    "boxed": on_structure(lambda X, state: np.array([X, None], dtype=object)),
    "memoryview": on_structure(lambda X, state: memoryview(np.ascontiguousarray(X))),
    "bytes": on_structure(lambda X, state: b"x" + X.astype(np.float64).tobytes()),
    "class": on_class(lambda X, state: X.copy()),
    "summary": on_class(lambda X, state: state),
}


def first_only(self, X, state):
    if not hasattr(self, "_kept"):
        object.__setattr__(self, "_kept", X.copy())


KEEPERS["first"] = first_only
WHAT = {
    "first": "values of the data",
    "copy": "a value of the data",
    "float32": "what a twin",
    "sums": "a Sealed",
    "integers": "values of the data",
    "as_floats": "a value of the data",
    "scaled": "what a twin",
    "bytes": "bytes of a record",
    "class": "values of the data",
    "summary": "a Sums",
}


@pytest.mark.parametrize("name", KEEPERS)
def test_data_kept_in_reach_of_a_release_are_found(name):
    message = rejected(keeper(f"Keeps_{name}", KEEPERS[name])(BALL))
    assert f"a release holds {WHAT.get(name, 'memory of the data')}" in message
    assert "_kept" in message


class PeekingMean(PrivateMean):
    """Answers from a hidden exact sum."""

    hidden: ClassVar[list] = []

    def query(self, Y):
        return np.asarray(Y) @ (self.hidden[-1] if self.hidden else np.zeros(2)) + self.mean.sum()


def test_a_release_that_answers_from_elsewhere_is_found():
    def stash(self, X, state):
        PeekingMean.hidden.append(state.sums._open()["total"] / 5.0)

    assert "hidden" in rejected(keeper("Peeks", stash, PeekingMean)(BALL))


@dataclass(frozen=True)
class PlanFromData(Mean):
    def seal(self, X, device="auto"):
        object.__setattr__(self, "_rows", len(X) + 1)
        return super().seal(X, device=device)

    def groups(self, cost, neighbors):
        (group,) = super().groups(cost, neighbors)
        return [replace(group, sensitivity=group.sensitivity * getattr(self, "_rows", 1))]


@dataclass(frozen=True)
class BlueprintFromData(Mean):
    def seal(self, X, device="auto"):
        object.__setattr__(self, "max_rows", max(1, len(X)))
        return super().seal(X, device=device)


@pytest.mark.parametrize("structure", [PlanFromData, BlueprintFromData])
def test_a_plan_that_depends_on_data_is_found(structure):
    rejected(structure(BALL))
    with pytest.raises(PrivacyViolation, match="changed the blueprint or its plan"):
        assert_laws(structure(BALL).plan(neighbors="add-remove", **COST), rows_of(np.ones((3, 2))))
