"""Attack a privacy claim: exact prices, invariants, noise fit and accounting, for any structure.

Start with `check_structure`. Needs Hypothesis, which ``pip install "dpstruct[testing]"`` brings.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError('dpstruct.testing needs Hypothesis: pip install "dpstruct[testing]"')

from dpstruct.testing.accounting import assert_accounted
from dpstruct.testing.conformance import check_structure
from dpstruct.testing.invariants import assert_invariants
from dpstruct.testing.noise_fit import assert_noise
from dpstruct.testing.pairs import Pair
from dpstruct.testing.price import Price, assert_price, assert_sensitivity
from dpstruct.testing.search import worst_pair
from dpstruct.testing.sources import RecordingNoise, ReplayNoise, ZeroNoise
from dpstruct.testing.statistics import statistics
from dpstruct.testing.strategies import datasets, neighbors, records
from dpstruct.testing.violation import PrivacyViolation

__all__ = [
    "Pair",
    "Price",
    "PrivacyViolation",
    "RecordingNoise",
    "ReplayNoise",
    "ZeroNoise",
    "assert_accounted",
    "assert_invariants",
    "assert_noise",
    "assert_price",
    "assert_sensitivity",
    "check_structure",
    "datasets",
    "neighbors",
    "records",
    "statistics",
    "worst_pair",
]
