"""The published testers as rivals: they find gross violations, keep their level, and read any output."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from dpstruct.audit.mechanisms import broken, correct
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, ApproxDP, PureDP
from dpstruct.reference import ClassifierTester, DPSniper, HistogramTester, StatDP
from dpstruct.reference._tester import Encoder, Runs, corners, intervals
from dpstruct.reference.dp_sniper import _log_ratio, _threshold
from dpstruct.reference.statdp import _tail

CASES = {case.name: case for case in [*broken(), *correct()]}
TESTERS = [StatDP(), DPSniper(), HistogramTester(), ClassifierTester()]
every_tester = pytest.mark.parametrize("tester", TESTERS, ids=lambda tester: type(tester).__name__)
GROSS = [
    "laplace-wrong-relation", "forgotten-composition", "histogram-inverse-scale", "one-sided-noise",
    "race-sketch-over-n", "nan-propagates", "exact-threshold", "raises-on-a-value", "svt-5-stoddard",
]  # fmt: skip
EXACT = ["discrete-laplace", "randomized-response", "histogram-substitute", "refuses-at-random",
         "logarithm-with-nan", "clipped-mean", "svt-1-lyu"]  # fmt: skip


def refutes(tester, case, runs, alpha):
    return tester.refutes(case.mechanism, case.x, case.x2, case.claim, runs=runs, alpha=alpha)


@pytest.mark.parametrize("name", GROSS)
@every_tester
def test_gross_violations_are_refuted(tester, name):
    outcome = refutes(tester, CASES[name].seeded(1), 36_000, 1e-6)
    assert outcome.rejected, str(outcome)
    assert outcome.runs <= 36_000
    assert str(outcome).startswith("refuted after")


@pytest.mark.parametrize("name", EXACT)
@every_tester
def test_true_claims_stand(tester, name):
    """At the boundary of the claim; false alarm at most 1e-7 each."""
    outcome = refutes(tester, CASES[name].seeded(2), 12_000, 1e-7)
    assert not outcome.rejected, str(outcome)


def noise_alone(data, n, random=np.random.default_rng(6)):  # noqa: B008
    """The same law for both neighbours, with many possible events."""
    return random.random(n)


@pytest.mark.parametrize("tester", [StatDP(), DPSniper(c=0.2), HistogramTester()], ids=lambda t: type(t).__name__)
def test_level(tester):
    """At alpha 0.1 in 60 audits each of two true claims; false alarm below 1e-6."""
    case = CASES["randomized-response"]
    alarms = sum(refutes(tester, case.seeded(seed), 1200, 0.1).rejected for seed in range(60))
    assert binom.sf(alarms - 1, 60, 0.1) > 1e-6
    alarms = sum(tester.refutes(noise_alone, 0, 1, PureDP(1e-6), runs=1200, alpha=0.1).rejected for _ in range(60))
    assert binom.sf(alarms - 1, 60, 0.1) > 1e-6


@pytest.mark.parametrize("tester", [*TESTERS, HistogramTester(bins=400)], ids=lambda tester: type(tester).__name__)
def test_events_are_counted_on_fresh_runs(tester):
    """Both neighbours give the same law; an event that is judged on the runs that chose it would look likelier."""
    outcome = tester.refutes(noise_alone, 0, 1, PureDP(1e-6), runs=1200, alpha=1e-7)
    assert not outcome.rejected, str(outcome)


def test_the_bound_of_dp_sniper_saturates():
    case = CASES["constant-seed"]
    outcome = refutes(DPSniper(c=0.01), case, 60_000, 0.05)
    assert 3 < outcome.value < math.log(100)


def test_approximate_claims():
    case = CASES["rare-disclosure-0.01"].seeded(3)
    assert not HistogramTester().refutes(case.mechanism, case.x, case.x2, ApproxDP(1.0, 0.05), runs=9000).rejected
    with pytest.raises(InvalidParameter):
        StatDP().refutes(case.mechanism, case.x, case.x2, case.claim, runs=9000)
    with pytest.raises(InvalidParameter):
        HistogramTester().refutes(case.mechanism, case.x, case.x2, GDP(1.0), runs=9000)


def test_the_thinned_test_by_hand():
    n, c1, c2 = 30, 9, 4
    total = math.comb(60, 13)
    by_hand = sum(math.comb(30, k) * math.comb(30, 13 - k) for k in range(c1, 14)) / total
    assert _tail(np.array([c1]), c2, n)[0] == pytest.approx(by_hand, rel=1e-12)


def test_clopper_pearson_by_hand():
    low = math.exp(_log_ratio(600, 0, 1000, 0.1)) * (1 - 0.05 ** (1 / 1000))
    assert low == pytest.approx(0.5738234133, rel=1e-9)
    assert _log_ratio(0, 5, 10, 0.1) == -math.inf


def test_threshold_takes_the_wanted_share():
    scores = np.repeat([0.0, 1.0, 2.0], [50, 40, 10])
    assert _threshold(scores, 0.3) == (1.0, pytest.approx(0.5))
    t, tie = _threshold(np.arange(100.0), 0.07)
    assert np.mean(np.arange(100.0) > t) + tie * np.mean(np.arange(100.0) == t) == pytest.approx(0.07)


def test_intervals_count_what_they_say():
    random = np.random.default_rng(4)
    tables = random.integers(0, 9, (300, 2)).astype(float), random.integers(2, 12, (200, 2)).astype(float)
    for events, counts in (intervals(tables, cuts=7), corners(tables, 2)):
        assert len(events) == counts.shape[1] > 20
        assert len(set(events)) == len(events)
        for i, event in enumerate(events):
            assert [event.count(table) for table in tables] == counts[:, i].tolist()
    assert corners(tables, 1)[1].shape == (2, 0)


@pytest.mark.parametrize(
    ("outputs", "width"),
    [
        (np.array([1, 2, 3, 4]), 1),
        (np.ones((4, 3)), 3),
        (np.array([1.0, np.nan, 2.0, np.inf]), 4),  # a number, NaN or infinity
        (["a", "b", "a", "b"], 3),
        ([("a", 1), ("b", 2), ("a", 3), ("a", 4)], 4),
        ([[1], [1, 2], [], [3]], 6),
        ([None, 1.0, "x", np.ones(2)], 7),
    ],
)
def test_any_output_becomes_columns(outputs, width):
    runs = Runs(lambda data, n: outputs, None, 4)
    table = Encoder(runs)(runs)
    assert table.shape == (4, width)
    assert np.isfinite(table).all()


def test_unseen_symbols_and_lengths():
    seen, new = (Runs(lambda data, n, o=o: o, None, 2) for o in ([("a",), ("b",)], [("c", 1), ()]))
    assert Encoder(seen)(new).tolist() == [[0.0, 0.0, 0.0]] * 2


def test_an_exception_is_an_output():
    def fails(data, n):
        raise KeyError(n)

    assert Runs(fails, None, 3).symbols.tolist() == [["'KeyError'"]] * 3


@pytest.mark.parametrize("options", [{"runs": 10}, {"alpha": 0.0}, {"alpha": 0.7}])
@every_tester
def test_bad_settings(tester, options):
    with pytest.raises(InvalidParameter):
        tester.refutes(lambda data, n: np.zeros(n), 0, 1, PureDP(1.0), **{"runs": 5000, **options})


@every_tester
def test_label(tester):
    assert tester.label.guarantee is None
    assert tester.label.modelled
