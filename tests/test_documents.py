"""The programs in README and documentation run, each page from its top to its end in a fresh interpreter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


WITH_PROGRAMS = [page for page in PAGES if PROGRAM.search(page.read_text(encoding="utf-8"))]


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=name)
def test_programs_run(page, tmp_path):
    program = tmp_path / "page.py"
    program.write_text("\n".join(PROGRAM.findall(page.read_text(encoding="utf-8"))), encoding="utf-8")
    command = [sys.executable, "-W", "error", program.name]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("command", ["pip install . && dpstruct demo", 'pip install ".[test]" && pytest'])
def test_the_two_commands_stand_alone_on_their_lines(command):
    assert (ROOT / "README.md").read_text(encoding="utf-8").splitlines().count(command) == 1


def test_the_session_of_the_command_line_runs(tmp_path):
    session = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), re.M | re.S)
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    command = ["bash", "-euo", "pipefail", "-c", "".join(session)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {"visits.dps", "privacy.db", "ledger.json"} <= {path.name for path in tmp_path.iterdir()}
