"""Noise that tests inject: none, recorded, replayed."""

import numpy as np
import pytest
from oracle.toy import Mean

import dpstruct as dps
from dpstruct.lattice import to_lattice
from dpstruct.testing import (
    RecordingNoise,
    ReplayNoise,
    ZeroNoise,
    statistics,
)

COST = {"epsilon": 1.0, "delta": 1e-6}
BALL = dps.Ball(2.0, dim=2)
X = np.array([[0.1, 0.2], [1.5, -1.0], [0.0, 0.3]])


def budget(**options):
    return dps.Budget(epsilon=8.0, delta=1e-6, **{"neighbors": "add-remove", **options})


def test_without_noise_the_transcript_is_the_statistic():
    with ZeroNoise():
        release = budget().release(Mean(BALL).summarize(X), epsilon=1.0)
    expected = to_lattice(X, bound=2.0, bits=20).sum(axis=0)
    assert (release.transcript["total"] == expected).all()
    assert release.transcript["count"] == 3 << 20
    assert release.receipt.noise == "injected"
    again = budget().release(Mean(BALL).summarize(X), epsilon=1.0)
    assert not (again.transcript["total"] == expected).all()  # outside the context there is noise again


def test_recorded_noise_can_be_replayed():
    with RecordingNoise() as recorded:
        first = budget().release(Mean(BALL).summarize(X), epsilon=1.0)
    assert [(d.line, d.shape) for d in recorded.draws] == [("total", (2,)), ("count", ())]
    with ReplayNoise(recorded):
        second = budget().release(Mean(BALL).summarize(X[:1]), epsilon=1.0)
    exact = [statistics(first.structure.plan(neighbors="add-remove", **COST), data) for data in (X, X[:1])]
    for line in ("total", "count"):
        change = first.transcript[line] - second.transcript[line]
        assert (change == exact[0][line] - exact[1][line]).all()
    with ReplayNoise({"total": [5, -5], "count": 7}):
        third = budget().release(Mean(BALL).summarize(X[:0]), epsilon=1.0)
    assert third.transcript["total"].tolist() == [5, -5]
    with ReplayNoise({"total": [5, -5]}), pytest.raises(dps.DPStructError, match="line 'count'"):
        budget().release(Mean(BALL).summarize(X), epsilon=1.0)


def test_any_data_can_be_led_to_one_transcript():
    plan = Mean(BALL).plan(neighbors="add-remove", **COST)
    target = {"total": np.array([1, 2]), "count": np.array(3)}
    exact = statistics(plan, X, transcript=target)
    with ReplayNoise({line: target[line] - exact[line] for line in target}):
        release = budget().release(plan.structure.summarize(X), epsilon=1.0)
    assert {line: array.tolist() for line, array in release.transcript.items()} == {"total": [1, 2], "count": 3}


def test_injected_noise_reaches_neither_ledger_nor_file(tmp_path):
    durable = dps.Ledger(tmp_path / "a.db").budget("b", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    with ZeroNoise():
        with pytest.raises(dps.PlanViolation):
            durable.release(Mean(BALL).summarize(X), share=0.5)
        release = budget().release(Mean(BALL).summarize(X), epsilon=1.0)
    assert durable.spent == 0
    with pytest.raises(dps.PlanViolation):
        release.save(tmp_path / "a.dps")
