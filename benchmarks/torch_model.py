"""The networks of the training step in PyTorch: encoder, projector, message passing.

Layouts are PyTorch's (NCHW, OIHW), names and strides torchvision's: the encoder's
`state_dict` fits `torchvision.models.resnet50` without its last layer. BatchNorm is
PyTorch's own: it normalises as flax's does, but its running variance is the unbiased
one of the batch (flax: the biased one), which only evaluation reads.
"""

import torch
from torch import nn
from torch.nn import functional

from lvmmed_jax.models import resnet


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int):
        """Makes the layers; `stride` is that of the first convolution."""
        super().__init__()
        self.conv1 = _conv(in_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(in_channels, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, D, R, S] -> [B, width, R / stride, S / stride]."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a skip; the 3x3 has the stride (v1.5)."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int):
        """Makes the layers."""
        super().__init__()
        self.conv1 = _conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, 4 * width, 1)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _downsample(in_channels, 4 * width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, D, R, S] -> [B, 4 width, R / stride, S / stride]."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """Images to a feature map; a row of `resnet.VARIANTS`, first stage `width`."""

    def __init__(self, variant: str, width: int):
        """Makes the layers."""
        super().__init__()
        stage_sizes, bottleneck, pool = resnet.VARIANTS[variant]
        block_class = Bottleneck if bottleneck else BasicBlock
        self.conv1 = _conv(3, width, 7 if pool else 3, 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        self.num_stages = len(stage_sizes)
        self.num_channels = width
        for stage, num_blocks in enumerate(stage_sizes):
            blocks = []
            for block in range(num_blocks):
                halves = block == 0 and (stage > 0 or not pool)
                stage_width = width * 2**stage
                blocks.append(
                    block_class(self.num_channels, stage_width, 2 if halves else 1)
                )
                self.num_channels = stage_width * block_class.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] normalised images -> [B, D, R, S]."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        for stage in range(self.num_stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x


class Projector(nn.Module):
    """z = h(Avg(y)); h is linear, or has one hidden layer with BatchNorm and ReLU."""

    def __init__(self, in_channels: int, width: int, hidden: int = 0):
        """Makes the layers; `hidden` 0: no hidden layer."""
        super().__init__()
        self.hidden = nn.Identity()
        if hidden:
            self.hidden = nn.Sequential(
                nn.Linear(in_channels, hidden, bias=False),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
            )
        self.linear = nn.Linear(hidden or in_channels, width)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """[B, D, R, S] -> [B, F]."""
        return self.linear(self.hidden(feature_map.mean(dim=(2, 3))))


class MessagePassing(nn.Module):
    """Graph convolutions (Eq. 1): ReLU between the layers, none after the last."""

    def __init__(self, width: int, num_layers: int, skip: bool):
        """Makes the layers; `skip`: the input is added to the output."""
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(width, width, bias=False) for _ in range(num_layers)
        )
        self.skip = skip

    def forward(self, nodes: torch.Tensor, propagation: torch.Tensor) -> torch.Tensor:
        """Nodes [G, N, F] and operators [G, N, N] -> nodes [G, N, F]."""
        hidden = nodes
        for index, layer in enumerate(self.layers):
            if index:
                hidden = functional.relu(hidden)
            hidden = propagation @ layer(hidden)
        return nodes + hidden if self.skip else hidden


def _conv(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, channels, kernel, stride, padding=kernel // 2, bias=False
    )


def _downsample(in_channels: int, channels: int, stride: int) -> nn.Module:
    if in_channels == channels and stride == 1:
        return nn.Identity()
    return nn.Sequential(
        _conv(in_channels, channels, 1, stride), nn.BatchNorm2d(channels)
    )
