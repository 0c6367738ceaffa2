"""Learning rates, as a function of the step alone: nothing to keep when a training stops."""

from __future__ import annotations

import math

from .settings import Schedule


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """What rates are multiplied by in `step` (from 0) of `steps`.

    The rise reaches 1 in step `warmup` - 1. What follows is over the steps after the warm-up; beyond the last one it
    stays where it ended.
    """
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    share = min(1.0, (step - schedule.warmup) / max(1, steps - schedule.warmup))
    if schedule.kind == "cosine":
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2
    if schedule.kind == "step":
        return float(0.1 ** sum(share >= drop for drop in schedule.drops))
    return 1.0
