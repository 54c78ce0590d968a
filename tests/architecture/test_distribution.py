"""What is installed is what is promised: one version, the type marker, the data files, the command."""

import importlib.metadata
import importlib.resources
import tomllib
from pathlib import Path

import dpstruct

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version():
    assert dpstruct.__version__ == importlib.metadata.version("dpstruct") == PROJECT["version"]
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_data_files_are_installed():
    """Every file of the source tree that is not Python travels with the package."""
    installed = importlib.resources.files("dpstruct")
    data = [
        path
        for path in (ROOT / "dpstruct").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".nbi", ".nbc"}
    ]
    assert ROOT / "dpstruct" / "py.typed" in data
    for path in data:
        assert installed.joinpath(*path.relative_to(ROOT / "dpstruct").parts).read_bytes() == path.read_bytes()


def test_the_command_is_installed():
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="dpstruct")
    assert callable(command.load())


def test_the_licence_travels_along():
    files = importlib.metadata.distribution("dpstruct").files or []
    licences = [file for file in files if file.name == "LICENSE"]
    assert len(licences) == 1
    assert "Apache License" in licences[0].read_text(encoding="utf-8")
