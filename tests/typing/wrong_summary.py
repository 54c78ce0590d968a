"""A summary can be merged and released, and nothing else."""

import numpy as np

import dpstruct as dps

X = np.zeros((10, 2))
tree = dps.KDETree(bounds=dps.Box(low=[0, 0], high=[1, 1]))
summary = tree.summarize(X)

summary.query(X)  # E: has no attribute "query"
summary.sums  # E: has no attribute "sums"
summary[0]  # E: [index]
len(summary)  # E: [arg-type]
list(summary)  # E: [call-overload]
summary - summary  # E: [operator]
summary + X  # E: [operator]
summary < summary  # E: [operator]
float(summary)  # E: [arg-type]
