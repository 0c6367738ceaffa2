"""The purity network's two inputs: a log-mel spectrogram of 25-ms windows, and a fine spectrum of 256-ms windows.

A steady partial in broadband noise gains with the length of the window. Faint music under rain is therefore visible in
the fine spectrum and not in the log-mel bands, which are those of YAMNet.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..yamnet import BANDS, FFT, MEL_HOP, MEL_WINDOW, RATE, mel_matrix

HOP = 1280  # samples of one output frame: 80 ms
MEL_FRAMES = HOP // MEL_HOP  # per output frame
FINE_WINDOW = 4096  # samples: bins of 3.9 Hz
FINE_BINS = 768  # up to 3 kHz
FLOOR_DB = -110.0
STRIDE = 4  # output frames: the network's coarsest layer; inputs have a multiple of it

__all__ = ["BANDS", "FINE_BINS", "HOP", "MEL_FRAMES", "RATE", "STRIDE", "features", "frame_count"]


def frame_count(samples: int) -> int:
    """Output frames of this number of samples: whole hops, then up to a multiple of STRIDE."""
    frames = max(1, -(-samples // HOP))
    return -(-frames // STRIDE) * STRIDE


@cache
def _hann(samples: int) -> NDArray[np.float32]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples), np.float32)


def features(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The log-mel (frames * MEL_FRAMES, BANDS) and the fine spectrum in dB (frames, FINE_BINS) of mono samples (n,).

    `frames` is `frame_count(n)`; the samples are followed by zeros where windows reach over the end. The window of
    output frame k of the fine spectrum has its centre at that of the frame, (k + 1/2) * HOP.
    """
    frames = frame_count(len(samples))
    return _mel(samples, frames), _fine(samples, frames)


def _mel(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """YAMNet's log-mel, log(mel + 0.001) of magnitudes, by a faster transform."""
    from scipy.fft import rfft  # NumPy's takes twice as long in single precision

    count = frames * MEL_FRAMES
    padded = _padded(samples, 0, (count - 1) * MEL_HOP + MEL_WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(padded, MEL_WINDOW)[::MEL_HOP]
    magnitude = np.abs(rfft(windows * _hann(MEL_WINDOW), FFT, axis=1))
    return np.asarray(np.log(magnitude @ mel_matrix() + np.float32(0.001)), np.float32)


def _fine(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    from scipy.fft import rfft

    before = FINE_WINDOW // 2 - HOP // 2
    padded = _padded(samples, before, (frames - 1) * HOP + FINE_WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(padded, FINE_WINDOW)[::HOP]
    spectrum = rfft(windows * (_hann(FINE_WINDOW) * np.float32(2 / FINE_WINDOW)), axis=1)[:, 1 : FINE_BINS + 1]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.asarray(10 * np.log10(power + np.float32(10 ** (FLOOR_DB / 10))), np.float32)


def _padded(samples: NDArray[np.float32], before: int, length: int) -> NDArray[np.float32]:
    """`length` samples that begin `before` zeros ahead of the given ones, cut or followed by zeros."""
    result = np.zeros(length, np.float32)
    count = min(len(samples), length - before)
    result[before : before + count] = samples[:count]
    return result
