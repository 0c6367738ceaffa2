"""The changes of sound between its source and a file: rooms, distance, equalizers, band limits, noise, clipping.

Linear steps are frequency responses, multiplied together and applied in one transform. All sounds are mono float32 at
RATE; all randomness comes from the generator given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..sources.pool import RATE

Sound = NDArray[np.float32]
ROOM_SECONDS = 0.8  # the longest tail that is kept
FAST_SIZES = tuple(sorted(2**a * 3**b * 5**c for a in range(8, 24) for b in range(3) for c in range(3)))


def transform_size(samples: int) -> int:
    """The smallest size with a fast Fourier transform that holds this number of samples."""
    return next((size for size in FAST_SIZES if size >= samples), samples)


def frequencies(size: int) -> NDArray[np.float32]:
    """Frequencies in Hz of a real transform's bins, shape (size // 2 + 1,)."""
    return np.fft.rfftfreq(size, 1 / RATE).astype(np.float32)


def transform(sound: Sound, size: int) -> NDArray[np.complex64]:
    """The real Fourier transform (size // 2 + 1,) of a sound, followed by zeros up to `size` samples."""
    from scipy.fft import rfft  # twice as fast as NumPy's in single precision

    return np.asarray(rfft(sound, size), np.complex64)


def inverse(spectrum: NDArray[np.complex64], size: int) -> Sound:
    """The sound (size,) of a real transform."""
    from scipy.fft import irfft

    return np.asarray(irfft(spectrum, size), np.float32)


class Response:
    """A linear system as its response over the bins of one transform size; starts as the identity."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.size = transform_size(samples + round(ROOM_SECONDS * RATE))
        self._response: NDArray[np.complex64] | None = None

    def multiply(self, response: NDArray[np.float32] | NDArray[np.complex64]) -> None:
        """Put another system behind this one."""
        known = self._response
        self._response = np.asarray(response if known is None else known * response, np.complex64)

    def apply(self, sound: Sound) -> Sound:
        """The output (samples,) for an input (samples,), without what comes after its end."""
        if self._response is None:
            return sound
        return inverse(transform(sound, self.size) * self._response, self.size)[: self.samples]


def equalizer(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A smooth random gain: points two to an octave, at most +-9 dB, with a random tilt."""
    points = np.geomspace(40, RATE / 2, 16)
    gains = rng.normal(0, rng.uniform(0.5, 4), len(points))
    gains = np.convolve(gains, [0.25, 0.5, 0.25], "same") + rng.uniform(-2, 2) * np.log2(points / 1000) / 2
    f = np.maximum(frequencies(size), 1)
    return np.asarray(10 ** (np.interp(np.log(f), np.log(points), np.clip(gains, -9, 9)) / 20), np.float32)


def band_limit(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A low cut at 30-250 Hz, a high cut at 2.5-7.8 kHz, or both, of 6 to 48 dB an octave."""
    f = np.maximum(frequencies(size), 1)
    gain = np.ones(len(f), np.float32)
    which = rng.integers(3)
    if which != 1:
        gain /= np.sqrt(1 + (rng.uniform(30, 250) / f) ** (2 * rng.integers(1, 5)))
    if which != 0:
        gain /= np.sqrt(1 + (f / np.exp(rng.uniform(np.log(2500), np.log(7800)))) ** (2 * rng.integers(2, 9)))
    return gain


def room(rng: np.random.Generator, size: int) -> NDArray[np.complex64]:
    """A room's response: the direct sound and a diffuse tail that decays by 60 dB in 0.15-1.6 s.

    Far sources have more tail than direct sound (+10 to -10 dB direct to reverberant), and the tail loses its heights.
    """
    count = round(ROOM_SECONDS * RATE)
    time = np.arange(count) / RATE
    decay = np.exp(-6.9 * time / np.exp(rng.uniform(np.log(0.15), np.log(1.6))))
    tail = rng.standard_normal(count).astype(np.float32) * decay
    tail[: rng.integers(16, 400)] = 0  # before the first reflection
    spectrum = transform(tail.astype(np.float32), size)
    spectrum /= np.sqrt(1 + (frequencies(size) / rng.uniform(1500, 6000)) ** 2)
    ratio = 10 ** (rng.uniform(-10, 10) / 20)
    spectrum *= 1 / (ratio * np.sqrt(np.sum(np.square(tail)) + 1e-12))
    return np.asarray((1 + spectrum) / np.sqrt(1 + ratio**-2), np.complex64)


def noise(rng: np.random.Generator, samples: int) -> Sound:
    """Stationary noise with a spectrum between flat and -9 dB an octave, RMS 1."""
    size = transform_size(samples)
    bins = size // 2 + 1
    slope = rng.uniform(0, 1.5)
    shape = np.maximum(np.arange(bins, dtype=np.float32), 20) ** np.float32(-slope)
    spectrum = (rng.standard_normal(bins, np.float32) + 1j * rng.standard_normal(bins, np.float32)) * shape
    sound = inverse(np.asarray(spectrum, np.complex64), size)[:samples]
    return np.asarray(sound / (np.sqrt(np.mean(np.square(sound))) + 1e-12), np.float32)


def clipped(rng: np.random.Generator, sound: Sound) -> Sound:
    """`sound` as an overdriven input records it: hard or soft, up to 12 dB over full scale."""
    peak = float(np.max(np.abs(sound))) + 1e-9
    driven = sound * np.float32(10 ** (rng.uniform(0, 12) / 20) / peak)
    limited = np.clip(driven, -1, 1) if rng.random() < 0.5 else np.tanh(driven)
    return np.asarray(limited * np.float32(peak), np.float32)
