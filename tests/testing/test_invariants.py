"""Charging, adding noise, rebuilding, and the walk over all that a release refers to."""

import functools
import importlib.util
import sys
import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from oracle.toy import Mean, PrivateMean

import dpstruct as dps
from dpstruct.core import Budget, door
from dpstruct.testing import (
    PrivacyViolation,
    assert_invariants,
)
from dpstruct.testing.lifecycle import assert_charged
from dpstruct.testing.reach import reachable

COST = {"epsilon": 1.0, "delta": 1e-6}
BALL = dps.Ball(2.0, dim=2)
X = np.array([[0.1, 0.2], [1.5, -1.0], [0.0, 0.3]])


def test_charging_after_the_draw_is_found(monkeypatch):
    monkeypatch.setattr(Budget, "_charge", lambda self, *what: None)
    monkeypatch.setattr(Budget, "_receipt", lambda self, *what: None)
    monkeypatch.setattr(Budget, "_finish", lambda self, summary, plan, *rest: door.run(plan, summary._open()))

    with pytest.raises(PrivacyViolation, match="not charged before the first draw"):
        assert_charged(Mean(BALL).plan(neighbors="add-remove", **COST), Mean(BALL).summarize(X))


def test_drawing_before_the_charge_is_found(monkeypatch):
    real = Budget.release

    def early(self, summary, **price):
        door.run(summary.structure.plan(neighbors=self.neighbors, delta=self.delta, **price), summary._open())
        return real(self, summary, **price)

    monkeypatch.setattr(Budget, "release", early)
    with pytest.raises(PrivacyViolation, match="not charged before the first draw"):
        assert_charged(Mean(BALL).plan(neighbors="add-remove", **COST), Mean(BALL).summarize(X))


def test_a_door_that_adds_something_else_is_found(monkeypatch):
    plan = Mean(BALL).plan(neighbors="add-remove", **COST)
    monkeypatch.setattr(door, "add_wrapping", lambda exact, noise: exact + 2 * noise)
    with pytest.raises(PrivacyViolation, match="not its statistic plus the noise"):
        assert_invariants(plan, X)
    random = np.random.default_rng(1)
    monkeypatch.setattr(door, "add_wrapping", lambda exact, noise: exact + noise + random.integers(1, 9))
    with pytest.raises(PrivacyViolation):
        assert_invariants(plan, X)


class Forgetful(PrivateMean):
    def query(self, Y):
        self.__dict__["asked"] = self.__dict__.get("asked", 0) + 1
        return super().query(Y) + self.__dict__["asked"]


@dataclass(frozen=True)
class Counting(Mean):
    release_type: ClassVar[type[Any]] = Forgetful


def test_answers_that_are_no_function_of_the_release_are_found():
    with pytest.raises(PrivacyViolation, match="differently"):
        assert_invariants(Counting(BALL).plan(neighbors="add-remove", **COST), X)


def test_the_walk_follows_what_the_collector_does_not():
    hidden = np.arange(5.0)

    class Slotted:
        __slots__ = ("__weakref__", "inside")

    slotted = Slotted()
    slotted.inside = hidden[1:2]

    def generate():
        kept = hidden
        yield kept

    def failed():
        try:
            local = hidden
            raise ValueError(len(local))
        except ValueError as error:
            return error

    running = generate()
    next(running)
    for holder in (
        slotted,
        weakref.ref(slotted),
        running,
        failed(),
        functools.partial(len, hidden),
        np.array([None, hidden], dtype=object),
        memoryview(hidden),
        {"a": [(hidden,)]},
        lambda: hidden,
    ):
        assert any(node is hidden for _, node in reachable(holder)), holder


def test_without_hypothesis_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("dpstruct.testing")]:
        monkeypatch.delitem(sys.modules, name)
    real = importlib.util.find_spec
    hidden = {"hypothesis": lambda *_: None}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: hidden.get(name, real)(name, *rest))
    with pytest.raises(ImportError, match=r'pip install "dpstruct\[testing\]"'):
        importlib.import_module("dpstruct.testing")
