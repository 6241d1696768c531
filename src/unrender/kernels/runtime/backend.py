"""Which implementation of a kernel runs."""

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

Backend = Literal["auto", "reference", "cpu", "cuda"]
"""`auto` takes the fast implementation for the tensors' device, or else the reference."""


@cache
def has_triton() -> bool:
    """Triton comes with torch's CUDA builds on Linux; elsewhere GPUs run the reference."""
    return find_spec("triton") is not None


def interpreting() -> bool:
    """Whether Triton's kernels run in its interpreter: slow, and without a GPU."""
    return has_triton() and os.environ.get("TRITON_INTERPRET") == "1"


def resolve(backend: Backend, tensor: Tensor) -> Literal["reference", "cpu", "cuda"]:
    device = tensor.device.type
    if backend == "auto":
        if tensor.dtype != torch.float32:
            return "reference"
        if device == "cuda" and has_triton():
            return "cuda"
        return "cpu" if device == "cpu" else "reference"
    if backend == "cpu" and device != "cpu":
        raise ValueError(
            f'backend "cpu" was asked for tensors on {tensor.device}: move them to the CPU, '
            'or use backend="auto"'
        )
    if backend == "cuda" and not has_triton():
        raise ValueError(
            'backend "cuda" needs Triton, which is not installed here: use backend="auto"'
        )
    if backend == "cuda" and device != "cuda" and not interpreting():
        raise ValueError(
            f'backend "cuda" was asked for tensors on {tensor.device}: move them to a GPU, '
            'or use backend="auto"'
        )
    return backend


def implementation(package: str, backend: Backend, tensor: Tensor) -> Any:
    """The module of a kernel's package that computes on `tensor`; imported when first used."""
    return import_module(f"{package}.{resolve(backend, tensor)}")
