"""Compute-intensive operations, one folder each.

A folder holds the interface and dispatch (`__init__`), a short `reference` in PyTorch, a `cpu`
version in Numba with a hand-written backward pass and, for most operations, a `cuda` version in
Triton. Where `cuda.py` says so, it runs the reference.

Arrays with one row per point are often stored column by column in memory (the transpose of a
contiguous array), because the CPU loops run over points. Any strides are accepted; that layout
needs no copy.
"""
