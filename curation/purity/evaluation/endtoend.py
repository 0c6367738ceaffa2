"""The whole way: long recordings of known contents through curation, and what its cuts contain of which is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from manifests.recipe import Recipe
from manifests.records import Cut, Recording, Source
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.uris import decode

from ...media import write_media
from ...pipeline.curate import curate
from ..sources.pool import RATE
from .recordings import MadeRecording

MIN_SECONDS = 60.0  # of a pure span that counts for the yield
KEPT = {"accept": ("accept",), "accept + review": ("accept", "review")}


@dataclass(frozen=True)
class Truth:
    """A file of the set: its length, the spans of each contaminant in it, and what it was made of."""

    file: str
    duration: float
    spans: Mapping[str, Sequence[tuple[float, float]]]
    kind: str
    level_db: float
    extent: str
    categories: tuple[str, ...] = field(default=())

    @property
    def timeline(self) -> Timeline:
        """The time of any contaminant."""
        return Timeline(Segment(start, end) for spans in self.spans.values() for start, end in spans)

    def of(self, kind: str) -> Timeline:
        """The time of one contaminant."""
        return Timeline(Segment(start, end) for start, end in self.spans.get(kind, ()))


@dataclass(frozen=True)
class Share:
    """Seconds kept, contaminated seconds in them, pure seconds kept, and pure seconds in spans long enough."""

    kept: float
    contaminated: float
    pure: float
    offered: float

    @property
    def contamination(self) -> float:
        """Contaminated share of the kept seconds, NaN if nothing was kept."""
        return self.contaminated / self.kept if self.kept else float("nan")

    @property
    def yielded(self) -> float:
        """Share of the pure seconds in spans of at least MIN_SECONDS that were kept."""
        return self.pure / self.offered if self.offered else float("nan")


def write_set(
    folder: Path, made: Iterable[MadeRecording], progress: Callable[[int], None] | None = None
) -> list[Truth]:
    """Write recordings as FLAC files into `folder`; returns their truth."""
    folder.mkdir(parents=True, exist_ok=True)
    truths = []
    for one in made:
        path = folder / f"{one.recipe.name}.flac"
        write_media(path, audio=[one.sound[None]], sample_rate=RATE, audio_codec="flac")
        spans: dict[str, list[tuple[float, float]]] = {
            kind: [(span.start, span.end) for span in timeline] for kind, timeline in one.truth.items()
        }
        recipe = one.recipe
        truths.append(
            Truth(path.name, one.duration, spans, recipe.kind or "pure", recipe.level_db, recipe.extent, one.categories)
        )
        if progress:
            progress(len(truths))
    return truths


def curated(corpus: Path, media: Path, recipe: Recipe, *, workers: int | None = None) -> dict[str, list[Cut]]:
    """The cuts of each file of `media`, by file name, under a recipe."""
    opened = Corpus.create(corpus)
    curate(opened, [media], recipe, workers=workers)
    names = {one.recording_id: decode(one.uri)[1].name for one in opened.rows(Source) if one.recording_id}
    known = {one.recording_id for one in opened.rows(Recording)}
    cuts: dict[str, list[Cut]] = {name: [] for recording, name in names.items() if recording in known}
    for cut in opened.rows(Cut):
        cuts[names[cut.recording_id]].append(cut)
    return cuts


def shares(truths: Sequence[Truth], cuts: Mapping[str, Sequence[Cut]]) -> dict[str, Share]:
    """Shares of what was kept, by KEPT, over all files."""
    return {
        name: reduce(_sum, (share(one, cuts.get(one.file, ()), kept) for one in truths)) for name, kept in KEPT.items()
    }


def share(truth: Truth, cuts: Sequence[Cut], decisions: Sequence[str]) -> Share:
    """The share of a file that cuts with one of the decisions keep."""
    kept = Timeline(cut.segment for cut in cuts if cut.decision in decisions)
    whole = Segment(0.0, truth.duration)
    offered = truth.timeline.gaps(whole).at_least(MIN_SECONDS)
    return Share(kept.duration, (kept & truth.timeline).duration, (kept & offered).duration, offered.duration)


def by_contents(truths: Sequence[Truth], cuts: Mapping[str, Sequence[Cut]]) -> dict[str, Share]:
    """Shares that accepted cuts keep of files, by their contents: "music -12 dB" or "pure"."""
    groups: dict[str, list[Share]] = {}
    for one in truths:
        name = "pure" if one.kind == "pure" else f"{one.kind} {one.level_db:+.0f} dB {one.extent}"
        groups.setdefault(name, []).append(share(one, cuts.get(one.file, ()), KEPT["accept"]))
    return {name: reduce(_sum, group) for name, group in sorted(groups.items())}


def _sum(one: Share, other: Share) -> Share:
    return Share(*(np.add(list(asdict(one).values()), list(asdict(other).values())).tolist()))


def as_json(values: Mapping[str, Share]) -> dict[str, Any]:
    """Shares with their two figures, for files."""
    return {
        name: {**asdict(one), "contamination": one.contamination, "yield": one.yielded} for name, one in values.items()
    }
