"""The convolutions of YAMNet over a log-mel spectrogram of any length, and its weights as a start.

YAMNet (Apache-2.0, https://github.com/tensorflow/models/tree/master/research/audioset/yamnet) is MobileNet v1: a
convolution, then pairs of a depthwise and a pointwise convolution, each with batch normalization, here folded into the
weights. Its last pair is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

STEM = 32  # channels
# stride and channels of each pair: yamnet.py's _YAMNET_LAYER_DEFS without the last
PAIRS = (
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512), (1, 512), (1, 512), (1, 512), (1, 512),
    (2, 1024),
)  # fmt: skip
EPSILON = 1e-4  # of the batch normalization: params.py


class Levels(NamedTuple):
    """The outputs of a body, (batch, channels, frames, bands): frames of 80, 160 and 320 ms with 8, 4 and 2 bands."""

    fast: Tensor
    middle: Tensor
    slow: Tensor


class _Convolution(nn.Module):
    """A convolution with bias and ReLU, padded as TensorFlow's "SAME": with stride 2, only after the end."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.stride = stride
        padding = size // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            x = functional.pad(x, (0, 1, 0, 1))
        return functional.relu(self.conv(x))


class Body(nn.Module):
    """YAMNet's layers but the last pair; `width` scales its channels (1: YAMNet's own)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()

        def channels(count: int) -> int:
            return max(8, math.ceil(count * width / 8) * 8)

        self.stem = _Convolution(1, channels(STEM), 3, 2)
        pairs: list[nn.Module] = []
        before = channels(STEM)
        for stride, count in PAIRS:
            pairs.append(
                nn.Sequential(
                    _Convolution(before, before, 3, stride, groups=before), _Convolution(before, channels(count), 1)
                )
            )
            before = channels(count)
        self.pairs = nn.ModuleList(pairs)
        self.widths = (channels(256), channels(512), channels(1024))

    def forward(self, mel: Tensor) -> Levels:
        """The levels of a log-mel (batch, 1, frames, bands); the number of frames is a multiple of 32."""
        x = self.stem(mel)
        seen: list[Tensor] = []
        for index, pair in enumerate(self.pairs):
            if index + 1 == len(self.pairs) or PAIRS[index][0] == 2:
                seen.append(x)
            x = pair(x)
        return Levels(seen[-2], seen[-1], x)

    def frozen_below(self, pairs: int) -> list[nn.Parameter]:
        """The parameters of the stem and of the first `pairs` pairs."""
        return [*self.stem.parameters(), *(p for pair in self.pairs[:pairs] for p in pair.parameters())]

    def load_yamnet(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the weights of a YAMNet checkpoint, read by `tensor_bundle`. Raises KeyError if one is missing."""
        names = {_layer(name): name for name in tensors if "layer_with_weights-" in name}
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        for index, module in enumerate(convolutions):
            kind = "depthwise_kernel" if module.groups > 1 else "kernel"
            kernel = tensors[names[(2 * index, kind)]]
            # (height, width, in, out), depthwise (height, width, in, 1), to (out, in, height, width)
            kernel = kernel.transpose(2, 3, 0, 1) if module.groups > 1 else kernel.transpose(3, 2, 0, 1)
            mean, variance, beta = (
                tensors[names[(2 * index + 1, part)]] for part in ("moving_mean", "moving_variance", "beta")
            )
            scale = 1 / np.sqrt(variance + EPSILON)
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel * scale[:, None, None, None])))
                assert module.bias is not None
                module.bias.copy_(torch.from_numpy(beta - mean * scale))


def _layer(name: str) -> tuple[int, str]:
    """The layer's number and its variable, of a checkpoint's key."""
    after = name.split("layer_with_weights-", 1)[1].split("/")
    return int(after[0]), after[1]
