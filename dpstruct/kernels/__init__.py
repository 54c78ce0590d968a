"""Numba kernels: arrays and scalars in, arrays out. No objects, defaults, validation or randomness."""
