"""What a baseline promises, and under which conditions."""

from __future__ import annotations

from dataclasses import dataclass

FLOAT_NOISE = (
    "the noise is floating-point and drawn from a NumPy generator, which proves nothing about the released doubles, "
    "and nothing is charged to a budget"
)


@dataclass(frozen=True)
class Label:
    """The promise of one baseline, to be read before its numbers.

    Attributes
    ----------
    source : str
        Where the algorithm was published (arXiv id).
    claim : str
        What the algorithm satisfies in real arithmetic: measure, neighbours and conditions.
    guarantee : str or None
        What this implementation satisfies on a computer; None means nothing is guaranteed.
    reason : str
        Why `guarantee` is None, or what it rests on.
    modelled : bool
        True if the code was modelled from the published description instead of the authors' program.

    Examples
    --------
    >>> from dpstruct.reference import RefinedTree
    >>> label = RefinedTree(([0.0], [1.0]), depth=4, epsilon=1.0, neighbors="add-remove").label
    >>> label.guarantee is None, label.source, label.modelled
    (True, 'arXiv:2409.01688', True)
    """

    source: str
    claim: str
    guarantee: str | None
    reason: str
    modelled: bool

    def __str__(self) -> str:
        made = "modelled from the published description" if self.modelled else "published program"
        return f"{self.source} ({made}); guarantee: {self.guarantee}, since {self.reason}; on paper: {self.claim}"
