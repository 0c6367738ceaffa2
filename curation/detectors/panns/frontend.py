"""The log-mel spectrogram of PANNs in numpy: equals torchlibrosa's, which uses convolutions, at six times the speed.

Frames of 1024 samples every 320 at 32 kHz, centred, the signal mirrored at its ends; periodic Hann window; power; 64
bands of librosa's default mel filters (Slaney's scale and norm), 50 to 14000 Hz; 10 log10, at least -100 dB.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .library import BANDS, HIGHEST, HOP, LOWEST, RATE, WINDOW

FLOOR = 1e-10


@cache
def hann() -> NDArray[np.float32]:
    """The periodic Hann window, (WINDOW,)."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW), np.float32)


@cache
def mel_matrix() -> NDArray[np.float32]:
    """Triangles of equal area over FFT bins, shape (WINDOW // 2 + 1, BANDS).

    Slaney's scale (Auditory Toolbox, 1998) is linear up to 1000 Hz and logarithmic above, 27 steps per factor of 6.4.
    """
    knee, step = 1000.0, np.log(6.4) / 27

    def to_mel(hertz: ArrayLike) -> NDArray[np.float64]:
        low = np.asarray(hertz, np.float64)
        return np.where(low < knee, low * 3 / 200, 15 + np.log(np.maximum(low, knee) / knee) / step)

    def to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, knee * np.exp(step * (mel - 15)))

    edges = to_hertz(np.linspace(float(to_mel(LOWEST)), float(to_mel(HIGHEST)), BANDS + 2, dtype=np.float64))
    bins = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.maximum(0.0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    return np.asarray(triangles * 2 / (upper - lower), np.float32)


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The log-mel spectrogram in dB, (n // 320 + 1, 64), of samples (n,), more than 512 of them."""
    mirrored = np.pad(samples, WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(mirrored, WINDOW)[::HOP]
    power = np.empty((len(frames), WINDOW // 2 + 1), np.float32)
    for begin in range(0, len(frames), 256):  # as much as fits into the processor's cache
        spectrum = np.fft.rfft(frames[begin : begin + 256] * hann(), axis=1)
        power[begin : begin + 256] = spectrum.real**2 + spectrum.imag**2
    return np.asarray(10 * np.log10(np.maximum(power @ mel_matrix(), FLOOR)), np.float32)
