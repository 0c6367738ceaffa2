"""CPU time of detectors per second of sound, each with one thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...detectors import open_detector
from ..mixing.acoustics import Sound
from ..sources.pool import RATE
from .rivals import scores_of

SECONDS = 300.0
ROUNDS = 3


def times_real_time(names: Sequence[str], seconds: float = SECONDS) -> Mapping[str, float]:
    """Seconds of sound per second of this process's CPU time, for each detector at RATE; the best of ROUNDS.

    Call it in a process whose libraries use one thread.
    """
    rng = np.random.default_rng(0)
    sound: Sound = (0.05 * rng.standard_normal(round(seconds * RATE))).astype(np.float32)
    result = {}
    for name in names:
        detector: dict[str, Any] = {name: open_detector(name)}
        scores_of(detector, sound[: 10 * RATE])  # first use allocates
        spent = []
        for _ in range(ROUNDS):
            began = time.process_time()
            scores_of(detector, sound)
            spent.append(time.process_time() - began)
        result[name] = seconds / min(spent)
    return result
