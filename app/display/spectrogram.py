"""The wave and the spectrum of a recording in columns, ready to draw.

A column is BYTES bytes: the lowest and the highest sample (128 is 0, 1 and 255 are full scale), then the level of BANDS
bands from LOWEST_HZ to half of RATE, evenly spaced on the mel scale (0 is FLOOR_DB or less, 255 a full-scale sine).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from curation.media import MediaError, audio_blocks, mono_span

RATE = 32_000
COLUMN_SECONDS = 0.04  # of a column over the whole recording
BANDS = 96
BYTES = 2 + BANDS
LOWEST_HZ = 40.0
FLOOR_DB = -100.0

_FRAME = 1024
_COLUMN = round(COLUMN_SECONDS * RATE)
_BLOCK_SECONDS = 10
_STEP = 512  # frames that are transformed at once

Columns = NDArray[np.uint8]


def sound_columns(
    path: str | os.PathLike[str], duration: float, on_progress: Callable[[float], None] | None = None
) -> Columns:
    """All of a recording in columns of COLUMN_SECONDS, uint8 (columns, BYTES): 9 MB per hour, in one pass.

    `duration` in seconds is used for `on_progress` only, which receives the share done. Raises MediaError.
    """
    parts: list[Columns] = [np.zeros((0, BYTES), np.uint8)]
    for block in audio_blocks(path, (RATE,), _BLOCK_SECONDS):
        mono = block.mono[RATE]
        whole = np.pad(mono, (0, -len(mono) % _COLUMN)).reshape(-1, _COLUMN)
        # two frames lie over every sample of a column and none outside it: blocks need no context
        bands = np.maximum(_bands(whole[:, :_FRAME]), _bands(whole[:, -_FRAME:]))
        parts.append(_packed(whole.min(axis=1), whole.max(axis=1), bands))
        if on_progress is not None:
            on_progress(min(1.0, (block.start + _BLOCK_SECONDS) / max(duration, _BLOCK_SECONDS)))
    return np.concatenate(parts)


def fine_columns(path: str | os.PathLike[str], start: float, end: float, columns: int) -> Columns:
    """[start, end) seconds in `columns` columns, uint8 (columns, BYTES), decoded for it: for spans of about a minute.

    Audio that cannot be decoded is silence. Raises ValueError for an empty span or no columns.
    """
    if not start < end or columns < 1:
        raise ValueError(f"{start:.3f} to {end:.3f} s in {columns} columns: a span and at least 1 column are needed")
    count = max(columns, round((end - start) * RATE))
    try:
        decoded = mono_span(path, start, end, RATE)[:count]
    except MediaError:
        decoded = np.zeros(0, np.float32)
    mono = np.pad(decoded, (0, count - len(decoded)))
    first = np.arange(columns) * count // columns
    middle = first + count // (2 * columns)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(mono, _FRAME // 2), _FRAME)[middle]
    return _packed(np.minimum.reduceat(mono, first), np.maximum.reduceat(mono, first), _bands(frames))


def pooled_columns(whole: Columns, start: float, end: float, columns: int) -> Columns:
    """[start, end) seconds of `sound_columns` in at most `columns` columns; extremes keep their value."""
    first = min(max(int(start / COLUMN_SECONDS), 0), len(whole))
    part = whole[first : max(int(np.ceil(end / COLUMN_SECONDS)), first)]
    if len(part) <= columns:
        return np.ascontiguousarray(part)
    begin = np.arange(columns) * len(part) // columns
    pooled = np.maximum.reduceat(part, begin, axis=0)
    pooled[:, 0] = np.minimum.reduceat(part[:, 0], begin)
    return pooled


def _bands(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Levels in dB of (n, samples) frames, float32 (n, BANDS); a full-scale sine is 0."""
    window, weights = _window(), _weights()
    levels = np.empty((len(frames), BANDS), np.float32)
    for begin in range(0, len(frames), _STEP):
        rows = slice(begin, begin + _STEP)
        power = np.abs(np.fft.rfft(frames[rows] * window, axis=1)).astype(np.float32) ** 2
        levels[rows] = 10 * np.log10(np.maximum(power @ weights, 10 ** (FLOOR_DB / 10)))
    return levels


@cache
def _window() -> NDArray[np.float32]:
    hann = np.hanning(_FRAME + 1)[:-1]
    return np.asarray(hann * 2 / hann.sum(), np.float32)


@cache
def _weights() -> NDArray[np.float32]:
    """(bins, BANDS): triangles about the bands' centres, never narrower than a bin, where mel bands are."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST_HZ, RATE / 2))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    bins = np.arange(_FRAME // 2 + 1)[:, None] * RATE / _FRAME
    half = np.maximum((edges[2:] - edges[:-2]) / 2, RATE / _FRAME)
    return np.asarray(np.maximum(0, 1 - np.abs(bins - edges[1:-1]) / half), np.float32)


def _packed(low: NDArray[np.float32], high: NDArray[np.float32], bands: NDArray[np.float32]) -> Columns:
    wave = np.clip(np.rint(np.stack([low, high], axis=1) * 127) + 128, 1, 255)
    share = np.clip(np.rint((1 - bands / FLOOR_DB) * 255), 0, 255)
    return np.asarray(np.concatenate([wave, share], axis=1), np.uint8)
