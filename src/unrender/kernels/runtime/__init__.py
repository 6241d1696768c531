"""Shared by all kernels: backend selection, compilation, SIMD helpers and threads."""
