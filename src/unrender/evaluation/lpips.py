"""LPIPS: perceptual distance of images, by features of a classification network.

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", CVPR 2018, https://arxiv.org/abs/1801.03924, eq. 1.

The weights are not part of this library. With the authors' package `lpips` installed, the
following code writes the file that `unrender evaluate --lpips` reads:

    import lpips, safetensors.torch
    tensors = lpips.LPIPS(net="vgg").state_dict()
    safetensors.torch.save_file(
        {name: t.contiguous() for name, t in tensors.items() if not name.startswith("lins")},
        "lpips_vgg.safetensors",
    )

Values of the two networks, `alex` and `vgg`, are not comparable.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, normalize

from unrender.errors import InputError
from unrender.files.arrays import read_tensors
from unrender.imaging.save import ImageList

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Standard deviation of ImageNet's colors in [−1, 1]; `SHIFT` is their mean."""
LAYERS = {
    "alex": ((0,), (3,), (6,), (8,), (10,)),
    "vgg": ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)),
}
"""Layer indices of each stage's convolutions in torchvision's networks."""
STRIDES = {"alex": (4, 1, 1, 1, 1), "vgg": (1, 1, 1, 1, 1)}
PADDING = {"alex": (2, 2, 1, 1, 1), "vgg": (1, 1, 1, 1, 1)}
POOLED = {"alex": (0, 3, 3, 0, 0), "vgg": (0, 2, 2, 2, 2)}
"""Kernel size of the max pooling before each stage, with stride 2; 0 for none."""
MIN_SIDE = 32
"""Minimum image side in pixels: smaller images leave no features in the last stage."""


@dataclass(frozen=True)
class LPIPS:
    """An LPIPS network with its weights."""

    net: str
    tensors: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "LPIPS":
        """Read a file as described above. Raises InputError if it is not one."""
        tensors = read_tensors(path, "give LPIPS weights as --lpips")
        net = "vgg" if "net.slice1.2.weight" in tensors else "alex"
        for name in _names(net):
            if name not in tensors:
                raise InputError(
                    f"{path}: has no tensor {name}: write it as evaluation/lpips.py shows"
                )
        return cls(net, tensors)

    def __call__(
        self,
        rendered: ImageList,
        truth: ImageList,
    ) -> Float[Tensor, "views"]:
        """LPIPS of each pair of images in [0, 1], 0 if identical. InputError if too small."""
        for height, width, _ in (image.shape for image in rendered):
            if min(height, width) < MIN_SIDE:
                raise InputError(
                    f"images of {width}×{height} pixels: LPIPS needs at least "
                    f"{MIN_SIDE}×{MIN_SIDE}: evaluate larger images"
                )
        pairs = zip(rendered, truth, strict=True)
        return torch.stack([self._distance(torch.stack(pair).detach().cpu()) for pair in pairs])

    @torch.no_grad()
    def _distance(self, pair: Float[Tensor, "2 height width 3"]) -> Float[Tensor, ""]:
        x = (2 * pair - 1 - torch.tensor(SHIFT)) / torch.tensor(SCALE)
        x, total = x.permute(0, 3, 1, 2).float(), torch.zeros(())
        for stage, layers in enumerate(LAYERS[self.net]):
            size = POOLED[self.net][stage]
            x = max_pool2d(x, size, 2) if size else x
            for layer in layers:
                name = f"net.slice{stage + 1}.{layer}"
                weight, bias = (self.tensors[f"{name}.{kind}"] for kind in ("weight", "bias"))
                stride, padding = STRIDES[self.net][stage], PADDING[self.net][stage]
                x = conv2d(x, weight, bias, stride, padding).relu()
            features = normalize(x, dim=1, eps=1e-10)
            apart = (features[0] - features[1]).square()[None]
            total = total + conv2d(apart, self.tensors[f"lin{stage}.model.1.weight"]).mean()
        return total


def _names(net: str) -> list[str]:
    convolutions = [
        f"net.slice{stage + 1}.{layer}.{kind}"
        for stage, layers in enumerate(LAYERS[net])
        for layer in layers
        for kind in ("weight", "bias")
    ]
    return convolutions + [f"lin{stage}.model.1.weight" for stage in range(5)]
