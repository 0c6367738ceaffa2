"""Long recordings of known contents: pure ones full of hard negatives, and ones with faint speech or music."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from manifests.time import Segment, Timeline

from ...detectors.purity.frontend import HOP
from ..mixing.acoustics import Sound, noise
from ..mixing.draw import Drawer
from ..mixing.scene import LABELS, Event, Labels, MixRules, make_bed, mixed
from ..sources.pool import RATE, Kind, Pool
from .clips import Extent

LEVELS_DB = (-5.0, -8.0, -12.0, -15.0)
EXTENTS: tuple[Extent, ...] = ("short", "long", "throughout")
CONTAMINANTS: tuple[Kind, ...] = ("speech", "music")
LENGTHS = (150.0, 260.0)  # seconds, least and most
JOIN = round(2.0 * RATE)  # samples in which one bed passes into the next
LOUD_DB = (-30.0, -3.0)
LIVE_DB, FLOOR_DB = (-18.0, -3.0), (-32.0, -12.0)
"""Gains of the peak, and levels of the floor under the bed, at which nothing is silent."""
HARD = frozenset({
    "alarm", "animal", "bell", "bird", "clock", "crowd", "cry", "electric", "engine", "insect", "laughter", "machine",
    "train", "vehicle", "wind",
})  # fmt: skip
HARD_FACTOR = 4.0


@dataclass(frozen=True)
class Recipe:
    """A recording to make: without a kind, a pure one."""

    name: str
    kind: Kind | None
    level_db: float
    extent: Extent


@dataclass(frozen=True, eq=False)
class MadeRecording:
    """A recording (samples,) at RATE, and the time of each contaminant in it. `categories` are those of its effects."""

    recipe: Recipe
    sound: Sound = field(repr=False)
    truth: dict[Kind, Timeline]
    categories: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.sound) / RATE

    @property
    def contaminated(self) -> Timeline:
        """The time of any contaminant."""
        whole = Timeline.EMPTY
        for timeline in self.truth.values():
            whole = whole | timeline
        return whole


def recipes(pure: int, rounds: int = 1, levels: Sequence[float] = LEVELS_DB) -> list[Recipe]:
    """`pure` pure recordings, and `rounds` of each contaminant, extent and level."""
    faint = [
        Recipe(f"{kind}{level:+03.0f}-{extent}-{turn}", kind, level, extent)
        for turn, kind, extent, level in product(range(rounds), CONTAMINANTS, EXTENTS, levels)
    ]
    return [Recipe(f"pure-{i:02d}", None, 0.0, "throughout") for i in range(pure)] + faint


def hard_factors(pool: Pool) -> dict[str, float]:
    """Factors for a Drawer under which effects that resemble voices and music are drawn more often."""
    return {one.sha256: HARD_FACTOR for one in pool.sources if one.kind == "effects" and one.category in HARD}


def recordings(
    drawer: Drawer,
    plan: list[Recipe],
    seed: int,
    lengths: tuple[float, float] = LENGTHS,
    floor_db: tuple[float, float] | None = None,
) -> Iterator[MadeRecording]:
    """The recordings of a plan, of `lengths` seconds, one after the other; the same for the same seed and pool.

    `floor_db`: every bed has the place's own noise at this level under it. Without it, sparse beds have silences, which
    end spans.
    """
    rules = MixRules(codec=0.0, narrow=0.0, gain_db=LOUD_DB if floor_db is None else LIVE_DB)
    for number, recipe in enumerate(plan):
        yield _recording(np.random.default_rng([seed, number]), drawer, recipe, rules, lengths, floor_db)


def _recording(
    rng: np.random.Generator,
    drawer: Drawer,
    recipe: Recipe,
    rules: MixRules,
    lengths: tuple[float, float],
    floor_db: tuple[float, float] | None,
) -> MadeRecording:
    frames = round(rng.uniform(*lengths) * RATE / HOP)
    bed, used = _long_bed(rng, drawer, frames * HOP)
    if floor_db is not None:
        bed = bed + noise(rng, len(bed)) * np.float32(0.1 * 10 ** (rng.uniform(*floor_db) / 20))
    events = _events(rng, recipe, frames)
    made = mixed(rng, drawer, bed, used, events, rules)
    truth = {kind: _spans(made.labels, kind) for kind in LABELS if any(event.kind == kind for event in events)}
    categories = tuple(sorted({drawer.pool.sources[index].category for index in used}))
    return MadeRecording(recipe, made.sound, truth, categories)


def _long_bed(rng: np.random.Generator, drawer: Drawer, samples: int) -> tuple[Sound, tuple[int, ...]]:
    """One bed throughout, or two that pass into one another."""
    bed, used = make_bed(rng, drawer, samples)
    if rng.random() < 0.6:
        return bed, used
    other, more = make_bed(rng, drawer, samples)
    at = int(rng.integers(samples // 4, 3 * samples // 4))
    weight = np.clip((np.arange(samples, dtype=np.float32) - at) / JOIN, 0, 1)
    return np.asarray(bed * (1 - weight) + other * weight, np.float32), (*used, *more)


def _events(rng: np.random.Generator, recipe: Recipe, frames: int) -> list[Event]:
    if recipe.kind is None:
        return []
    if recipe.extent == "throughout":
        return [Event(recipe.kind, 0, frames, recipe.level_db)]
    seconds = (3.0, 8.0) if recipe.extent == "short" else (20.0, 60.0)
    events = []
    for slot in range(3 if recipe.extent == "short" else 1):
        length = round(rng.uniform(*seconds) * RATE / HOP)
        room = frames // (3 if recipe.extent == "short" else 1)
        begin = slot * room + int(rng.integers(max(1, room - length)))
        events.append(Event(recipe.kind, begin, min(begin + length, frames), recipe.level_db))
    return events


def _spans(labels: Labels, kind: Kind) -> Timeline:
    """The time in which the labels have the kind."""
    mask = labels.present[:, LABELS.index(kind)] > 0.5
    return Timeline.from_mask(mask, HOP / RATE)


def seconds_mask(timeline: Timeline, seconds: int) -> NDArray[np.bool_]:
    """Seconds of which the timeline covers more than half, shape (seconds,)."""
    return np.array([timeline.crop(Segment(i, i + 1)).duration > 0.5 for i in range(seconds)], bool)
