"""The commands and their options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from dpstruct._version import __version__
from dpstruct.cli import demo, files, ledger, query, release
from dpstruct.cli.options import intervals, point, relation

__all__ = ["parse"]

_TAKES_NUMBERS = {"--bounds", "--at"}
_NEGATIVE = re.compile(r"-[0-9.]")

_PRICE = """
Options of the price. Without --ledger: --epsilon and --delta, paid from a budget made for this one release. With
--ledger and --budget: --epsilon (at the budget's delta) or --share of the budget's total; --total-epsilon and
--delta open the budget if it is new. A delta of 0, the default, means pure differential privacy.
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command; ends the process as argparse does on ``--help`` and on wrong usage."""
    return _parser().parse_args(_joined(argv))


def _joined(argv: Sequence[str]) -> list[str]:
    """Write ``--bounds -1:1`` as ``--bounds=-1:1``, which argparse does not take for an option."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] in _TAKES_NUMBERS and _NEGATIVE.match(word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dpstruct",
        description="Differentially private data structures: build once under an epsilon budget, query for ever.",
        epilog="Start with `dpstruct demo`.",
    )
    parser.add_argument("--version", action="version", version=f"dpstruct {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands.add_parser("demo", help="the whole life of a release on real public data, with a page to read"))
    _add_plan(commands.add_parser("plan", help="price, noise and error of a release; reads no data", epilog=_PRICE))
    _add_release(commands.add_parser("release", help="data in, private .dps file out", epilog=_PRICE))
    _add_query(commands.add_parser("query", help="answers of a .dps file with their standard errors; free"))
    _add_ledger(commands.add_parser("ledger", help="what was spent: show, log, verify, export"))
    for name, run, text in (
        ("inspect", files.inspect, "the privacy label of a .dps file, unchecked"),
        ("verify", files.verify, "recompute hash and accounting of a .dps file, without the data"),
    ):
        command = commands.add_parser(name, help=text, description=f"Print {text}.")
        command.add_argument("file", metavar="FILE.dps")
        if name == "inspect":
            command.add_argument("--json", action="store_true", help="the label as it is in the file")
        _handle(command, run)
    return parser


def _handle(parser: argparse.ArgumentParser, run: object) -> None:
    parser.set_defaults(run=run, misuse=parser.error)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = "Release a private distance tree of 1,797 scanned digits and compare it with the truth."
    parser.add_argument("--out", metavar="DIR", default="dpstruct-demo", help="folder for page, release and ledger")
    _handle(parser, demo.run)


def _add_price(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    price = parser.add_mutually_exclusive_group(required=True)
    price.add_argument("--epsilon", type=float, help="price: epsilon of this release on its own")
    price.add_argument("--share", type=float, help="price: share of the budget's total, in (0, 1]")
    parser.add_argument("--delta", type=float, help="delta of the price, or of a new budget (default 0: pure DP)")
    parser.add_argument(
        "--neighbors",
        type=relation,
        required=True,
        metavar="RELATION",
        help="what two neighbouring datasets differ in: add-remove, substitute or rows-within:RADIUS",
    )
    parser.add_argument("--ledger", metavar="FILE.db", help="the ledger that remembers what is spent")
    parser.add_argument("--budget", metavar="NAME", help="name of the budget in the ledger")
    parser.add_argument(
        "--total-epsilon", type=float, metavar="E", help="open the budget with this total, or reopen it"
    )
    return price


def _add_tree(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bounds",
        type=intervals,
        required=True,
        metavar="LOW:HIGH[,...]",
        help="public range of every column, or one for all; never computed from the data. Values outside are clipped",
    )
    parser.add_argument("--depth", type=int, help="levels of the tree: resolution, not error")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print what a release of a distance tree would cost and how good it would be. Reads no data."
    _add_tree(parser)
    parser.add_argument("--dim", type=int, help="number of columns, if --bounds is one range for all")
    price = _add_price(parser)
    price.add_argument("--error", type=float, help="instead of a price: the largest acceptable standard error")
    _handle(parser, release.plan)


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--columns", metavar="A,B,...", help="names, or numbers from 0 (0,2,5-7) if there are none; default all"
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="CSV: the first line holds the column names (default; refused if one is empty or a number) or a record",
    )
    parser.add_argument("--delimiter", default=",", metavar="CHAR", help="CSV: what separates cells (default: comma)")


def _add_release(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Build a private tree of the l1 distances to all rows of a file and write it as .dps. Cells that are missing "
        "or no numbers count as the middle of the range. In a CSV file every line is one record, also a blank one: "
        "rows may be ragged, and a quoted cell ends with its line."
    )
    parser.add_argument("data", metavar="DATA", help="a .csv, .npy or .parquet file, one record per row")
    parser.add_argument("--out", required=True, metavar="FILE.dps", help="where to write the release")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.dps if it exists")
    _add_table(parser)
    _add_tree(parser)
    _add_price(parser)
    parser.add_argument("--key", help="name of this release for retries: charged once, however often it is run")
    parser.add_argument("--label", default="", help="a public note for the receipt and the log")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    _handle(parser, release.release)


def _add_query(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the sum of the l1 distances from every point to all records, with its standard error."
    parser.add_argument("file", metavar="FILE.dps")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--at", type=point, action="append", metavar="X,Y,...", help="a point; may be repeated")
    where.add_argument("--points", metavar="FILE", help="points in a .csv, .npy or .parquet file")
    _add_table(parser)
    parser.add_argument(
        "--outside", choices=["clip", "extend", "raise"], default="clip", help="points out of the bounds"
    )
    parser.add_argument("--format", choices=["table", "csv"], default="table")
    _handle(parser, query.query)


def _add_ledger(parser: argparse.ArgumentParser) -> None:
    parser.description = "Read a ledger. Nothing here spends."
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, run, text in (
        ("show", ledger.show, "the budgets: guarantee, spent, room, and the head of the hash chain"),
        ("log", ledger.log, "every charge, oldest first"),
        ("verify", ledger.verify, "recompute hashes, totals and prices"),
        ("export", ledger.export, "all entries and the head of the hash chain, as JSON"),
    ):
        action = actions.add_parser(name, help=text, description=f"Print {text}." if name != "verify" else text)
        action.add_argument("ledger", metavar="FILE.db")
        if name == "verify":
            action.add_argument("--head", metavar="HASH", help="a head exported earlier, to notice a rollback")
        else:
            action.add_argument("--budget", metavar="NAME", help="only this budget")
        _handle(action, run)
