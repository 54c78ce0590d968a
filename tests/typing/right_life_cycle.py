"""The life-cycle as the README shows it: every step has the type that a reader expects."""

from typing import reveal_type

import numpy as np

import dpstruct as dps

X = np.zeros((10, 2))
budget = dps.Budget(epsilon=2.0, delta=1e-6, neighbors="add-remove")
durable = dps.Ledger("privacy.db").budget("visits", epsilon=2.0, delta=1e-6, neighbors="add-remove")
tree = dps.KDETree(bounds=dps.Box(low=[0, 0], high=[1, 1]), metric="l1")

plan = tree.plan(epsilon=0.5, delta=1e-6, neighbors="add-remove")
reveal_type(plan)  # N: Plan[
reveal_type(plan.error)  # N: float

summary = tree.summarize(X[:5]) + tree.summarize(X[5:])
reveal_type(summary)  # N: Summary[

private = budget.release(summary, epsilon=0.5)
reveal_type(private)  # N: PrivateKDETree"
reveal_type(durable.release(summary, share=0.25, key="visits-2026"))  # N: PrivateKDETree"
budget.release(summary, cost=dps.GDP(0.1))
reveal_type(private.query(X))  # N: ndarray
reveal_type(private.error(X))  # N: ndarray
reveal_type(private.receipt)  # N: Receipt"
private.save("visits.dps")
