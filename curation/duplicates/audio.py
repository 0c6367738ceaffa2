"""Computes the words of audio: sign patterns of how the energies of neighbouring bands change relative to each other.

Differences of logarithms over bands and over time are independent of level and equalization. Long frames (0.26 s) and
means over 0.45 s make noise repeatable: at 32 kbit/s only the slow flicker of rain survives, band by band. Only up to
3.5 kHz, because codecs at low rates replace higher bands by noise.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .fingerprint import SIGNS, pack

RATE = 16_000
_INNER_RATE = RATE // 2
_FRAME, _HOP = 2048, 512  # samples at the inner rate
_MEAN, _LAG = 4, 8  # frames
_BATCH = 128  # frames per batch; always the same, so that rounding cannot depend on the pushes
_LOW_HZ, _HIGH_HZ = 200.0, 3500.0
_QUIET = 3e-6
"""Energy added to every band: that of white noise at about -95 dBFS. Anything below it counts as silence."""
_FLOOR = 0.1
"""Least informative mean magnitude of the differences (natural logarithms): noise has 0.4, a tone 0.01."""
_REACH = 11
"""The half-band filter reads this many samples back and ahead."""


class AudioFingerprinter:
    """Computes the words of audio that is pushed in pieces; the pieces do not affect them."""

    rate = RATE

    def __init__(self) -> None:
        self._samples: NDArray[np.float32] = np.zeros(_REACH, np.float32)  # silence before the beginning
        self._inner: NDArray[np.float32] = np.empty(0, np.float32)
        self._energies: NDArray[np.float32] = np.empty((0, SIGNS + 1), np.float32)  # of frames whose words are pending
        self._words: list[NDArray[np.uint64]] = []

    def push(self, samples: NDArray[np.float32]) -> None:
        """Add the next mono samples (n,) at RATE. Raises ValueError for other shapes."""
        if samples.ndim != 1:
            raise ValueError(f"samples have shape {samples.shape}, must be (n,)")
        self._samples = np.concatenate([self._samples, samples.astype(np.float32, copy=False)])
        needed = (_BATCH - 1) * _HOP + _FRAME
        while len(self._inner) + self._ready() >= needed:
            self._halve(needed - len(self._inner))
            self._add_words(_band_energies(self._inner))
            self._inner = self._inner[_BATCH * _HOP :]

    def finish(self) -> NDArray[np.uint64]:
        """All words, uint64 (count,); none for audio shorter than a window."""
        self._samples = np.concatenate([self._samples, np.zeros(_REACH, np.float32)])
        self._halve(self._ready())
        if len(self._inner) >= _FRAME:
            self._add_words(_band_energies(self._inner))
        return np.concatenate([np.empty(0, np.uint64), *self._words])

    def _add_words(self, energies: NDArray[np.float32]) -> None:
        """Compute the words whose whole window is complete: a recording's energies are never in memory all at once."""
        energies = np.concatenate([self._energies, energies])
        count = len(energies) - (_MEAN - 1)
        self._energies = energies[max(0, count - _LAG) :]
        if count <= _LAG:
            return
        # Added one by one, not by a running sum: the words of a span must not depend on the audio before it.
        mean = energies[:count].copy()
        for shift in range(1, _MEAN):
            mean += energies[shift : shift + count]
        levels = np.log(mean / np.float32(_MEAN) + np.float32(_QUIET))
        slopes = levels[:, :-1] - levels[:, 1:]
        self._words.append(pack(slopes[_LAG:] - slopes[:-_LAG], _FLOOR))

    def _ready(self) -> int:
        """Samples at the inner rate that the pushed samples are enough for."""
        return max(0, (len(self._samples) - 2 * _REACH + 1) // 2)

    def _halve(self, count: int) -> None:
        """Make `count` more samples at the inner rate: low-pass, then take every other sample."""
        halved = np.float32(0.5) * self._samples[_REACH::2][:count]
        for offset, tap in _half_band():
            early, late = self._samples[_REACH - offset :: 2][:count], self._samples[_REACH + offset :: 2][:count]
            halved += tap * (early + late)
        self._inner = np.concatenate([self._inner, halved])
        self._samples = self._samples[2 * count :]


@cache
def _half_band() -> tuple[tuple[int, np.float32], ...]:
    """(offset, tap) of a windowed sinc at a quarter of the rate; even offsets are 0. About -50 dB above 4.7 kHz."""
    offsets = range(1, _REACH + 1, 2)
    window = np.kaiser(2 * _REACH + 3, 5.0)
    return tuple((k, np.float32(np.sin(np.pi * k / 2) / (np.pi * k) * window[_REACH + 1 + k])) for k in offsets)


@cache
def _bands() -> NDArray[np.float32]:
    """Shares of FFT bins in SIGNS + 1 adjacent bands of equal width in mel: (FFT bins, SIGNS + 1)."""

    def to_mel(hertz: float) -> float:
        return float(2595 * np.log10(1 + hertz / 700))

    edges = 700 * (10 ** (np.linspace(to_mel(_LOW_HZ), to_mel(_HIGH_HZ), SIGNS + 2) / 2595) - 1)
    width = _INNER_RATE / _FRAME
    bins = (np.arange(_FRAME // 2 + 1) * width)[:, None]
    shared = np.minimum(bins + width / 2, edges[1:]) - np.maximum(bins - width / 2, edges[:-1])
    return np.asarray(np.clip(shared / width, 0.0, 1.0), np.float32)


@cache
def _window() -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)).astype(np.float32)


def _band_energies(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Energy of the bands (frames, SIGNS + 1) in every whole frame of the samples."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    spectra = np.fft.rfft(frames * _window(), axis=1)
    power = spectra.real**2 + spectra.imag**2
    return np.asarray(power.astype(np.float32, copy=False) @ _bands(), np.float32)
