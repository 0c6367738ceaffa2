"""Signals that the synthesised sounds are made of: noise, tones, filters, struck bodies, and their placing in time.

All are at RATE, float64, shape (n,), and nearly vectorised: a sound of 30 s takes tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..pool import RATE

Wave = NDArray[np.float64]
Rng = np.random.Generator
TOP = 7600.0
"""Hz: no partial is made above it, so that nothing folds back from half the rate."""


def between(rng: Rng, low: float, high: float) -> float:
    """A number between two positive ones, uniform on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def seconds(n: int) -> Wave:
    """The time of each of `n` samples, in seconds."""
    return np.arange(n) / RATE


def wander(rng: Rng, n: int, knot: float, low: float, high: float) -> Wave:
    """A smooth random curve between two positive values, with a turn about every `knot` seconds."""
    length = n / RATE
    count = max(2, round(length / knot) + 1)
    times = np.linspace(0, length, count) + np.r_[0, rng.uniform(-0.4, 0.4, count - 2) * length / (count - 1), 0]
    values = rng.uniform(np.log(low), np.log(high), count)
    return np.asarray(np.exp(smooth(times, values, seconds(n))))


def smooth(times: ArrayLike, values: ArrayLike, at: Wave) -> Wave:
    """The values at `times` (rising), joined by half cosines; constant before the first and after the last."""
    knots, heights = np.asarray(times, float), np.asarray(values, float)
    place = np.clip(np.searchsorted(knots, at, "right") - 1, 0, len(knots) - 2)
    part = np.clip((at - knots[place]) / np.maximum(knots[place + 1] - knots[place], 1e-9), 0, 1)
    return np.asarray(heights[place] + (heights[place + 1] - heights[place]) * (0.5 - 0.5 * np.cos(np.pi * part)))


def lines(times: ArrayLike, values: ArrayLike, n: int) -> Wave:
    """The values at `times` in seconds, joined by straight lines."""
    return np.asarray(np.interp(seconds(n), np.asarray(times, float), np.asarray(values, float)))


def filtered(x: Wave, gain: NDArray[np.complex128] | Wave) -> Wave:
    """`x` with its spectrum times `gain`, one value for each of its n // 2 + 1 frequencies."""
    return np.asarray(np.fft.irfft(np.fft.rfft(x) * gain, len(x)), float)


def frequencies(n: int) -> Wave:
    """The frequencies in Hz of the spectrum of `n` samples."""
    return np.asarray(np.fft.rfftfreq(n, 1 / RATE), float)


def band(x: Wave, low: float, high: float, order: int = 4) -> Wave:
    """`x` between two frequencies in Hz (0 and `inf` leave an end open); zero phase, soft edges."""
    f = frequencies(len(x))
    gain = np.ones_like(f)
    if low > 0:
        gain *= 1 / np.sqrt(1 + (low / np.maximum(f, 1e-3)) ** (2 * order))
    if np.isfinite(high):
        gain *= 1 / np.sqrt(1 + (f / high) ** (2 * order))
    return filtered(x, gain)


def noise(rng: Rng, n: int, slope: float = 0.0, low: float = 0.0, high: float = np.inf) -> Wave:
    """Gaussian noise of level 1 (RMS) whose spectrum falls by `slope` dB per octave, between two frequencies."""
    x = rng.standard_normal(n)
    if slope:
        x = filtered(x, (np.maximum(frequencies(n), 20.0) / 1000) ** (-slope / 6.02))
    if low > 0 or np.isfinite(high):
        x = band(x, low, high)
    return level(x)


def level(x: Wave) -> Wave:
    """`x` at RMS 1; silence stays silence."""
    return np.asarray(x / max(float(np.sqrt(np.mean(x**2))), 1e-12))


def resonances(
    n: int, centres: Sequence[float], widths: Sequence[float], gains: Sequence[float]
) -> NDArray[np.complex128]:
    """The causal gain, over the frequencies of `n` samples, of resonances (Hz, Hz, factor) in parallel."""
    f = np.maximum(frequencies(n), 1e-3)
    total = np.zeros(len(f), complex)
    for centre, width, gain in zip(centres, widths, gains, strict=True):
        total += gain / (1 + 1j * (f**2 - centre**2) / (f * width))
    return total


def resonate(x: Wave, centres: Sequence[float], widths: Sequence[float], gains: Sequence[float]) -> Wave:
    """`x` through resonances in parallel; each passes its centre with its gain. The end must not wrap: see `pad`."""
    padded = np.r_[x, np.zeros(RATE // 4)]
    return filtered(padded, resonances(len(padded), centres, widths, gains))[: len(x)]


def moving_filter(x: Wave, gain: Wave) -> Wave:
    """`x` through a filter that changes: `gain` is (frames, 257), a frame each 128 samples, frequencies to 8 kHz."""
    hop, size = 128, 512
    padded = np.r_[np.zeros(size), x, np.zeros(2 * size)]
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size))
    rows = np.minimum(np.maximum(np.arange(len(frames)) - size // hop // 2, 0), len(gain) - 1)
    pieces = np.fft.irfft(np.fft.rfft(frames * window, axis=1) * gain[rows], size, axis=1) * window
    out = np.zeros(len(padded) + size)
    for part in range(size // hop):
        lane = pieces[part :: size // hop].ravel()
        out[part * hop : part * hop + len(lane)] += lane
    return out[size : size + len(x)] / 2


def gain_frames(n: int) -> tuple[Wave, Wave]:
    """The times (frames, 1) in seconds and the frequencies (1, 257) in Hz of `moving_filter` for `n` samples."""
    return seconds(n // 128 + 1)[:, None] * 128, frequencies(512)[None, :]


def phase(frequency: ArrayLike, n: int) -> Wave:
    """The phase in radians of a tone of changing frequency in Hz."""
    values = np.broadcast_to(np.asarray(frequency, float), (n,))
    return np.asarray(2 * np.pi * np.cumsum(values) / RATE)


def tone(frequency: ArrayLike, n: int, start: float = 0.0) -> Wave:
    """A sine of changing frequency in Hz, silent above TOP."""
    inside = np.broadcast_to(np.asarray(frequency, float), (n,)) < TOP
    return np.asarray(np.sin(phase(frequency, n) + start) * inside)


def stack(frequency: ArrayLike, n: int, gains: Sequence[float], rng: Rng | None = None) -> Wave:
    """Harmonics of a changing frequency in Hz with the given gains; with `rng`, their phases are random."""
    base = phase(frequency, n)
    values = np.broadcast_to(np.asarray(frequency, float), (n,))
    total = np.zeros(n)
    lowest = float(values.min())
    for number, gain in enumerate(gains, 1):
        if abs(gain) < 1e-5:
            continue
        if number * lowest >= TOP:
            break
        start = 0.0 if rng is None else rng.uniform(0, 2 * np.pi)
        fade = np.clip((TOP - number * values) / 300, 0, 1)
        total += gain * fade * np.sin(number * base + start)
    return total


def decay(n: int, time: float, attack: float = 0.001) -> Wave:
    """An envelope that rises in `attack` seconds and falls by 60 dB in `time` seconds."""
    t = seconds(n)
    return np.asarray(np.minimum(t / max(attack, 1e-4), 1) * np.exp(-6.908 * t / time))


def pulse(n: int, attack: float, release: float) -> Wave:
    """An envelope of 1 with cosine edges of the given seconds, both at most half of `n`."""
    up, down = (min(max(round(edge * RATE), 1), max(n // 2, 1)) for edge in (attack, release))
    out = np.ones(n)
    out[:up] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(up) / up)
    out[n - down :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, down + 1) / down)
    return out


def struck(n: int, partials: Sequence[float], times: Sequence[float], gains: Sequence[float], rng: Rng) -> Wave:
    """A struck body: partials (Hz) that each fall by 60 dB in their own time (s)."""
    out = np.zeros(n)
    for partial, time, gain in zip(partials, times, gains, strict=True):
        if partial < TOP:
            length = min(n, round(time * 1.2 * RATE) + 1)
            out[:length] += (
                gain
                * np.sin(2 * np.pi * partial * seconds(length) + rng.uniform(0, 6.28))
                * decay(length, time, 0.0005)
            )
    return out


def modes(rng: Rng, low: float, high: float, count: int, time: float) -> tuple[list[float], list[float], list[float]]:
    """Random partials, decay times and gains of a solid body; the higher, the shorter and fainter."""
    partials = np.sort(np.exp(rng.uniform(np.log(low), np.log(high), count)))
    times = time * (low / partials) ** rng.uniform(0.3, 0.9) * rng.uniform(0.6, 1.4, count)
    gains = rng.uniform(0.2, 1, count) * (low / partials) ** rng.uniform(0.0, 0.6)
    return list(partials), list(times), list(gains)


def place(n: int, starts: ArrayLike, grains: Sequence[Wave], gains: ArrayLike | None = None) -> Wave:
    """A silence of `n` samples with each grain added at its start, in seconds; the ends are cut."""
    out = np.zeros(n)
    where = np.asarray(starts, float)
    factors = np.ones(len(where)) if gains is None else np.asarray(gains, float)
    for number, (start, factor) in enumerate(zip(where, factors, strict=True)):
        first = round(start * RATE)
        grain = grains[number % len(grains)]
        if 0 <= first < n:
            part = grain[: n - first]
            out[first : first + len(part)] += factor * part
    return out


def clicks(n: int, starts: ArrayLike, gains: ArrayLike) -> Wave:
    """Single samples of the given gains at the given seconds, shared by the two samples beside each time."""
    at = np.asarray(starts, float) * RATE
    height = np.broadcast_to(np.asarray(gains, float), at.shape)
    out = np.zeros(n + 1)
    inside = (at >= 0) & (at < n - 1)
    first = np.floor(at[inside]).astype(int)
    part = at[inside] - first
    np.add.at(out, first, height[inside] * (1 - part))
    np.add.at(out, first + 1, height[inside] * part)
    return out[:n]


def through(x: Wave, response: Wave) -> Wave:
    """`x` convolved with a response, cut to the length of `x`."""
    size = 1 << (len(x) + len(response) - 1).bit_length()
    return np.asarray(np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(response, size), size)[: len(x)], float)


def grit(rng: Rng, n: int, starts: ArrayLike, gains: ArrayLike, time: float) -> Wave:
    """Short bursts of noise, each new, at the given seconds; each falls by 60 dB in `time` seconds."""
    size = round(time * 1.2 * RATE) + 2
    return noise(rng, n) * through(clicks(n, starts, gains), decay(size, time, 0.0004))


def regular(rng: Rng, n: int, period: float, jitter: float = 0.02, first: float | None = None) -> Wave:
    """Times of a steady beat over `n` samples, in seconds; each is off by `jitter` of the period (deviation)."""
    begin = rng.uniform(0, period) if first is None else first
    beats = np.arange(begin, n / RATE, period)
    return np.asarray(beats + rng.normal(0, jitter * period, len(beats)))


def scattered(rng: Rng, n: int, rate: float) -> Wave:
    """Random times over `n` samples, `rate` per second on average, sorted, in seconds."""
    return np.sort(rng.uniform(0, n / RATE, max(1, rng.poisson(rate * n / RATE))))


def crossings(cycles: Wave) -> Wave:
    """The times in seconds at which a rising count of cycles (n,) passes a whole number."""
    whole = np.floor(cycles)
    return np.flatnonzero(np.diff(whole) > 0) / RATE
