"""Learning rates as a function of the step alone, without state to store."""

from __future__ import annotations

import math

from .settings import Schedule


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """The factor on learning rates in `step` (from 0) of `steps`.

    The warm-up reaches 1 in step `warmup` - 1. The rest of the schedule covers the steps after it; beyond the last step
    the factor is constant.
    """
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    share = min(1.0, (step - schedule.warmup) / max(1, steps - schedule.warmup))
    if schedule.kind == "cosine":
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2
    if schedule.kind == "step":
        return float(0.1 ** sum(share >= drop for drop in schedule.drops))
    return 1.0
