"""Wrong programs do not type-check, right ones do: one run of mypy over the programs beside this file.

A line that ends in ``# E: text`` must be an error whose message or code contains the text, one that ends in
``# N: text`` a revealed type; every other line must be silent.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXPECTED = re.compile(r"#\s(?P<kind>[EN]): (?P<text>.+)$")
REPORTED = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): (?P<kind>error|note): (?P<text>.*)$")
PROGRAMS = sorted(path for path in HERE.glob("*.py") if path != Path(__file__))


def expected():
    for program in PROGRAMS:
        for number, line in enumerate(program.read_text(encoding="utf-8").splitlines(), start=1):
            if match := EXPECTED.search(line):
                yield (program.name, number, match["kind"]), match["text"].strip()


def reported(cache):
    package = Path(importlib.util.find_spec("dpstruct").origin).parents[1]
    environment = dict(os.environ)
    if "site-packages" not in package.parts:  # an editable installation is found by an import hook, which mypy ignores
        environment["MYPYPATH"] = str(package)
    options = ["--config-file=", "--strict", "--follow-imports=silent", "--ignore-missing-imports"]
    options += ["--no-error-summary", "--show-error-codes", f"--cache-dir={cache}"]
    command = [sys.executable, "-m", "mypy", *options, *(path.name for path in PROGRAMS)]
    result = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    for line in result.stdout.splitlines():
        match = REPORTED.match(line)
        assert match, line
        if match["kind"] == "error" or match["text"].startswith("Revealed type"):  # other notes explain an error
            yield (match["file"], int(match["line"]), match["kind"][0].upper()), match["text"]


def test_programs(tmp_path):
    wanted, found = dict(expected()), dict(reported(tmp_path))
    assert len(wanted) > 30
    assert {key: text for key, text in found.items() if key not in wanted} == {}, "unexpected"
    assert {key: text for key, text in wanted.items() if key not in found} == {}, "not noticed"
    assert {key: found[key] for key, text in wanted.items() if text not in found[key]} == {}, "other message"
