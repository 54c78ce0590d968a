"""The direction of the rooms is law: the contracts of setup.cfg hold, and they notice when they do not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = """
import sys
from importlinter.cli import lint_imports
sys.path.insert(0, "")
sys.exit(lint_imports(no_cache=True))
"""


def lint(folder):
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_contracts_hold():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("structures", "def f():\n    from dpstruct.noise import draw\n    return draw"),
        ("testing", "import dpstruct.noise"),
        ("privacy", "from dpstruct import core"),
        ("report", "def f():\n    import dpstruct.structures"),
        ("kernels", "from dpstruct import errors"),
        ("kernels", "import scipy"),
    ],
)
def test_a_forbidden_import_is_noticed(tmp_path, room, line):
    shutil.copytree(ROOT / "dpstruct", tmp_path / "dpstruct", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / "dpstruct" / room / "trespasser.py").write_text(line + "\n")
    result = lint(tmp_path)
    assert result.returncode != 0
    assert "trespasser" in result.stdout
