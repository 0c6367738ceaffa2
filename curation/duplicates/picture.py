"""Computes the words of video: sign patterns of how neighbouring blocks change in brightness relative to each other.

Still video has no words: a logo, a black screen, slides or a fixed camera before a quiet scene do not identify a
recording. Blocks of the whole frame are independent of its size and of a changed aspect, means over half a second of
its frame rate.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .fingerprint import pack

FPS = 8
SIZE = (160, 90)
"""Width and height of the images, for speed alone: a fingerprinter takes any size, the same for all."""
_ROWS, _COLUMNS = 4, 9
_MEAN, _LAG = 4, 4  # frames
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
_FLOOR = 1.0
"""Least informative mean change, of 255 steps of brightness; a codec's noise in a block has 0.2."""
_TIME_SLACK = 0.01


class VideoFingerprinter:
    """Computes the words of frames, pushed in order, FPS per second."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._blocks: list[NDArray[np.float32]] = []

    def push(self, time: float, image: NDArray[np.uint8]) -> None:
        """Add the frame displayed at `time` seconds: uint8 (height, width, 3), RGB.

        Raises ValueError if it is not 1 / FPS seconds after the one before, and for other shapes.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image at {time} s has shape {image.shape} and type {image.dtype}, must be RGB of uint8")
        if self._first is None:
            self._first = time
        expected = self._first + len(self._blocks) / FPS
        if abs(time - expected) > _TIME_SLACK:
            raise ValueError(f"image at {time:.3f} s, expected one at {expected:.3f} s: {FPS} per second, without gaps")
        height, width, _ = image.shape
        rows, columns = _shares(height, _ROWS), _shares(width, _COLUMNS)
        strips = (rows @ image.reshape(height, -1).astype(np.float32)).reshape(_ROWS, width, 3) @ _LUMA
        self._blocks.append(np.asarray(strips @ columns.T, np.float32))

    def finish(self) -> NDArray[np.uint64]:
        """All words, uint64 (count,); none for video shorter than a window."""
        count = len(self._blocks) - (_MEAN - 1)
        if count <= _LAG:
            return np.empty(0, np.uint64)
        blocks = np.stack(self._blocks)
        mean = blocks[:count].copy()
        for shift in range(1, _MEAN):
            mean += blocks[shift : shift + count]
        mean /= _MEAN
        steps = (mean[:, :, :-1] - mean[:, :, 1:]).reshape(count, -1)
        return pack(steps[_LAG:] - steps[:-_LAG], _FLOOR)


@cache
def _shares(pixels: int, blocks: int) -> NDArray[np.float32]:
    """Mean over each of `blocks` equal parts of `pixels`, as a matrix (blocks, pixels)."""
    edges = np.linspace(0, pixels, blocks + 1)
    at = np.arange(pixels)
    shared = np.minimum(at + 1, edges[1:, None]) - np.maximum(at, edges[:-1, None])
    return np.asarray(np.clip(shared, 0, 1) / (pixels / blocks), np.float32)
