"""The library audits itself: every structure, its relations and measures, with real noise on the worst pair.

A new structure is one line of `AUDITED`. A session that takes long and sees more is one command:
``pytest -m privacy --privacy-runs=nightly``.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st
from oracle.toy import Location, Mean

import dpstruct as dps
from dpstruct import structures
from dpstruct.testing import records

BALL, PLANE, LINE = dps.Ball(2.0, dim=2), dps.Box([0, -2], [1, 3]), dps.Box(0, 1, dim=1)
NAMED = ("add-remove", "substitute")
COSTS = {"gaussian": {"epsilon": 1.0, "delta": 1e-6}, "laplace": {"epsilon": 1.0}, "loud": {"cost": dps.GDP(2.0)}}
DENSITY = dps.KernelDensity(bandwidth=0.3, bounds=LINE, method="binned")
PAIRS = st.tuples(records(dps.Ball(1.25, dim=3)), records(dps.Ball(0.625, dim=2)))
ANCHORS = np.random.default_rng(0).normal(size=(5, 3))


class Audited(NamedTuple):
    """A blueprint, what it is planned with, and a strategy of its records where `bounds` does not tell."""

    structure: dps.Structure[Any]
    relations: tuple[Any, ...] = NAMED
    costs: tuple[str, ...] = ("gaussian",)
    data: Any = None

    @property
    def runs(self):
        """Full runs are slow; blocks of noise are not."""
        return 20_000 if type(self.structure).rounds is dps.Structure.rounds else 400


AUDITED = {
    "tree": Audited(dps.KDETree(PLANE, depth=6), (*NAMED, dps.RowsWithin(0.2)), tuple(COSTS)),
    "tree, l2": Audited(dps.KDETree(PLANE, metric="l2", depth=4, directions=8)),
    "tree, squares": Audited(dps.KDETree(PLANE, metric="sqeuclidean"), costs=("gaussian", "laplace")),
    "density": Audited(dps.KernelDensity(bandwidth=0.3, bounds=LINE)),
    "density, binned": Audited(DENSITY, costs=("laplace",)),
    "classes": Audited(
        structures.ClassDensities(DENSITY, classes=[0, 1]),
        data=st.tuples(records(LINE), st.sampled_from([0, 1, 5]).map(np.array)),
    ),
    "attention": Audited(dps.CrossAttention(3, 2, key_norm=1.25, value_norm=0.625), data=PAIRS),
    "anchors": Audited(dps.AnchorAttention(ANCHORS, 2, value_norm=0.625), costs=("laplace",), data=PAIRS),
    "ellipsoid": Audited(dps.JohnEllipsoid(PLANE, expected_rows=40), ("add-remove",)),
    "regression": Audited(
        dps.NTKRegression(PLANE, target=(-1, 3), expected_rows=50, n_features=7),
        data=st.tuples(records(PLANE), records(dps.Box(-1, 3, dim=1))),
    ),
    "regression, descent": Audited(
        dps.NTKRegression(PLANE, target=(-1, 3), expected_rows=50, n_features=7, solver="descent", steps=2),
        ("add-remove",),
        data=st.tuples(records(PLANE), records(dps.Box(-1, 3, dim=1))),
    ),
    "one round": Audited(Mean(BALL), costs=tuple(COSTS)),
    "several rounds": Audited(Location(BALL), costs=("gaussian", "laplace")),
}
CASES = [
    pytest.param(name, relation, cost, id=f"{name}-{relation}-{cost}", marks=pytest.mark.privacy(runs=audited.runs))
    for name, audited in AUDITED.items()
    for relation in audited.relations
    for cost in audited.costs
]


@pytest.mark.parametrize(("name", "relation", "cost"), CASES)
def test_real_noise_keeps_the_claim(name, relation, cost, privacy, fixed_words):
    audited = AUDITED[name]
    plan = audited.structure.plan(neighbors=relation, **COSTS[cost])
    assert not privacy(plan, data=audited.data, examples=3).rejected


def test_every_structure_is_audited():
    shipped = [getattr(structures, name) for name in structures.__all__]
    shipped = {kind.__name__ for kind in shipped if isinstance(kind, type) and issubclass(kind, dps.Structure)}
    missing = shipped - {type(audited.structure).__name__ for audited in AUDITED.values()}
    assert not missing, f"one line of AUDITED is missing for each of {sorted(missing)}"
