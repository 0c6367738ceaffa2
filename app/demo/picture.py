"""The video of the demo: the scrolling spectrogram of the last seconds, and a level bar."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FRAME_RATE = 10
WIDTH, HEIGHT = 320, 180
_BAR = 16
"""Width of the level bar at the right edge, in pixels."""
_PIXELS, _COLUMNS_PER_FRAME = 2, 2
"""A spectrogram column is 2 pixels wide, a frame shifts the picture by 2 columns: 7.6 s are seen at once."""
_BANDS = HEIGHT // 2
_WINDOW = 4096
_FLOOR_DB = -75.0
_BAND_GAIN = 4.0
"""Over the level of a full-scale tone, since a band holds only a part of a sound."""

_COLOURS = np.stack(
    [
        np.interp(np.arange(256), (0, 90, 170, 230, 255), shades)
        for shades in ((8, 28, 208, 255, 255), (10, 78, 92, 196, 250), (28, 116, 74, 92, 224))
    ],
    axis=1,
).astype(np.uint8)
"""(256, 3) RGB: night blue, teal, terracotta, sand."""


def study(mono: NDArray[np.float32], sample_rate: int) -> Iterator[NDArray[np.uint8]]:
    """Frames (HEIGHT, WIDTH, 3) RGB at FRAME_RATE for as long as `mono` lasts; the right edge is now."""
    columns = _spectrogram(mono, sample_rate)
    shown = (WIDTH - _BAR) // _PIXELS
    columns = np.concatenate([np.zeros((_BANDS, shown), np.uint8), columns], axis=1)
    step = sample_rate // FRAME_RATE
    for index in range(-(-len(mono) // step)):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        seen = columns[:, index * _COLUMNS_PER_FRAME :][:, :shown]
        frame[:, : WIDTH - _BAR] = _COLOURS[seen].repeat(2, axis=0).repeat(_PIXELS, axis=1)
        level = _decibel_share(np.abs(mono[index * step : (index + 1) * step]).max(initial=0.0))
        top = HEIGHT - round(float(level) * HEIGHT)
        frame[:, WIDTH - _BAR :] = _COLOURS[24]
        frame[top:, WIDTH - _BAR + 3 : WIDTH - 3] = _COLOURS[225]
        yield frame


def still(seconds: int) -> Iterator[NDArray[np.uint8]]:
    """A slowly panning gradient: the frames of a video without audio."""
    shades = np.arange(WIDTH) * 255 // WIDTH
    for index in range(seconds * FRAME_RATE):
        row = _COLOURS[np.abs(np.roll(shades, index) - 128)]
        yield np.broadcast_to(row, (HEIGHT, WIDTH, 3)).copy()


def _spectrogram(mono: NDArray[np.float32], sample_rate: int) -> NDArray[np.uint8]:
    """(_BANDS, columns) in 0..255, top row first; bands are evenly wide in octaves from 100 Hz to 15 kHz."""
    hop = sample_rate // (FRAME_RATE * _COLUMNS_PER_FRAME)
    # A column ends where it is drawn: the video never shows a sound before it plays.
    padded = np.concatenate([np.zeros(_WINDOW, np.float32), mono])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[hop::hop]
    edges = np.geomspace(100.0, 15_000.0, _BANDS + 1) * _WINDOW / sample_rate
    low = np.floor(edges[:-1]).astype(int)
    high = np.maximum(np.ceil(edges[1:]).astype(int), low + 1)
    bands = np.empty((len(windows), _BANDS), np.float32)
    shape = np.hanning(_WINDOW).astype(np.float32)
    for first in range(0, len(windows), 256):  # in blocks: all spectra of a long track are hundreds of megabytes
        spectra = np.abs(np.fft.rfft(windows[first : first + 256] * shape)) * (4 / _WINDOW * _BAND_GAIN)
        for band, (start, end) in enumerate(zip(low, high, strict=True)):
            bands[first : first + 256, band] = spectra[:, start:end].max(axis=1)
    return (_decibel_share(bands) * 255).astype(np.uint8).T[::-1]


def _decibel_share(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """0 at or under the floor, 1 at full scale, linear in decibels between."""
    decibels = 20 * np.log10(np.maximum(level, 1e-9))
    share: NDArray[np.float32] = np.clip(1 - decibels / np.float32(_FLOOR_DB), 0, 1).astype(np.float32)
    return share
