"""``dpstruct inspect`` and ``dpstruct verify``: the privacy label of a file, read and recomputed."""

from __future__ import annotations

import json
from argparse import Namespace

from dpstruct.cli.text import plain
from dpstruct.core import Receipt
from dpstruct.core import files as core
from dpstruct.errors import FileFormatError
from dpstruct.privacy import GDP
from dpstruct.privacy.display import round_up
from dpstruct.report import Label, label, percent

__all__ = ["inspect", "privacy_label", "verify"]


def privacy_label(receipt: Receipt) -> Label:
    """Return the printed label of a receipt."""
    pure = not isinstance(receipt.cost, GDP)
    epsilon = receipt.cost.epsilon if not isinstance(receipt.cost, GDP) else receipt.cost.epsilon(receipt.delta)
    share = min(1.0, receipt.charged.units / receipt.total.units)
    total = f"({round_up(receipt.epsilon)}, {round_up(receipt.delta)})-DP"
    facts = [
        ("blueprint", receipt.structure),
        ("noise", f"{'discrete Laplace' if pure else 'rounded Gaussian'} ({receipt.noise})"),
        ("price", receipt.guarantee),
        (
            "budget",
            f"{receipt.budget}: {percent(share, up=True)} of {total}",
        ),
        ("charged at", receipt.at),
        ("receipt", receipt.uid[:16]),
        ("dpstruct", receipt.version),
    ]
    return label(
        plain(receipt.label or receipt.structure, 60),
        epsilon=epsilon,
        delta=0 if pure else receipt.delta,
        neighbors=receipt.neighbors,
        unit=plain(receipt.unit, 60),
        facts=[(name, plain(value)) for name, value in facts],
    )


def inspect(args: Namespace) -> None:
    """Print the label of a file as it states itself; nothing is checked."""
    stated = core.inspect(args.file)
    if args.json:
        print(json.dumps(stated, indent=1, sort_keys=True))
        return
    receipt = Receipt.from_json(stated["receipt"])
    try:
        text = str(privacy_label(receipt))
    except ArithmeticError as error:
        raise FileFormatError("the receipt states a cost or total that no release has") from error
    print(text)
    print(f"as the file states it; `dpstruct verify {plain(args.file)}` recomputes it")


def verify(args: Namespace) -> None:
    """Print what holds of a file, recomputed without the data."""
    for line in core.verify(args.file):
        print(f"ok: {plain(line)}")
