"""Draws sources from the pool, and sounds of a wanted length from them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..sources.pool import RATE, Kind, Pool, Split
from .acoustics import Sound

LONG = 6.0  # seconds: a source of this length can be a background by itself
FADE = 0.02  # seconds at each seam


class Drawer:
    """Draws the sources of a split, each kind by its weights.

    A source's weight is one over the square root of the number of sources in its package and category, so that no
    large package drowns the others, times its factor in `factors` (by SHA-256): hard negatives have more.
    """

    def __init__(self, pool: Pool, split: Split, factors: Mapping[str, float] | None = None) -> None:
        self.pool = pool
        self._at: dict[Kind, NDArray[np.int64]] = {}
        self._until: dict[Kind, NDArray[np.float64]] = {}
        self._group: dict[tuple[Kind, str, str], list[int]] = defaultdict(list)
        for kind in ("speech", "singing", "music", "effects"):
            indices = pool.indices(kind, split)
            sources = [pool.sources[i] for i in indices]
            number = Counter((one.package, one.category) for one in sources)
            weights = [
                (factors or {}).get(one.sha256, 1.0)
                * _length_weight(kind, one.seconds)
                / number[one.package, one.category] ** 0.5
                for one in sources
            ]
            self._at[kind] = np.asarray(indices, np.int64)
            self._until[kind] = np.cumsum(np.asarray(weights, np.float64))
            for i, one in zip(indices, sources, strict=True):
                self._group[kind, one.package, one.group].append(i)

    def has(self, kind: Kind) -> bool:
        """True if the split has sources of the kind."""
        return len(self._at[kind]) > 0

    def index(self, rng: np.random.Generator, kind: Kind) -> int:
        """A source of the kind. Raises IndexError without one."""
        until = self._until[kind]
        return int(self._at[kind][np.searchsorted(until, rng.random() * until[-1], "right")])

    def kin(self, rng: np.random.Generator, index: int) -> int:
        """A source of the same speaker, album or package."""
        one = self.pool.sources[index]
        group = self._group[one.kind, one.package, one.group]
        return group[rng.integers(len(group))]

    def sound(self, rng: np.random.Generator, index: int, samples: int, speed: float = 1.0) -> Sound:
        """At most `samples` samples of a source, from a random place of it, played at `speed`; not silent."""
        stored = self.pool.samples(index)
        wanted = round(samples * speed)
        begin = int(rng.integers(len(stored) - wanted + 1)) if len(stored) > wanted else 0
        sound = stored[begin : begin + wanted].astype(np.float32) / np.float32(32768)
        if speed == 1.0 or len(sound) < 2:
            return sound
        # linear: what it loses of the heights is one more filter among those of the scene
        at = np.arange(min(samples, int(len(sound) / speed)), dtype=np.float64) * speed
        return np.asarray(np.interp(at, np.arange(len(sound)), sound), np.float32)


def _length_weight(kind: Kind, seconds: float) -> float:
    """Long pieces of music have more to draw from than short ones; speech and effects count by the file."""
    return min(seconds, 120.0) ** 0.5 if kind == "music" else 1.0


def filled(rng: np.random.Generator, drawer: Drawer, index: int, samples: int) -> Sound:
    """A background (samples,) from a source: repeated with soft seams, each time another part of it."""
    speed = float(2 ** rng.uniform(-0.5, 0.5))
    result = np.zeros(samples, np.float32)
    at, fade = 0, round(FADE * RATE)
    while at < samples:
        piece = drawer.sound(rng, index, samples - at + fade, speed)
        if len(piece) <= 2 * fade:
            piece = np.pad(piece, (0, 2 * fade + 1 - len(piece)))
        faded(piece, fade)
        count = min(len(piece), samples - at)
        result[at : at + count] += piece[:count]
        at += max(1, len(piece) - fade)
    return result


def scattered(rng: np.random.Generator, drawer: Drawer, index: int, samples: int) -> Sound:
    """Events (samples,) of a source and its kin at random times: from one to one every half second."""
    rate = np.exp(rng.uniform(np.log(0.08), np.log(2.0)))  # per second
    result = np.zeros(samples, np.float32)
    same = rng.random() < 0.5
    for _ in range(1 + rng.poisson(rate * samples / RATE)):
        chosen = index if same else drawer.kin(rng, index)
        piece = drawer.sound(rng, chosen, samples, float(2 ** rng.uniform(-0.4, 0.4)))
        piece = piece * np.float32(10 ** (rng.uniform(-9, 0) / 20))
        faded(piece, round(FADE * RATE / 4))
        at = int(rng.integers(-len(piece) // 2, samples))
        low, high = max(at, 0), min(at + len(piece), samples)
        result[low:high] += piece[low - at : high - at]
    return result


def phrases(rng: np.random.Generator, drawer: Drawer, index: int, samples: int) -> Sound:
    """Speech (samples,): phrases of one speaker, 30-350 ms apart, sometimes with a longer pause."""
    result = np.zeros(samples, np.float32)
    speed = float(2 ** rng.uniform(-0.15, 0.15))
    at, chosen = 0, index
    while at < samples:
        piece = drawer.sound(rng, chosen, samples - at, speed)
        result[at : at + len(piece)] += piece[: samples - at]
        pause = rng.uniform(0.03, 0.35) if rng.random() < 0.85 else rng.uniform(0.35, 1.5)
        at += len(piece) + round(pause * RATE)
        chosen = drawer.kin(rng, index)
    return result


def faded(sound: Sound, samples: int) -> None:
    """Fade a sound in and out over `samples` samples, in place."""
    count = min(samples, len(sound) // 2)
    if count > 0:
        ramp = np.linspace(0, 1, count, dtype=np.float32)
        sound[:count] *= ramp
        sound[-count:] *= ramp[::-1]
