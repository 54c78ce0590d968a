"""Neural tangent features: the kernel's values, the map against the kernel, and bits that depend on nothing else."""

import hashlib

import numpy as np
import pytest
from oracle import ntk_regression as oracle
from sklearn.kernel_ridge import KernelRidge

import dpstruct as dps
from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws, logarithm, orthogonal_blocks
from dpstruct.features.ntk import ntk_kernel, zonal_coefficients, zonal_map, zonal_rows
from dpstruct.features.sphere import STEPS, sphere_dim, to_sphere

KNOWN = {  # u: depth 1, 2, 3
    -1.0: (0.0, 0.106103295395, 0.171427159071),
    -0.5: (-0.028834442811, 0.114620748758, 0.185562330640),
    0.0: (0.159154943092, 0.228569545428, 0.265097026701),
    0.3: (0.330920144521, 0.344867099871, 0.351008431642),
    0.9: (0.840164367514, 0.789604554239, 0.746423296844),
    1.0: (1.0, 1.0, 1.0),
}


def sphere(n, d, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def lattice(x):
    return to_sphere(x, dps.Ball(1.0, dim=x.shape[1]), "project")


def features(x, depth, m, seed=0):
    out = np.empty((len(x), m))
    zonal_rows(lattice(x), zonal_map(x.shape[1], depth, m, seed), out)
    return out / STEPS


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_kernel_has_its_known_values(depth):
    for u, values in KNOWN.items():
        found = ntk_kernel([[1.0, 0.0]], [[u, np.sqrt(1 - u * u)]], depth=depth)
        assert abs(found[0, 0] - values[depth - 1]) < 1e-11


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_kernel_of_one_set_is_that_of_two(depth):
    x = sphere(300, 7)
    both, one = ntk_kernel(x, x.copy(), depth=depth), ntk_kernel(x, depth=depth)
    assert np.abs(both - one).max() < 1e-7  # near u = 1 the last bit of a product counts for the root of itself
    assert np.abs(one - oracle.theta(x @ x.T, depth)).max() < 1e-7
    assert np.linalg.eigvalsh(one).min() > 0


def test_the_kernel_is_that_of_a_wide_network():
    """Gradients of a random ReLU net of one hidden layer: their inner products concentrate at rate 1/sqrt(width)."""
    random, d, width = np.random.default_rng(1), 8, 40000
    x, W, v = sphere(6, d, 3), random.standard_normal((width, d)), random.standard_normal(width)
    active = x @ W.T > 0
    outer = np.maximum(x @ W.T, 0) @ np.maximum(x @ W.T, 0).T * 2 / width
    inner = (x @ x.T) * ((active * v**2) @ active.T) * 2 / width
    assert np.abs((outer + inner) / 2 - ntk_kernel(x, depth=1)).max() < 6 / np.sqrt(width)


@pytest.mark.parametrize(("dim", "depth"), [(4, 1), (16, 2), (64, 3), (637, 1)])
def test_coefficients_are_those_of_the_midpoint_rule(dim, depth):
    a = zonal_coefficients(dim, depth)
    assert np.abs(np.array(a[:6]) - oracle.coefficients(dim, depth)).max() < 1e-9
    assert min(a) >= 0
    assert abs(sum(a) - 1) < 1e-15


@pytest.mark.parametrize(("dim", "depth", "m"), [(5, 1, 40), (5, 3, 12), (16, 2, 512), (3, 2, 30)])
def test_features_are_those_of_the_definition(dim, depth, m):
    x = sphere(50, dim)
    exact = 2 if 1 + dim + dim * (dim + 1) // 2 <= 0.8 * m else 1
    count = m - (1 + dim + (dim * (dim + 1) // 2 if exact == 2 else 0))
    W = orthogonal_blocks(Draws(4, "zonal map"), dim, count).T
    expected = oracle.zonal(lattice(x) / STEPS, zonal_coefficients(dim, depth), W, exact)
    assert np.abs(features(x, depth, m, seed=4) - expected).max() < 1.01 / STEPS + 1e-9


@pytest.mark.parametrize(
    ("dim", "m", "depth", "most"),
    [(16, 512, 1, 0.006), (16, 512, 2, 0.014), (16, 512, 3, 0.020), (64, 512, 1, 0.018), (64, 2048, 2, 0.017)],
)
def test_inner_products_are_close_to_the_kernel(dim, m, depth, most):
    x = sphere(300, dim)
    F = features(x, depth, m)
    gap = (F @ F.T - ntk_kernel(x, depth=depth))[np.triu_indices(300, 1)]
    assert np.sqrt((gap**2).mean()) < most
    assert np.abs(gap).max() < 6 * most


def test_a_ridge_on_the_features_is_a_ridge_on_the_kernel():
    """The kernel ridge of scikit-learn on the precomputed kernel, in the limit of many features."""
    x, other = sphere(200, 12, 1), sphere(50, 12, 2)
    y = np.sin(4 * x[:, 0]) + x[:, 1]
    expected = KernelRidge(alpha=0.5, kernel="precomputed").fit(ntk_kernel(x), y).predict(ntk_kernel(other, x))
    F, G = features(x, 1, 2000), features(other, 1, 2000)
    found = G @ np.linalg.solve(F.T @ F + 0.5 * np.eye(2000), F.T @ y)
    assert np.abs(found - expected).max() < 0.05
    assert np.abs(expected).max() > 0.3


# ---- bits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dim", "m"), [(5, 12), (5, 60), (40, 97)])
def test_a_row_has_the_same_bits_in_any_company(dim, m):
    random = np.random.default_rng(0)
    x = sphere(2100, dim) * np.where(random.random((2100, 1)) < 0.1, 1e-300, 1.0)
    whole = features(x, 2, m)
    order = random.permutation(len(x))
    assert features(x[order], 2, m).tobytes() == whole[order].tobytes()
    for cut in (1, 2, 3, 1023, 1025):
        parts = np.concatenate([features(x[:cut], 2, m), features(x[cut:], 2, m)])
        assert parts.tobytes() == whole.tobytes()
    wide = to_sphere(np.asfortranarray(x), dps.Ball(1.0, dim=dim), "project")
    assert wide.tobytes() == lattice(x).tobytes()


def test_the_public_map_is_the_same_on_every_machine():
    found = []
    for dim, depth, m, seed in ((5, 1, 40, 0), (7, 3, 200, 12345)):
        digest = hashlib.sha256()
        for _, array in sorted(zonal_map(dim, depth, m, seed).items()):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        found.append(digest.hexdigest()[:16])
    assert found == ["df1f26c0e81d2a76", "c52f76e009ddbee4"]


def test_directions_are_uniform_and_seeded():
    W = orthogonal_blocks(Draws(1, "zonal map"), 6, 30000).T
    maps = [zonal_map(6, 1, 40, seed)["directions"] for seed in (1, 1, 2)]
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])
    for n in (1, 2, 3, 4):  # moments of <w, z>; standard deviations of a mean are below 1.2 / sqrt(30000 N)
        for z in sphere(4, 6, n):
            mean = oracle.gegenbauer(W @ z, 6, n).mean()
            assert abs(mean) < 6 * 1.2 / np.sqrt(30000 * oracle.harmonics(6, n))


def test_the_logarithm():
    x = np.concatenate([np.random.default_rng(0).random(1000), [1e-300, 1.0, np.nextafter(1, 0), 2.0**-52]])
    assert np.abs(logarithm(x) - np.log(x)).max() < 1e-13
    assert np.abs(logarithm(x[:1000]) / np.log(x[:1000]) - 1).max() < 1e-14


# ---- the sphere ------------------------------------------------------------------------------------------------------

BOX = dps.Box([0, -2], [4, 2])


def test_points_are_projected_or_lifted():
    x = np.array([[3.0, 0.4], [9.0, -7.0]])
    found = to_sphere(x, BOX, "project") / STEPS
    inside = np.clip(x, [0, -2], [4, 2])
    assert np.abs(found[:, :2] - inside / np.linalg.norm(inside, axis=1, keepdims=True)).max() < 2 / STEPS
    assert (found[:, 2] == 0).all()  # three coordinates at least
    lifted = to_sphere(x, BOX, "lift") / STEPS
    z = (inside - [2, 0]) / 2 / np.sqrt(2)
    assert np.abs(lifted - np.column_stack([z, np.sqrt(1 - (z * z).sum(axis=1))])).max() < 2 / STEPS
    ball = dps.Ball(2.0, center=[1.0, 1.0, 1.0])
    assert to_sphere(np.ones((1, 3)), ball, "lift").tolist() == [[0, 0, 0, STEPS - 1]]
    far = to_sphere(np.array([[1.0, 1e200, 1.0]]), ball, "lift")
    assert far[0, 1] == STEPS - 1
    assert abs(int(far[0, 3])) <= 1


@pytest.mark.parametrize("kind", ["project", "lift"])
@pytest.mark.parametrize("bounds", [dps.Box(-1, 3, dim=4), dps.Ball(1e-90, dim=4), dps.Ball(1e90, dim=4)], ids=str)
def test_no_value_makes_a_point_long(kind, bounds):
    wild = [0.0, 5e-324, -1e-200, 1.0, 3.0, 1e-90, 1e90, -1e200, 1.7e308, np.nan, np.inf, -np.inf]
    x = np.random.default_rng(0).choice(wild, (3000, 4))
    points = to_sphere(x, bounds, kind).astype(np.int64)
    assert points.shape[1] == sphere_dim(4, kind)
    assert (points**2).sum(axis=1).max() <= STEPS**2
    fixed = to_sphere(np.where(np.isfinite(x), x, np.nan), bounds, kind)
    assert np.array_equal(points, fixed)  # what is not finite is one value


def test_directions_need_room():
    with pytest.raises(InvalidParameter, match="n_features"):
        zonal_map(5, 1, 6, 0)
