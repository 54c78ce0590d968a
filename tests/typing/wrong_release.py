"""Only a summary goes through the door."""

import numpy as np

import dpstruct as dps

X = np.zeros((10, 2))
budget = dps.Budget(epsilon=2.0, delta=1e-6, neighbors="add-remove")
tree = dps.KDETree(bounds=dps.Box(low=[0, 0], high=[1, 1]))

budget.release(X, epsilon=0.5)  # E: [arg-type]
budget.release(tree, epsilon=0.5)  # E: [arg-type]
private = budget.release(tree.summarize(X), epsilon=0.5)
budget.release(private, epsilon=0.5)  # E: incompatible type "PrivateKDETree"
budget.release(tree.summarize(X), 0.5)  # E: Too many positional
budget.release(tree.summarize(X), epsilon="0.5")  # E: [arg-type]
budget.release(tree.summarize(X), epsilon=0.5, seed=1)  # E: [call-arg]
