"""Attack a privacy claim from outside: run a mechanism on two neighbours, refute its claim or bound how bad it is.

Start with `sequential_test`. Every statement here is a lower bound at a stated confidence, for one pair of neighbours;
none says that a mechanism is private. `assert_private` and `sampler`, which attack a plan, need Hypothesis:
``pip install "dpstruct[testing]"``.
"""

from importlib.util import find_spec

from dpstruct.audit.bounds import epsilon_bound, mu_bound
from dpstruct.audit.float_features import float_features
from dpstruct.audit.needed import runs_needed, runs_to_distinguish
from dpstruct.audit.one_run import canary_guesses, one_run_bound
from dpstruct.audit.runs import one_at_a_time
from dpstruct.audit.sequential import sequential_test
from dpstruct.audit.verdict import Bound, Counts, Verdict, Witness

if find_spec("hypothesis") is not None:  # what attacks a plan rests on `dpstruct.testing`, the rest does not
    from dpstruct.audit.private import assert_private
    from dpstruct.audit.sampler import sampler

__all__ = [
    "Bound",
    "Counts",
    "Verdict",
    "Witness",
    "assert_private",
    "canary_guesses",
    "epsilon_bound",
    "float_features",
    "mu_bound",
    "one_at_a_time",
    "one_run_bound",
    "runs_needed",
    "runs_to_distinguish",
    "sampler",
    "sequential_test",
]
