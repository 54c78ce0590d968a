"""The private door for tests: a noise source that replaces the sampler inside one context.

Only `dpstruct.testing` may use it. A budget that lives in a file refuses to release while a source is injected, and
what such a release returns says ``noise="injected"`` on its receipt and can not be saved.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__: list[str] = []


class _NoiseSource(Protocol):
    def draw(self, line: str, kind: str, scales: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]: ...


_noise_source: ContextVar[_NoiseSource | None] = ContextVar("dpstruct_noise_source", default=None)
