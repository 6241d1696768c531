"""LPIPS with random weights: the paper's formula, and rejected input."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS, SCALE, SHIFT

VGG = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG_NAMES = ("1.0", "1.2", "2.5", "2.7", "3.10", "3.12", "3.14", "4.17", "4.19", "4.21",
             "5.24", "5.26", "5.28")  # fmt: skip
ALEX = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
ALEX_NAMES = ("1.0", "2.3", "3.6", "4.8", "5.10")


def weights(net: str, thin: int = 16) -> dict[str, Tensor]:
    """Random weights of a narrower network with the same layers."""
    generator = torch.Generator().manual_seed(0)
    if net == "vgg":
        outputs = [n // thin for n in VGG]
        shapes = list(zip(outputs, [3, *outputs[:-1]], [3] * 13, strict=True))
        names, ends = VGG_NAMES, (1, 3, 6, 9, 12)
    else:
        shapes = [(a // thin, 3 if b == 3 else b // thin, k) for a, b, k in ALEX]
        names, ends = ALEX_NAMES, (0, 1, 2, 3, 4)
    tensors: dict[str, Tensor] = {}
    for name, (a, b, k) in zip(names, shapes, strict=True):
        scale = (2 / (b * k * k)) ** 0.5
        tensors[f"net.slice{name}.weight"] = scale * torch.randn(
            a, b, k, k, generator=generator
        )
        tensors[f"net.slice{name}.bias"] = 0.1 * torch.randn(a, generator=generator)
    for stage, end in enumerate(ends):
        channels = shapes[end][0]
        tensors[f"lin{stage}.model.1.weight"] = torch.rand(
            1, channels, 1, 1, generator=generator
        )
    return tensors


@pytest.fixture(params=["vgg", "alex"])
def metric(request: pytest.FixtureRequest, tmp_path: Path) -> LPIPS:
    save_file(weights(request.param), tmp_path / "w.safetensors")
    return LPIPS.read(tmp_path / "w.safetensors")


def test_it_is_a_distance(metric: LPIPS) -> None:
    a, b = torch.rand(2, 64, 48, 3), torch.rand(2, 64, 48, 3)
    assert float(metric(a, a).abs().max()) < 1e-6
    torch.testing.assert_close(metric(a, b), metric(b, a))
    near, far = metric(a, 0.95 * a + 0.05 * b), metric(a, b)
    assert bool((near > 0).all())
    assert bool((near < far).all())


def test_the_first_stage_is_the_formula(metric: LPIPS) -> None:
    """Eq. 1: squared differences of unit features, weighted, averaged and summed."""
    only = dict(metric.tensors)
    for stage in range(1, 5):
        only[f"lin{stage}.model.1.weight"] = torch.zeros_like(
            only[f"lin{stage}.model.1.weight"]
        )
    a, b = torch.rand(1, 64, 64, 3), torch.rand(1, 64, 64, 3)
    features: list[Tensor] = []
    for image in (a, b):
        x = (2 * image - 1 - torch.tensor(SHIFT)) / torch.tensor(SCALE)
        layer = torch.nn.Sequential()
        stride, padding = (4, 2) if metric.net == "alex" else (1, 1)
        for name in ("net.slice1.0", "net.slice1.2")[: 1 + (metric.net == "vgg")]:
            weight = only[f"{name}.weight"]
            conv = torch.nn.Conv2d(*weight.shape[1::-1], weight.shape[2], stride, padding)
            conv.load_state_dict({"weight": weight, "bias": only[f"{name}.bias"]})
            layer.extend([conv, torch.nn.ReLU()])
        y = layer(x.permute(0, 3, 1, 2)).detach()
        features.append(y / y.norm(dim=1, keepdim=True).clamp_min(1e-10))
    square = (features[0] - features[1]).square()
    expected = (only["lin0.model.1.weight"] * square).sum(1).mean()
    torch.testing.assert_close(LPIPS(metric.net, only)(a, b)[0], expected)


def test_what_is_refused(metric: LPIPS, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 32"):
        metric(torch.rand(1, 16, 40, 3), torch.rand(1, 16, 40, 3))
    with pytest.raises(InputError, match="no such file"):
        LPIPS.read(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("weights")
    with pytest.raises(InputError, match=r"cannot be read as \.safetensors"):
        LPIPS.read(tmp_path / "text.safetensors")
    few = {name: t for name, t in metric.tensors.items() if name != "lin3.model.1.weight"}
    save_file(few, tmp_path / "few.safetensors")
    with pytest.raises(InputError, match=r"has no tensor lin3\.model\.1\.weight"):
        LPIPS.read(tmp_path / "few.safetensors")
