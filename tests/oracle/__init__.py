"""Plain NumPy and pure Python bodies that judge the kernels."""
