"""Films made up to measure seams on: something sounds all the time, and pictures show it only at the beginning.

One of four things (`THINGS`) is heard throughout, each of a colour and loudness of its own. For the first clip the
camera shows it; then it looks elsewhere, and nothing in the pictures says what is heard. Whoever sees one such clip
alone must guess, and guesses anew at each join; whoever knows the whole film need not. Single clips show their thing
or they do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.media import write_media
from features.encoders import CLIP_SECONDS

RATE, FPS = 16_000, 25
HEIGHT, WIDTH = 72, 128
SHOWN_SHARE = 0.4  # of single clips

Picture = NDArray[np.float64]
Draw = np.random.Generator


@dataclass(frozen=True)
class Thing:
    """What may be heard, and how it looks."""

    level: float
    """dBFS."""
    slope: float
    """Powers of frequency by which its noise falls between `low` and `high` hertz."""
    low: float
    high: float
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    stripes: tuple[float, float]
    """Pixels from one to the next across and down."""
    pace: int
    """Pixels a picture that it moves by."""


THINGS = (
    Thing(-20, 0.0, 800, 7000, ((235, 240, 250), (30, 90, 200)), (1e9, 9), 3),
    Thing(-24, 0.5, 120, 1500, ((60, 130, 40), (170, 210, 90)), (17, 17), 1),
    Thing(-28, 0.1, 1500, 7500, ((200, 40, 30), (250, 190, 60)), (7, 1e9), 5),
    Thing(-32, 0.7, 200, 4000, ((90, 30, 110), (240, 170, 220)), (31, 12), 2),
)
LEVEL_VARIES = 1.0  # decibels, standard deviation


def film(path: Path, seed: int, seconds: int) -> None:
    """Write the film of a seed; the same seed is the same film. One that lasts a single clip shows all or nothing."""
    draw = np.random.default_rng(seed)
    thing = THINGS[int(draw.integers(len(THINGS)))]
    heard = sound(draw, thing, seconds)
    shown = CLIP_SECONDS if seconds > CLIP_SECONDS or draw.random() < SHOWN_SHARE else 0
    pieces = (heard[None, k : k + RATE] for k in range(0, len(heard), RATE))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = pictures(draw, thing, seconds * FPS, round(shown * FPS))
    write_media(path, frames=frames, fps=FPS, audio=pieces, sample_rate=RATE)


def sound(draw: Draw, thing: Thing, seconds: int) -> NDArray[np.float32]:
    """(samples,) at RATE."""
    low, high = (edge * draw.uniform(0.85, 1.15) for edge in (thing.low, thing.high))
    noise = coloured(draw, seconds * RATE, thing.slope, low, high) * slow(draw, seconds * RATE, 5, 0.1)
    level = 10 ** ((thing.level + draw.normal(0, LEVEL_VARIES)) / 20)
    heard: NDArray[np.float32] = np.clip(noise / np.sqrt(np.mean(noise**2)) * level, -0.99, 0.99).astype(np.float32)
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


def pictures(draw: Draw, thing: Thing, count: int, shown: int) -> Iterator[NDArray[np.uint8]]:
    """uint8 (HEIGHT, WIDTH, 3): the thing for the first `shown` of them, then a grey view that says nothing."""
    view = draw.uniform(70, 160, (9, 33)).repeat(8, axis=0).repeat(8, axis=1)
    light = draw.uniform(0.85, 1.1)
    for k in range(count):
        if k < shown:
            picture = light * pattern(thing, thing.pace * k)
        else:
            picture = np.roll(view, k // 3, axis=1)[:HEIGHT, :WIDTH, None].repeat(3, axis=2)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def pattern(thing: Thing, moved: int) -> Picture:
    """(HEIGHT, WIDTH, 3) of a thing that moved by so many pixels."""
    across, down = thing.stripes
    x, y = np.arange(WIDTH) + moved, np.arange(HEIGHT)[:, None] + moved
    share = 0.5 + 0.5 * np.sin(2 * np.pi * (x / across + y / down)) * np.cos(2 * np.pi * (x / across - y / down))
    first, second = (np.array(colour, float) for colour in thing.colours)
    return np.asarray(first + share[:, :, None] * (second - first))
