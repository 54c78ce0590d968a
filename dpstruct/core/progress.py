"""Progress bars for long work: a percentage and the time, never a count of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar"]


@contextmanager
def bar(text: str, steps: int, *, show: bool) -> Iterator[Callable[[], object]]:
    """Yield a callback that moves a bar of `steps` steps on standard error, or does nothing unless `show`."""
    if not show:
        yield lambda: None
        return
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}%|{bar:30}| {elapsed}"
    with tqdm(desc=text, total=max(steps, 1), bar_format=layout, leave=False) as ticker:
        yield ticker.update
