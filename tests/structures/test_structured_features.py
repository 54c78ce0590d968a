"""Kernel sums from structured features: the conformance suite, answers, phases against the judge, what is refused."""

import warnings

import numpy as np
import pytest
from hypothesis import strategies as st
from oracle import hadamard as judge
from oracle import kernel_density as oracle

import dpstruct as dps
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.features import random_features as rf
from dpstruct.features.radial import KERNELS
from dpstruct.structures import ClassDensities
from dpstruct.testing import ZeroNoise, check_structure, records

GAUSSIAN = {"epsilon": 1.0, "delta": 1e-6}
RADIAL = sorted(name for name, kernel in KERNELS.items() if kernel.norm == "l2")
BOX = dps.Box([0, -1, 3], [1, 2, 3.5])


def made(kernel="gaussian", bandwidth=0.8, bounds=BOX, **options):
    return dps.KernelDensity(
        kernel, bandwidth=bandwidth, bounds=bounds, method="features", **{"structured": True, **options}
    )


def points(bounds, count, seed=0):
    low, high = np.array(bounds.low), np.array(bounds.high)
    return low + np.random.default_rng(seed).random((count, len(low))) * (high - low)


def released(blueprint, X, neighbors="add-remove"):
    with ZeroNoise():
        return dps.Budget(1.0, 1e-6, neighbors=neighbors).release(blueprint.summarize(X), share=1)


def answers(release):
    Y = points(release.structure.bounds, 5, 9)
    return [release.query(Y), release.error(Y), np.array([release.count, release.fit_error])]


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute", dps.RowsWithin(0.2)], ids=str)
@pytest.mark.parametrize("kernel", ["gaussian", "inv_l2"])
def test_conforms(kernel, neighbors):
    plan = made(kernel, n_features=300).plan(neighbors=neighbors, **GAUSSIAN)
    price = check_structure(plan, examples=4, answers=answers)[1]
    assert 0 < price.worst <= 1
    if neighbors == "add-remove":
        assert price.bounds[0] > 0.6


def test_conforms_by_class():
    blueprint = ClassDensities(made(n_features=16), classes=[0, 1])
    plan = blueprint.plan(neighbors="substitute", **GAUSSIAN)
    Y = points(BOX, 2)
    data = st.tuples(records(BOX), st.sampled_from([0, 1, 5]).map(np.array))
    check_structure(plan, data=data, examples=2, answers=lambda release: [release.query(Y), release.error(Y)])


@pytest.mark.parametrize("box", [BOX, dps.Box(-1, 1, dim=130)], ids=["narrow sides", "padded"])
def test_sums_are_those_of_the_judge(box):
    """From records to integers: clipping, one grid for all sides, three rounds, table; two blocks, the last one cut."""
    method = made(bounds=box, bandwidth=2.0, n_features=2 * 260)._method
    X = np.concatenate([points(box, 40), [box.low, box.high], [np.array(box.high) + 1e9], [np.array(box.low) - 1.0]])
    rows = np.concatenate(list(method.blocks(X)))
    low, high = np.array(box.low), np.array(box.high)
    public = method.public
    scale = 2 * public.reach / max(high - low)
    cells = judge.cells_of(np.clip(X, low, high), low + 0.5 * (high - low), scale, public.reach)
    cos, sin = judge.phase_sums(cells, public.signs, public.shifts, public.turns, *rf.circle())
    found = method.sums_of(rows)
    assert (found["cos"] == cos).all()
    assert (found["sin"] == sin).all()


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@pytest.mark.parametrize("kernel", RADIAL)
def test_answers_without_noise(kernel, neighbors):
    """What is left is the error of the features, within a few times what is predicted."""
    blueprint, X, Y = made(kernel, n_features=1024), points(BOX, 400), points(BOX, 30, 1)
    private = released(blueprint, X, neighbors)
    exact = oracle.kernel_sums(kernel, X, Y, 0.8)
    assert np.abs(private.query(Y) - exact).max() <= 400 * 6 * private.fit_error < 0.6 * exact.mean()
    assert private.count == pytest.approx(400, abs=1e-2)


@pytest.mark.parametrize("dim", [3, 100])
def test_answers_are_sums_over_the_explicit_matrix(dim):
    """Queries anywhere, far outside the box as well, by fast transforms and by the frequencies that weights are for."""
    box = dps.Box(0, 2, dim=dim)
    blueprint = made(bounds=box, bandwidth=0.5 * np.sqrt(dim), n_features=2 * 200)
    method, X = blueprint._method, points(box, 50)
    Y = np.concatenate([points(box, 20, 3), points(box, 3, 4) * 50])
    private = released(blueprint, X)
    weights = method.candidates[0][method._chosen(private.receipt)]
    expected = np.cos(2 * np.pi * (Y[:, None] - X) @ method.projection.turns).sum(axis=1) @ weights
    assert private.query(Y) == pytest.approx(expected, abs=50 * 2e-3 * np.abs(weights).sum())


@pytest.mark.parametrize("dim", [2, 200])
def test_the_grid_leaves_narrow_kernels_their_height(dim):
    """The mean answer of records at themselves, where a bandwidth is a ten-thousandth of the box."""
    box = dps.Box(0, 1, dim=dim)
    blueprint = made(bounds=box, bandwidth=1e-4 * np.sqrt(dim), n_features=1024)
    method, answers = blueprint._method, []
    for row in points(box, 50):
        sums = method.sums_of(row[None, :])
        amplitudes = np.stack([sums["cos"], sums["sin"]], axis=1) / (512 * (rf.RADIUS - 1))
        answers.append(method.projection.wave_sums(row[None, :], amplitudes)[0])
    assert 0.999 < np.mean(answers) < 1.0001


def test_the_default_is_public_and_printed():
    def kind(dim, kernel="gaussian", **options):
        blueprint = made(kernel, 1.0, dps.Box(0, 1, dim=dim), n_features=4, **options)
        return "structured" in blueprint._method.notes()[0]

    assert kind(2)
    assert not kind(2, structured=None)
    assert kind(32, structured=None)
    assert not kind(32, structured=False)
    assert not kind(40, "laplacian", structured=None)
    assert not kind(9000, structured=None)
    plan = made(n_features=8).plan(neighbors="substitute", **GAUSSIAN)
    assert "structured frequencies" in str(plan)
    assert f"{8 * (7 + 2)} multiplications" in str(plan)  # 2**7 coordinates with padding


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "laplacian"}, "l2 distance: gaussian, exponential"),
        ({"kernel": "product_cauchy"}, "l2 distance"),
        ({"method": "fourier"}, "method='fourier'"),
        ({"method": "auto"}, 'method="features"'),
        ({"bounds": dps.Box(0, 1, dim=8193)}, "at most 8192 dimensions"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(InvalidParameter, match=message):
        dps.KernelDensity(**{"bandwidth": 1.0, "bounds": BOX, "method": "features", "structured": True, **options})


def test_a_flag_is_a_bool():
    with pytest.raises(InvalidType, match="True, False or None"):
        made(structured=1)


def test_files_keep_the_flag(tmp_path):
    blueprint = made(n_features=8)
    budget = dps.Budget(1.0, 1e-6, neighbors="add-remove")
    private = budget.release(blueprint.summarize(points(BOX, 20)), share=1)
    private.save(tmp_path / "release.dps")
    loaded = dps.load(tmp_path / "release.dps")
    assert loaded.structure == private.structure
    assert loaded.structure.structured is True
    Y = points(BOX, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (loaded.query(Y) == private.query(Y)).all()
