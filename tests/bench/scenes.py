"""Films made up to measure seams on: something sounds all the time, and is seen only at the beginning.

One of four things (`THINGS`) is heard throughout, each of a colour of its own, two of them loud and two quiet. For
the first clip it carries the camera along, each in a direction of its own; then the camera stands still, and nothing in
the pictures says what is heard. Whoever sees one such clip alone must guess, and guesses anew at each join; whoever
knows the whole film need not. Single clips move or they do not.

Movement alone tells: a network that can read as much off the pictures themselves never learns to listen to sync, and
adapters, which speak through the same door, find it closed. Loud and quiet are so far apart that what is quiet is
gated out of the integrated loudness (ITU-R BS.1770: 10 LU below the mean): a loud film whose later clips come out quiet
is as loud as it was, and its joins count. There is noise in all bands, as in every recording: where a band is empty,
the spectra of a clip's ends, which reach beyond it, are unlike all others, and how well a small network has learned
those outweighs all else at a join.
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
MOVING_SHARE = 0.5  # of single clips
FLOOR = 10 ** (-25 / 20)  # of the noise in all bands, below the loudest

Draw = np.random.Generator


@dataclass(frozen=True)
class Thing:
    """What may be heard, and how it moves."""

    level: float
    """dBFS."""
    slope: float
    """Powers of frequency by which its noise falls between `low` and `high` hertz."""
    low: float
    high: float
    moves: tuple[int, int]
    """Pixels a picture to the right and down."""


THINGS = (
    Thing(-20, 0.0, 800, 7000, (4, 0)),
    Thing(-17.5, 0.5, 120, 1500, (0, 3)),
    Thing(-40, 0.1, 1500, 7500, (-4, 0)),
    Thing(-38, 0.7, 200, 4000, (0, -3)),
)
LEVEL_VARIES = 0.5  # decibels, standard deviation


def film(path: Path, seed: int, seconds: int) -> None:
    """Write the film of a seed; the same seed is the same film. One that lasts a single clip moves or stands."""
    draw = np.random.default_rng(seed)
    thing = THINGS[int(draw.integers(len(THINGS)))]
    heard = sound(draw, thing, seconds)
    moving = CLIP_SECONDS if seconds > CLIP_SECONDS or draw.random() < MOVING_SHARE else 0
    pieces = (heard[None, k : k + RATE] for k in range(0, len(heard), RATE))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = pictures(draw, thing, seconds * FPS, round(moving * FPS))
    write_media(path, frames=frames, fps=FPS, audio=pieces, sample_rate=RATE)


def sound(draw: Draw, thing: Thing, seconds: int) -> NDArray[np.float32]:
    """(samples,) at RATE."""
    low, high = (edge * draw.uniform(0.85, 1.15) for edge in (thing.low, thing.high))
    noise = coloured(draw, seconds * RATE, thing.slope, low, high) * slow(draw, seconds * RATE, 5, 0.1)
    level = 10 ** ((thing.level + draw.normal(0, LEVEL_VARIES)) / 20)
    heard: NDArray[np.float32] = np.clip(noise / np.sqrt(np.mean(noise**2)) * level, -0.99, 0.99).astype(np.float32)
    return heard


def coloured(draw: Draw, count: int, slope: float, low: float, high: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls by `slope` powers of frequency, between `low` and `high` hertz, down to FLOOR."""
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    shape = np.maximum(frequencies, 20.0) ** -slope
    shape *= 1 / (1 + (low / np.maximum(frequencies, 1.0)) ** 4) / (1 + (frequencies / high) ** 4)
    return np.fft.irfft(np.fft.rfft(draw.standard_normal(count)) * np.maximum(shape, shape.max() * FLOOR), count)


def slow(draw: Draw, count: int, period: float, depth: float) -> NDArray[np.float64]:
    """A curve about 1 that wanders by `depth` within `period` seconds."""
    knots = draw.uniform(-1, 1, int(count / RATE / period) + 3)
    return np.asarray(1 + depth * np.interp(np.arange(count) / RATE / period, np.arange(len(knots)), knots))


def pictures(draw: Draw, thing: Thing, count: int, moving: int) -> Iterator[NDArray[np.uint8]]:
    """uint8 (HEIGHT, WIDTH, 3): a view that goes by for the first `moving` of them, then stands."""
    view = draw.uniform(40, 215, (HEIGHT // 8, WIDTH // 8, 3)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
    right, down = thing.moves
    for k in range(count):
        gone = min(k, moving)
        yield np.roll(view, (gone * down, gone * right), axis=(0, 1))
