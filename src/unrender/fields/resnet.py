"""ResNet-18 as an image encoder.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2015), table 1,
https://arxiv.org/abs/1512.03385. Parameters and buffers have torchvision's names and shapes, so
that published weights can be loaded.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from unrender.errors import InputError
from unrender.files.arrays import read_tensors

STANDARD_WIDTH, CLASSES = 64, 1000
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's colors, by which the published weights' inputs are
normalized."""


class Block(nn.Module):
    """Two convolutions and a residual connection, with a 1×1 convolution where sizes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Float[Tensor, "images channels h w"]) -> Float[Tensor, "images c u v"]:
        past = x if self.downsample is None else self.downsample(x)
        inner = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(inner)) + past).relu()


class ResNet18(nn.Module):
    """ResNet-18, of any width."""

    def __init__(
        self,
        generator: torch.Generator,
        width: int = STANDARD_WIDTH,
        classes: int | None = CLASSES,
    ):
        """`width`: channels of the first layers. Without `classes`, there is no last layer."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(width, width, 1)
        self.layer2 = self._stage(width, 2 * width, 2)
        self.layer3 = self._stage(2 * width, 4 * width, 2)
        self.layer4 = self._stage(4 * width, 8 * width, 2)
        self.fc = None if classes is None else nn.Linear(8 * width, classes)
        self.channels = 8 * width
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], False)
        for module in self.modules():
            # Kaiming initialization in fan_out mode keeps the variance of gradients.
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
        if self.fc is not None:
            bound = self.fc.in_features**-0.5
            nn.init.uniform_(self.fc.weight, -bound, bound, generator=generator)
            nn.init.zeros_(self.fc.bias)

    mean: Tensor
    deviation: Tensor

    @staticmethod
    def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))

    def features(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images {self.channels} rows columns"]:
        """Features of the last stage at 1/32 of the images' size; colors in [0, 1]."""
        x = (images - self.mean) / self.deviation
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(
        self, images: Float[Tensor, "images 3 height width"]
    ) -> Float[Tensor, "images classes"]:
        """Logits of the classes."""
        assert self.fc is not None, "a network without a last layer has no class scores"
        return self.fc(adaptive_avg_pool2d(self.features(images), 1).flatten(1))

    def load_weights(self, path: Path) -> None:
        """Load published weights from a .safetensors file.

        The last layer's weights are skipped if the network has no last layer, and stay random
        if the file lacks them. Raises InputError for a file that cannot be read or does not
        fit.
        """
        found = read_tensors(path, "give weights of ResNet-18")
        expected = self.state_dict()
        # Files from old versions of PyTorch lack num_batches_tracked, which only training uses.
        optional = ("fc.", "num_batches_tracked")
        for name, value in expected.items():
            if name not in found:
                if name.startswith(optional[0]) or name.endswith(optional[1]):
                    continue
                raise InputError(f"{path}: lacks {name}: give weights of ResNet-18")
            if found[name].shape != value.shape:
                shapes = [tuple(each.shape) for each in (found[name], value)]
                raise InputError(
                    f"{path}: {name} is of shape {shapes[0]}, not {shapes[1]}: give weights of "
                    "a ResNet-18 of this width"
                )
        odd = [name for name in found if name not in expected and not name.startswith("fc.")]
        if odd:
            raise InputError(f"{path}: has {odd[0]}, which ResNet-18 lacks: give its weights")
        self.load_state_dict({k: v for k, v in found.items() if k in expected}, strict=False)
