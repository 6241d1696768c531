"""Which implementation of a kernel runs."""

from typing import Literal

from torch import Tensor

Backend = Literal["auto", "reference", "cpu"]
"""`auto` takes the fast implementation for the tensors' device, or the reference."""


def resolve(backend: Backend, tensor: Tensor) -> Literal["reference", "cpu"]:
    on_cpu = tensor.device.type == "cpu"
    if backend == "auto":
        return "cpu" if on_cpu and tensor.element_size() == 4 else "reference"
    if backend == "cpu" and not on_cpu:
        raise ValueError(
            f'backend "cpu" was asked for tensors on {tensor.device}: move them to the CPU, '
            'or use backend="auto"'
        )
    return backend
