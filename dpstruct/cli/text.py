"""Text from files on its way to a terminal."""

from __future__ import annotations

__all__ = ["plain"]


def plain(text: object, limit: int = 400) -> str:
    r"""Return text without control characters: what a file holds never drives the terminal.

    Examples
    --------
    >>> plain("a\x1b[31mb\nc")
    'a�[31mb�c'
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text)[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
