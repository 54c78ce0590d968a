"""The published kernel sums: answers without noise, sensitivities against neighbours, errors against simulation."""

import numpy as np
import pytest
from oracle import kernel_density as oracle

from dpstruct.errors import InvalidParameter
from dpstruct.reference import LSQFGT, LSQRFF, RACE

LOW, HIGH = np.array([0.0, -1.0]), np.array([1.0, 2.0])
RECORDS = np.random.default_rng(0).random((60, 2)) * (HIGH - LOW) + LOW
QUERIES = np.random.default_rng(1).random((15, 2)) * (HIGH - LOW) + LOW
COSTS = [{"epsilon": 0.7}, {"mu": 0.3}]
every_cost = pytest.mark.parametrize("cost", COSTS, ids=str)
every_relation = pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])


class Silent:
    """A generator whose noise is zero."""

    def normal(self, loc, scale, size):
        return np.zeros(size)

    laplace = normal


def rff(neighbors="add-remove", features=300, **cost):
    return LSQRFF(2, bandwidth=0.4, features=features, neighbors=neighbors, **(cost or {"epsilon": 1.0}))


def fgt(neighbors="add-remove", order=5, **cost):
    bounds = (LOW, HIGH)
    return LSQFGT(bounds, bandwidth=0.4, order=order, reach=5, neighbors=neighbors, **(cost or {"epsilon": 1.0}))


def race(neighbors="add-remove", rows=40, **cost):
    options = {"width": 1.0, "power": 2, "rows": rows, "buckets": 50, "neighbors": neighbors}
    return RACE(2, **options, **(cost or {"epsilon": 1.0}))


def released(baseline):
    """What a fitted baseline publishes, flat."""
    return getattr(baseline, {LSQRFF: "sums", LSQFGT: "moments", RACE: "counts"}[type(baseline)]).ravel()


def test_without_noise_they_answer_kernel_sums():
    exact = oracle.kernel_sums("gaussian", RECORDS, QUERIES, 0.4)
    assert fgt(order=9).fit(RECORDS, Silent()).query(QUERIES) == pytest.approx(exact, abs=60 * 1e-5)
    assert rff(features=40_000).fit(RECORDS, Silent()).query(QUERIES) == pytest.approx(exact, abs=60 * 0.04)


@every_cost
@every_relation
@pytest.mark.parametrize("make", [rff, fgt, race])
def test_scales_cover_every_change(make, neighbors, cost):
    blueprint = make(neighbors, **cost)
    rows = np.concatenate([RECORDS, [LOW, HIGH, [-9.0, 99.0]]])
    values = [released(make(neighbors, **cost).fit(row[None, :], Silent())) for row in rows]
    changes = values if neighbors == "add-remove" else [a - b for a in values[:20] for b in values]
    power = 1 if "epsilon" in cost else 2
    worst = max(float((np.abs(change) ** power).sum()) ** (1 / power) for change in changes)
    price = blueprint.scale * next(iter(cost.values()))
    assert worst <= price * (1 + 1e-12)
    assert worst > 0.4 * price


@every_cost
@pytest.mark.parametrize("make", [rff, fgt, race])
def test_errors_are_those_of_simulated_noise(make, cost):
    """300 releases, 15 queries: relative standard errors of 4 %, correlated; 25 % is more than six of them."""
    rng = np.random.default_rng(3)
    blueprint = make(**cost)
    quiet = make(**cost).fit(RECORDS, Silent()).query(QUERIES)
    errors = np.array([blueprint.fit(RECORDS, rng).query(QUERIES) for _ in range(300)]) - quiet
    assert errors.std(axis=0) == pytest.approx(blueprint.error(QUERIES), rel=0.25)


def test_race_answers_its_collision_kernel():
    """4,000 hashes: a standard error of at most 60 / (2 sqrt(4000)) = 0.5."""
    baseline = race(rows=4000)
    apart = np.sqrt(((QUERIES[:, None] - RECORDS) ** 2).sum(axis=2))
    exact = baseline.kernel(apart).sum(axis=1)
    assert baseline.fit(RECORDS, Silent()).query(QUERIES) == pytest.approx(exact, abs=3)
    assert baseline.kernel([0.0, 1e9]) == pytest.approx([1, 0], abs=1e-8)


def test_labels_and_refusals():
    for baseline in (rff(), fgt(mu=0.5), race()):
        assert baseline.label.guarantee is None
        assert "add-remove" in baseline.label.claim
    with pytest.raises(InvalidParameter, match="exactly one"):
        LSQRFF(2, bandwidth=1.0, features=5, neighbors="add-remove")
    with pytest.raises(InvalidParameter, match="neighbors"):
        fgt("rows")
    with pytest.raises(InvalidParameter, match="buckets"):
        RACE(2, width=1.0, power=1, rows=3, buckets=1, neighbors="add-remove", mu=1.0)
    with pytest.raises(InvalidParameter, match="moments"):
        LSQFGT((LOW, HIGH), bandwidth=1e-4, order=4, neighbors="add-remove", epsilon=1.0)
