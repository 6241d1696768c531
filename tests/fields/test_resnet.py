"""ResNet-18: published weights fit, and it computes what the paper says."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from unrender.errors import InputError
from unrender.fields.resnet import DEVIATION, MEAN, ResNet18


def net(**options: int | None) -> ResNet18:
    return ResNet18(torch.Generator().manual_seed(0), **options)  # pyright: ignore


def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes as torchvision's resnet18 lists them."""
    found: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.{part}"] = (width,)
        found[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            found[f"{name}.conv1.weight"] = (width, inputs, 3, 3)
            norm(f"{name}.bn1", width)
            found[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn2", width)
            if inputs != width:
                found[f"{name}.downsample.0.weight"] = (width, inputs, 1, 1)
                norm(f"{name}.downsample.1", width)
            inputs = width
    return found | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def test_names_shapes_and_number_of_parameters() -> None:
    network = net()
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == published()
    assert len(published()) == 122
    assert sum(p.numel() for p in network.parameters()) == 11_689_512
    assert set(net(width=16, classes=None).state_dict()) == {
        name for name in published() if not name.startswith("fc.")
    }


def test_features_by_the_paper(tmp_path: Path) -> None:
    """The same numbers from the functions of the formulas and the named tensors."""
    network = net(width=4, classes=5).eval()
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.copy_(torch.linspace(0.5, 2, len(buffer)))
            if name.endswith("running_mean"):
                buffer.copy_(torch.linspace(-0.2, 0.2, len(buffer)))
    t = network.state_dict()

    def step(x: torch.Tensor, conv: str, norm: str, stride: int, pad: int) -> torch.Tensor:
        x = conv2d(x, t[f"{conv}.weight"], None, stride, pad)
        parts = [t[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(x, *parts)

    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    x = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    x = max_pool2d(step(x, "conv1", "bn1", 2, 3).relu(), 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = step(x, f"{name}.conv1", f"{name}.bn1", stride, 1).relu()
            inner = step(inner, f"{name}.conv2", f"{name}.bn2", 1, 1)
            if stride == 2:
                x = step(x, f"{name}.downsample.0", f"{name}.downsample.1", 2, 0)
            x = (inner + x).relu()
    with torch.no_grad():
        torch.testing.assert_close(network.features(images), x)
        scores = x.mean((2, 3)) @ t["fc.weight"].T + t["fc.bias"]
        torch.testing.assert_close(network(images), scores)


def test_the_seed_decides() -> None:
    one, two = net(width=8), net(width=8)
    assert all(
        torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)
    )
    other = ResNet18(torch.Generator().manual_seed(1), width=8)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)


@pytest.mark.parametrize("with_classes", [True, False])
def test_weights_come_back(tmp_path: Path, with_classes: bool) -> None:
    source = ResNet18(torch.Generator().manual_seed(7), 8, 10)
    tensors = {k: v for k, v in source.state_dict().items() if with_classes or "fc." not in k}
    save_file(tensors, tmp_path / "weights.safetensors")
    for classes in (10, None):
        network = net(width=8, classes=classes)
        network.load_weights(tmp_path / "weights.safetensors")
        for name, value in network.state_dict().items():
            if name in tensors:
                assert torch.equal(value, tensors[name]), name


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    good = net(width=8).state_dict()
    bad = {
        "of shape": good | {"conv1.weight": torch.zeros(4, 3, 7, 7)},
        "lacks layer1.0.bn1.bias": {k: v for k, v in good.items() if k != "layer1.0.bn1.bias"},
        "which ResNet-18 lacks": good | {"layer1.2.conv1.weight": torch.zeros(1)},
    }
    for reason, tensors in bad.items():
        save_file(tensors, path)
        with pytest.raises(InputError, match=reason) as caught:
            net(width=8).load_weights(path)
        assert "\n" not in str(caught.value)
    for content in (b"", b"garbage" * 9):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            net(width=8).load_weights(path)
    with pytest.raises(InputError, match="no such file"):
        net(width=8).load_weights(tmp_path / "absent.safetensors")
