"""Kernels for NVIDIA GPUs, and what compiles and launches them. Importing this package loads neither CuPy nor NVRTC."""
