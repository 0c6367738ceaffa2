"""Sound effects made from formulas: tonal and rhythmic, never a tune, for the detector to learn what is not music."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..pool import RATE
from . import alarms, animals, engines, impacts, weather
from .jobs import Job, finished
from .signals import Rng, Wave, between

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


def jobs(count: int = 7) -> list[Job]:
    """The jobs of `count` seeds of each effect."""
    return [
        Job(
            path=f"effects/{name}/seed-{seed}",
            licence="Apache-2.0",
            kind="effects",
            category=name,
            group=name,
            split="val" if name in HELD_OUT else "train",
            render=partial(effect, name, seed),
        )
        for seed in range(count)
        for name in EFFECTS
    ]
