"""CUDA twins of the kernels: thread loops around the scalar bodies of the CPU. Needs a GPU or Numba's simulator."""
