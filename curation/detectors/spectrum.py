"""Measures effective bandwidth: the frequency of the cliff where the spectrum of upsampled audio ends.

Natural sound falls off gradually: wind and thunder are dull, not narrow. A resampler or a codec leaves a cliff: audio
up to it, a steep fall, nothing above. Only a cliff counts as an end of the band.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BAND_HZ = 100.0
FALL_DB = 35.0  # a cliff falls this much ...
FALL_OCTAVES = 0.25  # ... within this many octaves: FFmpeg's resampler needs that, nature falls 24 dB in a whole one
BEFORE_OCTAVES = 0.5  # of audio before the cliff, which a lone harmonic cannot fill
EMPTY_DBFS = -95.0  # the loudest band beyond the cliff, at most
AUDIBLE_DBFS = -82.0  # the audio before it, at least: codecs leave out softer audio
CLIFF_TOP_DB = 20.0  # the cliff is where the level was last within this of the level before it
HEARD_DBFS, HEARD_DB = -90.0, 65.0  # thresholds of audibility: absolute, and below the strongest band
FLOOR_DBFS = -160.0


def bandwidths(mono: NDArray[np.float32], sample_rate: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(bandwidth, edge) in Hz of every started second of mono audio (n,), each of shape (seconds,).

    `bandwidth` is the frequency of the spectrum's cliff, half the sample rate without one. `edge` is the highest
    audible frequency, 0 in silence: among seconds without a cliff it separates wide spectra from dull ones.
    """
    levels = band_levels(mono, sample_rate)
    nyquist = sample_rate / 2
    audible = levels > np.maximum(levels.max(axis=1, keepdims=True) - HEARD_DB, HEARD_DBFS)
    last = levels.shape[1] - np.argmax(audible[:, ::-1], axis=1)
    edge = np.where(audible.any(axis=1), np.minimum(last * BAND_HZ, nyquist), 0.0)
    return _cliffs(levels, nyquist).astype(np.float32), edge.astype(np.float32)


def band_levels(mono: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """The strongest line of every BAND_HZ in every started second, dBFS (a full-scale sine is 0), (seconds, bands)."""
    seconds = max(1, -(-len(mono) // sample_rate))
    size = 1 << int(np.ceil(np.log2(sample_rate / BAND_HZ * 2)))
    # Blackman-Harris: its side lobes are 92 dB down, a Hann window's would move a steep edge by 400 Hz
    phase = 2 * np.pi * np.arange(size) / size
    window = 0.35875 - 0.48829 * np.cos(phase) + 0.14128 * np.cos(2 * phase) - 0.01168 * np.cos(3 * phase)
    window = (window / (window.sum() / 2)).astype(np.float32)
    band = (np.fft.rfftfreq(size, 1 / sample_rate) / BAND_HZ).astype(int)
    starts = np.searchsorted(band, np.arange(int(sample_rate / 2 / BAND_HZ)))
    ends = np.searchsorted(band, len(starts))
    power = np.empty((seconds, len(starts)))
    for second in range(seconds):
        part = mono[second * sample_rate : (second + 1) * sample_rate]
        if len(part) < size:
            part = np.pad(part, (0, size - len(part)))
        # every fourth of the usual half-overlapped frames gives the same result
        frames = np.lib.stride_tricks.sliding_window_view(part, size)[:: 2 * size]
        lines = np.fft.rfft(frames * window, axis=1)
        mean = np.mean(lines.real**2 + lines.imag**2, axis=0)
        power[second] = np.maximum.reduceat(mean[:ends], starts)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10))))


def _cliffs(levels: NDArray[np.float64], nyquist: float) -> NDArray[np.float64]:
    """Frequency of the steepest cliff in Hz by second, `nyquist` without one."""
    seconds, bands = levels.shape
    result = np.full(seconds, nyquist)
    first = np.arange(15, bands)  # below, half an octave has too few bands
    beyond = np.ceil(first * 2**FALL_OCTAVES).astype(int) + 1
    first, beyond = first[beyond < bands - 1], beyond[beyond < bands - 1]
    if not len(first):
        return result
    loudest_above = np.maximum.accumulate(levels[:, ::-1], axis=1)[:, ::-1][:, beyond]
    low = (first * 2**-BEFORE_OCTAVES).astype(int)
    sums = np.concatenate([np.zeros((seconds, 1)), np.cumsum(levels, axis=1)], axis=1)
    # the mean of decibels: a few strong lines do not fill the half octave
    before = (sums[:, first] - sums[:, low]) / (first - low)
    fall = np.where((before >= AUDIBLE_DBFS) & (loudest_above <= EMPTY_DBFS), before - loudest_above, 0.0)
    for second in np.flatnonzero(fall.max(axis=1) >= FALL_DB):
        at = int(np.argmax(fall[second]))
        within = levels[second, : beyond[at]] > before[second, at] - CLIFF_TOP_DB
        result[second] = min((np.flatnonzero(within)[-1] + 1) * BAND_HZ, nyquist)
    return result
