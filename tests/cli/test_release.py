"""plan and release: every file format, hostile cells, prices, ledgers, and what may never be printed."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.cli import main
from dpstruct.core import files

PRICE = ["--epsilon", "1", "--delta", "1e-6", "--neighbors", "add-remove"]
X = np.linspace(-0.3, 1.4, 3 * 257).reshape(257, 3)


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


def write_csv(name, rows, header=("a", "b", "c")):
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows] if header else rows)


def rows_read(monkeypatch, run, *words):
    """The blocks that `release` summarises, as one array."""
    seen = []
    summarize = dps.KDETree.summarize

    def record(self, block, **options):
        seen.append(np.array(block, dtype=np.float64).reshape(-1, self.dim))
        return summarize(self, block, **options)

    monkeypatch.setattr(dps.KDETree, "summarize", record)
    code, _, err = run("release", *words, "--out", "x.dps", "--overwrite", "--bounds", "0:1", "--depth", "2", *PRICE)
    assert code == 0, err
    return np.concatenate(seen)


# ---- plan ------------------------------------------------------------------------------------------------------------


def test_plan_prints_the_price_of_the_library(run):
    code, out, err = run("plan", "--bounds", "-5:5,0:1", *PRICE)
    plan = dps.KDETree(dps.Box([-5, 0], [5, 1])).plan(epsilon=1, delta=1e-6, neighbors="add-remove")
    assert (code, out, err) == (0, f"{plan}\n", "")


def test_plan_for_an_error(run):
    code, out, _ = run("plan", "--bounds", "0:16", "--dim", "64", "--error", "5000", "--delta", "1e-6", *PRICE[-2:])
    assert code == 0
    assert "GDP" in out


def test_plan_asks_a_ledger_and_writes_nothing(run, tmp_path):
    words = ["plan", "--bounds", "0:1", "--dim", 2, "--ledger", "p.db", "--budget", "b", "--neighbors", "substitute"]
    code, out, _ = run(*words, "--share", 0.25, "--total-epsilon", 2)
    assert code == 0
    assert "it fits" in out
    assert list(tmp_path.iterdir()) == []
    code, _, err = run(*words, "--share", 0.25)
    assert code == 1
    assert "no such file" in err
    budget = dps.Ledger("p.db").budget("b", epsilon=2, neighbors="substitute")
    budget.release(dps.KDETree(dps.Box(0, 1, dim=1)).summarize([[0.5]]), share=0.9)
    code, out, _ = run(*words, "--share", 0.25, "--total-epsilon", 2)
    assert code == 0
    assert "does not fit" in out
    assert len(budget.log()) == 1


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_csv_is_read_as_it_is(run, monkeypatch):
    write_csv("x.csv", X)
    assert np.array_equal(rows_read(monkeypatch, run, "x.csv"), X)


def test_csv_columns_by_name_in_the_order_given(run, monkeypatch):
    write_csv("x.csv", X, header=("a", "b,b", "  c "))
    assert np.array_equal(rows_read(monkeypatch, run, "x.csv", "--columns", 'c,"b,b"'), X[:, [2, 1]])
    _, out, _ = run("release", "x.csv", "--columns", 'c,"b,b"', "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert "columns: 2\n" in out


def test_csv_without_names(run, monkeypatch):
    write_csv("x.csv", X, header=None)
    assert np.array_equal(rows_read(monkeypatch, run, "x.csv", "--no-header", "--columns", "0,1-2"), X)
    code, _, err = run("release", "x.csv", "--out", "y.dps", "--bounds", "0:1", "--no-header", *PRICE)
    assert code == 1
    assert "--columns" in err
    assert run("release", "x.csv", "--out", "y.dps", "--bounds", "0:1,0:1,0:1", "--no-header", *PRICE)[0] == 0
    assert dps.load("y.dps").structure.dim == 3


RECORDS = {
    "numbers": ("0.123456", "2019"),
    "one number": ("smith8675309", "2019"),
    "not a number": ("smith8675309", "NaN"),
    "infinity": ("Infinity", "smith8675309"),
    "a missing value": ("smith8675309", ""),
    "spaces": ("smith8675309", "  "),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_first_line_that_may_be_a_record_is_not_taken_for_names(run, monkeypatch, what):
    """One cell that is empty or a number is enough; the user decides, and nothing of the line is printed."""
    first = RECORDS[what]
    write_csv("x.csv", [[3, 4]], header=first)
    for words in ([], ["--columns", "nope"], ["--columns", first[0]]):
        code, out, err = run("release", "x.csv", *words, "--out", "y.dps", "--bounds", "0:1", *PRICE)
        assert (code, out) == (1, "")
        assert "--no-header" in err
        assert not any(cell.strip() and cell in err for cell in first)
    assert rows_read(monkeypatch, run, "x.csv", "--header").tolist() == [[3, 4]]
    assert rows_read(monkeypatch, run, "x.csv", "--header", "--columns", first[0]).tolist() == [[3]]
    assert len(rows_read(monkeypatch, run, "x.csv", "--no-header", "--columns", "0-1")) == 2


def test_a_first_record_of_words_is_never_printed(run):
    """Taken for names, it costs that record, but no message and no account tells it."""
    Path("x.csv").write_text("smith8675309,oslo8675309,oslo8675309\n1,2,3\n")
    release = ["release", "x.csv", "--out", "y.dps", "--bounds", "0:1", *PRICE]
    seen = [run(*release), run(*release, "--columns", "nope"), run(*release, "--columns", "nope,x", "--header")]
    assert [code for code, _, _ in seen] == [1, 1, 1]
    assert "'nope'" in seen[1][2]
    Path("x.csv").write_text("smith8675309,oslo8675309\n1,2\n")
    seen += [run(*release), run(*release, "--overwrite", "--header")]
    assert [code for code, _, _ in seen[3:]] == [0, 0]
    assert not any("8675309" in out + err for _, out, err in seen)


NAMES = {
    "an open quote": 'a,"smith\n1,2\n',
    "an open quote at the front": '"smith,b\r\n1,2\r\n',
    "a control character": "a,smith\x1b[2J\n1,2\n",
    "very long": "a,smith" + "h" * 200 + "\n1,2\n",
    "longer than the csv module reads": "a," + "smith" * 40_000 + "\n1,2\n",
    "nothing": "\n1,2\n",
}


@pytest.mark.parametrize("flag", [[], ["--header"]])
@pytest.mark.parametrize("what", NAMES)
def test_names_that_are_none_are_refused_unquoted(run, what, flag):
    Path("x.csv").write_bytes(NAMES[what].encode())
    code, out, err = run("release", "x.csv", *flag, "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert (code, out) == (1, "")
    assert "in the first line" in err or "--no-header" in err
    assert "smith" not in err
    assert err.count("\n") == 1


def test_the_longest_name(run, monkeypatch):
    Path("x.csv").write_text("a" * 200 + ",b\n1,2\n")
    assert rows_read(monkeypatch, run, "x.csv").tolist() == [[1, 2]]


def test_columns_that_are_no_names(run, data):
    for columns in ("a\nb", "x" * 200_000, "\x1b[2J"):
        code, _, err = run("release", "x.csv", "--columns", columns, "--out", "y.dps", "--bounds", "0:1", *PRICE)
        assert code == 1
        assert err.startswith("dpstruct: --columns: ")
        assert err[:-1].isprintable()


def test_csv_with_a_mark_and_another_delimiter(run, monkeypatch):
    Path("x.csv").write_bytes(b"\xef\xbb\xbfa;b\r\n1;2\r\n3;4")
    assert rows_read(monkeypatch, run, "x.csv", "--delimiter", ";", "--columns", "a,b").tolist() == [[1, 2], [3, 4]]


def test_one_column(run, monkeypatch):
    write_csv("x.csv", [[1.5], ["x"], [2.5]], header=("a",))
    rows = rows_read(monkeypatch, run, "x.csv")
    assert rows[[0, 2]].tolist() == [[1.5], [2.5]]
    assert np.isnan(rows[1]).all()


def test_many_blocks_are_all_read(run, monkeypatch):
    monkeypatch.setattr("dpstruct.cli.source._CELLS", 20)
    write_csv("x.csv", X)
    np.save("x.npy", X)
    assert np.array_equal(rows_read(monkeypatch, run, "x.csv"), X)
    assert np.array_equal(rows_read(monkeypatch, run, "x.npy"), X)


def test_what_is_released_is_the_exact_sum_of_all_blocks(run, monkeypatch):
    monkeypatch.setattr("dpstruct.cli.source._CELLS", 20)
    write_csv("x.csv", X)
    released, release = [], dps.Budget.release

    def record(self, summary, **options):
        released.append(summary.to_unprotected_bytes())
        return release(self, summary, **options)

    monkeypatch.setattr(dps.Budget, "release", record)
    assert run("release", "x.csv", "--out", "x.dps", "--bounds", "0:1", "--depth", "2", *PRICE)[0] == 0
    tree = dps.KDETree(dps.Box(0, 1, dim=3), depth=2)
    assert released == [tree.summarize(X).to_unprotected_bytes()]


@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8", "i2", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(run, monkeypatch, dtype, order):
    array = np.array(np.arange(12).reshape(4, 3), dtype=dtype, order=order)
    np.save("x.npy", array)
    assert np.array_equal(rows_read(monkeypatch, run, "x.npy"), array)
    assert np.array_equal(rows_read(monkeypatch, run, "x.npy", "--columns", "2,0"), array[:, [2, 0]])


def test_npy_of_one_axis_is_a_column_and_of_no_rows_is_fine(run, monkeypatch):
    np.save("x.npy", np.arange(3.0))
    assert rows_read(monkeypatch, run, "x.npy").tolist() == [[0], [1], [2]]
    np.save("x.npy", np.empty((0, 3)))
    assert rows_read(monkeypatch, run, "x.npy").shape == (0, 3)


NPY = {
    "objects": np.array([[None]], dtype=object),
    "text": np.array([["1"]]),
    "complex": np.array([[1j]]),
    "records": np.zeros(3, dtype=[("a", "f8")]),
    "three axes": np.zeros((1, 1, 1)),
    "no axis": np.array(1.0),
}


@pytest.mark.parametrize("what", NPY)
def test_npy_that_is_no_table(run, what):
    np.save("x.npy", NPY[what], allow_pickle=True)
    code, _, err = run("release", "x.npy", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert err.startswith("dpstruct: x.npy: received")


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"not numpy", b"PK\x03\x04"])
def test_npy_that_is_damaged(run, data):
    Path("x.npy").write_bytes(data)
    code, _, err = run("release", "x.npy", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert "numpy.save" in err


def test_parquet(run, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(
        {
            "a": pyarrow.array([1.5, None, float("nan"), float("inf")]),
            "b.c": pyarrow.array([2**62 + 1, None, -1, 4], pyarrow.int64()),
            "d": pyarrow.array([True, None, False, True]),
            "words": ["x", "y", None, "z"],
        }
    )
    parquet.write_table(table, "x.parquet", row_group_size=2)
    rows = rows_read(monkeypatch, run, "x.parquet", "--columns", "d,a,b.c")
    nan = np.nan
    expected = [[1, 1.5, 2.0**62], [nan, nan, nan], [0, nan, -1], [1, np.inf, 4]]
    assert np.array_equal(rows, expected, equal_nan=True)
    code, _, err = run("release", "x.parquet", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert "column 3, counted from 0: received type string" in err
    assert "words" not in err
    code, _, err = run("release", "x.parquet", "--columns", "nope", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert "'nope'" in err
    assert "b.c" not in err


def test_parquet_that_is_damaged(run):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    Path("x.parquet").write_bytes(b"PAR1 secret 8675309 PAR1")
    code, _, err = run("release", "x.parquet", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert "8675309" not in err
    parquet.write_table(pyarrow.table({"a": np.arange(1000.0)}), "x.parquet", compression="gzip")
    data = bytearray(Path("x.parquet").read_bytes())
    data[40:200] = bytes(160)
    Path("x.parquet").write_bytes(data)
    code, _, err = run("release", "x.parquet", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert "a whole Parquet file" in err


def test_parquet_without_pyarrow_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = run("release", "x.parquet", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert "dpstruct[frames]" in err


# ---- cells are values ------------------------------------------------------------------------------------------------

SECRET = "8675309x"
CELLS = {
    "words": SECRET,
    "empty": "",
    "spaces": "  ",
    "inf": "inf",
    "minus inf": "-Infinity",
    "nan": "nan",
    "beyond float": "1e999",
    "thousands": "1,000",
    "a formula": f"=cmd|'{SECRET}'!A0",
    "NUL": "1\x002",
    "a quote": 'a"b',
    "other digits": "٣",
    "very long": "9" * 200_000,
}


@pytest.mark.parametrize("what", CELLS)
def test_any_cell_is_a_value(run, monkeypatch, what):
    """No cell raises, is quoted, or changes how the rows around it are read."""
    write_csv("x.csv", [[1, 2, 3], [4, CELLS[what], 6], [7, 8, 9]])
    rows = rows_read(monkeypatch, run, "x.csv")
    assert rows[0].tolist() == [1, 2, 3]
    assert rows[-1].tolist() == [7, 8, 9]
    assert len(rows) == 3
    code, out, err = run("release", "x.csv", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 0
    assert "8675309" not in out + err


def test_ragged_rows(run, monkeypatch):
    Path("x.csv").write_text("a,b,c\n1,2,3\n4\n5,6\n7,8,9,10,11\n,,\n")
    rows = rows_read(monkeypatch, run, "x.csv")
    nan = np.nan
    assert np.array_equal(rows, [[1, 2, 3], [4, nan, nan], [5, 6, nan], [7, 8, 9], [nan] * 3], equal_nan=True)


def test_bytes_that_are_no_text(run, monkeypatch):
    Path("x.csv").write_bytes(b"a,b\n1,2\n\xff\xfe,\xc3\n5,6\n")
    rows = rows_read(monkeypatch, run, "x.csv")
    assert rows[[0, 2]].tolist() == [[1, 2], [5, 6]]
    assert np.isnan(rows[1]).all()


@pytest.mark.parametrize("cell", ['"3', '3"', '"', '"""', '"3""', '5","6', "", "smith", '"' + "3" * 200_000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("column", [0, 1])
def test_a_cell_reaches_no_other_record(run, monkeypatch, cell, end, column):
    """A record ends with its line: whatever a cell holds, n and all other rows stay, to the last bit."""
    rows = [["5", "6"] for _ in range(20)]

    def read():
        Path("x.csv").write_bytes("".join(",".join(row) + end for row in [["a", "b"], *rows]).encode())
        return rows_read(monkeypatch, run, "x.csv")

    before = read()
    rows[7][column] = cell
    after = read()
    assert after.shape == before.shape == (20, 2)
    assert np.array_equal(np.delete(after, 7, axis=0), np.delete(before, 7, axis=0))


def test_under_substitute_a_quote_leaves_the_public_count(run):
    """n is public there, so a cell that moved it would be seen by everyone."""
    counts = []
    for cell in ("3", '"3'):
        Path("x.csv").write_text(f"a,b\n1,2\n{cell},4\n" + "5,6\n" * 60)
        words = ["--epsilon", "1", "--neighbors", "substitute", "--depth", "2"]
        assert run("release", "x.csv", "--out", "x.dps", "--overwrite", "--bounds", "0:9", *words)[0] == 0
        counts.append(dps.load("x.dps").count)
    assert counts == [62, 62]


def test_a_quote_changes_the_integers_of_its_record_only(run, monkeypatch):
    """The sealed sums differ by what the one record had and has."""
    tree, summaries = dps.KDETree(dps.Box(0, 9, dim=2), depth=2), []
    for cell in ("3", '"3'):
        Path("x.csv").write_text(f"a,b\n1,2\n{cell},4\n" + "5,6\n" * 60)
        summaries.append(tree.summarize(rows_read(monkeypatch, run, "x.csv")))
    was, now = tree.summarize([[3, 4]]), tree.summarize([[np.nan, np.nan]])
    assert (summaries[0] + now).to_unprotected_bytes() == (summaries[1] + was).to_unprotected_bytes()


def test_quoted_cells_lie_within_a_line(run, monkeypatch):
    Path("x.csv").write_text('a,b,c\n"1","2","3"\n4,"5,6",7\n8,"9\n10",11\n')
    nan = np.nan
    expected = [[1, 2, 3], [4, nan, 7], [8, 9, nan], [nan, 11, nan]]
    assert np.array_equal(rows_read(monkeypatch, run, "x.csv"), expected, equal_nan=True)


BLANK = {
    "among others": ("1\n\n2\n", [1, np.nan, 2]),
    "first": ("\n1\n", [np.nan, 1]),
    "last": ("1\n\n", [1, np.nan]),
    "alone": ("\n", [np.nan]),
    "none": ("1\n2\n", [1, 2]),
    "none, the last line open": ("1\n2", [1, 2]),
    "with spaces": ("1\n  \n2\n", [1, np.nan, 2]),
    "no record": ("", []),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("what", BLANK)
def test_a_blank_line_is_a_record(run, monkeypatch, what, width, header, end):
    """Of missing values, for one column as for many; the line break that ends the file starts none."""
    text, expected = BLANK[what]
    if width == 2:
        text = text.replace("1", "1,7").replace("2", "2,7")
    names = ("a\n" if width == 1 else "a,b\n") if header else ""
    Path("x.csv").write_bytes((names + text).replace("\n", end).encode())
    words = ["--columns", "a"] if header else ["--no-header", "--columns", "0"]
    assert np.array_equal(rows_read(monkeypatch, run, "x.csv", *words).ravel(), expected, equal_nan=True)


def test_nothing_printed_depends_on_the_data(run):
    """Word for word the same account for one row, many rows and other values, but for what the receipt draws."""
    seen = set()
    for rows in ([[0.5, 0.5, 0.5]], X, X * np.nan, np.empty((0, 3))):
        write_csv("x.csv", rows)
        code, out, err = run("release", "x.csv", "--out", "x.dps", "--overwrite", "--bounds", "0:1", *PRICE)
        assert code == 0
        seen.add((out, err))
    assert len(seen) == 1


def test_the_progress_bar_tells_no_row_count(run, monkeypatch):
    monkeypatch.setattr("dpstruct.cli.source._CELLS", 200)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    write_csv("x.csv", X)
    code, _, err = run("release", "x.csv", "--out", "x.dps", "--bounds", "0:1", *PRICE)
    assert code == 0
    assert "%" in err
    assert "257" not in err
    assert run("release", "x.csv", "--out", "y.dps", "--bounds", "0:1", "--quiet", *PRICE)[2].count("%") == 0


# ---- prices and ledgers ----------------------------------------------------------------------------------------------

LEDGER = ["--ledger", "privacy.db", "--budget", "visits"]
TOTAL = ["--total-epsilon", "2", "--delta", "1e-6", "--neighbors", "add-remove"]


@pytest.fixture
def data(run):
    write_csv("x.csv", X)
    return ["release", "x.csv", "--bounds", "0:1", "--depth", "3"]


def test_without_a_ledger_it_says_that_nothing_remembers(run, data):
    code, out, err = run(*data, "--out", "x.dps", *PRICE)
    assert code == 0
    assert "nothing remembers this spend" in err
    assert "(1, 1e-6)-DP" in out
    receipt = dps.load("x.dps").receipt
    assert receipt.charged == receipt.total
    assert receipt.budget == "memory"


def test_without_delta_it_is_pure(run, data):
    assert run(*data, "--out", "x.dps", "--epsilon", "1", "--neighbors", "rows-within:0.5")[0] == 0
    receipt = dps.load("x.dps").receipt
    assert receipt.cost == dps.PureDP(1)
    assert receipt.neighbors == dps.RowsWithin(0.5)


def test_a_ledger_is_opened_charged_and_reopened(run, data):
    code, out, err = run(*data, "--out", "a.dps", *LEDGER, *TOTAL, "--share", "0.25", "--label", "first")
    assert (code, err) == (0, "")
    assert "25 % spent" in out
    code, out, _ = run(*data, "--out", "b.dps", *LEDGER, "--neighbors", "add-remove", "--share", "0.5")
    assert code == 0
    assert "75 % spent" in out
    log = dps.Ledger("privacy.db").budget("visits").log()
    assert [entry.label for entry in log] == ["first", ""]
    assert [entry.status for entry in log] == ["done", "done"]
    assert [entry.uid for entry in log] == [dps.load(path).receipt.uid for path in ("a.dps", "b.dps")]


def test_what_does_not_fit_is_refused_and_writes_nothing(run, data, tmp_path):
    assert run(*data, "--out", "a.dps", *LEDGER, *TOTAL, "--share", "0.9")[0] == 0
    code, out, err = run(*data, "--out", "b.dps", *LEDGER, "--neighbors", "add-remove", "--share", "0.2")
    assert (code, out) == (1, "")
    assert "would fit" in err
    assert not (tmp_path / "b.dps").exists()
    assert len(dps.Ledger("privacy.db").budget("visits").log()) == 1


def test_a_key_is_charged_once_and_gives_the_same_file(run, data):
    words = [*LEDGER, *TOTAL, "--epsilon", "1", "--key", "monday"]
    assert run(*data, "--out", "a.dps", *words)[0] == 0
    assert run(*data, "--out", "b.dps", *words)[0] == 0
    assert Path("a.dps").read_bytes() == Path("b.dps").read_bytes()
    assert len(dps.Ledger("privacy.db").budget("visits").log()) == 1
    code, _, err = run(*data, "--out", "c.dps", *LEDGER, *TOTAL, "--epsilon", "0.5", "--key", "monday")
    assert code == 1
    assert "monday" in err


def test_a_retry_with_a_key_works_when_the_budget_is_spent(run, data):
    words = [*LEDGER, *TOTAL, "--share", "1", "--key", "all"]
    assert run(*data, "--out", "a.dps", *words)[0] == 0
    assert run(*data, "--out", "a.dps", *words, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--neighbors", "substitute", "--share", "0.1"],
        ["--neighbors", "add-remove", "--share", "0.1", "--delta", "1e-5"],
        ["--neighbors", "add-remove", "--share", "0.1", "--total-epsilon", "3", "--delta", "1e-6"],
        ["--neighbors", "add-remove", "--share", "0.1", "--total-epsilon", "2"],
    ],
)
def test_other_terms_than_the_stored_ones_are_refused(run, data, words):
    assert run(*data, "--out", "a.dps", *LEDGER, *TOTAL, "--share", "0.25")[0] == 0
    code, _, err = run(*data, "--out", "b.dps", *LEDGER, *words)
    assert code == 1
    assert "visits" in err
    assert len(dps.Ledger("privacy.db").budget("visits").log()) == 1


@pytest.mark.parametrize("out", ["a.txt", "missing/a.dps", "a.dps", "folder.dps"])
def test_a_bad_target_is_refused_before_the_charge(run, data, tmp_path, out):
    (tmp_path / "a.dps").write_text("precious")
    (tmp_path / "folder.dps").mkdir()
    code, _, err = run(*data, "--out", out, *LEDGER, *TOTAL, "--share", "0.25")
    assert code == 1
    assert "--out" in err
    assert not (tmp_path / "privacy.db").exists()
    assert (tmp_path / "a.dps").read_text() == "precious"


def test_a_file_that_can_not_be_written_after_the_charge_says_so(run, data, monkeypatch):
    def full(release, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "save", full)
    code, _, err = run(*data, "--out", "a.dps", *LEDGER, *TOTAL, "--share", "0.25", "--key", "k")
    assert code == 1
    assert "charged, but" in err
    assert "No space left" in err


# ---- wrong usage -----------------------------------------------------------------------------------------------------

GOOD = ["release", "x.csv", "--out", "y.dps", "--bounds", "0:1"]
USAGE = {
    "no relation": [*GOOD, "--epsilon", "1"],
    "an unknown relation": [*GOOD, "--epsilon", "1", "--neighbors", "friends"],
    "a radius of no number": [*GOOD, "--epsilon", "1", "--neighbors", "rows-within:near"],
    "a negative radius": [*GOOD, "--epsilon", "1", "--neighbors", "rows-within:-1"],
    "no price": [*GOOD, "--neighbors", "add-remove"],
    "two prices": [*GOOD, *PRICE, "--share", "0.5"],
    "no bounds": ["release", "x.csv", "--out", "y.dps", *PRICE],
    "bounds of words": ["release", "x.csv", "--out", "y.dps", "--bounds", "a:b", *PRICE],
    "bounds without a colon": ["release", "x.csv", "--out", "y.dps", "--bounds", "1", *PRICE],
    "share without a ledger": [*GOOD, "--share", "0.5", "--neighbors", "add-remove"],
    "key without a ledger": [*GOOD, *PRICE, "--key", "k"],
    "budget without a ledger": [*GOOD, *PRICE, "--budget", "k"],
    "ledger without a budget": [*GOOD, *PRICE, "--ledger", "p.db"],
    "a total without a ledger": [*GOOD, *PRICE, "--total-epsilon", "2"],
    "an error and a ledger": ["plan", "--bounds", "0:1,0:1", "--error", "1", *PRICE[-2:], *LEDGER],
    "no command": [],
    "an unknown command": ["undo"],
}


@pytest.mark.parametrize("what", USAGE)
def test_wrong_usage_is_two(run, what):
    code, out, err = run(*USAGE[what])
    assert (code, out) == (2, "")
    assert "usage: dpstruct" in err


REFUSED = {
    "epsilon of nothing": ["--epsilon", "0", "--delta", "1e-6", "--neighbors", "add-remove"],
    "epsilon negative": ["--epsilon=-1", "--neighbors", "add-remove"],
    "epsilon nan": ["--epsilon", "nan", "--neighbors", "add-remove"],
    "delta too large": ["--epsilon", "1", "--delta", "0.5", "--neighbors", "add-remove"],
    "bounds upside down": [*PRICE, "--bounds", "1:0"],
    "bounds infinite": [*PRICE, "--bounds", "0:inf"],
    "too many bounds": [*PRICE, "--bounds", "0:1,0:1"],
    "too deep": [*PRICE, "--depth", "40"],
    "an unknown column": [*PRICE, "--columns", "a,nope"],
    "a column twice": [*PRICE, "--columns", "a,a"],
    "a column of a file without names": [*PRICE, "--columns", "a", "--no-header"],
    "two delimiters": [*PRICE, "--delimiter", "::"],
    "a long label": [*PRICE, "--label", "x" * 2000],
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_values_are_one_and_one_message(run, data, tmp_path, what):
    code, out, err = run(*GOOD, *REFUSED[what])
    assert (code, out) == (1, "")
    assert err.startswith("dpstruct: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "y.dps").exists()


def test_a_wrong_column_is_named_and_no_other(run, data):
    write_csv("x.csv", X, header=("alpha", "beta", "gamma"))
    code, _, err = run(*GOOD, *PRICE, "--columns", "alpha,nope")
    assert code == 1
    assert "'nope'" in err
    assert "3 columns" in err
    assert not any(name in err for name in ("alpha", "beta", "gamma"))


@pytest.mark.parametrize("name", ["missing.csv", "missing.npy", "missing.parquet", "x.txt", "folder.csv"])
def test_a_file_that_is_not_there(run, tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    code, _, err = run("release", name, "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert name.split(".")[0] in err
    assert err.count("\n") == 1


def test_an_empty_file(run):
    Path("x.csv").touch()
    code, _, err = run("release", "x.csv", "--out", "y.dps", "--bounds", "0:1", *PRICE)
    assert code == 1
    assert "--no-header" in err
    assert run("release", "x.csv", "--out", "y.dps", "--bounds", "0:1,0:1", "--no-header", *PRICE)[0] == 0


def test_the_receipt_is_a_function_of_the_options(run, data):
    """What the file states about the release is what was asked, exactly."""
    assert run(*data, "--out", "a.dps", *LEDGER, *TOTAL, "--epsilon", "0.5", "--label", "ü")[0] == 0
    receipt = dps.load("a.dps").receipt
    assert receipt.cost == dps.GDP.from_approx_dp(0.5, 1e-6)
    assert (receipt.epsilon, receipt.delta, receipt.label) == (2.0, 1e-6, "ü")
    assert json.loads(json.dumps(files.inspect("a.dps")))["structure"]["parameters"]["depth"] == 3
