"""The command line ``dpstruct``: plan, release, query, and the books, without writing Python.

Exit codes: 0 done, 1 an error of the library or the system (one message, no traceback), 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process if not given.

    Examples
    --------
    >>> main("plan --bounds -1:1 --dim 3 --epsilon 1 --delta 1e-6 --neighbors add-remove --depth 1".split())
    plan for KDETree(Box(low=(-1.0, -1.0, -1.0), high=(1.0, 1.0, 1.0)), metric='l1', depth=1)
      (1, 1e-6)-DP from 0.2368-GDP for add-remove neighbors, unit row
      worst standard error of one answer: ...
    0
    """
    from dpstruct.cli.parser import parse

    for stream in (sys.stdout, sys.stderr):
        if argv is None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters is no reason to fail
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        return _run(args)
    except SystemExit as stop:  # how argparse ends on --help and on wrong usage
        return stop.code if isinstance(stop.code, int) else 2


def _run(args: Any) -> int:
    from dpstruct.errors import DPStructError

    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            args.run(args)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except DPStructError as error:
            return _fail(str(error))
        except OSError as error:
            place = f"{error.filename}: " if error.filename is not None else ""
            return _fail(f"{place}{error.strerror or error}")
        except KeyboardInterrupt:
            return _fail("interrupted", code=130)
    return 0


def _fail(message: str, code: int = 1) -> int:
    from dpstruct.cli.text import plain

    print(f"dpstruct: {plain(message, 4000)}", file=sys.stderr)  # it may quote the label of a hostile file
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"dpstruct: warning: {message}", file=sys.stderr)
