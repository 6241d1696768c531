"""Hot operations. Each folder holds the contract and dispatch (`__init__`), a short torch
`reference`, and a `cpu` version with a hand-written backward.

Arrays with one row a point are often kept column by column in memory (the transpose of a
contiguous array), because the CPU loops run over points. Any strides are accepted; that layout
is the one that needs no copy.
"""
