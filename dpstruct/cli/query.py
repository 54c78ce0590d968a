"""``dpstruct query``: answers and their standard errors, free for ever."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dpstruct.cli.source import open_table
from dpstruct.core import load
from dpstruct.errors import InvalidParameter

__all__ = ["query"]


def query(args: Namespace) -> None:
    """Print one line per point: the answer and its standard error."""
    private = load(args.file)
    dim = private.structure.dim
    print("answer,standard_error" if args.format == "csv" else f"{'point':>10}  {'answer':>16}  {'standard error':>14}")
    number = 0
    for points in _points(args, dim):
        answers, errors = private.query(points, outside=args.outside), private.error(points, outside=args.outside)
        for answer, error in zip(answers.tolist(), errors.tolist(), strict=True):
            print(
                f"{answer!r},{error!r}" if args.format == "csv" else f"{number:>10}  {answer:>16,.6g}  {error:>14,.4g}"
            )
            number += 1


def _points(args: Namespace, dim: int) -> Iterator[NDArray[np.generic]]:
    if args.at is not None:
        if any(len(at) != dim for at in args.at):
            raise InvalidParameter("--at", "points of another size", f"{dim} coordinates each, separated by commas")
        yield np.array(args.at)
        return
    source = open_table(args.points, columns=args.columns, header=args.header, delimiter=args.delimiter, width=dim)
    if source.width != dim:
        raise InvalidParameter(
            "--points", f"{source.width} columns", f"{dim}, those of the release", "choose with --columns"
        )
    for block, _ in source.blocks():
        yield block
