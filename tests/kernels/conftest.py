"""Each fast backend against the torch reference, forward and gradient."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, has_triton, interpreting

Agree = Callable[..., None]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Triton's interpreter is slow: it runs the cases that a test's mark `interpreted` names by
    their ids, and the others are marked `thorough`. A GPU runs all of them.
    """
    if torch.cuda.is_available():
        return
    quick: dict[str, list[bool]] = {}
    for item in items:
        mark = item.get_closest_marker("interpreted")
        if mark is None or not isinstance(item, pytest.Function):
            continue
        case = item.callspec.id
        if case.startswith("cuda-"):
            named = case.removeprefix("cuda-") in mark.args
            quick.setdefault(item.nodeid.split("[")[0], []).append(named)
            if not named:
                item.add_marker("thorough")
    for test, cases in quick.items():
        if len(cases) > 2 and not any(cases):
            raise pytest.UsageError(f"{test}: its mark `interpreted` names none of its cases")


@pytest.fixture(autouse=True)
def split_over_threads(two_threads: None) -> None:
    """A kernel splits its work over threads, and its laws hold of the parts put together."""


@pytest.fixture(autouse=True)
def uninitialized_is_nan() -> Iterator[None]:
    """Memory that torch allocates without a value holds NaN, so that reading it is seen.

    Torch fills memory in its deterministic mode, which refuses some of its operators on a GPU.
    """
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=["cpu", "cuda"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend beside the reference; Triton's runs in its interpreter without a GPU."""
    if request.param == "cuda" and not (torch.cuda.is_available() or interpreting()):
        needed = "a GPU" if has_triton() else "Triton"
        pytest.skip(f"the cuda backend needs {needed}")
    return request.param


@pytest.fixture
def device(backend: Backend) -> torch.device:
    """Where the backend's tensors belong."""
    on_gpu = backend == "cuda" and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


@pytest.fixture
def agree(backend: Backend, device: torch.device) -> Agree:
    """agree(function, inputs) calls function(backend, *inputs) on the reference and the other.

    Values agree, and so do the gradients of a random functional of them, by those inputs that
    require gradients. Tolerances are relative to the largest number of each tensor.
    """

    def check(
        function: Callable[..., Sequence[Tensor]],
        inputs: Sequence[Tensor],
        tolerance: float = 1e-4,
    ) -> None:
        results: list[list[Tensor]] = []
        for name, place in (("reference", torch.device("cpu")), (backend, device)):
            moved = [
                tensor.detach().to(place).requires_grad_(tensor.requires_grad)
                for tensor in inputs
            ]
            outputs = function(name, *moved)
            differentiable = [tensor for tensor in moved if tensor.requires_grad]
            gradients: Sequence[Tensor] = ()
            if differentiable:
                generator = torch.Generator().manual_seed(0)
                total = torch.stack(
                    [
                        (out.cpu() * torch.randn(out.shape, generator=generator)).sum()
                        for out in outputs
                    ]
                ).sum()
                gradients = torch.autograd.grad(total, differentiable)
            results.append([tensor.detach().cpu() for tensor in (*outputs, *gradients)])
        for expected, found in zip(*results, strict=True):
            scale = float(expected.abs().max()) + 1e-12 if expected.numel() else 1.0
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)

    return check
