"""Sounds and films whose copies and strangers are known, for the tests of `curation.duplicates`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from curation.duplicates import (
    FPS,
    RATE,
    AudioFingerprinter,
    Fingerprint,
    Match,
    VideoFingerprinter,
    find_matches,
    new_fingerprint,
    open_index,
    write_index,
)

Sound = NDArray[np.float32]
Film = NDArray[np.uint8]


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> Sound:
    """Like rain: white, without any other trait."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def chirps(seconds: float, seed: int = 0) -> Sound:
    """Like birds: a sweep somewhere between 300 and 3000 Hz every 0.2 to 0.6 s, over faint noise."""
    rng = np.random.default_rng(seed)
    out, at = noise(seconds, seed + 1000, 0.003), 0.0
    while at < seconds - 0.5:
        time = np.arange(round(rng.uniform(0.1, 0.4) * RATE)) / RATE
        low, high = rng.uniform(300, 3000, 2)
        sweep = np.sin(2 * np.pi * (low * time + (high - low) * time**2 / (2 * time[-1])))
        first = round(at * RATE)
        out[first : first + len(time)] += (0.3 * np.hanning(len(time)) * sweep)[: len(out) - first].astype(np.float32)
        at += rng.uniform(0.2, 0.6)
    return out


def clicks(seconds: float, seed: int = 0, period: float | None = None, floor: float = 0.002) -> Sound:
    """Like a dog or a hammer: bursts at random (or each `period` seconds, then all alike) over faint noise."""
    rng = np.random.default_rng(seed)
    out, at = noise(seconds, seed + 2000, floor), 0.1
    decay = np.exp(-np.arange(RATE // 8) / (0.02 * RATE))
    tick = np.random.default_rng(99).standard_normal(len(decay))
    while at < seconds - 0.2:
        first = round(at * RATE)
        burst = tick if period else rng.standard_normal(len(decay))
        out[first : first + len(decay)] += (0.3 * decay * burst).astype(np.float32)
        at += period or rng.uniform(0.2, 0.9)
    return out


def hum(seconds: float, seed: int = 0) -> Sound:
    """50 Hz and its harmonics, the same in every recording."""
    del seed
    time = np.arange(round(seconds * RATE)) / RATE
    tones = [0.1 / k * np.sin(2 * np.pi * 50 * k * time) for k in range(1, 30)]
    return np.asarray(np.sum(tones, axis=0), np.float32)


def silence(seconds: float, seed: int = 0) -> Sound:
    del seed
    return np.zeros(round(seconds * RATE), np.float32)


def resampled(samples: Sound, rate: int, to: int) -> Sound:
    return np.asarray(soxr.resample(samples, rate, to), np.float32)


def film(seconds: float, seed: int = 0, size: tuple[int, int] = (160, 90), fps: float = FPS) -> Film:
    """Three bright spots that wander over a dark ground: uint8 (pictures, height, width, 3)."""
    rng = np.random.default_rng(seed)
    knots = rng.uniform(0, 1, (round(seconds) + 3, 6))
    time = np.arange(round(seconds * fps)) / fps
    paths = np.stack([np.interp(time, np.arange(len(knots)), knots[:, k]) for k in range(6)], axis=1)
    width, height = size
    x, y = np.arange(width) / width, np.arange(height)[:, None] / height
    images = np.empty((len(time), height, width, 3), np.uint8)
    for image, path in zip(images, paths, strict=True):
        spots = sum(np.exp(-(((x - path[k]) / 0.1) ** 2) - ((y - path[k + 3]) / 0.15) ** 2) for k in range(3))
        image[:] = np.clip(30 + 200 * spots, 0, 255).astype(np.uint8)[..., None]
    return images


def sound_print(name: str, samples: Sound) -> Fingerprint:
    """Of a recording that is one item of the same name."""
    printer = AudioFingerprinter()
    printer.push(samples)
    return new_fingerprint(f"{name}/audio", name, "audio", 0.0, printer.finish())


def film_print(name: str, images: Iterable[Film], begin: float = 0.0) -> Fingerprint:
    """As `sound_print`, of pictures FPS a second from `begin` seconds on."""
    printer = VideoFingerprinter()
    for index, image in enumerate(images):
        printer.push(begin + index / FPS, image)
    return new_fingerprint(f"{name}/picture@{begin:g}", name, "picture", begin, printer.finish())


def matches_among(prints: Iterable[Fingerprint], new: Iterable[Fingerprint] | None = None) -> list[Match]:
    """All matches of the new ones (by default of all) in one index of all."""
    known: Mapping[str, Fingerprint] = {one.item: one for one in prints}
    with tempfile.TemporaryDirectory() as folder:
        write_index(Path(folder), known.values())
        return find_matches(known.values() if new is None else new, [open_index(Path(folder))], known.__getitem__)
