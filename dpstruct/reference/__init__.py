"""Published algorithms as honest baselines: floats, NumPy noise, no budget, and a label that says what is guaranteed.

Nothing here is a private release: no baseline touches a `Budget`, and each `label` states its guarantee, or None and
the reason. They exist so that benchmarks compare with rivals that are as fast and as accurate as their papers allow.
"""

from dpstruct.reference._label import Label
from dpstruct.reference.backurs_tree import BackursTree
from dpstruct.reference.refined_tree import RefinedTree

__all__ = ["BackursTree", "Label", "RefinedTree"]
