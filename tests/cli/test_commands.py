"""query, inspect, verify, ledger and demo: what they print, and what they do not take from a file."""

import csv
import decimal
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as safetensors_bytes

import dpstruct as dps
from dpstruct.cli import demo, main
from dpstruct.core import blueprint, files

TREE = dps.KDETree(dps.Box([0, -1], [1, 1]), depth=4)
Y = [[0.25, -0.5], [0.3, 0.7], [9.0, 9.0]]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.fixture
def private(run):
    """A release in ``a.dps`` from the ledger ``p.db``."""
    budget = dps.Ledger("p.db").budget("b", epsilon=2, delta=1e-6, neighbors="add-remove")
    release = budget.release(TREE.summarize(np.full((50, 2), 0.5)), share=0.25, label="fifty", key="k")
    release.save("a.dps")
    return release


def spoil(path, change):
    """Rewrite a file with a changed label under a right hash."""
    metadata, tensors = files.split(path.read_bytes())
    label = json.loads(metadata["dpstruct"])
    del label["sha256"]
    change(label)
    label["sha256"] = files._hash(label, tensors)
    path.write_bytes(safetensors_bytes(dict(tensors), metadata={"dpstruct": blueprint.canonical(label).decode()}))


# ---- query -----------------------------------------------------------------------------------------------------------


def answers(text):
    rows = list(csv.reader(text.splitlines()))
    assert rows[0] == ["answer", "standard_error"]
    return np.array(rows[1:], dtype=float).T


def test_query_prints_answers_and_errors_to_the_last_bit(run, private):
    code, out, err = run("query", "a.dps", "--at", "0.25,-0.5", "--at", "0.3,0.7", "--at", "9,9", "--format", "csv")
    assert (code, err) == (0, "")
    assert answers(out).tolist() == [private.query(Y).tolist(), private.error(Y).tolist()]


@pytest.mark.parametrize("outside", ["clip", "extend"])
def test_query_takes_points_from_files(run, private, outside):
    np.save("y.npy", np.array(Y))
    with open("y.csv", "w", newline="") as file:
        csv.writer(file).writerows([("v", "u", "name"), *[(v, u, "x") for u, v in Y]])
    expected = [private.query(Y, outside=outside).tolist(), private.error(Y, outside=outside).tolist()]
    for words in (["y.npy"], ["y.csv", "--columns", "u,v"]):
        code, out, _ = run("query", "a.dps", "--points", *words, "--format", "csv", "--outside", outside)
        assert code == 0
        assert answers(out).tolist() == expected


def test_query_prints_a_table(run, private):
    code, out, _ = run("query", "a.dps", "--at", "-0.5,0")
    assert code == 0
    assert out.splitlines()[0].split() == ["point", "answer", "standard", "error"]
    assert out.splitlines()[1].split()[0] == "0"


QUERIES = {
    "of another size": (["--at", "0.1"], "2 coordinates"),
    "out of bounds": (["--at", "9,9", "--outside", "raise"], "queries inside"),
    "columns of another number": (["--points", "y.csv"], "3 columns"),
}


@pytest.mark.parametrize("what", QUERIES)
def test_query_refuses_points(run, private, what):
    Path("y.csv").write_text("a,b,c\n1,2,3\n")
    words, message = QUERIES[what]
    code, _, err = run("query", "a.dps", *words)
    assert code == 1
    assert message in err


@pytest.mark.parametrize("words", [[], ["--at", "a,b"], ["--at", "0,0", "--points", "y.csv"]])
def test_query_of_no_points_is_wrong_usage(run, private, words):
    assert run("query", "a.dps", *words)[0] == 2


@pytest.mark.parametrize("command", ["query", "inspect", "verify"])
def test_a_file_that_is_no_release(run, command):
    Path("a.dps").write_bytes(b"nothing")
    words = ["--at", "0,0"] if command == "query" else []
    code, out, err = run(command, "a.dps", *words)
    assert (code, out) == (1, "")
    assert "safetensors" in err
    code, _, err = run(command, "b.dps", *words)
    assert code == 1
    assert err == "dpstruct: b.dps: No such file or directory\n"


# ---- inspect and verify ----------------------------------------------------------------------------------------------


def test_inspect_prints_the_label(run, private):
    code, out, err = run("inspect", "a.dps")
    assert (code, err) == (0, "")
    for text in ("PRIVACY LABEL  fifty", "add-remove", "unit: row", "rounded Gaussian", "25.0 % of (2, 1e-6)-DP"):
        assert text in out
    epsilon = float(re.search(r"ε = ([0-9.]+)", out)[1])
    assert epsilon >= private.receipt.cost.epsilon(1e-6)
    code, out, _ = run("inspect", "a.dps", "--json")
    assert code == 0
    assert json.loads(out) == files.inspect("a.dps")


def test_inspect_of_a_pure_release(run):
    budget = dps.Budget(epsilon=2, neighbors="substitute")
    budget.release(TREE.summarize([[0.5, 0.5]]), epsilon=0.5).save("a.dps")
    code, out, _ = run("inspect", "a.dps")
    assert code == 0
    assert "ε = 0.5 " in out
    assert "discrete Laplace" in out
    assert run("verify", "a.dps")[0] == 0


def test_a_label_does_not_drive_the_terminal(run, private, tmp_path):
    def paint(label):
        label["receipt"].update(label="\x1b[2J\x1b]0;owned\x07", budget="\u202eb\n", at="\x9b31m")

    spoil(tmp_path / "a.dps", paint)
    code, out, _ = run("inspect", "a.dps")
    assert code == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028]", out)
    assert run("inspect", "a.dps", "--json")[1].isascii()


HOSTILE = {
    "a total of nothing": {"total": "0"},
    "nothing at all": {"total": "0", "cost": "0", "charged": "0"},
    "a huge cost": {"cost": "9" * 60},
    "a huge total": {"total": "9" * 60},
    "all huge": {"total": "9" * 60, "cost": "9" * 60, "charged": "9" * 60},
    "huge and shorter": {"total": "9" * 40, "cost": "9" * 40, "charged": "9" * 40},
    "charged more than the total": {"charged": "9" * 39},
}


@pytest.mark.parametrize("command", [["inspect"], ["verify"], ["query", "--at", "0,0"]])
@pytest.mark.parametrize("measure", ["gdp", "pure-dp"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_receipt_of_impossible_amounts(run, private, tmp_path, what, measure, command):
    """One line, whatever a file states."""

    def change(label):
        for field in ("total", "cost", "charged"):
            label["receipt"][field]["measure"] = measure
        for field, units in HOSTILE[what].items():
            label["receipt"][field]["units"] = units

    spoil(tmp_path / "a.dps", change)
    code, _, err = run(command[0], "a.dps", *command[1:])
    assert code == 1
    assert err.startswith("dpstruct: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, OverflowError, decimal.Overflow])
def test_a_receipt_that_arithmetic_refuses(run, private, monkeypatch, error):
    """Whatever the receipt's own checks let pass."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("dpstruct.cli.files.label", fail)
    code, out, err = run("inspect", "a.dps")
    assert (code, out) == (1, "")
    assert err.startswith("dpstruct: the receipt states")


def test_an_error_does_not_drive_the_terminal(run, private, tmp_path):
    spoil(tmp_path / "a.dps", lambda label: label["receipt"].update(unit="\x1b[2Jrow\u2028"))
    for command in ("inspect", "verify"):
        code, _, err = run(command, "a.dps")
        assert code in (0, 1)
        assert err[:-1].isprintable()


def test_verify_says_what_holds(run, private):
    code, out, err = run("verify", "a.dps")
    assert (code, err) == (0, "")
    assert [line[:3] for line in out.splitlines()] == ["ok:"] * 3


def test_verify_finds_a_price_that_was_changed(run, private, tmp_path):
    def cheaper(label):
        for field in ("cost", "charged"):
            label["receipt"][field]["units"] = str(private.receipt.cost.units // 2)

    spoil(tmp_path / "a.dps", cheaper)
    assert run("inspect", "a.dps")[0] == 0
    code, out, err = run("verify", "a.dps")
    assert (code, out) == (1, "")
    assert "too small for the cost" in err


# ---- ledger ----------------------------------------------------------------------------------------------------------


def test_ledger_show_and_log(run, private):
    dps.Ledger("p.db").budget("other", epsilon=1, neighbors="substitute")
    code, out, _ = run("ledger", "show", "p.db")
    assert code == 0
    for text in ("b\n", "other\n", "25 % in 1 release", "(2, 1e-6)-DP", "substitute", "head: "):
        assert text in out
    assert "other" not in run("ledger", "show", "p.db", "--budget", "b")[1]
    code, out, _ = run("ledger", "log", "p.db", "--budget", "b")
    assert code == 0
    for text in ("25 %", "done", "KDETree", "key=k", "fifty", private.receipt.at):
        assert text in out


def test_ledger_log_prints_no_price_without_relation_and_unit(run, private):
    """Every budget's heading states both, before the charges under it."""
    other = dps.Ledger("p.db").budget("other", epsilon=1, neighbors=dps.RowsWithin(0.5))
    other.release(TREE.summarize([[0.5, 0.5]]), share=0.5)
    out = run("ledger", "log", "p.db")[1]
    first, second = out[: out.index("other\n")], out[out.index("other\n") :]
    for part, budget, price in (
        (first, dps.Ledger("p.db").budget("b"), private.receipt.cost.claim(1e-6)),
        (second, other, dps.PureDP(0.5).claim()),
    ):
        lines = part.splitlines()
        assert lines[1] == f"  total: {budget.guarantee}"
        assert "same neighbors and unit" in lines[2]
        assert f" %  {price}  done" in lines[3]


def test_ledger_export_gives_the_head_that_verify_takes(run, private):
    code, out, _ = run("ledger", "export", "p.db")
    assert code == 0
    book = json.loads(out)
    assert [entry["kind"] for entry in book["entries"]] == ["budget", "charge", "outcome"]
    assert book["entries"][1]["uid"] == private.receipt.uid
    assert int(book["entries"][1]["cost"]) == private.receipt.charged.units
    assert book["head"] == dps.Ledger("p.db").export_head() == book["entries"][-1]["hash"]
    code, out, _ = run("ledger", "verify", "p.db", "--head", book["head"])
    assert code == 0
    assert out.count("ok:") == 2
    code, _, err = run("ledger", "verify", "p.db", "--head", "0" * 63 + "1")
    assert code == 1
    assert "rolled back" in err


def test_ledger_verify_finds_what_was_altered(run, private):
    import sqlite3

    dps.Ledger("p.db").close()
    db = sqlite3.connect("p.db", isolation_level=None)
    db.execute("DROP TRIGGER keep_entry")
    db.execute("UPDATE entry SET cost = '1' WHERE kind = 'charge'")
    db.close()
    code, out, err = run("ledger", "verify", "p.db")
    assert (code, out) == (1, "")
    assert err.startswith("dpstruct: ")


@pytest.mark.parametrize("action", ["show", "log", "verify", "export"])
def test_reading_creates_no_ledger(run, tmp_path, action):
    code, _, err = run("ledger", action, "none.db")
    assert code == 1
    assert "no such file" in err
    assert list(tmp_path.iterdir()) == []
    Path("text.db").write_text("no ledger")
    assert run("ledger", action, "text.db")[0] == 1
    if action != "verify":
        dps.Ledger("p.db").budget("b", epsilon=1, neighbors="substitute")
        code, _, err = run("ledger", action, "p.db", "--budget", "c")
        assert code == 1
        assert "'b'" in err


# ---- the program -----------------------------------------------------------------------------------------------------

PROGRAM = [sys.executable, "-W", "error", "-m", "dpstruct"]


def test_help_of_every_command(run):
    for words in (
        [],
        ["demo"],
        ["plan"],
        ["release"],
        ["query"],
        ["ledger"],
        ["ledger", "verify"],
        ["inspect"],
        ["verify"],
    ):
        code, out, err = run(*words, "--help")
        assert (code, err) == (0, "")
        assert out.startswith("usage: dpstruct")
    assert run("--version")[1] == f"dpstruct {dps.__version__}\n"


def test_as_a_program(tmp_path):
    """From a shell: release and query, in a terminal that knows ASCII only."""
    (tmp_path / "x.csv").write_text("a,b\n0.1,0.2\n")
    environment = os.environ | {
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
    }

    def program(*words):
        return subprocess.run(
            [*PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment
        )

    price = ["--epsilon", "1", "--neighbors", "add-remove", "--bounds", "0:1", "--depth", "2"]
    result = program("release", "x.csv", "--out", "x.dps", *price)
    assert result.returncode == 0, result.stderr
    result = program("query", "x.dps", "--at", "0.5,0.5", "--format", "csv")
    assert result.returncode == 0, result.stderr
    private = dps.load(tmp_path / "x.dps")
    assert answers(result.stdout)[0] == private.query([[0.5, 0.5]])
    assert program("inspect", "x.dps").returncode == 0
    assert program("release").returncode == 2
    assert program("query", "none.dps", "--at", "0,0").returncode == 1


def test_output_that_nobody_reads_to_its_end(tmp_path):
    """`dpstruct query ... | head -1` ends without a traceback."""
    np.save(tmp_path / "y.npy", np.zeros((100_000, 2)))
    dps.Budget(1, neighbors="substitute").release(TREE.summarize([[0.5, 0.5]]), share=1).save(tmp_path / "a.dps")
    process = subprocess.Popen(
        [*PROGRAM, "query", "a.dps", "--points", "y.npy"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 1
    assert errors == b""


# ---- demo ------------------------------------------------------------------------------------------------------------


def test_demo(run, monkeypatch, tmp_path):
    """The whole main job; a second run opens a budget of its own in the same ledger."""
    monkeypatch.setattr(demo, "REPEATS", 40)
    code, out, err = run("demo", "--out", "show")
    assert (code, err) == (0, "")
    for text in (
        "standard error",
        "exact",
        "predicted",
        "realised",
        "Left:",
        "% of the budget is spent",
        "ledger: every hash",
    ):
        assert text in out
    page = (tmp_path / "show" / "demo.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert not re.search(r"(src|href)\s*=|url\(|@import", page)
    assert "scans are public" in page
    private = dps.load("show/digits.dps")
    assert (private.receipt.cost, private.structure.dim) == (dps.GDP.from_approx_dp(1.0, 1e-6), 64)
    assert private.receipt.neighbors == "add-remove"
    assert run("verify", "show/digits.dps")[0] == 0
    assert run("demo", "--out", "show")[0] == 0
    assert dps.Ledger("show/privacy.db").budgets() == ["digits-1", "digits-2"]
    assert run("ledger", "verify", "show/privacy.db")[0] == 0


def test_demo_measures_what_it_says():
    """Realised over predicted error of the repeats: 200 normal scores leave 0.7 to 1.35 with probability < 1e-6."""
    from scipy.stats import chi2
    from sklearn.datasets import load_digits

    m = 200
    assert chi2.cdf(0.7**2 * m, m) + chi2.sf(1.35**2 * m, m) < 1e-6
    X = load_digits().data
    scores = demo._repeat(X)
    assert len(scores) == demo.REPEATS >= m
    assert 0.7 < np.sqrt(np.mean(scores**2)) < 1.35


def test_the_drawings_are_ten_different_pictures():
    assert demo.GLYPHS.shape == (10, 64)
    assert len(np.unique(demo.GLYPHS, axis=0)) == 10


def test_demo_into_a_place_that_can_not_be_written(run):
    Path("file").write_text("")
    code, _, err = run("demo", "--out", "file")
    assert code == 1
    assert err.startswith("dpstruct: ")


def test_reading_an_emptied_ledger_does_not_found_a_new_one(tmp_path, capsys):
    path = tmp_path / "l.db"
    path.touch()
    assert main(["ledger", "show", str(path)]) == 1
    assert "an empty one" in capsys.readouterr().err
    assert path.stat().st_size == 0
