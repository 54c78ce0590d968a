"""Structures that break their plan are stopped, and what they were charged stays charged."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.core import Group, Line, Release, Sealed, Structure


@dataclass(frozen=True)
class Pair(Structure[Release]):
    """Two counts, with a fault to choose."""

    fault: str = ""
    max_rows: int = 1 << 20
    release_type = Release

    def no_rows(self):
        return (np.empty((0, 1)),)

    def contributions(self, X):
        ones = np.ones(len(X), dtype=np.int64)
        return {"a": ones, "b": np.stack([ones, ones], axis=1), "hidden": ones}

    def groups(self, cost, neighbors):
        lines = [Line("a", ()), Line("b", (2,), (Fraction(1), Fraction(4)))]
        if self.fault == "shares":
            return [Group([line], Fraction(2), Fraction(2, 3)) for line in lines]
        if self.fault == "names":
            return [Group([lines[0], lines[0]], Fraction(2))]
        if self.fault == "reserved":
            return [Group([Line("n", ())], Fraction(2))]
        if self.fault == "weights":
            return [Group([Line("a", ()), Line("b", (2,), (Fraction(1),) * 3 + (Fraction(2),))], Fraction(2))]
        return [Group(lines, Fraction(3))]

    def worst_error(self, plan):
        return float(plan.scale("a")[0])

    def rounds(self, plan, state):
        one = np.ones(1, dtype=np.int64)
        if self.fault == "unsealed":
            yield {"a": one}
        elif self.fault == "shape":
            yield state.sums.map(lambda sums: {**sums, "b": sums["b"][:1]})
        elif self.fault == "left out":
            yield state.sums.map(lambda sums: {"a": sums["a"]})
        elif self.fault == "order":
            yield state.sums.map(lambda sums: {"b": sums["b"]})
        elif self.fault == "twice":
            yield state.sums
            yield state.sums
        elif self.fault == "foreign":
            yield Sealed({"c": one})
        elif self.fault == "raises":
            yield state.sums
            raise ZeroDivisionError
        else:
            noised = yield state.sums.map(lambda sums: {"a": sums["a"], "hidden": sums["hidden"]})
            assert set(noised) == {"a"}
            noised = yield state.sums
            assert set(noised) == {"b"}


X = np.zeros((5, 1))


def budget(neighbors="add-remove"):
    return dps.Budget(epsilon=1.0, delta=1e-6, neighbors=neighbors)


@pytest.mark.parametrize("fault", ["shares", "names", "reserved", "weights"])
def test_a_wrong_plan_is_refused_before_the_charge(fault):
    b = budget()
    with pytest.raises(dps.PlanViolation):
        b.release(Pair(fault).summarize(X), share=0.5)
    assert b.log() == []


@pytest.mark.parametrize("fault", ["unsealed", "shape", "left out", "order", "twice", "foreign"])
def test_a_release_that_leaves_its_plan_fails_and_stays_charged(fault):
    b = budget()
    with pytest.raises(dps.PlanViolation):
        b.release(Pair(fault).summarize(X), share=0.5)
    assert [entry.status for entry in b.log()] == ["failed"]
    assert b.spent == 0.5


def test_an_exception_in_a_round_stays_charged():
    b = budget()
    with pytest.raises(ZeroDivisionError):
        b.release(Pair("raises").summarize(X), share=0.5)
    assert b.spent == 0.5


def test_lines_come_in_rounds_and_unlisted_sums_are_never_released():
    private = budget().release(Pair().summarize(X), share=1)
    assert set(private.transcript) == {"a", "b"}
    scale = private.receipt.scale("b")
    assert scale[1] == 2 * scale[0] == 2 * private.receipt.scale("a")[0]


def test_the_number_of_units_is_released_only_where_it_is_public():
    assert "n" not in budget().release(Pair().summarize(X), share=1).transcript
    for relation in ("substitute", dps.RowsWithin(0.5)):
        assert budget(relation).release(Pair().summarize(X) + Pair().summarize(X), share=1).transcript["n"] == 10


def test_a_release_is_immutable_and_rebuilds_from_its_parts():
    import pickle

    private = budget().release(Pair().summarize(X), share=1)
    with pytest.raises(AttributeError, match="immutable"):
        private.x = 1
    with pytest.raises(AttributeError, match="immutable"):
        del private.structure
    with pytest.raises(ValueError, match="read-only"):
        private.transcript["b"][0] = 0
    with pytest.raises(TypeError):
        private.transcript["b"] = np.zeros(2)
    again = pickle.loads(pickle.dumps(private))
    assert again.receipt == private.receipt
    np.testing.assert_array_equal(again.transcript["b"], private.transcript["b"])
    with pytest.raises(dps.PlanViolation):
        Release(private.structure, {"a": private.transcript["a"]}, private.receipt)


def test_plain_structures_compute_on_the_cpu_only():
    with pytest.raises(dps.InvalidParameter, match="device"):
        Pair().summarize(X, device="cuda")
