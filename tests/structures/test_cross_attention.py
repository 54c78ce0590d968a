"""CrossAttention: the conformance suite, and attacks on its price."""

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import strategies as st

import dpstruct as dps
from dpstruct.structures import _attention_coefficients as polynomials
from dpstruct.structures import _attention_price as prices
from dpstruct.structures import _attention_sensitivity as sensitivity
from dpstruct.structures import _attention_units as unit_rules
from dpstruct.testing import PrivacyViolation, assert_price, check_structure, records, statistics, worst_pair

# Norms, centres and delta have few digits: the suite looks for values of the data in releases, and would find others.
GAUSSIAN, LAPLACE = {"epsilon": 1.0, "delta": 2.0**-20}, {"epsilon": 1.0}
R, B = 1.25, 0.625
Q = np.random.default_rng(5).normal(size=(12, 2, 3))


def memory(**options):
    return dps.CrossAttention(3, 2, key_norm=R, value_norm=B, **options)


def rows(heads=1):
    return st.tuples(records(dps.Ball(R, dim=3 * heads)), records(dps.Ball(B, dim=2 * heads)))


def people(heads=1):
    """Units of 1 to 5 rows; some rows repeat, which is the worst for a unit."""
    lists = st.lists(rows(heads), min_size=1, max_size=3)
    return st.builds(
        lambda some, again: tuple(map(np.array, zip(*(some + some[:1] * again)))), lists, st.sampled_from([0, 0, 2])
    )


def answers(private):
    queries = Q if private.structure.heads == 2 else Q[:, 0]
    told = [private.query(queries), private.query(queries, temperature=0.5, coefficients="taylor", shrink=False)]
    more = [private.error(queries), private.reliable(queries), np.array([private.count, private.count_error])]
    return told + more + list(private.numerator_denominator(queries.astype(np.float32)))


PLANS = {
    "add": ({}, GAUSSIAN, "add-remove", 1),
    "substitute": ({"degree": 3, "value_center": (0.25, -0.5)}, GAUSSIAN, "substitute", 0.85),
    "within": ({"key_center": (0.5, 0.25, -1.0)}, GAUSSIAN, dps.RowsWithin(0.1875), 0.3),
    "pure-sphere": ({"normalize": "sphere"}, LAPLACE, "substitute", 0.6),
    "heads-within": ({"heads": 2, "degree": 1}, GAUSSIAN, dps.RowsWithin(0.3125), 0.2),
    "sketch": ({"features": "tensorsketch", "sketch_size": 8}, GAUSSIAN, "substitute", 0.5),
}


@pytest.mark.parametrize("case", PLANS)
def test_conforms(case):
    options, cost, neighbors, least = PLANS[case]
    structure = memory(**options)
    plan = structure.plan(neighbors=neighbors, **cost)
    price = check_structure(plan, data=rows(structure.heads), answers=answers, examples=10)[1]
    assert least <= max(price.bounds) <= 1


UNITS = {
    "mean": ({"unit_rule": "mean"}, GAUSSIAN, "substitute", 0.99),
    "max_rows-pure": ({"unit_rule": ("max_rows", 2)}, LAPLACE, "add-remove", 0.99),
    "clip": ({"unit_rule": ("clip", 1.5), "heads": 2, "degree": 1}, GAUSSIAN, "add-remove", 0.99),
}


@pytest.mark.parametrize("case", UNITS)
def test_units_conform(case):
    options, cost, neighbors, least = UNITS[case]
    structure = memory(**options)
    plan = structure.plan(neighbors=neighbors, unit="user", **cost)
    price = check_structure(plan, data=people(structure.heads), answers=answers, examples=10)[1]
    assert least <= max(price.bounds) <= 1


@pytest.mark.parametrize("rule", [("max_rows", 3), ("clip", 2.0)], ids=str)
def test_replaced_units_are_worth_their_price(rule):
    plan = memory(unit_rule=rule).plan(neighbors="substitute", unit="user", **GAUSSIAN)
    assert worst_pair(plan, data=people(), examples=15)[1].worst <= 1


@pytest.mark.parametrize("case", ["heads", "pure", "pure-heads", "sketch-cubic"])
def test_other_plans_are_worth_their_price(case):
    options, cost, neighbors = {
        "heads": ({"heads": 2}, GAUSSIAN, "add-remove"),
        "pure": ({}, LAPLACE, "add-remove"),
        "pure-heads": ({"heads": 2, "degree": 3}, LAPLACE, "substitute"),
        "sketch-cubic": ({"features": "tensorsketch", "sketch_size": 8, "degree": 3}, GAUSSIAN, "substitute"),
    }[case]
    structure = memory(**options)
    plan = structure.plan(neighbors=neighbors, **cost)
    assert worst_pair(plan, data=rows(structure.heads), examples=15)[1].worst <= 1


# ---- pairs that break plausible mistakes ---------------------------------------------------------------------------


def designed(shares, ratio, **options):
    """Return a blueprint with about these precisions: beta = shares, gamma = ratio * shares."""
    sizes = {"degree": len(shares) - 1, "value_weight": 1 / ratio, "coefficients": shares}
    return dps.CrossAttention(options.pop("dim", 4), 3, key_norm=1, value_norm=1, **(sizes | options))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.2, 0.4, 0.4), {0.25: 4, 0.5: 4, 1: 4, 2: 5.8}),
        ((0.1, 0.35, 0.35, 0.2), {0.25: 4, 0.5: 4, 1: 4.4, 2: 6.6}),
        ((0.3, 0.4, 0.3), {2: 17 / 3}),
    ],
)
def test_substitute_sensitivity_by_direct_search(shares, expected):
    t, z = np.meshgrid(np.linspace(-1, 1, 4001), [-1.0, -0.5, 0.0, 0.5, 1.0])
    for ratio, value in expected.items():
        given = sensitivity.Precisions.of(shares, ratio)
        assert sensitivity.common(given) == pytest.approx(value, rel=1e-6)
        change = sum(2 * b * (1 - z * t**p) + 2 * ratio * b * (1 - t**p) * (p > 0) for p, b in enumerate(shares))
        assert change.max() <= sensitivity.common(given)
        assert change.max() == pytest.approx(value, rel=1e-6)
        assert sensitivity.common(given) <= 1.00000001 * float(sensitivity.any_substitution(given))


def test_truncated_features_share_no_common_t():
    """Keys near the real optimum: one has tiny products that truncate to 0 where those of the other are large."""
    structure = designed((77 / 256, 102 / 256, 77 / 256), 2, dim=64, feature_bits=20, value_bits=12)
    a, b, c = structure._shares  # multiples of 1/256
    assert (a, b, c) == (77 / 256, 102 / 256, 77 / 256)
    plan = structure.plan(neighbors="substitute", **GAUSSIAN)
    keys = []
    for sign, small in ((1, 790303 / 2**30), (-1, 100654100 / 2**30)):
        large = math.floor((math.sqrt(1 - 63 * small**2) - 2**-31) * 2**30) / 2**30
        keys.append(np.array([[sign * large] + [small] * 63]))
    v = np.array([[1.0, 0, 0]])
    price = assert_price(plan, ((keys[0], v), (keys[1], -v)))
    reached = float(price.bounds[0] * plan.events[0].sensitivity) / structure._unit**2
    exact = sensitivity.common(prices.precisions(structure, replaced=True))
    assert reached > exact * (1 + 4e-7)  # beyond what exact features with one t could reach


def test_the_weights_of_a_mean_are_those_of_its_values():
    """Rows that are truncated one by one, with another weight for the denominator, reach Delta**2 = 4.14."""
    structure = designed((0.2, 0.4, 0.4), 1, value_bits=16, unit_rule="mean")
    plan = structure.plan(neighbors="substitute", unit="user", **GAUSSIAN)
    k = np.array([[1.0, 0, 0, 0]])
    v = np.array([[1.0, 1, 1]]) / math.sqrt(3)
    many = (np.repeat(k, 37837, axis=0), np.repeat(v, 37837, axis=0), np.zeros(37837))
    assert assert_price(plan, (many, (-k, -v, np.zeros(1)))).worst <= 1
    assert assert_price(plan, ((k, v, [0.0]), (k, -v, [0.0]))).worst > 0.999


@pytest.mark.parametrize("rule", [("max_rows", 4), ("clip", 4.0)], ids=str)
def test_equal_rows_of_a_unit_are_as_dear_as_declared(rule):
    plan = memory(unit_rule=rule).plan(neighbors="add-remove", unit="user", **GAUSSIAN)
    k, v = np.tile([[R, 0, 0]], (9, 1)), np.tile([[0, B]], (9, 1))
    for n in (1, 4, 5, 9):
        price = assert_price(plan, ((k[:n], v[:n], np.zeros(n)), (k[:0], v[:0], np.zeros(0))))
        assert price.worst <= 1
    assert price.worst > 0.98  # the norm that clips is rounded up by integers, at most so much


def test_rows_of_a_clipped_unit_may_cancel():
    plan = memory(unit_rule=("clip", 1.0)).plan(neighbors="add-remove", unit="user", **GAUSSIAN)
    k, v = np.zeros((6, 3)), np.tile([[B, 0], [-B, 0]], (3, 1))
    one = statistics(plan, (k, v, np.zeros(6)))
    assert (one["N0"] == 0).all()
    assert one["D0"][0, 0] >= (1 << 32) * 0.98  # weights do not cancel, and are clipped


@pytest.mark.parametrize("coefficients", ["prior", "taylor", (1, 2, 1)], ids=str)
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_precisions_that_clip_do_not_hang_on_last_bits(coefficients, degree, monkeypatch):
    """A solver of another machine differs in last bits: it must clip by the same norm that the plan is about."""
    if isinstance(coefficients, tuple):
        coefficients = coefficients[: degree + 1] + (0.5,) * (degree - 2)
    given = [
        memory(degree=degree, coefficients=coefficients, unit_rule=("clip", 2.0), temperatures=(t, 1.0))
        for t in (0.3, 0.7, 1.0)
    ]
    shares = [structure._shares for structure in given]
    precisions = [structure._row_precisions().tolist() for structure in given]
    plain = polynomials.amplitudes
    for last in (1 - 2.0**-40, 1 + 2.0**-40):
        factors = np.array([last, 2 - last, last, 2 - last])[: degree + 1]
        monkeypatch.setattr(polynomials, "amplitudes", lambda *a, by=factors: plain(*a) * by)
        others = [dps.CrossAttention(**_parameters(structure)) for structure in given]
        assert [structure._shares for structure in others] == shares
        assert [structure._row_precisions().tolist() for structure in others] == precisions
    for parts in shares:
        assert sum(parts) == 1
        assert all(part * 256 == max(1, round(part * 256)) for part in parts)


def _parameters(structure):
    return {field.name: getattr(structure, field.name) for field in fields(structure)}


def test_the_limit_of_a_unit_holds_in_integers():
    rng = np.random.default_rng(0)
    T = rng.integers(-(1 << 40), 1 << 40, (50, 2, 10, 3)) >> rng.integers(0, 40, (50, 1, 1, 1))
    T[0], T[1] = -(1 << 63), (1 << 63) - 1
    precisions = rng.uniform(0.1, 1, (10, 3))
    limit = 2.0**30
    short = unit_rules.shrink(T, precisions, limit)
    before, after = ((precisions * x.astype(object) ** 2).sum(axis=(1, 2, 3)) for x in (T, short))
    assert after.max() <= limit**2
    kept = before <= (0.99 * limit) ** 2
    assert (short[kept] == T[kept]).all()
    assert (after[~kept] > (0.97 * limit) ** 2).all()
    assert 5 < kept.sum() < 45


def test_a_wrapped_sum_within_the_limit_stays_as_it_is():
    T = np.array([(1 << 63) - 1, -(1 << 63), (1 << 63) - 1, 5]).reshape(2, 1, 2, 1)
    with np.errstate(all="raise"):
        assert (unit_rules.shrink(T, np.full((2, 1), 0.5), 2.0**64) == T).all()
        assert (unit_rules.shrink(T, np.full((2, 1), 0.5), 2.0**62) != T).any()


def test_a_unit_in_pieces_is_dearer_and_the_suite_says_so(monkeypatch):
    monkeypatch.setattr(unit_rules, "factor", lambda rule: 1.0)
    plan = memory(unit_rule=("max_rows", 2)).plan(neighbors="add-remove", unit="user", **GAUSSIAN)
    with pytest.raises(PrivacyViolation):
        worst_pair(plan, data=people(), examples=25)


def test_small_moves_cost_less_and_never_more_than_a_substitution():
    structure = memory()
    far, near = (structure.plan(neighbors=n, **GAUSSIAN).error for n in ("substitute", dps.RowsWithin(0.01)))
    assert near < far / 20
    assert structure.plan(neighbors=dps.RowsWithin(1e6), **GAUSSIAN).error == far
    sketched = memory(features="tensorsketch", sketch_size=8)
    assert len({sketched.plan(neighbors=n, **GAUSSIAN).error for n in ("substitute", dps.RowsWithin(0.01))}) == 1


def test_a_small_move_of_huge_integers_is_still_small():
    center = (2.0**60, 0.0, 0.0)
    structure = dps.CrossAttention(3, 2, key_norm=2.0**13, value_norm=2.0**13, key_center=center)
    plan = structure.plan(neighbors=dps.RowsWithin(1.0), **GAUSSIAN)
    v = np.zeros((1, 2))
    for step in range(200):
        k = np.array([[(1 << 60) + step, 0, 0]]), np.array([[(1 << 60) + step + 1, 0, 0]])
        pair = ((k[0], v), (k[1], v))
        summaries = [statistics(plan, side) for side in pair]
        used = sum(
            float(((summaries[0][name] - summaries[1][name]) ** 2).sum()) / float(line.weights[0])
            for name, (_, line) in plan.lines.items()
        )
        assert used <= float(plan.events[0].sensitivity)


# ---- what is refused, and what is not ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"degree": 4}, "degree"),
        ({"key_norm": 0.0}, "key_norm"),
        ({"value_norm": math.inf}, "value_norm"),
        ({"coefficients": (1, 2)}, "coefficients"),
        ({"coefficients": "best"}, "coefficients"),
        ({"coefficients": (-1, 0, 0)}, "coefficients"),
        ({"temperatures": ()}, "temperatures"),
        ({"normalize": "no"}, "normalize"),
        ({"key_center": (0, 0)}, "key_center"),
        ({"unit_rule": "median"}, "unit_rule"),
        ({"unit_rule": ("clip", 0.5)}, "unit_rule"),
        ({"max_rows": 1 << 31}, "max_rows"),
        ({"sketch_size": 100}, "sketch_size"),
        ({"features": "tensorsketch", "degree": 1}, "features"),
        ({"dim_key": 1500, "degree": 3}, "dim_key"),
        ({"value_weight": 0.0}, "value_weight"),
    ],
)
def test_public_parameters_are_checked(options, name):
    values = {"dim_key": 3, "dim_value": 2, "key_norm": 1.0, "value_norm": 1.0} | options
    with pytest.raises(dps.InvalidParameter, match=name):
        dps.CrossAttention(**values)


def test_units_and_rules_belong_together():
    K, V = np.zeros((4, 3)), np.zeros((4, 2))
    ruled, plain = memory(unit_rule="mean"), memory()
    for structure, unit in ((ruled, "row"), (plain, "user")):
        with pytest.raises(dps.NeighborsMismatch, match="unit"):
            structure.plan(neighbors="add-remove", unit=unit, **GAUSSIAN)
    with pytest.raises(dps.InvalidParameter, match="unit_ids"):
        ruled.summarize(K, V)
    with pytest.raises(dps.InvalidParameter, match="unit_ids"):
        plain.summarize(K, V, [0, 1, 2, 3])
    with pytest.raises(dps.InvalidParameter, match="unit_ids"):
        ruled.summarize(K, V, [0, 1])
    with pytest.raises(dps.InvalidParameter, match="unit_ids") as refusal:
        ruled.summarize(K, V, np.array([None, "secret", 1, 2], dtype=object))
    assert "secret" not in str(refusal.value)
    with pytest.raises(dps.InvalidParameter, match="clip"):
        memory(unit_rule=("clip", 2)).plan(neighbors="add-remove", unit="user", **LAPLACE)
    with pytest.raises(dps.InvalidParameter, match="device"):
        plain.summarize(K, V, device="cuda")
    with pytest.raises(dps.InvalidParameter, match="length"):
        plain.summarize(K, V[:2])


def test_ids_of_any_kind_name_the_same_units():
    rng = np.random.default_rng(0)
    K, V, who = rng.normal(size=(30, 3)), rng.normal(size=(30, 2)), rng.integers(0, 7, 30)
    structure = memory(unit_rule=("max_rows", 2))
    plan = structure.plan(neighbors="substitute", unit="user", **GAUSSIAN)
    names = np.array(["a", "bb", "c", "dd", "e", "f", "g"])[who]
    floats = np.where(who == 3, np.nan, np.where(who == 4, -0.0, who - 4.0))
    kinds = [who, names, floats, names.astype("S"), who.astype(np.uint8)]
    found = [statistics(plan, (K, V, ids)) for ids in kinds]
    assert all((f[name] == found[0][name]).all() for f in found for name in found[0])
    assert found[0]["n"] == 7


def test_counts_beyond_the_capacity_stay_private():
    structure = dps.CrossAttention(1, 1, key_norm=1, value_norm=1, max_rows=4)
    summary = structure.summarize(np.ones((4000, 1)), np.ones((4000, 1)))
    private = dps.Budget(1.0, 1e-6, neighbors="add-remove").release(summary, share=1)
    with pytest.warns(dps.CapacityWarning):
        private.query([[1.0]])
