"""The joint bounds of the kernel density's methods, attacked in exact integers with the records that hurt most."""

from fractions import Fraction

import numpy as np
import pytest
from oracle import kernel_density as oracle

import dpstruct as dps
from dpstruct.features.mercer import ProductBasis
from dpstruct.features.radial import KERNELS
from dpstruct.structures import _kde_mercer

MU = dps.GDP(1.0)


def box(d):
    return dps.Box(0, 1, dim=d)


def statistics(blueprint, rows):
    """Integers of each record, (n, entries), and the weights of the entries, by the lines of the plan."""
    method = blueprint._method
    lines = method.lines(MU, "add-remove")[0]
    sums = [method.sums_of(row[None, :]) for row in rows]
    if hasattr(method, "basis") and hasattr(method.basis, "whiten"):
        sums = [{"sums": method.basis.whiten(part["sums"])} for part in sums]
    T = np.array([np.concatenate([part[line.name].ravel() for line in lines]) for part in sums]).astype(object)
    weights = [w for line in lines for w in _spread(line)]
    return T, np.array([1 / w for w in weights], dtype=object)


def _spread(line):
    weights = line.weight if isinstance(line.weight, tuple) else (line.weight,)
    size = int(np.prod(line.shape))
    return list(weights) * (size // len(weights))


def bound(blueprint, neighbors):
    return blueprint._method.lines(MU, neighbors)[1]


def prices(blueprint, rows):
    """Squared norms of all records and of all differences, over their bounds."""
    T, inverse = statistics(blueprint, rows)
    one = max(((T * T) @ inverse).tolist())
    a, b = np.triu_indices(len(rows), 1)
    two = max((((T[a] - T[b]) ** 2) @ inverse).tolist())
    return one / bound(blueprint, "add-remove"), two / bound(blueprint, "substitute")


@pytest.mark.parametrize(
    "options",
    [
        {"bandwidth": 0.2},
        {"bandwidth": (0.1, 0.4)},
        {"bandwidth": 0.4, "tolerance": 1e-2},
        {"bandwidth": 0.5, "kernel": "laplacian", "tolerance": 3e-2},
        {"bandwidth": 0.5, "kernel": "matern", "tolerance": 1e-2},
    ],
)
def test_fourier_on_a_line(options):
    """Pairs at all distances, also in the same cell, at rounded phases and at both ends."""
    blueprint = dps.KernelDensity(bounds=box(1), **options)
    x = np.concatenate([np.linspace(0, 1, 60), [1e-5, 1e-4, 0.5 + 1e-5, 1 - 1e-9]])
    one, two = prices(blueprint, x[:, None])
    assert Fraction(99, 100) < one <= 1
    assert Fraction(80, 100) < two <= 1


@pytest.mark.parametrize(("d", "h"), [(2, 0.5), (3, 0.6)])
def test_fourier_in_more_dimensions(d, h):
    blueprint = dps.KernelDensity(bandwidth=h, bounds=box(d), tolerance=1e-3)
    rng = np.random.default_rng(0)
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * d)).reshape(d, -1).T
    one, two = prices(blueprint, np.concatenate([corners, rng.random((25, d))]))
    assert Fraction(98, 100) < one <= 1
    assert Fraction(85, 100) < two <= 1


def test_a_fourier_bound_without_the_rounding_of_the_table_would_be_too_small():
    """With the smallest table the points of a pair do exceed what the exact phases alone allow."""
    blueprint = dps.KernelDensity(bandwidth=0.6, bounds=box(3), tolerance=1e-3)
    T, inverse = statistics(blueprint, np.random.default_rng(1).random((60, 3)))
    size = Fraction(blueprint._method.series.radius**6)
    nominal = Fraction((blueprint._method.series.radius - 1) ** 6)
    norms = (T * T) @ inverse
    assert max(norms.tolist()) > nominal * sum(blueprint._method.weights)
    assert max(norms.tolist()) <= size * sum(blueprint._method.weights)


@pytest.mark.parametrize("kernel", ["gaussian", "inv_l1"])
def test_features(kernel):
    """One frequency, and records half a turn apart: the substitute bound is nearly reached."""
    blueprint = dps.KernelDensity(kernel, bandwidth=0.01, bounds=box(1), method="features", n_features=2)
    x = np.random.default_rng(0).random((300, 1))
    one, two = prices(blueprint, x)
    assert Fraction(9999, 10000) < one <= 1
    assert Fraction(999, 1000) < two <= 1


@pytest.mark.parametrize("name", ["batch", "nystrom"])
def test_points(name):
    """Records on the points, next to them, far from them."""
    rng = np.random.default_rng(0)
    points = rng.random((30, 2))
    where = {"queries": points} if name == "batch" else {"anchors": points}
    for h in (0.02, 0.2, 5.0):
        blueprint = dps.KernelDensity("exponential", bandwidth=h, bounds=box(2), **where)
        rows = np.concatenate([points, points[:5] + 1e-6, rng.random((20, 2))])
        one, two = prices(blueprint, rows)
        assert Fraction(98, 100) < one <= 1
        assert two <= 1
        assert two > Fraction(9, 10) or h > 1


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "law", [(0.5, 0.3), (0.1, 0.02), (30.0, 0.01), ([0.2, 0.6], [[0.1, 0.09], [0.09, 0.1]])], ids=str
)
def test_mercer(kernel, law):
    """Right and wrong laws: records at the law's centre and far away from it."""
    blueprint = dps.KernelDensity(
        kernel, bandwidth=0.2, bounds=box(2), method="mercer", n_features=100, location=law[0], scale=law[1]
    )
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.random((25, 2)), np.full((1, 2), 0.1), [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]]])
    one, two = prices(blueprint, rows)
    assert one <= 1
    assert two <= 1
    if law == (0.5, 0.3) and kernel == "gaussian":
        assert one > Fraction(97, 100)
        assert two > Fraction(97, 100)


def test_mercer_with_any_law_that_noise_may_bring():
    """A private law is a function of noise alone as far as bounds go: absurd ones give bounded features, too."""
    blueprint = dps.KernelDensity(bandwidth=0.3, bounds=dps.Box([0, -5], [1, 5]), method="mercer", n_features=20)
    method = blueprint._method
    rows = method._lattice(np.random.default_rng(0).random((40, 2)) * [1, 10] - [0, 5])
    for diagonal, upper in (([0, 0, 0], [0, 0, 0]), ([-(2**60)] * 3, [2**61] * 3), ([2**62, 5, 1], [-(2**62), 7, 9])):
        moment = {"moment_diagonal": np.array(diagonal), "moment_upper": np.array(upper)}
        arrays = method.arrays(method.law(moment))
        T = np.array([_kde_mercer.feature_sums(row[None, :], arrays)[0] for row in rows]).astype(object)
        assert max((T * T).sum(axis=1)) <= bound(blueprint, "add-remove")
        apart = ((T[:, None] - T[None]) ** 2).sum(axis=2)
        assert apart.max() <= bound(blueprint, "substitute")


def test_the_second_moment_of_the_private_law():
    """The corners of the box reach the bound of the first round."""
    blueprint = dps.KernelDensity(bandwidth=0.3, bounds=box(3), method="mercer", n_features=4)
    method = blueprint._method
    public = {"one": np.array(_kde_mercer._one(3)), "bound": np.array(_kde_mercer._bound(3))}
    groups = blueprint.groups(MU, "add-remove")
    for corner in ([0.0, 0, 0], [0.0, 1, 0], [1.0, 1, 1]):
        diagonal, upper = _kde_mercer.moment_sums(method._lattice(np.array([corner])), public)
        cost = (diagonal.astype(object) ** 2).sum() + 2 * (upper.astype(object) ** 2).sum()
        assert Fraction(95, 100) < cost / groups[0].sensitivity <= 1


@pytest.mark.parametrize("d", [1, 2])
def test_binned(d):
    blueprint = dps.KernelDensity(bandwidth=0.5, bounds=box(d), method="binned")
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.random((40, d)), np.zeros((1, d)), np.ones((1, d)), np.full((1, d), 0.25)])
    sums = [blueprint._method.sums_of(row[None, :])["weights"] for row in rows]
    assert {int(s.sum()) for s in sums} == {1 << 20}
    assert min(s.min() for s in sums) >= 0
    one, two = prices(blueprint, rows)
    assert (one, two) == (1, 1)
    together = blueprint._method.sums_of(rows)["weights"]
    assert (together == sum(sums)).all()


def test_a_feature_map_is_cut():
    blueprint = dps.KernelDensity(lambda x: np.array([np.sign(x[0] - 0.5) * 1e9, np.inf, x[1]]), bounds=box(2))
    one, two = prices(blueprint, np.random.default_rng(0).random((10, 2)))
    assert Fraction(99, 100) < one <= 1
    assert Fraction(99, 100) < two <= 1


def test_mercer_features_of_the_method_are_those_of_the_oracle():
    """From a record to its integers: lattice, exact rotation, tables, products."""
    blueprint = dps.KernelDensity(bandwidth=0.4, bounds=box(2), method="mercer", n_features=15, location=0.4, scale=0.2)
    method = blueprint._method
    arrays = method._public_arrays
    basis = method._public_basis
    assert isinstance(basis, ProductBasis)
    rows = method._lattice(np.random.default_rng(0).random((20, 2)))
    turned = rows.astype(float) @ arrays["turn"]
    names = ("low", "scale", "table", "starts", "part")
    expected = oracle.product_features(turned, *(arrays[name] for name in names), basis.index, 30)
    assert (_kde_mercer.feature_sums(rows, arrays)[0] == expected.sum(axis=0)).all()


@pytest.mark.parametrize("kernel", ["gaussian", "inv_l2"])
def test_structured_features(kernel):
    """One frequency, and records half a turn apart; then many, and the corners of a box where integers are largest."""
    options = {"bandwidth": 0.01, "method": "features", "structured": True}
    blueprint = dps.KernelDensity(kernel, bounds=box(1), n_features=2, **options)
    one, two = prices(blueprint, np.random.default_rng(0).random((300, 1)))
    assert Fraction(9999, 10000) < one <= 1
    assert Fraction(999, 1000) < two <= 1
    blueprint = dps.KernelDensity(kernel, bounds=box(150), n_features=600, **options)
    rng = np.random.default_rng(1)
    signs = np.array([[(-1) ** bin(i & j).count("1") for j in range(150)] for i in range(0, 256, 37)])
    corners = (signs * blueprint._method.public.signs[0, :150] + 1) / 2
    one, two = prices(blueprint, np.concatenate([corners, rng.random((10, 150))]))
    assert Fraction(9999, 10000) < one <= 1
    assert Fraction(1, 2) < two <= 1
