"""Human evidence: the verdicts and regions of people, in the form that the decision over a recording uses.

It is tied to time, never to cuts, and outranks the detectors where people judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc

from manifests.annotations import counted
from manifests.commits import Commit
from manifests.labels import load_labels
from manifests.records import TRIMMED, Annotation, Event, Verdict
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.verdicts import current

ANNOTATOR = "annotator:"  # prefix of the source of an annotator's events
# A verdict's ends are whole milliseconds, a recording's end is not: the time between must not stay uncertain.
EDGE_SECONDS = 0.002


@dataclass(frozen=True)
class Trim:
    """A span, usually a cut, of which a reviewer kept `left`; each part left becomes a separate cut."""

    span: Segment
    left: Timeline


@dataclass(frozen=True)
class HumanEvidence:
    """The verdicts of people on one recording, as time.

    `cleared`: judged and kept, except `excised` (contaminants by label) and `trimmed` (cut away without a fault);
    `trims` are the trimmed spans. `rejected`: rejected as a whole, each span with its reasons. `unsure`: judged as
    unsure.
    """

    cleared: Timeline = field(default=Timeline())
    excised: Mapping[str, Timeline] = field(default_factory=dict)
    trimmed: Timeline = field(default=Timeline())
    trims: tuple[Trim, ...] = ()
    rejected: tuple[tuple[Segment, tuple[str, ...]], ...] = ()
    unsure: Timeline = field(default=Timeline())

    @property
    def refused(self) -> Timeline:
        """All rejected time."""
        return Timeline(segment for segment, _ in self.rejected)

    @property
    def settled(self) -> Timeline:
        """The time in which people overrule the detectors."""
        return (self.cleared | self.refused).pad(EDGE_SECONDS)

    @property
    def apart(self) -> Timeline:
        """The parts that trims left: no cut crosses their ends."""
        return Timeline(segment for trim in self.trims for segment in trim.left)

    def trim_of(self, segment: Segment) -> Trim | None:
        """The trim that left the segment, or None."""
        return next((trim for trim in self.trims if trim.left.pad(EDGE_SECONDS).covers(segment)), None)


NO_EVIDENCE = HumanEvidence()


def evidence_of(verdicts: Iterable[Verdict]) -> HumanEvidence:
    """The evidence of one recording's verdicts; the later of two overlapping verdicts counts.

    An "open" row has no effect. A part that a trim left stays a separate cut under later verdicts, except another trim.
    """
    cleared, unsure, trimmed = Timeline(), Timeline(), Timeline()
    trims: list[Trim] = []
    excised: dict[str, Timeline] = {}
    rejected: list[tuple[Segment, tuple[str, ...]]] = []
    for row in current(verdicts):
        if row.decision == "open":
            continue
        span = Timeline([row.segment])
        cleared, unsure, trimmed = cleared - span, unsure - span, trimmed - span
        excised = {label: timeline - span for label, timeline in excised.items()}
        rejected = [(part, why) for segment, why in rejected for part in Timeline([segment]) - span]
        if row.decision == "keep":
            cleared |= span
            away = Timeline(one.segment for one in row.excised if one.label == TRIMMED).crop(row.segment)
            if away:
                trimmed |= away
                trims = [*(Trim(trim.span, trim.left - span) for trim in trims), Trim(row.segment, span - away)]
            for one in row.excised:
                if one.label != TRIMMED:
                    excised[one.label] = excised.get(one.label, Timeline()) | Timeline([one.segment])
        elif row.decision == "reject":
            rejected.append((row.segment, row.reasons))
        else:
            unsure |= span
    return HumanEvidence(
        cleared=cleared,
        excised={label: timeline for label, timeline in excised.items() if timeline},
        trimmed=trimmed,
        trims=tuple(trim for trim in trims if trim.left),
        rejected=tuple(sorted(rejected)),
        unsure=unsure,
    )


def load_evidence(corpus: Corpus) -> dict[str, HumanEvidence]:
    """The evidence of every recording with verdicts."""
    rows: dict[str, list[Verdict]] = defaultdict(list)
    for row in corpus.rows(Verdict):
        rows[row.recording_id].append(row)
    return {recording_id: evidence_of(verdicts) for recording_id, verdicts in rows.items()}


def annotator_events(annotations: Iterable[Annotation]) -> list[Event]:
    """The regions of the annotations that count, as events."""
    vocabulary = set(load_labels().names)
    events = {
        (row.recording_id, region.start, region.end, region.label, row.annotator): None
        for row in counted(annotations).answers
        for region in row.regions
        if region.label in vocabulary
    }
    return [
        Event(recording_id=recording_id, start=start, end=end, label=label, source=ANNOTATOR + annotator)
        for recording_id, start, end, label, annotator in sorted(events)
    ]


def add_annotations(corpus: Corpus, rows: Sequence[Annotation], change: Commit) -> None:
    """Add rows to `annotations`, and update the annotators' part of `events` with them, in one commit."""
    if rows:
        change.append("annotations", rows)
        others = list(corpus.rows(Event, ~pc.starts_with(pc.field("source"), ANNOTATOR)))
        change.replace("events", [*others, *annotator_events([*corpus.rows(Annotation), *rows])])
