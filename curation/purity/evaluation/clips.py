"""Clips of 20 s with one contaminant at a known level, and pure ones, for recall at a share of false alarms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...detectors.purity.frontend import HOP, RATE
from ..mixing.draw import Drawer
from ..mixing.scene import LABELS, Event, MixRules, Scene, make_bed, mixed
from ..sources.pool import Kind
from .recall import second_means

Extent = Literal["short", "long", "throughout"]
SECONDS = {"short": (3.0, 8.0), "long": (15.0, 19.0)}
"""Least and most length of an event."""


class Task(NamedTuple):
    """One contaminant at one level over the sound effects; `short` lasts 3-8 s, `long` 15 s and more."""

    kind: Kind
    level_db: float
    extent: Extent

    def __str__(self) -> str:
        return f"{self.kind} {self.level_db:+.0f} dB {self.extent}"


@dataclass(frozen=True, eq=False)
class Clip:
    """A scene, and the seconds (n,) of which the task's contaminant fills more than half; none if it is pure."""

    task: Task | None
    scene: Scene = field(repr=False)
    truth: NDArray[np.bool_] = field(repr=False)
    categories: tuple[str, ...]


def clips(
    drawer: Drawer, frames: int, tasks: Sequence[Task], *, pure: int, each: int, seed: int, rules: MixRules
) -> Iterator[Clip]:
    """`pure` pure clips, then `each` of every task of which the pool has sources; the same for the same seed."""
    jobs: list[Task | None] = [None] * pure
    jobs += [task for task in tasks if drawer.has(task.kind) for _ in range(each)]
    for number, task in enumerate(jobs):
        yield _clip(np.random.default_rng([seed, number]), drawer, frames, task, rules)


def _clip(rng: np.random.Generator, drawer: Drawer, frames: int, task: Task | None, rules: MixRules) -> Clip:
    bed, used = make_bed(rng, drawer, frames * HOP)
    events: list[Event] = []
    if task is not None:
        length = frames
        if task.extent != "throughout":
            length = min(round(float(rng.uniform(*SECONDS[task.extent])) * RATE / HOP), frames)
        begin = int(rng.integers(frames - length + 1))
        events = [Event(task.kind, begin, begin + length, task.level_db)]
    made = mixed(rng, drawer, bed, used, events, rules)
    present = made.labels.present[:, LABELS.index(task.kind)] if task else np.zeros(frames, np.float32)
    categories = tuple(sorted({drawer.pool.sources[index].category for index in used}))
    return Clip(task, made, second_means(present, HOP / RATE) > 0.5, categories)
