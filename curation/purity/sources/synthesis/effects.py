"""Sound effects made from formulas: tonal and rhythmic, never a tune, for the detector to learn what is not music."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ..pool import RATE, Source, Split
from . import alarms, animals, engines, impacts, weather
from .signals import Rng, Wave, between, level

PACKAGE = "synthesis-effects"
VERSION = "1"
"""Changes with any function below: the same path then gives other samples."""
EFFECTS: Mapping[str, Callable[[Rng, int], Wave]] = {
    **engines.EFFECTS,
    **alarms.EFFECTS,
    **impacts.EFFECTS,
    **animals.EFFECTS,
    **weather.EFFECTS,
}
HELD_OUT = frozenset({"gear-whine", "train-horn", "electronic-ring", "small-bell", "press", "howl", "frogs", "drips"})
"""The effects whose sources are all for validation: kinds that the training has never met."""
SECONDS = (5.0, 30.0)


def effect(name: str, seed: int) -> NDArray[np.int16]:
    """The sound effect of a name and a seed: int16 (n,) at RATE, 5 to 30 s, RMS to -16 dBFS, peak to -1 dBFS."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    n = round(between(rng, *SECONDS) * 10) * (RATE // 10)
    return finished(EFFECTS[name](rng, n), rng.uniform(-36, -16))


def finished(x: Wave, loudness: float) -> NDArray[np.int16]:
    """`x` without its mean, with edges of 10 ms, at an RMS of `loudness` dBFS, or less so that no peak passes -1."""
    x = x - x.mean()
    edge = np.minimum(1, np.arange(len(x)) / (0.01 * RATE))
    x = level(x * edge * edge[::-1]) * 10 ** (loudness / 20)
    return np.asarray(np.rint(x * 32767 * min(1.0, 0.89 / max(float(np.abs(x).max()), 1e-12))), np.int16)


def sources(count: int) -> Iterator[tuple[Source, NDArray[np.int16]]]:
    """Yield `count` seeds of each effect, with its source."""
    for seed in range(count):
        for name in EFFECTS:
            samples = effect(name, seed)
            split: Split = "val" if name in HELD_OUT else "train"
            yield (
                Source(
                    package=PACKAGE,
                    version=VERSION,
                    path=f"effects/{name}/seed-{seed}",
                    sha256=hashlib.sha256(samples.tobytes()).hexdigest(),
                    licence="Apache-2.0",
                    kind="effects",
                    category=name,
                    group=name,
                    split=split,
                    seconds=len(samples) / RATE,
                ),
                samples,
            )
