"""The one door: the only place where noise meets sealed sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct import noise
from dpstruct.core.hooks import _noise_source
from dpstruct.core.plan import Plan
from dpstruct.core.state import Sealed, State, add_wrapping
from dpstruct.errors import PlanViolation

__all__ = ["Transcript", "noise_label", "run"]

Transcript = dict[str, NDArray[np.int64]]


def noise_label() -> str:
    """Return what a receipt says about the source of its noise."""
    return noise.entropy_source() if _noise_source.get() is None else "injected"


def _draw(name: str, kind: str, scales: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    source = _noise_source.get()
    if source is None:
        return noise.draw(kind, scales, shape)
    return np.asarray(source.draw(name, kind, scales, shape), dtype=np.int64).reshape(shape)


def run(plan: Plan[Any], state: State) -> Transcript:
    """Run the rounds of a structure to their end and return the noised transcript.

    Sums are released in the order of the plan, each exactly once; sums that the plan does not list are dropped. The
    generator sees its sums only after noise was added.

    Raises
    ------
    PlanViolation
        If a round yields something unsealed, a line twice or out of order, another shape, or leaves a line out.
    """
    transcript: Transcript = {}
    waiting = list(plan.lines.items())
    rounds = plan.structure.rounds(plan, state)
    answer: Mapping[str, NDArray[np.int64]] | None = None
    while True:
        try:
            sealed = next(rounds) if answer is None else rounds.send(answer)
        except StopIteration:
            break
        if not isinstance(sealed, Sealed):
            raise PlanViolation(
                f"rounds() of {type(plan.structure).__name__} yielded an object that is not sealed sums"
            )
        exact = sealed._open()
        answer = {}
        for name in [name for name, _ in waiting if name in exact]:
            (due, (kind, line)) = waiting.pop(0)
            if name != due or exact[name].shape != line.shape:
                raise PlanViolation(f"line {name!r} was yielded where the plan lists {due!r} of shape {line.shape}")
            noised = add_wrapping(exact[name], _draw(name, kind, np.array(line.scales), line.shape))
            noised.setflags(write=False)
            answer[name] = transcript[name] = noised
        if not answer:
            raise PlanViolation("a round yielded no line that the plan still lists")
    if waiting:
        raise PlanViolation(f"the rounds ended without releasing {[name for name, _ in waiting]}")
    if plan.neighbors != "add-remove":
        transcript["n"] = np.array(state._units % 2**64, np.uint64).view(np.int64)  # equal for all neighbours
    return transcript
