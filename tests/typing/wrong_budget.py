"""A budget names its neighbours, and its terms can not be changed afterwards."""

import dpstruct as dps

dps.Budget(epsilon=2.0, delta=1e-6)  # E: [call-arg]
dps.Budget(2.0, 1e-6, "add-remove")  # E: Too many positional
dps.Budget(epsilon=2.0, delta=1e-6, neighbors=None)  # E: [arg-type]
dps.Budget(epsilon=2.0, delta=1e-6, neighbors="add-remove", seed=7)  # E: [call-arg]

budget = dps.Budget(epsilon=2.0, delta=1e-6, neighbors="add-remove")
budget.epsilon = 100.0  # E: [misc]
budget.remaining = dps.GDP(1.0)  # E: [misc]

tree = dps.KDETree(bounds=dps.Box(low=[0, 0], high=[1, 1]))
tree.depth = 3  # E: [misc]
tree.plan(epsilon=0.5, delta=1e-6)  # E: [call-arg]
dps.KDETree([[0, 1], [0, 1]])  # E: [arg-type]
