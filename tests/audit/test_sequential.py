"""The sequential test refutes broken claims soon, leaves true ones alone, and survives any output."""

import math

import numpy as np
import pytest

from dpstruct.audit import one_at_a_time, sequential_test
from dpstruct.audit.claims import read_claim
from dpstruct.audit.runs import Runner
from dpstruct.audit.sequential import _Test
from dpstruct.privacy import GDP, ApproxDP, PureDP

GRID = 2.0**-10


def laplace(random, epsilon=1.0):
    """Discrete Laplace noise on a lattice, exactly epsilon-DP for counts that differ by one."""
    p = -math.expm1(-epsilon * GRID)
    return lambda count, n: count + (random.geometric(p, n) - random.geometric(p, n)) * GRID


def geometric(random, epsilon=0.5):
    p = -math.expm1(-epsilon)
    return lambda count, n: count + random.geometric(p, n) - random.geometric(p, n)


def gaussian(random, mu=1.0, grid=GRID):
    """A Gaussian rounded to a lattice that holds both counts: mu-GDP by post-processing."""
    return lambda count, n: count + np.rint(random.normal(scale=1 / (mu * grid), size=n)) * grid


BOUNDARY = [
    (laplace, PureDP(1.0)),
    (geometric, PureDP(0.5)),
    (gaussian, GDP(1.0)),
    (lambda random: gaussian(random, grid=0.25), GDP(1.0)),
    (lambda random: gaussian(random, grid=0.25), [(1.0, GDP(1.0).delta(1.0))]),
]


def test_true_claims_at_their_boundary_are_left_alone():
    # 300 tests at level 1e-3: more than 5 alarms have chance below 1e-6 for any valid test
    alarms = 0
    for case, (mechanism, claim) in enumerate(BOUNDARY):
        for seed in range(60):
            random = np.random.default_rng([7, case, seed])
            alarms += sequential_test(mechanism(random), 0, 1, claim, alpha=1e-3, max_runs=4000, seed=seed).rejected
    assert alarms <= 5


def test_true_claims_about_vectors_are_left_alone():
    # 24 tests at level 1e-2, scores learned: more than 5 alarms have chance below 1e-6
    alarms = 0
    for seed in range(12):
        random = np.random.default_rng([8, seed])
        one, two = laplace(random, 0.5), gaussian(random, mu=math.sqrt(0.5))
        pair = lambda draw: lambda count, n: np.stack([draw(count, n), draw(count, n)], axis=1)  # noqa: E731
        for mechanism, claim in ((pair(one), PureDP(1.0)), (pair(two), GDP(1.0))):
            alarms += sequential_test(mechanism, 0, 1, claim, alpha=1e-2, max_runs=3000, seed=seed).rejected
    assert alarms <= 5


@pytest.mark.parametrize(
    ("mechanism", "claim", "most"),
    [
        (lambda random: laplace(random, 2.0), PureDP(1.0), 1000),
        (lambda random: laplace(random, 1.25), PureDP(1.0), 20_000),
        (lambda random: geometric(random, 1.0), PureDP(0.5), 2000),
        (lambda random: gaussian(random, mu=2.0), GDP(1.0), 1000),
        (lambda random: gaussian(random, mu=1.25), GDP(1.0), 12_000),
        (lambda random: gaussian(random, mu=2.0), ApproxDP(1.0, 0.1), 1200),
        (lambda random: gaussian(random, mu=2.0), [(0.5, 0.3), (1.0, 0.1)], 1200),
    ],
)
def test_broken_claims_are_refuted_soon(mechanism, claim, most):
    runs = []
    for seed in range(5):
        verdict = sequential_test(mechanism(np.random.default_rng([9, seed])), 0, 1, claim, seed=seed)
        assert verdict.rejected
        assert verdict.log_e >= math.log(1e6)
        runs.append(verdict.runs)
    assert np.median(runs) <= most


def test_a_gross_leak_takes_a_few_hundred_runs():
    for claim in (PureDP(1.0), GDP(1.0), ApproxDP(1.0, 1e-6)):
        verdict = sequential_test(lambda secret, n: np.full(n, secret), 3, 4, claim, seed=1)
        assert verdict.rejected
        assert verdict.runs <= 600


def seldom(random, odd):
    """Laplace noise, but one output in five under x2 is `odd`."""

    def mechanism(data, n):
        return [odd() if data and random.random() < 0.2 else float(laplace(random)(data, 1)[0]) for _ in range(n)]

    return mechanism


def fail():
    raise KeyError("a private value")


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (lambda: None, "None"),
        (lambda: math.nan, "NaN"),
        (lambda: -math.inf, "-infinity"),
        (lambda: "no answer", "'no answer'"),
        (lambda: (1.0, 2.0), "= (1, 2)"),
        (lambda: ["a", None, True, 2], "= ['a', None, True, 2]"),
        (lambda: {"k": b"xyz"}, "dict"),
        (fail, "an exception KeyError"),
    ],
)
def test_an_odd_output_is_seen(odd, words):
    verdict = sequential_test(seldom(np.random.default_rng(1), odd), 0, 1, PureDP(1.5), seed=2)
    assert verdict.rejected
    assert verdict.runs < 3000
    assert words in verdict.witness.event
    assert "private" not in str(verdict)


@pytest.mark.parametrize("odd", [lambda: None, fail])
def test_an_odd_output_that_is_allowed_is_left_alone(odd):
    verdict = sequential_test(
        lambda data, n: seldom(np.random.default_rng(), odd)(True, n), 0, 1, PureDP(1.0), max_runs=2000, seed=2
    )
    assert not verdict.rejected


def test_dtypes_and_shapes_that_differ_between_neighbours():
    random = np.random.default_rng(3)

    def typed(data, n):
        answers = random.integers(0, 5, n)
        return answers.astype(np.float64) if data else answers

    def shaped(data, n):
        return random.normal(size=(n, 3 if data else 2))

    for mechanism, words in ((typed, "type"), (shaped, "shape")):
        verdict = sequential_test(mechanism, 0, 1, PureDP(1.0), seed=4)
        assert verdict.rejected
        assert verdict.runs <= 600
        assert words in verdict.witness.event


def test_a_dtype_that_depends_on_the_batch_is_no_leak():
    random = np.random.default_rng(5)

    def mechanism(data, n):
        return np.array(
            [int(v) if v % 1 == 0 else float(v) for v in random.choice([1, 2, 2.5], n, p=[0.6, 0.39, 0.01])]
        )

    assert not sequential_test(mechanism, 0, 1, PureDP(0.1), max_runs=4000, seed=6).rejected


STRANGE = {
    "dates": lambda random, n: np.datetime64("2020-01-01") + random.integers(0, 9, n),
    "records": lambda random, n: np.zeros(n, dtype=[("a", int), ("b", float)]),
    "one number": lambda random, n: np.array(3.0),
    "a generator": lambda random, n: (i for i in range(n)),
    "huge integers": lambda random, n: [10**400] * n,
    "unsigned": lambda random, n: np.full(n, 2**64 - 1, np.uint64) - random.integers(0, 9, n).astype(np.uint64),
    "complex": lambda random, n: random.normal(size=n) + 1j * random.normal(size=n),
    "no entries": lambda random, n: np.zeros((n, 0)),
    "cubes": lambda random, n: random.normal(size=(n, 2, 3)),
    "holes": lambda random, n: np.where(random.random((n, 3)) < 0.3, np.nan, random.normal(size=(n, 3))),
    "extremes": lambda random, n: random.choice([1e308, -1e308, 5e-324, 0.0, -0.0], (n, 2)),
    "large": lambda random, n: random.normal(size=(n, 2)) * 1e307,
    "lengths": lambda random, n: [random.normal(size=random.integers(0, 4)).tolist() for _ in range(n)],
    "things": lambda random, n: [object(), {1}, {"a": [1]}, np.zeros(2), b""][:n] * (n // 5) + [None] * (n % 5),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_outputs_that_do_not_depend_on_the_data(kind):
    random = np.random.default_rng(24)
    for claim in (PureDP(0.5), GDP(0.5)):
        verdict = sequential_test(lambda data, n: STRANGE[kind](random, n), 0, 1, claim, max_runs=700, seed=1)
        assert not verdict.rejected
        assert "<svg" in verdict.to_html()


def test_one_output_at_a_time():
    random = np.random.default_rng(7)
    for mechanism in (
        lambda data: data + random.laplace(scale=0.4),
        lambda data, n: data + random.laplace(scale=0.4),  # ignores n
        one_at_a_time(lambda data: data + random.laplace(scale=0.4)),
        lambda data, n: [data + random.laplace(scale=0.4)] * (1 if n != 1 else n),
    ):
        assert sequential_test(mechanism, 0, 1, PureDP(1.0), seed=8).rejected
    vectors = sequential_test(lambda data: data + random.laplace(scale=0.6, size=2), 0, 1, PureDP(1.0), seed=8)
    assert vectors.rejected
    assert Runner(lambda data, n=1: data, 0, 1).single is False
    assert Runner(lambda data: data, 0, 1).single is True


def test_vectors_by_a_learned_score_and_by_a_given_one():
    random = np.random.default_rng(9)

    def mechanism(data, n):
        return data + random.laplace(scale=1.0, size=(n, 2))

    learned = sequential_test(mechanism, 0, 1, PureDP(1.0), seed=10)
    ratio = lambda o: (np.abs(o - 1) - np.abs(o)).sum(axis=1)  # noqa: E731
    given = sequential_test(mechanism, 0, 1, PureDP(1.0), seed=10, score=ratio)
    assert learned.rejected
    assert "learned score" in learned.witness.event
    assert given.rejected
    assert "score" in given.witness.event
    assert "learned" not in given.witness.event
    assert given.runs <= learned.runs < 12_000


def test_rounding_errors_of_a_score_are_no_leak():
    random = np.random.default_rng(25)

    def mechanism(data, n):
        bits = (random.random(n) < 0.5) ^ (random.random(n) < 0.4)  # blind to the data, up to the last bits
        return np.where(bits, 0.3, -0.7) * (1 + data * 2.0**-52)

    assert sequential_test(mechanism, 0, 1, PureDP(0.5), max_runs=2000, seed=1).rejected
    assert not sequential_test(mechanism, 0, 1, PureDP(0.5), max_runs=2000, seed=1, score=np.asarray).rejected


def test_a_score_of_single_calls_sees_stacked_outputs_and_keeps_exceptions():
    random = np.random.default_rng(11)

    def mechanism(data):
        if data and random.random() < 0.3:
            raise ValueError
        return data + random.normal(size=2)

    verdict = sequential_test(mechanism, 0, 1, PureDP(1.0), seed=12, score=lambda o: np.asarray(o)[:, 0])
    assert verdict.rejected
    assert "ValueError" in verdict.witness.event


class Flaky:
    """Batches work until a hidden call raises; single calls never do."""

    def __init__(self, calls):
        self.calls, self.random = calls, np.random.default_rng(13)

    def __call__(self, data, n):
        self.calls -= n > 1
        if n > 1 and self.calls < 0:
            raise OSError
        return data + geometric(self.random, 1.0)(0, n)


@pytest.mark.parametrize("calls", [0, 1, 2, 9])
def test_what_was_bet_on_a_failed_batch_is_lost_and_a_reserve_goes_on(calls):
    test = _Test(Runner(Flaky(calls), 0, 1), read_claim(PureDP(0.5)), np.random.default_rng(1))
    before = test.log_e
    assert before == pytest.approx(0.0, abs=1e-12)
    while not test.runner.separated:
        before = test.log_e
        test.step(10**6)
    expected = 0.0 if calls < 2 else math.log(0.1)  # the pilot's batch stakes nothing
    assert test.log_e == pytest.approx(expected, abs=1e-12)
    while test.log_e < math.log(1e6) and test.used < 50_000:
        test.step(10**6)
    assert test.log_e >= math.log(1e6)


def test_capital_starts_at_one_whatever_the_claim():
    for claim in (PureDP(1.0), GDP(1.0), ApproxDP(1.0, 0.01), [(1.0, 0.0)], [(1.0, 0.1), (0.0, 0.3)]):
        for mechanism in (lambda data: 0, lambda data, n: np.zeros(n)):
            test = _Test(Runner(mechanism, 0, 1), read_claim(claim), np.random.default_rng(1))
            assert test.log_e == pytest.approx(0.0, abs=1e-12)


class Watched(_Test):
    """Notes what bins and bets are fixed before a batch is drawn."""

    def _draw(self, size):
        self.before = (self.partition, self.past.copy())
        return super()._draw(size)


def test_bins_and_bets_are_fixed_before_the_batch(monkeypatch):
    asked = []
    bets = _Test.step.__globals__["_bets"]
    monkeypatch.setitem(
        _Test.step.__globals__, "_bets", lambda past, *rest: (asked.append(past.copy()), bets(past, *rest))[1]
    )
    test = Watched(Runner(geometric(np.random.default_rng(1)), 0, 1), read_claim(PureDP(0.4)), np.random.default_rng(2))
    for _ in range(14):
        known, wealth = test.partition, test.log_wealth
        past = test.past.copy()
        test.step(10**6)
        assert test.before[0] is known
        assert np.array_equal(test.before[1], past)
        if known is None:
            assert np.array_equal(test.log_wealth, wealth)  # the pilot stakes nothing
        else:
            assert np.array_equal(asked[-1], past)


def test_settings_and_reproduction():
    make = lambda: laplace(np.random.default_rng(14), 1.6)  # noqa: E731
    first, again = (sequential_test(make(), 0, 1, PureDP(1.0), seed=15) for _ in range(2))
    assert str(first) == str(again)
    drawn = sequential_test(make(), 0, 1, PureDP(1.0))
    assert f"seed={drawn.seed}" in str(drawn)
    repeated = sequential_test(make(), 0, 1, PureDP(1.0), seed=drawn.seed)
    assert (repeated.runs, repeated.log_e) == (drawn.runs, drawn.log_e)


def test_a_claim_that_stands_says_what_stays_open():
    verdict = sequential_test(laplace(np.random.default_rng(16), 0.5), 0, 1, PureDP(1.0), max_runs=4000, seed=17)
    assert not verdict.rejected
    assert verdict.runs == 4000
    assert verdict.fresh_runs == 1000
    assert 0.5 < verdict.largest_open < 1.5
    assert "no violation above epsilon" in str(verdict)
    assert "is private" not in str(verdict)
    gauss = sequential_test(gaussian(np.random.default_rng(18)), 0, 1, GDP(1.0), max_runs=4000, seed=17)
    assert 1.0 < gauss.largest_open < 2.0
    assert "mu =" in str(gauss)
    pairs = sequential_test(gaussian(np.random.default_rng(19)), 0, 1, [(1.0, 0.2)], max_runs=4000, seed=17)
    assert "at delta = 0.2" in str(pairs)


def test_what_stays_open_comes_from_fresh_runs():
    asked, mechanism = [], laplace(np.random.default_rng(23), 0.5)

    def counted(data, n):
        asked.append(n)
        return mechanism(data, n)

    verdict = sequential_test(counted, 0, 1, PureDP(1.0), max_runs=6000, seed=17)
    assert sum(asked) == verdict.runs + verdict.fresh_runs == 7200


def test_what_stays_open_covers_the_event():
    # 200 blocks at level 0.05, true epsilon 1: below it with chance at most 0.05; more than 30 has chance below 1e-7
    missed = 0
    for seed in range(200):
        test = sequential_test(
            laplace(np.random.default_rng([20, seed])), 0, 1, PureDP(3.0), alpha=0.05, max_runs=300, seed=seed
        )
        (hits, _, hits2, _) = test.witness.counts
        missed += test.largest_open < _truth(test.witness.event, hits > hits2)
    assert missed <= 30


def _truth(event, forward):
    """At most the epsilon of the event; 0 where it is more than one interval."""
    if " or " in event or not event.startswith("output <=" if forward else "output >"):
        return 0.0
    edge = float(event.split()[2])
    return 1.0 if (edge <= 0 if forward else edge >= 1) else 0.0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 0.5}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"max_runs": 99}, "max_runs"),
        ({"max_runs": 1e3}, "max_runs"),
        ({"seed": -1}, "seed"),
        ({"claim": [(math.inf, 0.1)]}, "epsilon"),
        ({"claim": [(1.0, 1.0)]}, "delta"),
        ({"claim": [(1.0, -0.1)]}, "delta"),
        ({"claim": []}, "claim"),
        ({"claim": 1.0}, "claim"),
        ({"claim": [1.0]}, "claim"),
        ({"claim": PureDP(1000)}, "epsilon"),
        ({"claim": GDP.from_units(0)}, "claim"),
        ({"mechanism": 3}, "mechanism"),
        ({"score": lambda outputs: outputs[:-1]}, "score"),
        ({"score": lambda outputs: [str(o) for o in outputs]}, "score"),
    ],
)
def test_bad_input(change, name):
    settings = {"mechanism": lambda data, n: np.zeros(n), "claim": PureDP(1.0)} | change
    mechanism, claim = settings.pop("mechanism"), settings.pop("claim")
    with pytest.raises(ValueError, match=name):
        sequential_test(mechanism, 0, 1, claim, **settings)


def test_a_page_of_its_own():
    verdict = sequential_test(laplace(np.random.default_rng(21), 2.0), 0, 1, PureDP(1.0), seed=22)
    page = verdict.to_html()
    assert page.startswith("<!DOCTYPE html>")
    assert "<svg" in page
    assert "<script" not in page
    assert "REFUTED" in page
    assert "<svg" in verdict._repr_html_()
    assert sum(map(sum, verdict.bins)) == verdict.runs
    for claim in (GDP(1.0), ApproxDP(1.0, 0.01), [(0.5, 0.1)]):
        assert (
            "<svg" in sequential_test(gaussian(np.random.default_rng(1)), 0, 1, claim, max_runs=300, seed=1).to_html()
        )
