"""KernelDensity: the conformance suite for every method, what is refused, densities, errors of simulated releases."""

import gc
import math
import warnings

import numpy as np
import pytest
from oracle import kernel_density as oracle
from scipy.stats import chi2

import dpstruct as dps
from dpstruct.core import door
from dpstruct.errors import FileFormatError, InvalidParameter, InvalidType
from dpstruct.testing import ZeroNoise, check_structure

GAUSSIAN = {"epsilon": 1.0, "delta": 1e-6}
LINE, BOX = dps.Box(0, 1, dim=1), dps.Box([0, -1], [1, 2])
POINTS = np.random.default_rng(0).random((6, 2)) * [1, 3] + [0, -1]


def waves(x):
    """A feature map whose kernel is a cosine, of norm up to 2: too long, so it is cut."""
    if x[0] > 0.9:
        raise ValueError("a private value")
    return np.concatenate([np.cos(3 * x), np.sin(3 * x), [np.nan if x[0] < 0.1 else 1.0]])


CASES = {
    "fourier, d=1": {"bandwidth": 0.3, "bounds": LINE},
    "fourier, d=2": {"bandwidth": 1.2, "bounds": BOX, "tolerance": 1e-3},
    "fourier, d=3": {"bandwidth": 1.5, "bounds": dps.Box(0, 1, dim=3), "tolerance": 1e-2},
    "fourier, laplacian": {"kernel": "laplacian", "bandwidth": 0.5, "bounds": LINE, "tolerance": 1e-2},
    "fourier, two bandwidths": {"bandwidth": (0.3, 0.6), "bounds": LINE, "tolerance": 1e-3},
    "features": {"kernel": "inv_l1", "method": "features", "bandwidth": 0.8, "bounds": BOX, "n_features": 32},
    "batch": {"kernel": "exponential", "bandwidth": 0.8, "bounds": BOX, "queries": POINTS},
    "nystrom": {"kernel": "product_cauchy", "bandwidth": 0.8, "bounds": BOX, "anchors": POINTS},
    "mercer, public law": {
        "method": "mercer",
        "kernel": "laplacian",
        "bandwidth": 2.0,
        "bounds": BOX,
        "n_features": 40,
        "location": 0.5,
        "scale": 0.4,
    },
    "mercer, mixture": {
        "method": "mercer",
        "kernel": "exponential",
        "bandwidth": 2.0,
        "bounds": BOX,
        "n_features": 60,
        "location": 0.5,
        "scale": [[0.1, 0.05], [0.05, 0.2]],
    },
    "binned, d=1": {"kernel": "matern", "method": "binned", "bandwidth": 0.4, "bounds": LINE},
    "binned, d=2": {"method": "binned", "bandwidth": 1.2, "bounds": BOX},
    "custom": {"kernel": waves, "bounds": BOX},
}
PRIVATE_LAW = {"method": "mercer", "bandwidth": 4.0, "bounds": BOX, "n_features": 8}
every_case = pytest.mark.parametrize("case", CASES)


def points_of(blueprint, count=7):
    low, high = np.array(blueprint.bounds.low), np.array(blueprint.bounds.high)
    return low + np.random.default_rng(5).random((count, blueprint.dim)) * (high - low)


def everything(private):
    """All that a release answers, as a list of arrays."""
    blueprint = private.structure
    Y = None if blueprint.method == "batch" else points_of(blueprint)
    h = blueprint.bandwidths[-1]
    found = [private.query(Y), private.error(Y), private.query(Y, bandwidth=h), private.error(Y, bandwidth=h)]
    return [*found, np.array([private.count, private.count_error, private.fit_error])]


def release(blueprint, X, neighbors="add-remove", cost=GAUSSIAN, zero=False):
    budget = dps.Budget(cost["epsilon"], cost.get("delta", 0.0), neighbors=neighbors)
    summary = blueprint.summarize(X)
    if zero:
        with ZeroNoise():
            return budget.release(summary, share=1)
    return budget.release(summary, share=1)


# ---- the suite -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute", dps.RowsWithin(0.2)], ids=str)
@every_case
def test_conforms(case, neighbors):
    plan = dps.KernelDensity(**CASES[case]).plan(neighbors=neighbors, **GAUSSIAN)
    price = check_structure(plan, examples=4, answers=everything)[1]
    assert 0 < price.worst <= 1
    if neighbors == "add-remove":
        assert price.bounds[0] > 0.6


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute", dps.RowsWithin(0.2)], ids=str)
@pytest.mark.parametrize("case", ["binned, d=1", "binned, d=2"])
def test_conforms_in_pure_dp(case, neighbors):
    plan = dps.KernelDensity(**CASES[case]).plan(neighbors=neighbors, epsilon=1.0)
    price = check_structure(plan, examples=4, answers=everything)[1]
    if isinstance(neighbors, str):
        assert price.bounds[0] == 1


@pytest.mark.parametrize(("neighbors", "bounds"), [("add-remove", BOX), ("substitute", LINE)])
def test_conforms_with_a_private_law(neighbors, bounds):
    plan = dps.KernelDensity(**{**PRIVATE_LAW, "bounds": bounds}).plan(neighbors=neighbors, **GAUSSIAN)
    price = check_structure(plan, examples=1, answers=everything)[1]
    assert 0 < price.worst <= 1


@pytest.mark.parametrize("case", sorted(set(CASES) - {"binned, d=1", "binned, d=2"}))
def test_pure_dp_is_refused_with_a_way_out(case):
    with pytest.raises(InvalidParameter, match="binned"):
        dps.KernelDensity(**CASES[case]).plan(epsilon=1.0, neighbors="add-remove")


# ---- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@pytest.mark.parametrize("case", [*sorted(set(CASES) - {"custom"}), "private law"])
def test_answers_without_noise(case, neighbors):
    """What is left is the error of the features: within a few times what is predicted, per record."""
    blueprint = dps.KernelDensity(**CASES.get(case, PRIVATE_LAW))
    X = points_of(blueprint, 400)
    private = release(blueprint, X, neighbors, zero=True)
    Y = POINTS if blueprint.method == "batch" else points_of(blueprint)
    for h in blueprint.bandwidths:
        exact = oracle.kernel_sums(blueprint.kernel, X, Y, h)
        factor = 20 if blueprint.method == "mercer" else 6  # these records are uniform, not normal
        slack = 400 * (factor * private.fit_error + 2e-4)
        assert np.abs(private.query(Y, bandwidth=h) - exact).max() <= slack
        assert slack < 0.5 * exact.mean() or case in ("features", "nystrom")
    assert private.count == pytest.approx(400, abs=1e-2)


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@every_case
def test_error_is_that_of_the_linear_answer(case, neighbors):
    """Move every noised integer alone: an answer's variance is the sum of squared effects times the noise variances."""
    blueprint = dps.KernelDensity(**CASES[case])
    private = release(blueprint, points_of(blueprint, 20), neighbors)
    Y, h = None if blueprint.method == "batch" else points_of(blueprint), blueprint.bandwidths[-1]
    start = {name: np.zeros_like(array) for name, array in private.transcript.items()}
    base = type(private)(blueprint, start, private.receipt)
    variance, counts = 0.0, 0.0
    for name in private.receipt.lines:
        for at in np.ndindex(start[name].shape):
            moved = {key: array.copy() for key, array in start.items()}
            moved[name][at] += 1 << 40
            other = type(private)(blueprint, moved, private.receipt)
            scale = private.receipt.variance(name)[at[0] if len(private.receipt.scale(name)) > 1 else 0] / 4.0**40
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", dps.CapacityWarning)  # such a count is absurd on purpose
                variance = variance + (other.query(Y, bandwidth=h) - base.query(Y, bandwidth=h)) ** 2 * scale
            counts += (other.count - base.count) ** 2 * scale
    found = private.error(Y, bandwidth=h)
    if blueprint.method == "mercer":  # a bound: queries' features have norm at most 1
        assert (np.sqrt(variance) <= found * (1 + 1e-9)).all()
        assert np.sqrt(variance).max() > 0.7 * found.max()
    else:
        assert found == pytest.approx(np.sqrt(variance), rel=1e-5)
    assert private.count_error == pytest.approx(math.sqrt(counts), rel=1e-6, abs=1e-12)
    assert private.error(Y).max() <= blueprint.plan(neighbors=neighbors, **GAUSSIAN).error * 1.001


@pytest.mark.usefixtures("fixed_words")
@pytest.mark.parametrize("case", ["fourier, d=2", "batch"])
def test_error_of_simulated_releases(case):
    """Squared errors over their variance are chi-square; 6 queries, 2 sides: false alarm 1e-6 in all."""
    blueprint = dps.KernelDensity(**CASES[case])
    X = points_of(blueprint, 100)
    receipt = release(blueprint, X).receipt
    plan, state = blueprint.plan(neighbors="add-remove", **GAUSSIAN), blueprint.summarize(X)._open()
    made = [blueprint.release_type(blueprint, door.run(plan, state), receipt) for _ in range(300)]
    errors = np.array([private.query(POINTS) for private in made]) - oracle.kernel_sums(
        blueprint.kernel, X, POINTS, blueprint.bandwidths[0]
    )
    squared = (errors**2 / made[0].error(POINTS) ** 2).sum(axis=0)
    assert (chi2.ppf(1e-6 / 12, 300) < squared).all()
    assert (squared < chi2.isf(1e-6 / 12, 300)).all()


@pytest.mark.parametrize("case", ["fourier, d=1", "fourier, d=2", "fourier, d=3", "batch", "mercer, public law"])
def test_the_noise_is_that_of_one_answer(case):
    """1/mu is what a Gaussian mechanism needs for the single worst query; the count takes 1/64 of the cost."""
    blueprint = dps.KernelDensity(**CASES[case])
    floors = {"add-remove": 1.0, "substitute": math.sqrt(2)}
    for neighbors, floor in floors.items():
        plan = blueprint.plan(neighbors=neighbors, **GAUSSIAN)
        assert plan.error * plan.cost.mu <= floor * (1.06 if "d=3" in case else 1.02)


def test_densities():
    X = np.random.default_rng(0).normal(size=(3000, 1)) * 0.1 + 0.5
    blueprint = dps.KernelDensity(bandwidth=0.05, bounds=LINE)
    private = release(blueprint, X, zero=True)
    y = np.linspace(0, 1, 201)[:, None]
    density = private.density(y)
    exact = (
        np.exp(-0.5 * ((y[:, 0] - 0.5) / math.hypot(0.1, 0.05)) ** 2) / math.hypot(0.1, 0.05) / math.sqrt(2 * math.pi)
    )
    assert np.abs(density - exact).max() < 0.2
    assert density.sum() / 201 == pytest.approx(1, abs=0.01)
    assert private.mean(y) == pytest.approx(private.query(y) / private.count)
    floor = private.error(y) / private.count / (math.sqrt(2 * math.pi) * 0.05)
    assert private.score_samples(y) == pytest.approx(np.log(np.maximum(density, floor)))
    assert private.score(y) == pytest.approx(private.score_samples(y).sum())
    sample = private.sample(5000, seed=3)
    assert (sample == private.sample(5000, seed=3)).all()
    assert (sample.mean(), sample.std()) == pytest.approx((0.5, math.hypot(0.1, 0.05)), abs=0.01)
    with pytest.raises(InvalidParameter, match="integral"):
        release(dps.KernelDensity("cauchy", bandwidth=0.1, bounds=BOX, n_features=8), POINTS).density(POINTS)
    with pytest.raises(InvalidParameter, match="three"):
        release(dps.KernelDensity(bandwidth=2.0, bounds=dps.Box(0, 1, dim=4), n_features=8), np.zeros((1, 4))).sample(3)


def test_noise_alone_still_samples_and_scores():
    empty = release(dps.KernelDensity(bandwidth=0.1, bounds=LINE), np.empty((0, 1)))
    assert empty.sample(10).shape == (10, 1)
    assert np.isfinite(empty.score_samples(np.array([[0.5]]))).all()


def test_queries():
    blueprint = dps.KernelDensity(**CASES["batch"])
    private = release(blueprint, POINTS)
    assert (private.query(POINTS[[3, 1]]) == private.query()[[3, 1]]).all()
    with pytest.raises(InvalidParameter, match="not one of the queries"):
        private.query([[0.1, 0.2]])
    other = release(dps.KernelDensity(**CASES["fourier, d=2"]), POINTS)
    with pytest.raises(InvalidParameter, match="bounds wider"):
        other.query([[0.5, 2.1]])
    with pytest.raises(InvalidParameter, match="Y"):
        other.query()
    with pytest.raises(InvalidParameter, match="declared"):
        other.query(POINTS, bandwidth=0.4)
    assert np.isnan(other.query([[np.nan, 0.0], [0.1, 0.2]])).tolist() == [True, False]
    binned = release(dps.KernelDensity(**CASES["binned, d=1"]), np.full((5, 1), 0.5))
    assert binned.query([[0.5]], bandwidth=1.7).shape == (1,)
    with pytest.raises(InvalidParameter, match="at least"):
        binned.query([[0.5]], bandwidth=0.3)
    nystrom = release(dps.KernelDensity(**CASES["nystrom"]), POINTS)
    near, far = nystrom.coverage(np.concatenate([POINTS[:1], [[1.0, 2.0]]]))
    assert 0.99 < near <= 1.01
    assert far < near


# ---- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "gausian"}, "did you mean 'gaussian'"),
        ({"kernel": 3}, "kernel"),
        ({"bandwidth": "scott"}, "read the data"),
        ({"bandwidth": None}, "bandwidth"),
        ({"bandwidth": 0.0}, "above zero"),
        ({"bandwidth": (0.1, 0.1)}, "distinct"),
        ({"bandwidth": (0.1, 0.2), "method": "mercer"}, "several"),
        ({"bounds": dps.Ball(1.0, dim=2)}, "Box"),
        ({"bounds": dps.Box(0, 1)}, "dimension"),
        ({"method": "furier"}, "did you mean 'fourier'"),
        ({"method": "batch"}, "public points"),
        ({"queries": POINTS, "method": "fourier"}, "batch"),
        ({"queries": POINTS, "anchors": POINTS}, "one of them"),
        ({"anchors": np.zeros((2, 2))}, "occur twice"),
        ({"anchors": [[np.nan, 0.0]]}, "finite"),
        ({"method": "mercer", "scale": 0.1}, "both"),
        ({"method": "binned", "kernel": "cauchy"}, "one dimension"),
        ({"method": "fourier", "bandwidth": 1e-3}, "coefficients"),
        ({"location": 0.5, "scale": -1.0}, "above zero"),
        ({"location": [0.1, 0.2, 0.3], "scale": 1.0}, "one per coordinate"),
        ({"location": 0.5, "scale": np.array(0.0)}, "scale"),
        ({"location": 0.5, "scale": [[1.0, 0.5], [0.0, 1.0]]}, "symmetric"),
        ({"location": 0.5, "scale": [[1.0, 2.0]]}, "symmetric"),
        ({"location": 0.5, "scale": [[1.0, 2.0], [2.0, 1.0]], "method": "mercer"}, "positive definite"),
        ({"location": 0.5, "scale": [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0]]}, "shape"),
        ({"shape": 2.0}, "no shape parameter"),
        ({"kernel": "matern", "shape": 1e9}, "shape"),
        ({"tolerance": 2.0}, "tolerance"),
        ({"count_share": 0.9}, "count_share"),
        ({"n_features": 0}, "n_features"),
        ({"max_rows": 1 << 40}, "max_rows"),
        ({"seed": -1}, "seed"),
        ({"kernel": lambda x: 1.0}, "vector"),
        ({"kernel": waves, "method": "fourier"}, "auto"),
    ],
)
def test_refusals(options, message):
    with pytest.raises((InvalidParameter, InvalidType), match=message):
        dps.KernelDensity(**{"bandwidth": 0.3, "bounds": BOX, **options})


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({}, "fourier"),
        ({"bandwidth": 0.003}, "mercer"),
        ({"bandwidth": 0.003, "expected_rows": 50}, "features"),
        ({"kernel": "cauchy"}, "mercer"),
        ({"kernel": "cauchy", "expected_rows": 500}, "features"),
        ({"kernel": waves}, "custom"),
        ({"queries": POINTS}, "batch"),
        ({"anchors": POINTS}, "nystrom"),
        ({"bounds": dps.Box(0, 1, dim=5), "expected_rows": 10**6}, "mercer"),
        ({"bounds": dps.Box(0, 1, dim=5), "expected_rows": 10**6, "kernel": "exponential"}, "mercer"),
        ({"bounds": dps.Box(0, 1, dim=64), "expected_rows": 1500}, "features"),
        ({"bounds": dps.Box(0, 1, dim=64), "expected_rows": 1500, "location": 0.5, "scale": 0.2}, "mercer"),
    ],
)
def test_auto(options, method):
    blueprint = dps.KernelDensity(**{"bandwidth": 0.5, "bounds": BOX, "n_features": 16, **options})
    assert blueprint.method == method
    text = str(blueprint.plan(neighbors="add-remove", **GAUSSIAN))
    assert callable(blueprint.kernel) or "chosen" in text


def test_a_plan_tells_size_and_work_of_every_method():
    """Numbers released, eight bytes each, and multiplications of a query, before any data."""
    blueprint = dps.KernelDensity(bandwidth=0.5, bounds=BOX, method="features", n_features=128, structured=False)
    (line,) = [
        text for text in str(blueprint.plan(neighbors="add-remove", **GAUSSIAN)).splitlines() if "chosen" in text
    ]
    assert f"{8 * 129 / 1024:.1f} KB; {129 * 4} multiplications" in line
    text = str(dps.KernelDensity("inv_l2", bandwidth=0.5, bounds=BOX).plan(neighbors="add-remove", **GAUSSIAN))
    assert "8 bytes a record" in text
    assert "mixture of" in text


def test_a_released_law_spares_the_first_round():
    """Given to another blueprint, the law of a release makes the same features, which then merge and cost one round."""
    blueprint = dps.KernelDensity("exponential", **PRIVATE_LAW)
    X = POINTS[:1] + np.random.default_rng(0).normal(size=(300, 2)) @ [[0.3, 0.2], [0.0, 0.1]]
    with ZeroNoise():
        first = release(blueprint, X)
        mean, covariance = first.law
        second = dps.KernelDensity("exponential", **{**PRIVATE_LAW, "location": mean, "scale": covariance})
        plan = second.plan(neighbors="add-remove", **GAUSSIAN)
        assert [line.name for event in plan.events for line in event.lines] == ["sums", "count"]
        again = release(second, X)
    assert again.query(X) == pytest.approx(first.query(X), rel=1e-6)
    assert again.law[1] == pytest.approx(covariance, rel=1e-9)
    with pytest.raises(InvalidParameter, match="law"):
        release(dps.KernelDensity(bandwidth=0.5, bounds=BOX), X).law  # noqa: B018


def test_a_file_does_not_carry_a_feature_map(tmp_path):
    blueprint = dps.KernelDensity(**CASES["custom"])
    private = release(blueprint, POINTS)
    private.save(tmp_path / "release.dps")
    loaded = dps.load(tmp_path / "release.dps", structure=blueprint)
    assert (loaded.query(POINTS) == private.query(POINTS)).all()

    assert dps.load(tmp_path / "release.dps").structure == blueprint  # the very function is alive in this process

    def other():
        def waves(x):
            return x

        waves.__qualname__ = CASES["custom"]["kernel"].__qualname__
        return waves

    release(dps.KernelDensity(other(), bounds=BOX), POINTS).save(tmp_path / "other.dps")
    gc.collect()
    with pytest.raises(FileFormatError, match="structure="):  # its namesake is not taken for it
        dps.load(tmp_path / "other.dps")
    with pytest.raises(FileFormatError):
        dps.load(tmp_path / "release.dps", structure=dps.KernelDensity(**CASES["batch"]))
