"""Compare the planted times of the demo with the events and cuts of the corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from manifests.records import Cut, Drop, Event, Source
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.uris import decode

from .material import Planted

PLANTED_LABELS = {"speech": ("speech",), "music": ("music", "singing")}
"""The planted contaminants, and the labels of the events that detect each."""


@dataclass(frozen=True)
class Finding:
    """One file: `planted` and `found` times by label, its cuts by decision, and the reasons of its drops."""

    file: str
    planted: dict[str, Timeline]
    found: dict[str, Timeline]
    accepted: tuple[Segment, ...]
    review: tuple[Segment, ...]
    dropped: tuple[str, ...]

    @property
    def contaminated_seconds(self) -> float:
        """Planted speech and music inside accepted cuts."""
        contaminants = Timeline(segment for timeline in self.planted.values() for segment in timeline)
        return (contaminants & Timeline(self.accepted)).duration

    def found_share(self, label: str) -> float | None:
        """The share of the planted time of `label` that was detected, 0 to 1; None without planted time."""
        planted = self.planted[label]
        return (planted & self.found[label]).duration / planted.duration if planted else None


def findings(corpus: Corpus, planted: Iterable[Planted]) -> list[Finding]:
    """One row per file of the corpus, by name."""
    times: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for row in planted:
        times[row.file, row.label].append(Segment(row.start, row.end))
    events: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for event in corpus.rows(Event):
        events[event.recording_id, event.label].append(event.segment)
    cuts: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for cut in sorted(corpus.rows(Cut), key=lambda cut: cut.segment):
        cuts[cut.recording_id, cut.decision].append(cut.segment)
    dropped: dict[str, list[str]] = defaultdict(list)
    for drop in corpus.rows(Drop):
        dropped[drop.item].append(drop.reason)

    rows = []
    for source in corpus.rows(Source):
        file, recording = decode(source.uri)[1].name, source.recording_id or ""
        rows.append(
            Finding(
                file=file,
                planted={label: Timeline(times[file, label]) for label in PLANTED_LABELS},
                found={
                    label: Timeline(segment for name in counted for segment in events[recording, name])
                    for label, counted in PLANTED_LABELS.items()
                },
                accepted=tuple(cuts[recording, "accept"]),
                review=tuple(cuts[recording, "review"]),
                dropped=(*dropped[source.source_id], *dropped[recording]),
            )
        )
    return sorted(rows, key=lambda row: row.file)
