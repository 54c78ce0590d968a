"""No value of a record raises or warns, whatever NumPy is told to do about underflow, overflow and invalid numbers."""

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.testing import statistics

BOX, BALL = dps.Box([0, -2], [1, 3]), dps.Ball(2.0, dim=2, center=[1, 5])
AROUND, SMALL, LARGE = dps.Box(-1, 1, dim=2), dps.Ball(1e-100, dim=2), dps.Box(-1e100, 1e100, dim=2)
GAUSSIAN = {"epsilon": 1.0, "delta": 1e-6}
NORMS = {"key_norm": 1.0, "value_norm": 1.0}
SIGNALLING = np.array([0x7FF0000000000001], np.uint64).view(np.float64)[0]
FLOATS = [0.0, 0.5, -0.5, 5e-324, -1e-310, 2.3e-308, 1e-160, -1e-40, 1e160, -1.7e308, np.inf, -np.inf, np.nan]
ROWS = {
    "float64": np.array([*FLOATS, SIGNALLING]),
    "float32": np.array([0.0, 1e-45, -1e-39, 0.3, 3e38, -3e38, np.inf, np.nan], np.float32),
    "float16": np.array([0.0, 6e-8, -6e-8, 0.3, 65504, -np.inf, np.nan], np.float16),
    "int64": np.array([0, 1, -1, (1 << 63) - 1, -(1 << 63), (1 << 53) + 1]),
    "uint64": np.array([0, 1, (1 << 64) - 1, 1 << 63, (1 << 53) + 1], np.uint64),
    "bool": np.array([True, False]),
}

STRUCTURES = {
    **{
        f"{name}-{place}": dps.KDETree(bounds, metric=name[:2] if name[0] == "l" else name, **options)
        for name, options, domains in (
            ("l1", {"depth": 3}, (BOX, AROUND, LARGE)),
            ("l2", {"depth": 3, "directions": 8}, (BOX, BALL, SMALL)),
            ("sqeuclidean", {}, (BOX, AROUND, BALL, SMALL, LARGE)),
            ("lp-half", {"p": 0.5, "depth": 3}, (BOX, AROUND)),
            ("lp-more", {"p": 1.5, "depth": 3}, (AROUND,)),
            ("lp-two", {"p": 2}, (BOX, AROUND)),
            ("lp-four", {"p": 4}, (BOX, AROUND)),
        )
        for place, bounds in enumerate(domains)
    },
    **{
        f"ellipsoid-{method}-{type(bounds).__name__}-{center}": dps.JohnEllipsoid(
            bounds, expected_rows=40, method=method, center=center
        )
        for method, center in (("capped", True), ("second-moment", False))
        for bounds in (AROUND, BALL, SMALL, LARGE)
    },
    "attention": dps.CrossAttention(2, 2, **NORMS),
    "attention-tiny": dps.CrossAttention(2, 2, key_norm=1e-100, value_norm=1e100, key_center=(1.0, -2.0)),
    "attention-sphere": dps.CrossAttention(2, 2, **NORMS, degree=3, normalize="sphere"),
    "attention-sketch": dps.CrossAttention(2, 2, **NORMS, features="tensorsketch", sketch_size=8),
    "attention-mean": dps.CrossAttention(2, 2, **NORMS, unit_rule="mean"),
    "attention-clip": dps.CrossAttention(2, 2, **NORMS, unit_rule=("clip", 1.5)),
    "anchors": dps.AnchorAttention([[0.0, 0.0], [1.0, 1.0]], 2, value_norm=1.0),
    "anchors-clip": dps.AnchorAttention([[0.0, 0.0], [1.0, 1.0]], 2, value_norm=1.0, unit_rule=("clip", 1.5)),
    **{
        f"ntk-{solver}-{sphere}-{type(bounds).__name__}-{kind}": dps.NTKRegression(
            bounds, target=target, expected_rows=40, n_features=16, solver=solver, sphere=sphere, steps=2
        )
        for solver in ("moments", "descent")
        for sphere, bounds in (("project", AROUND), ("lift", BALL))
        for kind, target in (("interval", (-1, 1)), ("labels", [0, 1, 5e-324]))
    },
}


def data(structure, column):
    """Return every value beside every other one, as the arguments of `summarize`."""
    pairs = np.array([column.repeat(len(column)), np.tile(column, len(column))]).T
    if isinstance(structure, dps.CrossAttention | dps.AnchorAttention):
        ids = () if structure.unit_rule is None else (np.arange(len(pairs)) // 3,)
        return (pairs, pairs[:, ::-1], *ids)
    return (pairs, pairs[::-1, 0]) if isinstance(structure, dps.NTKRegression) else (pairs,)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", STRUCTURES)
def test_no_value_of_a_record_raises(name):
    structure = STRUCTURES[name]
    unit = "row" if getattr(structure, "unit_rule", None) is None else "user"
    plan = structure.plan(neighbors="add-remove", unit=unit, **GAUSSIAN)
    for column in ROWS.values():
        rows = data(structure, column)
        with np.errstate(all="raise"):
            strict = statistics(plan, rows)
        with np.errstate(all="ignore"):
            assert all(np.array_equal(v, strict[k]) for k, v in statistics(plan, rows).items())
