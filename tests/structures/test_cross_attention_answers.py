"""CrossAttention: what it answers, how far off, and what queries can not do."""

import math

import numpy as np
import pytest
from oracle.cross_attention import attention, polynomial
from scipy.stats import chi2

import dpstruct as dps
from dpstruct.structures import _attention_coefficients as coefficients
from dpstruct.structures import _attention_spectrum as spectrum
from dpstruct.testing import ZeroNoise

MU = 0.236704381


def data(n=2000, d=6, dv=4, seed=7):
    rng = np.random.default_rng(seed)
    K = rng.normal(size=(n, d))
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    V = np.tanh(K @ rng.normal(size=(d, dv)))
    return (
        K,
        V / np.maximum(1, np.linalg.norm(V, axis=1, keepdims=True)),
        K[:50] * rng.uniform(0.5, 2, (len(K[:50]), 1)),
    )


def release(structure, K, V, neighbors="add-remove", epsilon=1.0, delta=1e-6):
    return dps.Budget(epsilon, delta, neighbors=neighbors).release(structure.summarize(K, V), share=1)


def silent(*args, **options):
    with ZeroNoise():
        return release(*args, **options)


def memory(**options):
    return dps.CrossAttention(6, 4, key_norm=1.0, value_norm=1.0, **options)


# ---- without noise: polynomial attention by definition -------------------------------------------------------------


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_numerators_and_denominators_are_sums_over_records(degree, neighbors):
    K, V, Q = data()
    private = silent(memory(degree=degree), K, V, neighbors)
    theta = np.linalg.norm(Q, axis=1) / 0.7
    N, D, log_scale = private.numerator_denominator(Q, temperature=0.7, coefficients="taylor")
    for i, a in enumerate(coefficients.taylor(theta, degree)):
        n, d = polynomial(Q[i : i + 1], K, V, a)
        assert np.abs(np.exp(log_scale[i]) * N[i] - n[0]).max() < 0.003 * len(K)
        assert abs(np.exp(log_scale[i]) * D[i] - d[0]) < 0.003 * len(K)
    plain = private.query(Q, temperature=0.7, coefficients="taylor", shrink=False)
    good = 0.2 * private.count < D
    assert good.any()
    assert np.abs(plain - N / D[:, None])[good].max() < 1e-9


@pytest.mark.parametrize("temperature", [2.0, 1.0, 0.5])
def test_all_coefficients_approach_exact_attention(temperature):
    K, V, Q = data()
    private, exact = silent(memory(degree=3), K, V), attention(Q, K, V, temperature)
    spread = np.linalg.norm(exact - V.mean(axis=0))
    for kind in ("prior", "taylor"):
        off = private.query(Q, temperature=temperature, coefficients=kind, shrink=False) - exact
        assert np.linalg.norm(off) < (0.25 if kind == "prior" else 1.2 / temperature) * spread


def test_softmax_does_not_care_where_keys_and_values_are():
    K, V, Q = data()
    center, middle = np.full(6, 5.0), np.array([9.0, -9.0, 0.0, 1.0])
    here = silent(memory(), K, V)
    there = silent(memory(key_center=center, value_center=middle), K + center, V + middle)
    assert np.abs(there.query(Q) - middle - here.query(Q)).max() < 1e-3
    for shift, (N, D, _) in ((0, here.numerator_denominator(Q)), (middle, there.numerator_denominator(Q))):
        assert np.abs(N / D[:, None] - shift - here.query(Q, shrink=False)).max() < 2e-3
    moved = there.numerator_denominator(Q)[2] - here.numerator_denominator(Q)[2]
    assert np.abs(moved - Q @ center / math.sqrt(6)).max() < 1e-9


def test_units_of_keys_values_and_queries():
    K, V, Q = data()
    plain = silent(memory(), K, V).query(Q, temperature=0.5)
    wide = dps.CrossAttention(6, 4, key_norm=8.0, value_norm=4.0)
    scaled = silent(wide, 8 * K, 4 * V).query(Q / 2, temperature=2.0)
    assert np.abs(scaled / 4 - plain).max() < 1e-3


def test_heads_are_separate_memories():
    K, V, Q = data()
    keys, values = np.stack([K, -K], axis=1), np.stack([V, V[:, ::-1]], axis=1)
    both = silent(memory(heads=2), keys, values)
    queries = np.stack([Q, 2 * Q], axis=1)
    options = {"temperature": 0.5, "coefficients": "taylor", "shrink": False}
    found = both.query(queries, **options)
    for head, (k, v, q) in enumerate(((K, V, Q), (-K, V[:, ::-1], 2 * Q))):
        assert np.abs(found[:, head] - silent(memory(), k, v).query(q, **options)).max() < 1e-9
    flat = silent(memory(heads=2), keys.reshape(-1, 12), values.reshape(-1, 8))
    assert np.array_equal(flat.query(queries, **options), found)


def test_sketches_answer_like_the_features_that_they_stand_for():
    rng = np.random.default_rng(0)
    K = rng.normal(size=(400, 40))
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    V = K[:, :8]
    options = {"temperature": 0.5, "coefficients": "taylor", "shrink": False}
    exact = silent(dps.CrossAttention(40, 8, key_norm=1, value_norm=1), K, V).query(K[:50], **options)
    sketched = dps.CrossAttention(40, 8, key_norm=1, value_norm=1, features="tensorsketch", sketch_size=1 << 12)
    off = silent(sketched, K, V).query(K[:50], **options) - exact
    assert np.linalg.norm(off) < 0.15 * np.linalg.norm(exact)


# ---- shapes, types and edges ---------------------------------------------------------------------------------------


def test_shapes_types_and_bad_queries():
    K, V, Q = data()
    private = silent(memory(), K, V)
    assert private.query(Q[0]).shape == (4,)
    assert private.query(Q.reshape(5, 10, 6)).shape == (5, 10, 4)
    assert private.error(Q.reshape(5, 10, 6)).shape == private.reliable(Q.reshape(5, 10, 6)).shape == (5, 10)
    assert private.query(Q[:0]).shape == (0, 4)
    single = private.query(Q.astype(np.float32))
    assert single.dtype == np.float32
    assert np.abs(single - private.query(Q)).max() < 1e-5
    odd = Q.copy()
    odd[1, 2], odd[3] = np.nan, np.inf
    found = private.query(odd)
    assert np.isnan(found[[1, 3]]).all()
    assert np.array_equal(np.delete(found, [1, 3], axis=0), np.delete(private.query(Q), [1, 3], axis=0))
    assert np.isfinite(private.query(np.zeros(6))).all()
    assert np.abs(private.query(np.zeros(6)) - V.mean(axis=0)).max() < 1e-2
    assert np.isfinite(private.query(np.full(6, 1e300), temperature=1e300)).all()
    per_query = np.geomspace(0.5, 4, 50)
    each = private.query(Q, temperature=per_query)
    assert np.abs(each[7] - private.query(Q[7], temperature=per_query[7])).max() < 1e-12


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": np.ones(7)}, "temperature"),
        ({"coefficients": (1, 2)}, "coefficients"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_bad_arguments_of_a_query(options, name):
    K, V, Q = data(20)
    with pytest.raises(dps.InvalidParameter, match=name):
        silent(memory(), K, V).query(Q[:10], **options)
    with pytest.raises(dps.InvalidParameter, match="Q"):
        silent(memory(), K, V).query(Q[:, :5])


def test_a_softmax_sharper_than_planned_warns():
    K, V, Q = data(20)
    with pytest.warns(UserWarning, match="planned"):
        silent(memory(temperatures=(1.0,)), K, V).query(Q, temperature=0.05)


def test_no_rows_and_empty_noise():
    private = silent(memory(), np.empty((0, 6)), np.empty((0, 4)))
    assert (private.query(data()[2]) == 0).all()
    assert not private.reliable(data()[2]).any()
    assert private.count == 0


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("neighbors", "delta"), [("add-remove", 1e-6), ("substitute", 1e-6), ("add-remove", 0.0)])
def test_errors_have_the_size_that_is_stated(neighbors, delta, fixed_words):
    """Squared errors of 200 releases over their prediction, at one query; false alarms below 1e-6.

    Numerators are unbiased under noise, ratios nearly: epsilon is large so that the denominator hardly moves. A sum of
    four squared coordinates over its mean spreads no more than one squared normal, Laplace sums by the same margin.
    """
    K, V, Q = data()
    structure, q = memory(), Q[:1]
    summary = structure.summarize(K, V)
    with ZeroNoise():
        exact = dps.Budget(64.0, delta, neighbors=neighbors).release(summary, share=1)
        truth = exact.query(q, temperature=1.0, coefficients=(1, 1, 0.5), shrink=False)
    scores = []
    for _ in range(200):
        private = dps.Budget(64.0, delta, neighbors=neighbors).release(summary, share=1)
        off = private.query(q, temperature=1.0, coefficients=(1, 1, 0.5), shrink=False) - truth
        scores.append((off**2).sum() / private.error(q, temperature=1.0, coefficients=(1, 1, 0.5))[0] ** 2)
    assert chi2.ppf(1e-7, 200) < sum(scores) < chi2.ppf(1 - 1e-7, 200)


def test_the_noise_of_a_numerator_is_that_of_a_few_numbers():
    """Independent of the dimension: sqrt(1 + c**2) |a|_1 / mu with the noise divided for these coefficients."""
    a = (0.6906, 4.2432, 4.9509)
    for dim in (4, 64):
        structure = dps.CrossAttention(dim, 16, key_norm=1, value_norm=1, coefficients=a)
        plan = structure.plan(cost=dps.GDP(MU), delta=1e-6, neighbors="add-remove")
        N, D = ([plan.variance(f"{kind}{p}")[0] for p in range(3)] for kind in "ND")
        sN, sD = (math.sqrt(np.square(a) @ v) / structure._unit for v in (N, D))
        assert sN == pytest.approx(46.688, rel=1e-3)
        assert sD == pytest.approx(93.377, rel=1e-3)


def test_the_centred_variance_is_that_of_the_shrinking_formula(fixed_words):
    """Shrinking uses the variance of N - mean D, which shares noise with the mean: 250 releases, all coordinates."""
    K, V, Q = data(500)
    structure = memory()
    summary = structure.summarize(K, V)
    scores = []
    for _ in range(250):
        private = dps.Budget(16.0, 1e-6, neighbors="add-remove").release(summary, share=1)
        e = private._evaluate(0, Q[:1], np.array([0.5]), (1.0, 2.0, 2.0))
        scores.append((e.N[0] - e.D[0] * private._heads.mean[0], private._centred_variance(0, e)[0]))
    centred, variances = np.array([s[0] for s in scores]), np.array([s[1] for s in scores])
    found = centred.var(axis=0, ddof=1).sum() / 4 / variances.mean()
    assert found == pytest.approx(1, abs=0.28)  # 4 x 250 squares: six standard errors are 0.27


def test_shrinking_pays_where_noise_is_large(fixed_words):
    K, V, Q = data(400)
    exact, plain, shrunk = attention(Q, K, V, 0.5), 0.0, 0.0
    for _ in range(20):
        private = release(memory(), K, V, epsilon=0.1)
        options = {"temperature": 0.5, "coefficients": "taylor"}
        plain += np.sum((private.query(Q, shrink=False, **options) - exact) ** 2)
        shrunk += np.sum((private.query(Q, **options) - exact) ** 2)
        assert np.linalg.norm(private.query(Q, temperature=0.5), axis=1).max() <= 1 + 1e-9
    assert shrunk < 0.5 * plain


def test_plans_predict_errors_and_find_prices():
    structure = memory(expected_rows=2000, temperatures=(1.0, 0.5))
    plan = structure.plan(error=0.05, delta=1e-6, neighbors="add-remove")
    assert 0.0499 < plan.error <= 0.05
    K, V, Q = data()
    private = dps.Budget(9.0, 1e-6, neighbors="add-remove").release(structure.summarize(K, V), cost=plan.cost)
    unit = Q / np.linalg.norm(Q, axis=1, keepdims=True)
    assert 0.3 < np.median(private.error(unit, temperature=0.5)) / plan.error < 1.5
    hopeless = structure.plan(epsilon=0.01, delta=1e-6, neighbors="add-remove")
    assert "hopeless" in str(hopeless)
    assert "pure DP pays" in str(structure.plan(epsilon=0.02, neighbors="add-remove"))
    wide = dps.CrossAttention(300, 2, key_norm=1, value_norm=1).plan(epsilon=1, delta=1e-6, neighbors="substitute")
    assert "tensorsketch" in str(wide)


# ---- coefficients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dv", "tau", "degree", "expected", "J"),
    [
        (16, 1, 2, (0.9805, 0.9982, 0.3118), 0.00505),
        (16, 0.25, 2, (0.6906, 4.2432, 4.9509), 0.03333),
        (16, 0.25, 3, (0.6722, 3.4767, 5.2445, 3.0458), 0.03628),
        (16, 0.125, 3, (0.7010, 4.7271, 4.7836, 7.0398), 0.13052),
        (64, 0.5, 2, (0.9490, 1.9643, 0.8167), 0.01659),
        (64, 0.125, 3, (0.9176, 5.7639, 1.3183, 0.0), 0.13474),
    ],
)
def test_the_prior_s_optimum(dv, tau, degree, expected, J):
    """Values from an independent convex solver."""
    unit = (math.sqrt(dv) + 1) / (MU * 1e4)
    family = coefficients.Family(degree, 1e4)
    a = family.design(1 / tau, unit)
    assert a == pytest.approx(expected, abs=1e-3)
    form = family.bias(np.array([1 / tau]))[0]
    assert math.sqrt(a @ form @ a + (unit * np.abs(a).sum()) ** 2) == pytest.approx(J, abs=2e-5)
    at_query = family.best(np.array([1 / tau]), unit**2 / np.maximum(np.abs(a) / np.abs(a).sum(), 1e-9))[0]
    assert at_query == pytest.approx(a, abs=2e-3)  # noise divided for a: the query's solution is a again


def test_the_forms_by_definition():
    """E[p P_l] = rho_l E p and the row term, by another quadrature, on the spheres of the prior."""
    from scipy.special import eval_gegenbauer, roots_gegenbauer

    theta, H = 3.0, coefficients.Family(2, 50.0).bias(np.array([3.0]))[0]
    expected = np.zeros((3, 3))
    for dim in (8, 16, 32):
        t, weights = roots_gegenbauer(60, dim / 2 - 1)
        weights /= weights.sum()
        powers, tilt = t ** np.arange(3)[:, None], np.exp(theta * t) / (weights @ np.exp(theta * t))
        mass = powers @ weights
        for degree in (1, 2):
            P = eval_gegenbauer(degree, dim / 2 - 1, t) / eval_gegenbauer(degree, dim / 2 - 1, 1.0)
            off = (powers * P) @ weights - weights @ (tilt * P) * mass
            expected += 0.25 / 3 * np.outer(off, off)
        rest = powers - tilt * mass[:, None]
        expected += 0.25 / 50 / 3 * (rest * weights) @ rest.T
    assert np.abs(H - expected).max() < 1e-8


def test_moments_tell_the_dimension_and_the_smoothness_of_values():
    """Fields of one harmonic degree on a sphere of 6 coordinates, with and without noise."""
    rng = np.random.default_rng(0)
    K = rng.normal(size=(40_000, 6))
    K /= np.linalg.norm(K, axis=1, keepdims=True)
    x = K[:, 0]
    fields = {1: x, 2: (6 * x**2 - 1) / 5, 3: (8 * x**3 - 3 * x) / 5}
    for degree, values in fields.items():
        V = np.stack([values, 0 * x], axis=1)
        structure = dps.CrossAttention(6, 2, key_norm=1, value_norm=1, degree=3)
        for private in (silent(structure, K, V), release(structure, K, V, epsilon=8.0)):
            state = private._states["float64"][0] / structure._query_factors[:, None]
            cuts = np.cumsum(structure._sizes)[:-1]
            N, D = np.split(state[:, :2], cuts), np.split(state[:, 2], cuts)
            var_N, var_D = private._noise if private.receipt.noise != "injected" else np.zeros((2, 4))
            size = spectrum.dimension(D[2], private.count, var_D[2])
            assert size == 2.0 ** (10 / 4)  # the quarter octave nearest to 6
            found = spectrum.variances(N, D, private.count, var_N, 6.0)
            expected = [max(np.mean(values**2) * (p == degree), 0.01) for p in (1, 2, 3)]
            assert found == pytest.approx(expected, rel=0.15, abs=0.01)
    assert spectrum.dimension(rng.normal(size=21), 100.0, 1.0) is None
    doubtful = spectrum.variances(
        [np.ones((1, 2)), np.ones((6, 2))], [np.ones(1), np.ones(6)], 10.0, np.full(2, 1e6), 6.0
    )
    assert doubtful == pytest.approx([0.25], abs=1e-3)


def test_tables_interpolate():
    noise = np.full(4, 1e-5)
    table = coefficients.prior_table(3, 1e4, noise)
    theta = np.random.default_rng(0).uniform(0, 64, 300)
    found = coefficients.along(theta, table)
    exact = coefficients.Family(3, 1e4)
    A = exact.best(theta, noise)
    assert np.abs(found[:, :4] - A).max() < 0.02
    assert np.abs(found[:, 5] - exact.log_mean(theta)).max() < 1e-4
    assert np.abs(found[:, 4] - coefficients.lowest(A)).max() < 0.05


def test_the_least_value_of_a_polynomial():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(2000, 4)) * rng.choice([0, 1e-9, 1, 30], (2000, 4))
    t = np.linspace(-1, 1, 4001)
    values = t[:, None] ** np.arange(4) @ A.T
    assert np.abs(coefficients.lowest(A) - values.min(axis=0)).max() < 1e-4


def test_pilot_coefficients_minimise_their_program():
    K, V, Q = data(600)
    structure = memory()
    a = np.array(structure.fit_coefficients(Q, K, V, temperature=0.3, rows=5000, mu=MU))
    unit = Q / np.linalg.norm(Q, axis=1, keepdims=True)
    exact = attention(Q, K, V, 0.3)

    def objective(a):
        total = 0.0
        mass = np.mean([np.mean(np.polyval(a[::-1], u @ K.T)) for u in unit])
        for u, o in zip(unit, exact):
            p = np.polyval(a[::-1], u @ K.T) / mass
            total += np.sum((p @ (V - o) / len(K)) ** 2) / len(Q)
        return total + ((2 + 1) / (MU * 5000) * np.abs(a).sum() / mass) ** 2

    best = objective(a)
    rng = np.random.default_rng(0)
    assert all(objective(a + 0.02 * rng.normal(size=3)) >= best - 1e-12 for _ in range(100))
    assert best < objective(coefficients.taylor(np.array(1 / 0.3), 2))
    with pytest.raises(dps.InvalidParameter, match="K, V"):
        structure.fit_coefficients(Q, K, V[:5], mu=MU)


# ---- queries are free and change nothing ---------------------------------------------------------------------------


def test_a_climbing_adversary_changes_neither_ledger_nor_answers(tmp_path):
    K, V, Q = data()
    ledger = dps.Ledger(tmp_path / "book.db")
    budget = ledger.budget("memory", epsilon=2.0, delta=1e-6, neighbors="add-remove")
    private = budget.release(memory().summarize(K, V), share=0.5)
    spent, before = budget.spent, private.query(Q).tobytes()
    rng = np.random.default_rng(0)
    q = np.array([1.0, 0, 0, 0, 0, 0])
    best = float(private.query(q)[0])
    for _ in range(20):
        tries = q + 0.3 * rng.normal(size=(500, 6))
        found = private.query(tries)[:, 0]
        if found.max() > best:
            q, best = tries[found.argmax()], float(found.max())
    assert best > float(private.query(np.array([1.0, 0, 0, 0, 0, 0]))[0])
    assert budget.spent == spent
    assert len(budget.log()) == 1
    assert private.query(Q).tobytes() == before
    assert np.abs(best) <= 1
    private.save(tmp_path / "memory.dps")
    assert dps.load(tmp_path / "memory.dps").query(Q).tobytes() == before
    ledger.close()
