"""Selection of the implementation that runs a kernel."""

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

Backend = Literal["auto", "reference", "cpu", "cuda"]
"""`auto` selects the fast implementation for the tensors' device, or the reference if none."""


@cache
def has_triton() -> bool:
    """Whether Triton is installed: it comes with CUDA builds of torch on Linux."""
    return find_spec("triton") is not None


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter, which is slow but needs no GPU."""
    return has_triton() and os.environ.get("TRITON_INTERPRET") == "1"


def resolve(backend: Backend, tensor: Tensor) -> Literal["reference", "cpu", "cuda"]:
    """The backend that `backend` selects for `tensor`. ValueError if it cannot run there."""
    device = tensor.device.type
    if backend == "auto":
        if tensor.dtype != torch.float32:
            return "reference"
        if device == "cuda" and has_triton():
            return "cuda"
        return "cpu" if device == "cpu" else "reference"
    if backend == "cpu" and device != "cpu":
        raise ValueError(
            f'backend "cpu" cannot run on tensors on {tensor.device}: move them to the CPU, '
            'or use backend="auto"'
        )
    if backend == "cuda" and not has_triton():
        raise ValueError(
            'backend "cuda" needs Triton, which is not installed here: use backend="auto"'
        )
    if backend == "cuda" and device != "cuda" and not interpreting():
        raise ValueError(
            f'backend "cuda" cannot run on tensors on {tensor.device}: move them to a GPU, '
            'or use backend="auto"'
        )
    return backend


def implementation(package: str, backend: Backend, tensor: Tensor) -> Any:
    """The backend module of kernel `package` for `tensor`, imported on first use."""
    return import_module(f"{package}.{resolve(backend, tensor)}")
