"""Frames for several encoders from one decode: each is resized as it comes, and frames are not stacked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from curation.media import frames_reaching

from .base import FrameLayout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameRun:
    """Successive frames for one encoder: `count` of them from `start` seconds on, laid out as `frames` describes."""

    frames: FrameLayout
    start: float
    count: int

    @property
    def times(self) -> list[float]:
        """The time of each frame, in seconds from zero."""
        return [self.start + k / self.frames.fps for k in range(self.count)]


def frames_of(path: str | os.PathLike[str], runs: Mapping[str, FrameRun]) -> Iterator[tuple[str, Tensor, int]]:
    """Yield (run, its next frame as uint8 (3, side, side), how many times in a row it takes that frame), in time order.

    Each frame of the file is decoded once and resized once per size. Memory does not grow with the length. A time takes
    the first frame at or after it. Raises MediaError if the file has no frame.
    """
    due = list(merge(*([(time, name) for time in run.times] for name, run in runs.items())))
    for indices, image in frames_reaching(path, [time for time, _ in due]):
        sizes: dict[tuple[int, str], Tensor] = {}
        names = sorted(due[index][1] for index in indices)
        for name, group in groupby(names):
            wanted = runs[name].frames
            size = (wanted.side, wanted.fit)
            if size not in sizes:
                sizes[size] = resized(image, wanted)
            yield name, sizes[size], sum(1 for _ in group)


def resized(image: NDArray[np.uint8], wanted: FrameLayout) -> Tensor:
    """uint8 (height, width, 3) RGB -> uint8 (3, side, side), stretched or cropped as `wanted.fit` requires.

    Bicubic with antialiasing, on 8-bit values: the same in floating point may differ by 20 levels on noise. The short
    side becomes `side` and the long one int(side * long / short) for "crop", whose offset is rounded half to even.
    """
    # channels stay where the decoder put them, which is the faster way through
    return fitted(torch.from_numpy(image).permute(2, 0, 1)[None], wanted)[0]


def fitted(images: Tensor, wanted: FrameLayout) -> Tensor:
    """`resized` of several frames of one size, uint8 (n, 3, height, width)."""
    height, width, side = images.shape[2], images.shape[3], wanted.side
    if wanted.fit == "stretch":
        return _bicubic(images, (side, side))
    scaled = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    images = _bicubic(images, scaled)
    top, left = (round((length - side) / 2) for length in scaled)
    return images[:, :, top : top + side, left : left + side].contiguous()


def _bicubic(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[2:] == size:
        return images
    return interpolate(images, size=size, mode="bicubic", align_corners=False, antialias=True)


@dataclass(eq=False)
class FrameBuffer:
    """Holds frames of one run until they make a chunk for the encoder, so that memory does not grow with the run.

    A chunk has as many frames as give `windows` windows; the frames that the next window needs too are kept.
    """

    frames: FrameLayout
    windows: int

    def __post_init__(self) -> None:
        self._size = self.frames.window + self.frames.stride * (self.windows - 1)
        side = self.frames.side
        self._held = torch.empty((self._size, 3, side, side), dtype=torch.uint8)
        self._filled = 0

    def push(self, frame: Tensor, times: int = 1) -> Iterator[Tensor]:
        """Add a frame `times` times; yields chunks, uint8 (F, 3, side, side), valid until the next push."""
        for _ in range(times):
            self._held[self._filled] = frame
            self._filled += 1
            if self._filled == self._size:
                yield self._held
                kept = self.frames.window - self.frames.stride
                self._held[:kept] = self._held[self._size - kept :].clone()
                self._filled = kept  # less than a window: what comes on top is new

    def finish(self) -> Iterator[Tensor]:
        """Yield the remaining frames if they make a window."""
        if self._filled >= self.frames.window:
            yield self._held[: self._filled]


def clip_starts(start: float, end: float, seconds: int) -> Sequence[float]:
    """The starts of the clips of a cut: one every `seconds`, and a last one that ends with the cut if they do not fit.

    Empty if the cut is shorter than a clip.
    """
    milliseconds = round((end - start) * 1000)
    count, rest = divmod(milliseconds, seconds * 1000)
    starts = [start + i * seconds for i in range(count)]
    return [*starts, end - seconds] if rest and count else starts
