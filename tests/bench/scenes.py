"""Films made up to measure seams on: each has one steady sound, and pictures that show it only part of the time.

A film's sound is one or two textures (wind, rain, engine, surf, fan, crackle, drips) with colour, pace and loudness of
its own. Bars in the picture follow its spectrum, as loud as it is; but for much of the time the camera looks elsewhere,
and then nothing in the picture says what is heard. Whoever sees one clip alone must guess; whoever knows the whole film
need not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.media import write_media

RATE, FPS = 16_000, 25
HEIGHT, WIDTH, BARS = 72, 128, 16
QUIET, LOUD = -42.0, -14.0  # dBFS of films
AWAY_SHARE = 0.45  # of the time the camera looks elsewhere

Sound = NDArray[np.float32]
Draw = np.random.Generator


def film(path: Path, seed: int, seconds: int, of: int | None = None) -> None:
    """Write the film of a seed, or that many seconds out of a film of `of`; the same seed is the same film."""
    draw = np.random.default_rng(seed)
    sound = scene(draw, seconds)
    pieces = (sound[None, k : k + RATE] for k in range(0, len(sound), RATE))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_media(path, frames=pictures(draw, sound, seconds, of or seconds), fps=FPS, audio=pieces, sample_rate=RATE)


def scene(draw: Draw, seconds: int) -> Sound:
    """float32 (samples,) at RATE."""
    count = seconds * RATE
    kinds = draw.choice(len(TEXTURES), size=draw.integers(1, 3), replace=False)
    mixed = np.zeros(count)
    for kind in kinds:
        texture = TEXTURES[kind](draw, count)
        mixed += draw.uniform(0.3, 1.0) * texture / np.sqrt(np.mean(texture**2))
    level = 10 ** (draw.uniform(QUIET, LOUD) / 20)
    heard: Sound = np.clip(mixed / np.sqrt(np.mean(mixed**2)) * level, -0.99, 0.99).astype(np.float32)
    return heard


def coloured(draw: Draw, count: int, slope: float, low: float, high: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls by `slope` powers of frequency, between `low` and `high` hertz."""
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    shape = np.maximum(frequencies, 20.0) ** -slope
    shape *= 1 / (1 + (low / np.maximum(frequencies, 1.0)) ** 4) / (1 + (frequencies / high) ** 4)
    return np.fft.irfft(np.fft.rfft(draw.standard_normal(count)) * shape, count)


def slow(draw: Draw, count: int, period: float, depth: float) -> NDArray[np.float64]:
    """A curve about 1 that wanders by `depth` within `period` seconds."""
    knots = draw.uniform(-1, 1, int(count / RATE / period) + 3)
    return np.asarray(1 + depth * np.interp(np.arange(count) / RATE / period, np.arange(len(knots)), knots))


def wind(draw: Draw, count: int) -> NDArray[np.float64]:
    return coloured(draw, count, draw.uniform(0.4, 1.2), 60, draw.uniform(500, 3000)) * slow(draw, count, 3, 0.5)


def rain(draw: Draw, count: int) -> NDArray[np.float64]:
    return coloured(draw, count, draw.uniform(0, 0.4), draw.uniform(400, 2000), 7000) * slow(draw, count, 5, 0.2)


def engine(draw: Draw, count: int) -> NDArray[np.float64]:
    pitch = draw.uniform(40, 140) * slow(draw, count, 4, 0.05)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    falls = draw.uniform(0.5, 1.2)
    tones = sum(np.sin(k * phase + draw.uniform(0, 6)) / k**falls for k in range(1, 20))
    return np.asarray(tones + 0.3 * coloured(draw, count, 0.7, 60, 2000) / 0.01)


def surf(draw: Draw, count: int) -> NDArray[np.float64]:
    t = np.arange(count) / RATE
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * t / draw.uniform(5, 11) + draw.uniform(0, 6))
    return coloured(draw, count, draw.uniform(0.2, 0.8), 100, draw.uniform(1500, 6000)) * swell


def fan(draw: Draw, count: int) -> NDArray[np.float64]:
    centre = draw.uniform(200, 3000)
    return coloured(draw, count, 0.2, centre / 1.5, centre * 1.5)


def crackle(draw: Draw, count: int) -> NDArray[np.float64]:
    hits = (draw.random(count) < draw.uniform(20, 80) / RATE) * draw.exponential(1.0, count)
    decay = np.exp(-np.arange(800) / draw.uniform(40, 200)) * draw.standard_normal(800)
    return np.convolve(hits, decay)[:count] + 0.05 * coloured(draw, count, 0.5, 100, 4000) / 0.01


def drips(draw: Draw, count: int) -> NDArray[np.float64]:
    result = 0.02 * coloured(draw, count, 0.5, 100, 4000) / 0.01
    t = np.arange(RATE // 4) / RATE
    for at in np.flatnonzero(draw.random(count) < draw.uniform(3, 10) / RATE):
        ping = np.sin(2 * np.pi * draw.uniform(500, 2500) * t) * np.exp(-t * 30) * draw.exponential()
        result[at : at + len(ping)] += ping[: count - at]
    return np.asarray(result)


TEXTURES = (wind, rain, engine, surf, fan, crackle, drips)


def pictures(draw: Draw, sound: Sound, seconds: int, of: int) -> Iterator[NDArray[np.uint8]]:
    """uint8 (HEIGHT, WIDTH, 3): a view with the bars, or another without, as somewhere in a film of `of` seconds."""
    views = [draw.uniform(40, 215, (9, 33, 3)).repeat(8, axis=0).repeat(8, axis=1) for _ in range(2)]
    heights = spectrum(sound, seconds * FPS)
    colours = draw.uniform(60, 255, (BARS, 3))
    away = elsewhere(draw, of * FPS)
    if of > seconds:
        away = away[int(draw.integers(0, (of - seconds) * FPS)) :]
    for k in range(seconds * FPS):
        picture = np.roll(views[int(away[k])], k // 3, axis=1)[:HEIGHT, :WIDTH].copy()
        if not away[k]:
            for bar in range(BARS):
                height = int(heights[k, bar] * HEIGHT)
                picture[HEIGHT - height :, 8 * bar : 8 * bar + 6] = colours[bar]
        yield picture.astype(np.uint8)


def elsewhere(draw: Draw, count: int) -> NDArray[np.bool_]:
    """In which pictures the camera looks elsewhere: stretches of 5 to 15 s."""
    away = np.zeros(count, bool)
    while away.mean() < AWAY_SHARE:
        start = int(draw.integers(-10 * FPS, count))
        away[max(0, start) : start + int(draw.uniform(5, 15) * FPS)] = True
    return away


def spectrum(sound: Sound, count: int) -> NDArray[np.float64]:
    """Levels of bands in each picture, (count, BARS) from 0 (-75 dBFS) to 1 (-15 dBFS)."""
    hop, size = RATE // FPS, 2048
    padded = np.pad(sound.astype(np.float64), size // 2)
    frames = np.stack([padded[k * hop : k * hop + size] for k in range(count)]) * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)) ** 2 / size**2
    edges = np.geomspace(4, size // 2, BARS + 1).astype(int)
    bands = np.stack([power[:, a : max(b, a + 1)].sum(1) for a, b in pairwise(edges)], 1)
    return np.asarray(np.clip((10 * np.log10(bands + 1e-12) + 75) / 60, 0, 1))
