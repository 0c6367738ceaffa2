"""A vocoder: speech as pitch, spectral envelope and breathiness per frame, and the way back at another pitch and pace.

The envelope follows Morise's CheapTrick (2015): a window of three periods, the power averaged over two thirds of the
pitch, and a lifter that removes what is left of the harmonics. Synthesis adds one minimum-phase pulse per period, and
noise through a moving filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..pool import RATE
from .signals import Rng, Wave, band, moving_filter

HOP = 128
"""Samples between frames: 8 ms."""
SIZE = 1024
LOWEST, HIGHEST = 65.0, 600.0
"""Hz: the range of pitch that is searched."""
BANDS = ((50.0, 1000.0), (1000.0, 2500.0), (2500.0, 5000.0), (5000.0, 7900.0))
"""The bands in Hz in which breathiness is measured."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """Speech in frames of HOP samples."""

    pitch: Wave
    """Hz (frames,); NaN where the voice is silent or unvoiced."""
    envelope: Wave
    """The logarithm of the spectrum's magnitude, (frames, SIZE // 2 + 1)."""
    breath: Wave
    """The share of noise in the amplitude, 0 to 1, (frames, bands)."""

    def __len__(self) -> int:
        return len(self.pitch)


def analyse(x: Wave) -> Analysis:
    """The pitch, envelope and breathiness of speech, float64 (n,) at RATE."""
    count = len(x) // HOP + 1
    block = 1 << max((len(x) - 1).bit_length() - 4, 0)
    x = np.r_[x, np.zeros(-len(x) % block)]  # a length of few prime factors, for the transforms of the whole
    pitch = pitch_of(x)[:count]
    return Analysis(pitch, _envelopes(x, np.nan_to_num(pitch, nan=150.0)), _breath(x, pitch))


def pitch_of(x: Wave, low: float = LOWEST, high: float = HIGHEST) -> Wave:
    """The pitch in Hz for each frame of HOP samples, NaN where it is unvoiced: the best path through the peaks of the
    normalised autocorrelation of 40 ms, where a jump of an octave costs as much as a weak peak."""
    size, count = 640, 5
    frames = _frames(band(x, 50, 900, 2).astype(np.float32), size)
    window = np.hanning(size).astype(np.float32)
    power = np.abs(np.fft.rfft((frames - frames.mean(1, keepdims=True)) * window, 2048, axis=1)) ** 2
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2048)) ** 2)[:size]
    correlation = np.fft.irfft(power, axis=1)[:, :size]
    energy = correlation[:, :1]
    correlation = correlation / np.maximum(energy, 1e-12) / (own / own[0])
    first, last = int(RATE / high), min(int(RATE / low) + 1, size * 2 // 3)
    inside = correlation[:, first : last + 1].copy()
    peak = (inside >= np.roll(inside, 1, 1)) & (inside >= np.roll(inside, -1, 1))
    peak[:, [0, -1]] = False
    # a shorter period wins over its multiples
    weighted = np.where(peak, inside - 0.02 * np.log2(np.arange(first, last + 1) / first), -1.0)
    order = np.argsort(-weighted, axis=1)[:, :count]
    strength = np.clip(np.take_along_axis(weighted, order, 1), 0, 1)
    lag = order + first
    left, mid, right = (np.take_along_axis(correlation, lag + d, 1) for d in (-1, 0, 1))
    exact = lag + 0.5 * (left - right) / np.where(left - 2 * mid + right == 0, 1, left - 2 * mid + right)
    octaves = np.log2(RATE / np.clip(exact, first - 1, last + 1))
    path = _path(strength, octaves)
    rows = np.arange(len(frames))
    loud = energy[:, 0] > energy.max(initial=1e-12) * 1e-4
    voiced = (strength[rows, path] > 0.45) & loud
    return np.where(voiced, 2 ** octaves[rows, path], np.nan)


def _path(strength: Wave, octaves: Wave) -> NDArray[np.int_]:
    """The candidates (frames,) that give the greatest sum of strengths less jumps."""
    best, back = strength[0].copy(), np.zeros(strength.shape, int)
    for row in range(1, len(strength)):
        total = best[:, None] - 0.6 * np.abs(octaves[row - 1][:, None] - octaves[row])
        back[row] = total.argmax(0)
        best = total.max(0) + strength[row]
    path = np.zeros(len(strength), int)
    path[-1] = int(best.argmax())
    for row in range(len(strength) - 1, 0, -1):
        path[row - 1] = back[row, path[row]]
    return path


def _frames(x: Wave, size: int) -> Wave:
    """Frames (count, size) centred on every HOP-th sample."""
    padded = np.r_[np.zeros(size // 2), x, np.zeros(size)]
    return np.lib.stride_tricks.sliding_window_view(padded, size)[: len(x) + 1 : HOP]


def _envelopes(x: Wave, pitch: Wave) -> Wave:
    """The logarithmic envelopes (frames, SIZE // 2 + 1)."""
    frames = _frames(x.astype(np.float32), SIZE)[: len(pitch)]
    offsets = np.arange(SIZE) - SIZE // 2
    inside = np.abs(offsets) <= 1.5 * RATE / pitch[:, None]
    window = np.where(inside, 0.5 + 0.5 * np.cos(np.pi * offsets / (1.5 * RATE / pitch[:, None])), 0)
    window = (window / np.sqrt((window**2).sum(1, keepdims=True))).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 + 1e-12
    step = RATE / SIZE
    power = _averaged(power, pitch / 3 / step)
    cepstrum = np.fft.irfft(np.log(power), axis=1)
    quefrency = np.minimum(np.arange(SIZE), SIZE - np.arange(SIZE)) / RATE
    turn = np.pi * pitch[:, None] * quefrency
    lifter = np.where(turn > 1e-9, np.sin(turn) / np.maximum(turn, 1e-9), 1) * (1.18 - 0.18 * np.cos(2 * turn))
    return np.asarray(np.fft.rfft(cepstrum * lifter.astype(np.float32), axis=1).real / 2)


def _averaged(power: Wave, reach: Wave) -> Wave:
    """Each bin's mean over `reach` (frames,) bins to both sides; the spectrum is mirrored at its ends."""
    edge = int(np.ceil(reach.max())) + 2
    wide = np.concatenate([power[:, edge:0:-1], power, power[:, -2 : -edge - 2 : -1]], axis=1)
    total = np.cumsum(wide, axis=1, dtype=np.float64)
    bins = np.arange(power.shape[1]) + edge
    rows = np.arange(len(power))[:, None]

    def until(place: Wave) -> Wave:
        whole = np.floor(place).astype(int)
        return np.asarray(total[rows, whole] + (place - whole) * (total[rows, whole + 1] - total[rows, whole]))

    return np.asarray((until(bins + reach[:, None]) - until(bins - reach[:, None])) / (2 * reach[:, None]))


def _breath(x: Wave, pitch: Wave) -> Wave:
    """The share of noise (frames, bands): 1 less the correlation with the signal one period earlier.

    Its modulus is taken, because half a sample of error in the period would turn the phase of high bands.
    """
    lag = np.rint(RATE / np.nan_to_num(pitch, nan=150.0)).astype(int)
    out = np.ones((len(pitch), len(BANDS)))
    centres = np.arange(len(pitch)) * HOP + 1024
    reach = np.arange(-128, 128)
    for number, (low, high) in enumerate(BANDS):
        signal = np.r_[np.zeros(1024), _analytic(band(x, low, high)), np.zeros(2048)]
        now = signal[(centres + lag // 2)[:, None] + reach]
        before = signal[(centres + lag // 2 - lag)[:, None] + reach]
        power = (np.abs(now) ** 2).sum(1) * (np.abs(before) ** 2).sum(1)
        match = np.abs((now * before.conj()).sum(1)) / np.sqrt(power + 1e-12)
        out[:, number] = np.sqrt(np.clip((1 - match) / 0.8, 0.0, 1.0))  # noise matches itself by about 0.2
    out[np.isnan(pitch)] = 1.0
    return out


def _analytic(x: Wave) -> NDArray[np.complex128]:
    """The analytic signal of `x`."""
    spectrum = np.fft.fft(x)
    spectrum[len(x) // 2 + 1 :] = 0
    return 2 * np.fft.ifft(spectrum)


def resynthesise(rng: Rng, voice: Analysis, at: Wave, pitch: Wave, size: float = 1.0) -> Wave:
    """Speech from an analysis: output frame i is the analysis at frame `at[i]`, at `pitch[i]` Hz (NaN: unvoiced).

    `size` scales the formants: 1.15 is a shorter throat. Returns float64 (len(at) * HOP,).
    """
    where = np.clip(at, 0, len(voice) - 1)
    low = np.floor(where).astype(int)
    part = (where - low)[:, None]
    high = np.minimum(low + 1, len(voice) - 1)
    envelope = voice.envelope[low] * (1 - part) + voice.envelope[high] * part
    breath = voice.breath[low] * (1 - part) + voice.breath[high] * part
    if size != 1.0:
        bins = np.arange(SIZE // 2 + 1)
        source = np.clip(bins / size, 0, SIZE // 2)
        whole = np.minimum(source.astype(int), SIZE // 2 - 1)
        envelope = envelope[:, whole] + (source - whole) * (envelope[:, whole + 1] - envelope[:, whole])
    f = np.linspace(0, RATE / 2, SIZE // 2 + 1)
    centres = np.array([np.sqrt(a * b) for a, b in BANDS])
    place = np.clip(np.interp(f, centres, np.arange(len(BANDS))), 0, len(BANDS) - 1)
    left = np.minimum(place.astype(int), len(BANDS) - 2)
    share = breath[:, left] + (place - left) * (breath[:, left + 1] - breath[:, left])
    voiced = ~np.isnan(pitch)
    share = np.where(voiced[:, None], np.clip(share, 0.02, 1), 1.0)
    n = len(at) * HOP
    noise = moving_filter(rng.standard_normal(n), (np.exp(envelope) * share)[:, ::2])
    return noise + _pulses(envelope + 0.5 * np.log(np.maximum(1 - share**2, 1e-9)), pitch, voiced, n)


def _pulses(envelope: Wave, pitch: Wave, voiced: NDArray[np.bool_], n: int) -> Wave:
    """The voiced part (n,): one minimum-phase response per period."""
    if not voiced.any():
        return np.zeros(n)
    rows = np.arange(len(pitch))
    filled = np.interp(rows, rows[voiced], pitch[voiced])
    times = (np.arange(n)) / HOP
    rate = np.interp(times, rows, filled)
    cycles = np.cumsum(rate) / RATE
    hits = np.flatnonzero(np.diff(np.floor(cycles)) > 0) + 1
    fraction = (cycles[hits] - np.floor(cycles[hits])) / (rate[hits] / RATE)  # samples since the pulse, 0 to 1
    frame = np.minimum(np.rint(hits / HOP).astype(int), len(pitch) - 1)
    keep = voiced[frame]
    hits, fraction, frame = hits[keep], fraction[keep], frame[keep]
    out = np.zeros(n + 2 * SIZE)
    early = 64  # samples before its time at which the response of a pulse between two samples begins
    omega = 2 * np.pi * np.arange(SIZE // 2 + 1) / SIZE
    for first in range(0, len(hits), 2048):  # bounds the memory
        some = slice(first, first + 2048)
        cepstrum = np.fft.irfft(envelope[frame[some]].astype(np.float32), axis=1)
        cepstrum[:, 1 : SIZE // 2] *= 2
        cepstrum[:, SIZE // 2 + 1 :] = 0
        gain = np.sqrt(RATE / rate[hits[some]])[:, None]  # a louder pulse where there are fewer
        turned = np.fft.rfft(cepstrum, axis=1) + (1j * omega * fraction[some][:, None]).astype(np.complex64)
        spectrum = np.exp(turned) * gain.astype(np.float32)
        responses = np.roll(np.fft.irfft(spectrum, axis=1), early, axis=1)
        for hit, response in zip(hits[some], responses, strict=True):
            out[hit : hit + SIZE] += response
    return out[early : early + n]
