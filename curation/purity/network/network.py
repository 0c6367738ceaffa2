"""The purity network: speech, singing and music under sound effects, and their level, every 80 ms.

Two branches read the two inputs of `curation.detectors.purity.frontend`: YAMNet's convolutions the log-mel, a small
convolutional network the fine spectrum without its local floor. Dilated convolutions over 20 s join them (context for
music); the heads read them beside the fast layer's 80-ms frames (time resolution for speech).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...detectors.purity.frontend import BANDS, FINE_BINS, MEL_FRAMES
from .body import Body

LABELS = ("speech", "singing", "music")
LEVEL_SCALE = 10.0  # dB per unit of the level outputs
DILATIONS = (1, 2, 4, 8, 16, 32)  # frames of 160 ms: +- 10.1 s in all
FLOOR_STEP = 16  # bins of the fine spectrum, 62 Hz: the local floor is the mean level of steps, interpolated
FLOOR_STEPS = 7  # over which a step's mean is taken: 440 Hz
FLOOR_FRAMES = 25  # 2 s, over which the mean of each bin is taken
FINE_SCALE = 10.0  # dB per unit of the fine input
MEL_MEAN, MEL_SCALE = 0.0, 1.0  # YAMNet takes the log-mel as it is


class Output(NamedTuple):
    """Log-odds and levels over the sound effects in LEVEL_SCALE dB, each (batch, frames, 3), in the order of LABELS."""

    log_odds: Tensor
    levels: Tensor


class Sizes(NamedTuple):
    """Widths of the network; `body` scales YAMNet's channels."""

    body: float = 1.0
    fine: tuple[int, ...] = (8, 16, 24, 32, 48, 64)
    joined: int = 192
    fast: int = 64


class _Fine(nn.Module):
    """The fine spectrum (batch, frames, FINE_BINS) to features (batch, channels, frames / 2)."""

    def __init__(self, widths: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, bins = 2, FINE_BINS
        for index, width in enumerate(widths):
            kernel = (5, 5) if index == 0 else (3, 3)
            stride = (2 if index == 2 else 1, 2)  # over time in the third layer
            padding = (kernel[0] // 2, kernel[1] // 2)
            layers += [
                nn.Conv2d(before, width, kernel, stride, padding, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before, bins = width, bins // 2
        self.layers = nn.Sequential(*layers)
        self.out = nn.Sequential(nn.Conv1d(before * bins, outputs, 1, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())

    def forward(self, fine: Tensor) -> Tensor:
        x = self.layers(without_floor(fine))
        return self.out(x.transpose(2, 3).flatten(1, 2))  # type: ignore[no-any-return]


def without_floor(fine: Tensor) -> Tensor:
    """Two channels (batch, 2, frames, bins) of a spectrum in dB: over the floor in frequency, and in time.

    The floor is the mean level of the neighbourhood, FLOOR_STEPS steps of bins or FLOOR_FRAMES frames.
    """
    x = fine[:, None]
    steps = functional.avg_pool2d(x, (1, FLOOR_STEP))
    steps = functional.avg_pool2d(steps, (1, FLOOR_STEPS), 1, (0, FLOOR_STEPS // 2), count_include_pad=False)
    near = functional.interpolate(steps, scale_factor=(1.0, float(FLOOR_STEP)), mode="bilinear", align_corners=False)
    lasting = functional.avg_pool2d(x, (FLOOR_FRAMES, 1), 1, (FLOOR_FRAMES // 2, 0), count_include_pad=False)
    return torch.cat([x - near, x - lasting], 1) / FINE_SCALE


class _Dilated(nn.Module):
    """A residual block: a dilated depthwise convolution over time, then a pointwise one."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels)
        self.norm = nn.BatchNorm1d(channels)
        self.pointwise = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(functional.relu(self.norm(self.depthwise(x))))  # type: ignore[no-any-return]


class PurityNetwork(nn.Module):
    """Log-odds and levels of the LABELS for each 80-ms frame."""

    def __init__(self, sizes: Sizes = Sizes()) -> None:  # noqa: B008  # immutable
        super().__init__()
        self.body = Body(sizes.body)
        fast, middle, slow = self.body.widths

        def joined(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())

        self.fast = joined(fast * BANDS // 8, sizes.fast)
        self.middle = joined(middle * BANDS // 16, sizes.joined // 2)
        self.slow = joined(slow * BANDS // 32, sizes.joined // 2)
        self.fine = _Fine(sizes.fine, sizes.joined // 2)
        self.join = joined(sizes.fast + 3 * (sizes.joined // 2), sizes.joined)
        self.context = nn.Sequential(*(_Dilated(sizes.joined, dilation) for dilation in DILATIONS))
        self.head = nn.Sequential(
            nn.Conv1d(sizes.fast + sizes.joined, sizes.joined // 2, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv1d(sizes.joined // 2, 2 * len(LABELS), 1),
        )
        last = self.head[-1]
        assert isinstance(last, nn.Conv1d) and last.bias is not None
        nn.init.constant_(last.bias[: len(LABELS)], -2.0)  # most frames are pure

    def forward(self, mel: Tensor, fine: Tensor) -> Output:
        """The output for a log-mel (batch, frames * MEL_FRAMES, BANDS) and a fine spectrum (batch, frames, FINE_BINS).

        `frames` is a multiple of 4.
        """
        assert mel.shape[1] == MEL_FRAMES * fine.shape[1]
        levels = self.body(mel[:, None])
        fast, middle, slow = (level.transpose(2, 3).flatten(1, 2) for level in levels)
        fast, middle, slow = self.fast(fast), self.middle(middle), self.slow(slow)
        both = torch.cat(
            [functional.avg_pool1d(fast, 2), middle, functional.interpolate(slow, scale_factor=2.0), self.fine(fine)], 1
        )
        context = self.context(self.join(both))
        out = self.head(torch.cat([fast, functional.interpolate(context, scale_factor=2.0)], 1)).transpose(1, 2)
        return Output(out[..., : len(LABELS)], out[..., len(LABELS) :])

    def parameter_count(self) -> int:
        """All parameters."""
        return sum(parameter.numel() for parameter in self.parameters())
