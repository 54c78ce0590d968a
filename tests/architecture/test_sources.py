"""What every source file of the library keeps to: a docstring, no second source of randomness, no machine's paths."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "dpstruct").rglob("*.py"))
NOT_NOISE = {
    "reference": "float baselines, which promise nothing",
    "testing": "test strategies",
    "audit": "coins of the auditor and mechanisms to test it on, never a release",
    "structures/_private_ellipsoid.py": "points drawn from a released ellipsoid",
    "core/database.py": "jitter of the back-off between processes",
}

every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def generators(tree):
    """Every place where a syntax tree reaches for a pseudo-random generator."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute) and node.attr == "random":
            names = ["numpy.random"]
        elif isinstance(node, ast.Name | ast.Attribute):
            names = [node.id if isinstance(node, ast.Name) else node.attr]
        for name in names:
            if name == "random" or name.startswith("numpy.random") or name in {"default_rng", "RandomState"}:
                yield node.lineno


USES = """
import random
from random import gauss
import numpy.random
from numpy import random
np.random.normal()
from numpy.random import default_rng
rng = default_rng()
def f(): import random as r
"""


@pytest.mark.parametrize("code", USES.strip().splitlines())
def test_generators_are_noticed(code):
    assert list(generators(ast.parse(code)))


def test_the_library_was_found():
    assert len(SOURCES) > 5


@every_source
def test_no_other_generator(path):
    if path.relative_to(ROOT / "dpstruct").as_posix().startswith(tuple(NOT_NOISE)):
        return
    assert list(generators(ast.parse(path.read_text(encoding="utf-8")))) == []


@every_source
def test_module_docstring(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, "a module says in one line what it is for"


@every_source
def test_no_path_of_a_machine(path):
    assert re.search(r"/(home|work|Users|root|tmp)/\w", path.read_text(encoding="utf-8")) is None
